//! A pod is to go.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

#[test]
fn a_delete_overtakes_a_create_that_waits() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    let throttled =
        Outcome::Later { wait_ms: Some(60_000), reason: LaterReason::Throttled, message: "slow down".into() };
    check(story.answer("create_cloud_pod", throttled), expect![[r#""#]]);
    check(
        story.later(59_000),
        expect![[r#"
        9.0 list the cloud because of #9
    "#]],
    );
    check(
        story.tell(Event::PodObserved(deleting(&web, 30).into())),
        expect![[r#"
        10.0 release shop/web (u1) because of #10
    "#]],
    );
}

/// The first call arrives when nobody waits for it any more, and the second does not (seed 3152): what is found ending
/// then ends with the grace of the first.
#[test]
fn of_two_deletions_of_unknown_fate_neither_counts() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodObserved(PodFacts { phase: Phase::Running, ..deleting(&web, 3_600) }.into()));
    let lost = || Outcome::Unknown { message: "timeout".into() };
    story.answer("delete_cloud_pod", lost());
    story.tell(Event::PodGone { pod: web.clone(), how: Gone::Deleted });
    let runs = cloud(&web, Phase::Running);
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPod(runs.clone().into())));
    story.later(1_000);
    story.answer("delete_cloud_pod", lost());
    let ending = CloudFacts { deleting: true, ..runs };
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPod(ending.into())));
    let said = story.later(5_000);
    assert!(said.contains("delete shop/web (cloud-u1) with grace 0 s"), "{said}");
}

/// A creation that was given up arrives when the body that is to go has ended, and before anybody hears of its end (seed
/// 40874564): the new one is not on its way out.
#[test]
fn a_deletion_of_one_body_does_not_count_for_another_under_its_name() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodObserved(PodFacts { phase: Phase::Running, ..deleting(&web, 3_600) }.into()));
    let other = CloudFacts { cloud_uid: "cloud-u2".into(), ..cloud(&web, Phase::Running) };
    story.tell(Event::CloudPodObserved(other.into()));
    let said = story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    assert!(said.contains("delete shop/web (cloud-u2) with grace 3600 s"), "{said}");
    story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    story.later(5_000);
    assert!(!story.kinds().contains(&"delete_cloud_pod"), "now it is");
}

#[test]
fn a_force_delete_of_unknown_fate_is_not_taken_for_the_deletion_before_it() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodObserved(PodFacts { phase: Phase::Running, ..deleting(&web, 30) }.into()));
    story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    story.tell(Event::PodGone { pod: web.clone(), how: Gone::Deleted });
    story.answer("patch_pod_status", Outcome::Done(Answer::PodAbsent));
    story.answer("delete_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    let ending = CloudFacts { deleting: true, ..cloud(&web, Phase::Running) };
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPod(ending.into())));
    check(
        story.later(1_000),
        expect![[r#"
        17.0 delete shop/web (cloud-u1) with grace 0 s because of #13 #16 #17
    "#]],
    );
}

#[test]
fn a_force_delete_shortens_the_grace_in_the_cloud() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    let patient = PodFacts { status_digest: status(Phase::Running).digest(), ..deleting(&web, 600) };
    story.tell(Event::PodObserved(patient.into()));
    story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    check(
        story.tell(Event::PodGone { pod: web.clone(), how: Gone::Deleted }),
        expect![[r#"
        13.0 delete shop/web (cloud-u1) with grace 0 s because of #12 #13
    "#]],
    );
}

/// Which grace an earlier deletion left is not known: it was asked for in a part of the log that is lost, or by somebody
/// else.
#[test]
fn a_lost_deletion_is_asked_for_again_where_another_one_is_under_way() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    let ending = CloudFacts { deleting: true, ..cloud(&web, Phase::Running) };
    story.tell(Event::CloudPodObserved(ending.clone().into()));
    story.tell(Event::PodObserved(PodFacts { phase: Phase::Running, ..deleting(&web, 30) }.into()));
    story.answer("delete_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPod(ending.into())));
    story.later(5_000);
    assert!(story.kinds().contains(&"delete_cloud_pod"), "{:?}", story.kinds());
    story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    story.later(5_000);
    assert!(!story.kinds().contains(&"delete_cloud_pod"), "one that was accepted counts");
}

#[test]
fn a_failing_delete_is_never_forgotten() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodObserved(deleting(&web, 30).into()));
    for attempt in 2..60 {
        story.answer("delete_cloud_pod", transient());
        while !story.kinds().contains(&"delete_cloud_pod") {
            story.later(60_000);
            if story.kinds().contains(&"list_cloud_pods") {
                story.listed();
            }
        }
        let delete = story.issued.iter().find(|effect| effect.kind.name() == "delete_cloud_pod");
        assert_eq!(delete.map(|effect| effect.attempt), Some(attempt));
    }
}

