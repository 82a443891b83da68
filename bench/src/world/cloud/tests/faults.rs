//! What goes wrong, and what the answer hides.

use expect_test::expect;

use super::*;

#[test]
fn limits_throttle_in_both_shapes_with_and_without_a_wait() {
    let options = CloudOptions {
        rate_limits: RateLimits { read_per_s: 1, ..RateLimits::default() },
        ..CloudOptions::default()
    };
    let mut world = World::ready(options);
    assert_eq!(world.get_pod("a").status, 404);
    let throttled: Vec<Reply> = (0..40).map(|_| world.get_pod("a")).collect();
    assert!(throttled.iter().all(|reply| reply.status == 429 && !reply.applied));
    for gateway in [true, false] {
        for wait in [Some(1), None] {
            let seen = |reply: &Reply| {
                reply.json()["error_code"].is_string() == gateway && reply.retry_after_s == wait
            };
            assert!(throttled.iter().any(seen), "gateway {gateway}, wait {wait:?}");
        }
    }
    world.pass(SECOND);
    assert_eq!(world.get_pod("a").status, 404);
    assert_eq!(world.create_pod(&pod("a")).status, 201);
}

#[test]
fn the_answer_does_not_tell_whether_it_was_done() {
    for (faults, status, applied) in [
        ("timeout-after@create=1", 504, true),
        ("timeout-before@create=1", 504, false),
        ("error-after@create=1", 500, true),
        ("error-before@create=1", 500, false),
        ("html@create=1", 200, true),
        ("throttle@create=1", 429, false),
        ("agency=1", 403, false),
    ] {
        let mut world = World::ready(options_with(faults));
        let reply = world.create_pod(&pod("a"));
        let seen = if reply.status == 503 { 500 } else { reply.status };
        assert_eq!((seen, reply.applied), (status, applied), "{faults}");
        assert_eq!(world.cloud.pod_count(), usize::from(applied), "{faults}");
        let account = &world.cloud.accounts()[&world.key("a")];
        assert_eq!((account.create_calls, account.creations), (1, u32::from(applied)), "{faults}");
    }
}

#[test]
fn a_timeout_is_held() {
    let mut world = World::ready(CloudOptions {
        timeout_ms: 7_000,
        create_latency_ms: 50,
        ..options_with("timeout-after=1*1")
    });
    assert_eq!(world.create_pod(&pod("a")).delay_ms, 7_050);
    assert_eq!(world.create_pod(&pod("b")).delay_ms, 50);
}

#[test]
fn a_late_call_takes_effect_after_its_answer() {
    let mut world = World::ready(options_with("late-apply=1*1"));
    assert_eq!(world.create_pod(&pod("a")).status, 504);
    assert_eq!((world.get_pod("a").status, world.cloud.late_calls()), (404, 1));
    let due_us = world.cloud.next_change_us().unwrap();
    assert!(due_us <= world.now_us + 600 * SECOND);
    world.pass(due_us - world.now_us);
    assert_eq!((world.get_pod("a").status, world.cloud.late_calls()), (200, 0));
}

#[test]
fn operators_are_told_what_is_wrong() {
    for (faults, expected) in [
        ("no-capacity=1", expect!["400 CCI.02.400116 NoAllocatedCluster"]),
        ("arrears=1", expect!["403 CCI.01.403009 the account is in arrears"]),
        ("agency=1", expect!["403 CCI.01.403122 user has no agency to cci"]),
    ] {
        let mut world = World::ready(options_with(faults));
        expected.assert_eq(&message(&world.create_pod(&pod("a"))));
    }
}

#[test]
fn lists_can_lie() {
    for (faults, count) in [("empty-list=1", 0), ("cut-list=1", 2), ("html=1", 0), ("truncated@read=1", 0)] {
        let mut world = World::ready(CloudOptions::default());
        for name in ["a", "b", "c", "d"] {
            world.create_pod(&pod(name));
        }
        world.cloud.set_options(options_with(faults));
        let list = world.list(Query::default());
        assert_eq!((list.status, names(&list).len()), (200, count), "{faults}");
    }
}

#[test]
fn what_faults_hold_goes_on_after_they_end() {
    let mut world = World::ready(options_with("stuck-creating@create=1*1,stuck-deleting=1"));
    world.create_pod(&pod("held"));
    world.create_pod(&pod("free"));
    world.pass(3_600 * SECOND);
    assert_eq!(world.pod("held")["status"]["phase"], "Pending");
    assert_eq!(world.pod("free")["status"]["phase"], "Running");
    world.delete_pod("free", &json!({"gracePeriodSeconds": 0}));
    world.pass(3_600 * SECOND);
    assert!(world.pod("free")["metadata"]["deletionTimestamp"].is_string());

    world.cloud.heal(world.now_us);
    world.pass(2 * SECOND);
    assert_eq!(world.pod("held")["status"]["phase"], "Running");
    assert_eq!(world.get_pod("free").status, 404);
}

#[test]
fn an_accepted_pod_can_fail_later() {
    let mut world = World::ready(options_with("fails-later=1"));
    assert_eq!(world.create_pod(&pod("a")).status, 201);
    world.pass(2 * SECOND);
    let status = world.pod("a")["status"].clone();
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("FailedCreatePodSandBox")));
    assert_eq!(world.cloud.billing().pods_billed, 0);
}
