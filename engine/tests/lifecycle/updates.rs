//! A pod is changed while its cloud pod is there.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

/// A pod that was made from manifest 1 and runs, and the API server's view of it.
fn running() -> (Story, PodRef) {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(PodFacts { spec_digest: 1, ..facts(&web) }.into()));
    story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(made_from(&web, 1).into())));
    story.answer("emit_notice", Outcome::Done(Answer::Nothing));
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    (story, web)
}

fn made_from(pod: &PodRef, spec_digest: u64) -> CloudFacts {
    CloudFacts { spec_digest, ..cloud(pod, Phase::Running) }
}

/// The pod with another manifest, as the watch tells it.
fn changed(pod: &PodRef, spec_digest: u64) -> Event {
    let status_digest = status(Phase::Running).digest();
    let facts = PodFacts { spec_digest, phase: Phase::Running, status_digest, ..facts(pod) };
    Event::PodObserved(facts.into())
}

fn told(pod: &PodRef, spec_digest: u64, warning: bool, message: &str) -> Outcome {
    let facts = made_from(pod, spec_digest).into();
    Outcome::Done(Answer::CloudPodTold { facts, warning, message: message.into() })
}

fn updates(story: &Story) -> usize {
    story.kinds().iter().filter(|kind| **kind == "patch_cloud_pod").count()
}

/// VK-C3, VK-C6.
#[test]
fn a_change_is_one_update_and_no_change_is_none() {
    let (mut story, web) = running();
    check(story.tell(changed(&web, 1)), expect![""]);
    check(
        story.tell(changed(&web, 2)),
        expect![[r#"
            12.0 update shop/web (cloud-u1) to 2 because of #8 #12
        "#]],
    );
    check(
        story.answer("patch_cloud_pod", told(&web, 2, false, "Updated the image of web")),
        expect![[r#"
            13.0 say of shop/web: ProviderUpdateSuccess Updated the image of web because of #13
        "#]],
    );
    check(story.tell(changed(&web, 2)), expect![""]);
    assert_eq!(updates(&story), 0);
}

#[test]
fn several_changes_during_an_update_are_one_more() {
    let (mut story, web) = running();
    for spec_digest in 2..6 {
        story.tell(changed(&web, spec_digest));
    }
    assert_eq!(updates(&story), 1);
    check(
        story.answer("patch_cloud_pod", Outcome::Done(Answer::CloudPod(made_from(&web, 2).into()))),
        expect![[r#"
            15.0 update shop/web (cloud-u1) to 5 because of #14 #15
        "#]],
    );
}

/// VK-C11: a running pod whose update fails stays as it is, and is told once; the next change goes at once.
#[test]
fn a_refused_update_is_said_once_and_leaves_the_status_alone() {
    let refused = || {
        let message = String::from("the image is no image");
        Outcome::Refused(Refusal { class: RefusalClass::Invalid, code: String::new(), message })
    };
    let (mut story, web) = running();
    story.tell(changed(&web, 2));
    check(
        story.answer("patch_cloud_pod", refused()),
        expect![[r#"
            12.0 say of shop/web: ProviderUpdateFailed the image is no image because of #12
        "#]],
    );
    story.answer("emit_notice", Outcome::Done(Answer::Nothing));
    let cap_ms: u64 = Policy::default().retry_cap_ms.into();
    story.later(cap_ms / 2);
    assert_eq!(updates(&story), 0, "it waits for the cap");
    story.later(cap_ms);
    assert_eq!(updates(&story), 1, "it is not given up");
    check(story.answer("patch_cloud_pod", refused()), expect![""]);
    check(
        story.tell(changed(&web, 3)),
        expect![[r#"
            17.0 update shop/web (cloud-u1) to 3 because of #8 #17
        "#]],
    );
}

#[test]
fn an_update_of_unknown_fate_is_repeated_and_one_for_later_waits() {
    let (mut story, web) = running();
    story.tell(changed(&web, 2));
    story.answer("patch_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    assert_eq!(updates(&story), 0);
    check(
        story.later(1_000),
        expect![[r#"
            11.0 update shop/web (cloud-u1) to 2 attempt 2 because of #8 #11
        "#]],
    );
    let throttled =
        Outcome::Later { wait_ms: Some(3_000), reason: LaterReason::Throttled, message: "slow".into() };
    story.answer("patch_cloud_pod", throttled);
    check(story.tell(changed(&web, 3)), expect![""]);
    check(
        story.later(3_000),
        expect![[r#"
            11.0 update shop/web (cloud-u1) to 3 attempt 3 because of #8 #11
        "#]],
    );
}

#[test]
fn an_update_that_finds_no_pod_leads_to_a_look_up() {
    let (mut story, web) = running();
    story.tell(changed(&web, 2));
    check(
        story.answer("patch_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)),
        expect![[r#"
            12.0 look up shop/web in the cloud because of #11 #12
        "#]],
    );
}

/// The cloud takes it and does not show it: its list lags, or it has lost it.
#[test]
fn an_update_that_does_not_show_is_asked_for_ever_more_slowly() {
    let (mut story, web) = running();
    story.tell(changed(&web, 2));
    let mut asked = 0;
    for _ in 0..600 {
        if updates(&story) > 0 {
            asked += 1;
            story.answer("patch_cloud_pod", Outcome::Done(Answer::CloudPod(made_from(&web, 1).into())));
        }
        story.later(1_000);
        if story.kinds().contains(&"list_cloud_pods") {
            story.listed();
        }
    }
    assert!((5..20).contains(&asked), "{asked} in ten minutes");
}

#[test]
fn what_is_ending_or_has_ended_is_not_updated() {
    let (mut story, web) = running();
    story.tell(Event::CloudPodObserved(
        CloudFacts { status: status(Phase::Succeeded), ..made_from(&web, 1) }.into(),
    ));
    story.answer("patch_pod_status", Outcome::Unknown { message: "timeout".into() });
    story.tell(changed(&web, 2));
    assert_eq!(updates(&story), 0, "it has ended");

    let (mut story, web) = running();
    story.tell(Event::CloudPodObserved(CloudFacts { deleting: true, ..made_from(&web, 1) }.into()));
    story.tell(changed(&web, 2));
    assert_eq!(updates(&story), 0, "the cloud ends it");
}

/// Invariant S10: the mark tells what was sent, whatever is left of the log.
#[test]
fn a_start_without_a_log_updates_what_is_behind_and_nothing_else() {
    let mut story = Story::started();
    let (current, behind) = (pod("current", "u1"), pod("behind", "u2"));
    for pod in [&current, &behind] {
        story.tell(changed(pod, 2));
    }
    story.tell(Event::CloudPodObserved(made_from(&current, 2).into()));
    story.tell(Event::CloudPodObserved(made_from(&behind, 1).into()));
    assert_eq!(updates(&story), 0, "nothing is changed before both sides are listed");
    let said = story.list_both();
    assert!(said.contains("update shop/behind (cloud-u2) to 2"), "{said}");
    assert_eq!(updates(&story), 1, "{said}");
}