/// A list was asked for before or after the deletion, and shows nothing of one: it does not say which. The pod is not waited
/// for until the end of a deletion that may never have arrived is overdue: that is asked for again.
#[test]
fn a_list_does_not_answer_for_a_deletion_of_unknown_fate() {
    let mut story = Story::ready();
    let web = pod("web", "u");
    story.run(&web);
    let asked = PodFacts { status_digest: status(Phase::Running).digest(), ..deleting(&web, 1) };
    story.tell(Event::PodObserved(asked.into()));
    story.answer("delete_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    story.tell(Event::CloudPodObserved(cloud(&web, Phase::Running).into()));
    let said = story.answer("look_up_cloud_pod", transient()) + &story.later(2_000);
    assert!(said.contains("delete shop/web (cloud-u) with grace 1 s"), "{said}");
}

/// The cloud can have forgotten the deletion, or kept to an earlier one with a longer grace that arrived after it
/// (seeds 63939, 112497, 238917, 308783): looking alone would wait for ever.
#[test]
fn a_deletion_that_takes_too_long_is_asked_for_again_and_told_once() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodObserved(PodFacts { phase: Phase::Running, ..deleting(&web, 30) }.into()));
    let said = story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    assert!(said.contains("ProviderDeleteSuccess"), "{said}");
    let ending = CloudFacts { deleting: true, ..cloud(&web, Phase::Running) };
    story.tell(Event::CloudPodObserved(ending.into()));
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    let said = story.later(90_000);
    assert!(said.contains("delete shop/web (cloud-u1) with grace 30 s"), "{said}");
    let said = story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    assert!(!said.contains("say of"), "{said}");
}

/// After the loss of the log, a watch that begins in the past tells of a pod of the earlier life as if it were new, and the
/// cloud's list lags (seed 273311).
#[test]
fn a_pod_that_comes_soon_after_a_start_is_looked_up_before_it_is_released() {
    for (after_ms, expected) in [(1_000, "look up shop/web in the cloud"), (120_000, "release shop/web (u1)")]
    {
        let mut story = Story::started();
        story.list_both();
        story.later(after_ms);
        // The poll that has come due.
        if story.kinds().contains(&"list_cloud_pods") {
            story.listed();
        }
        let web = pod("web", "u1");
        story.tell(Event::PodObserved(facts(&web).into()));
        story.tell(Event::PodObserved(deleting(&web, 30).into()));
        let said = story.answer("create_cloud_pod", transient());
        assert!(said.contains(expected), "after {after_ms} ms: {said}");
    }
}

/// Virtual-kubelet rules VK-D3 and VK-C7: a pod that does not go says why.
#[test]
fn a_deletion_that_fails_is_told_at_once_when_refused_and_later_when_not_answered() {
    let refused =
        |class| Outcome::Refused(Refusal { class, code: "CCI.01.403".into(), message: "no".into() });
    let throttled =
        Outcome::Later { wait_ms: None, reason: LaterReason::Throttled, message: "too many".into() };
    for (outcomes, told_after) in [
        (vec![refused(RefusalClass::Forbidden); 3], 1),
        (vec![throttled, refused(RefusalClass::Forbidden), refused(RefusalClass::Forbidden)], 2),
        (vec![transient(); 4], 3),
        (vec![Outcome::Unknown { message: "reset".into() }; 4], 3),
    ] {
        let mut story = Story::ready();
        let web = pod("web", "u1");
        story.run(&web);
        story.tell(Event::PodObserved(deleting(&web, 30).into()));
        let mut said = String::new();
        for (nth, outcome) in (1..).zip(outcomes) {
            said += &story.answer("delete_cloud_pod", outcome);
            let notices = said.matches("ProviderDeleteFailed").count();
            assert_eq!(notices, usize::from(nth >= told_after), "{nth}: {said}");
            while !story.kinds().contains(&"delete_cloud_pod") {
                if story.kinds().contains(&"look_up_cloud_pod") {
                    let there = Answer::CloudPod(cloud(&web, Phase::Running).into());
                    said += &story.answer("look_up_cloud_pod", Outcome::Done(there));
                }
                said += &story.later(1_000);
            }
        }
    }
}

/// A backup takes the wish to end a pod back, and the cloud forgets that it was to end it (seed 90007938).
#[test]
fn a_pod_that_is_wanted_again_and_does_not_end_is_one_that_runs() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    let status_digest = status(Phase::Running).digest();
    let runs = PodFacts { status_digest, phase: Phase::Running, ..facts(&web) };
    let going = PodFacts { deletion: deleting(&web, 5).deletion, ..runs.clone() };
    story.tell(Event::PodObserved(going.into()));
    story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    story.tell(Event::PodObserved(PodFacts { spec_digest: 7, ..runs }.into()));
    let said = story.later(30_000);
    assert!(!said.contains("look up"), "it may be ending: {said}");
    let said = story.later(5_000);
    assert!(said.contains("look up shop/web"), "{said}");
    let there = CloudFacts { spec_digest: 6, ..cloud(&web, Phase::Running) };
    let said = story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPod(there.into())));
    assert!(said.contains("update shop/web"), "what has changed meanwhile is brought to it: {said}");
}
