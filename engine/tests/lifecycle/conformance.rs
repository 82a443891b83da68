//! Rules of virtual-kubelet that no other story tells (`docs/conformance.md`).

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

/// VK-Q4.
#[test]
fn what_changes_during_a_call_is_looked_at_once_after_it() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    for grace_s in [30, 20, 10] {
        check(story.tell(Event::PodObserved(deleting(&web, grace_s).into())), expect![""]);
    }
    check(
        story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(cloud(&web, Phase::Pending).into()))),
        expect![[r#"
            11.0 say of shop/web: ProviderCreateSuccess Created shop-web-a2x6gjd22m in the cloud because of #11
            11.1 delete shop/web (cloud-u1) with grace 10 s because of #10 #11
        "#]],
    );
}

/// VK-Q5, as we keep it.
#[test]
fn news_do_not_shorten_a_wait() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    let throttled =
        Outcome::Later { wait_ms: Some(4_000), reason: LaterReason::Throttled, message: "slow down".into() };
    story.answer("create_cloud_pod", throttled);
    let changed = PodFacts { spec_digest: 7, ..facts(&web) };
    check(story.tell(Event::PodObserved(changed.into())), expect![""]);
    check(story.later(3_999), expect![""]);
    check(
        story.later(1),
        expect![[r#"
            7.0 create shop/web (u1) attempt 2 because of #7
        "#]],
    );
}

/// VK-C8: only what is refused for good ends a pod that runs once.
#[test]
fn a_pod_that_runs_once_outlives_throttles_and_lost_answers() {
    let mut story = Story::ready();
    let job = pod("job", "u1");
    story.tell(Event::PodObserved(PodFacts { restart_policy: RestartPolicy::Never, ..facts(&job) }.into()));
    let later = |reason| Outcome::Later { wait_ms: Some(1_000), reason, message: "not now".into() };
    for reason in [LaterReason::Throttled, LaterReason::Transient] {
        story.answer("create_cloud_pod", later(reason));
        story.later(2_000);
    }
    // That there is no room is said, and ends nothing.
    let said = story.answer("create_cloud_pod", later(LaterReason::Capacity));
    assert!(said.contains("write shop/job: Pending ProviderFailed"), "{said}");
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    story.later(2_000);
    story.answer("create_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    story.later(400_000);
    assert!(story.kinds().contains(&"create_cloud_pod"), "{:?}", story.kinds());
    assert!(!story.kinds().contains(&"patch_pod_status"), "nothing more is said of it: {:?}", story.kinds());
}

fn ready(status: Truth, since_s: i64) -> Condition {
    let (reason, message) = (String::new(), String::new());
    Condition { kind: ConditionKind::Ready, status, reason, message, since_s }
}

fn written(story: &mut Story) -> PodStatus {
    let kind = story.take("patch_pod_status").kind;
    let EffectKind::PatchPodStatus { status, .. } = kind else { panic!("{kind:?}") };
    (*status).clone()
}

/// VK-S10: a gate moves after the containers are ready, and Ready is as old as that: who waits for `minReadySeconds` counts
/// from then.
#[test]
fn ready_is_as_old_as_the_last_gate_that_moved() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    let ready_at = story.now().as_s();
    let gates = |version: &str, closed: &[&str], digest: u64| PodFacts {
        resource_version: version.into(),
        readiness_gates: vec!["example.com/gate".to_owned()],
        closed_gates: closed.iter().map(|gate| (*gate).to_owned()).collect(),
        phase: Phase::Running,
        status_digest: digest,
        ..facts(&web)
    };
    let ready = |story: &Story| {
        let EffectKind::PatchPodStatus { status, .. } = &story.issued.last().expect("a write").kind else {
            panic!("{:?}", story.kinds())
        };
        let condition = status.conditions.iter().find(|condition| condition.kind == ConditionKind::Ready);
        let condition = condition.expect("Ready");
        (condition.status, condition.since_s - ready_at, status.digest())
    };
    let mut running = status(Phase::Running);
    running.conditions.push(Condition {
        kind: ConditionKind::Ready,
        status: Truth::True,
        reason: String::new(),
        message: String::new(),
        since_s: ready_at,
    });
    story.tell(Event::PodObserved(
        PodFacts { phase: Phase::Pending, ..gates("1", &["example.com/gate"], 0) }.into(),
    ));
    let body = CloudFacts { status: running, ..cloud(&web, Phase::Running) };
    story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(body.into())));
    let (truth, since_s, mut digest) = ready(&story);
    assert_eq!((truth, since_s), (Truth::False, 0));
    for (version, closed, truth, since_s) in
        [("2", &[][..], Truth::True, 60), ("3", &["example.com/gate"][..], Truth::False, 120)]
    {
        story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
        story.later(60_000);
        story.issued.retain(|effect| effect.kind.name() == "patch_pod_status");
        story.tell(Event::PodObserved(gates(version, closed, digest).into()));
        let told = ready(&story);
        assert_eq!((told.0, told.1), (truth, since_s));
        digest = told.2;
    }
}

