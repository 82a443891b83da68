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
    for reason in [LaterReason::Throttled, LaterReason::Transient, LaterReason::Capacity] {
        story.answer("create_cloud_pod", later(reason));
        story.later(2_000);
    }
    story.answer("create_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    story.later(400_000);
    assert!(story.kinds().contains(&"create_cloud_pod"), "{:?}", story.kinds());
    assert!(!story.kinds().contains(&"patch_pod_status"), "nothing is said of it: {:?}", story.kinds());
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