/// VK-S10: the cloud knows nothing of readiness gates, and the pod is ready only with them.
#[test]
fn a_pod_with_a_closed_readiness_gate_is_not_ready() {
    let web = pod("web", "u1");
    for (closed, expected) in [(vec!["example.com/gate".to_owned()], Truth::False), (vec![], Truth::True)] {
        let mut story = Story::ready();
        let gates = vec!["example.com/gate".to_owned()];
        let facts = PodFacts { readiness_gates: gates, closed_gates: closed, ..facts(&web) };
        story.tell(Event::PodObserved(facts.into()));
        let mut runs = cloud(&web, Phase::Running);
        runs.status.conditions.push(ready(Truth::True, 5));
        story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(runs.into())));
        let status = written(&mut story);
        assert_eq!(status.condition(ConditionKind::Ready).map(|one| one.status), Some(expected));
    }
}

/// A condition that the cloud gives no time for has the time of its first sight.
#[test]
fn a_transition_is_dated_by_its_first_sight() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    let seen = |status, restart_count| {
        let mut facts = cloud(&web, Phase::Running);
        facts.status.conditions.push(ready(status, 0));
        facts.status.containers[0].restart_count = restart_count;
        facts
    };
    let first = story.now();
    story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(seen(Truth::False, 0).into())));
    let since_s = |status: &PodStatus| status.condition(ConditionKind::Ready).map(|one| one.since_s);
    assert_eq!(since_s(&written(&mut story)), Some(first.as_s()));

    let mut story = Story::ready();
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(seen(Truth::False, 0).into())));
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    story.later(4_000);
    story.tell(Event::CloudPodObserved(seen(Truth::False, 1).into()));
    assert_eq!(since_s(&written(&mut story)), Some(first.as_s()), "it has not changed");

    let mut story = Story::ready();
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(seen(Truth::False, 0).into())));
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    story.later(4_000);
    story.tell(Event::CloudPodObserved(seen(Truth::True, 1).into()));
    assert_eq!(since_s(&written(&mut story)), Some(story.now().as_s()));
}

/// VK-D1.
#[test]
fn a_deletion_that_finds_nothing_is_done() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    let running = status(Phase::Running).digest();
    let asked = PodFacts { phase: Phase::Running, status_digest: running, ..deleting(&web, 30) };
    story.tell(Event::PodObserved(asked.into()));
    check(
        story.answer("delete_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)),
        expect![[r#"
            12.0 release shop/web (u1) because of #11 #12
        "#]],
    );
}

/// VK-D8, VK-D10: no exit code is invented, and an absence that was asked for is no failure.
#[test]
fn a_deleted_pod_ends_with_what_was_seen_and_nothing_else() {
    let running = status(Phase::Running).digest();
    for (seen, written) in [(None, false), (Some(Phase::Failed), true)] {
        let mut story = Story::ready();
        let web = pod("web", "u1");
        story.run(&web);
        let asked = PodFacts { phase: Phase::Running, status_digest: running, ..deleting(&web, 30) };
        story.tell(Event::PodObserved(asked.into()));
        story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
        if let Some(phase) = seen {
            let ended = CloudFacts { deleting: true, ..cloud(&web, phase) };
            story.tell(Event::CloudPodObserved(ended.into()));
        }
        let list = EffectId::default();
        let missing = Event::CloudPodMissing { name: CloudName::of(&web), owner: web.clone(), list };
        story.tell(missing);
        let is_written = story.kinds().contains(&"patch_pod_status");
        assert_eq!(is_written, written, "{seen:?}: {:?}", story.kinds());
        if written {
            story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
        }
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
        assert!(story.kinds().contains(&"release_pod"), "{seen:?}: {:?}", story.kinds());
    }
}

/// VK-C7: the Event of a creation says what else people are to know of it.
#[test]
fn a_creation_tells_what_the_pod_was_given() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    let facts = cloud(&web, Phase::Pending).into();
    let message = String::from("asked for 100m CPU, billed as 250m CPU");
    check(
        story.answer(
            "create_cloud_pod",
            Outcome::Done(Answer::CloudPodTold { facts, warning: false, message }),
        ),
        expect![[r#"
            8.0 say of shop/web: ProviderCreateSuccess Created shop-web-a2x6gjd22m in the cloud: asked for 100m CPU, billed as 250m CPU because of #8
            8.1 write shop/web: Pending because of #7 #8
        "#]],
    );
}
