//! ConfigMaps and Secrets that pods need.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

pub fn secret(name: &str) -> ObjectRef {
    ObjectRef { kind: ObjectKind::Secret, namespace: "shop".into(), name: name.into() }
}

pub fn version(resource_version: &str) -> ObjectVersion {
    ObjectVersion { uid: Uid("s1".into()), resource_version: resource_version.into() }
}

pub fn written(resource_version: &str) -> Outcome {
    Outcome::Done(Answer::ObjectWritten { version: version(resource_version) })
}

/// A pod that names these Secrets; those that are `false` are optional.
pub fn with(pod: &PodRef, secrets: &[(&str, bool)]) -> PodFacts {
    let uses = secrets.iter().map(|(name, mandatory)| ObjectUse {
        kind: ObjectKind::Secret,
        name: (*name).into(),
        mandatory: *mandatory,
    });
    PodFacts { objects: uses.collect(), ..facts(pod) }
}

fn created(story: &mut Story, pod: &PodRef) -> String {
    story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(cloud(pod, Phase::Running).into())))
}

/// A pod that runs with one Secret, of version 1.
fn running(story: &mut Story, pod: &PodRef) {
    story.tell(Event::PodObserved(with(pod, &[("password", true)]).into()));
    if story.kinds().contains(&"sync_object") {
        story.answer("sync_object", written("1"));
    }
    created(story, pod);
    story.issued.retain(|effect| effect.kind.name() != "emit_notice");
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
}

#[test]
fn a_pod_is_made_after_what_it_needs() {
    let mut story = Story::ready();
    let web = pod("web-0", "u1");
    check(
        story.tell(Event::PodObserved(with(&web, &[("password", true)]).into())),
        expect![[r#"
        7.0 copy Secret shop/password because of #7
        held shop/web-0: ObjectsMissing because of #7
    "#]],
    );
    check(
        story.answer("sync_object", written("1")),
        expect![[r#"
        8.0 create shop/web-0 (u1) because of #7 #8
    "#]],
    );
}

#[test]
fn one_copy_serves_all_and_a_change_is_one_write() {
    let mut story = Story::ready();
    let [one, two] = [pod("web-0", "u1"), pod("web-1", "u2")];
    running(&mut story, &one);
    check(
        story.tell(Event::PodObserved(with(&two, &[("password", true)]).into())),
        expect![[r#"
        11.0 create shop/web-1 (u2) because of #11
    "#]],
    );
    created(&mut story, &two);
    let changed = Event::ObjectObserved { object: secret("password"), version: version("2") };
    check(
        story.tell(changed),
        expect![[r#"
        13.0 copy Secret shop/password because of #13
    "#]],
    );
    // Told again while it is written: the version says that it is no news.
    let again = Event::ObjectObserved { object: secret("password"), version: version("2") };
    check(story.tell(again), expect![[""]]);
    check(story.answer("sync_object", written("2")), expect![[""]]);
    let same = Event::ObjectObserved { object: secret("password"), version: version("2") };
    check(story.tell(same), expect![[""]]);
}

#[test]
fn a_change_while_it_is_written_is_written_too() {
    let mut story = Story::ready();
    let web = pod("web-0", "u1");
    running(&mut story, &web);
    story.tell(Event::ObjectObserved { object: secret("password"), version: version("2") });
    story.tell(Event::ObjectObserved { object: secret("password"), version: version("3") });
    check(
        story.answer("sync_object", written("2")),
        expect![[r#"
        13.0 copy Secret shop/password because of #12 #13
    "#]],
    );
    check(story.answer("sync_object", written("3")), expect![[""]]);
}

#[test]
fn a_missing_one_holds_the_pod_unless_it_is_optional() {
    let mut story = Story::ready();
    let [strict, easy] = [pod("strict", "u1"), pod("easy", "u2")];
    story.tell(Event::PodObserved(with(&strict, &[("password", true)]).into()));
    story.tell(Event::PodObserved(with(&easy, &[("password", false)]).into()));
    check(
        story.answer("sync_object", Outcome::Done(Answer::ObjectAbsent)),
        expect![[r#"
        9.0 say of shop/strict: MandatorySecretNotFound Secret "password" not found because of #9
        9.1 write shop/strict: Pending CreateContainerConfigError Secret "password" not found because of #7 #9
        9.2 say of shop/easy: OptionalSecretNotFound Secret "password" not found because of #9
        9.3 create shop/easy (u2) because of #8 #9
    "#]],
    );
    story.issued.retain(|effect| effect.kind.name() != "emit_notice");
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    created(&mut story, &easy);
    story.issued.retain(|effect| effect.kind.name() != "emit_notice");

    let appeared = Event::ObjectObserved { object: secret("password"), version: version("1") };
    check(
        story.tell(appeared),
        expect![[r#"
        12.0 copy Secret shop/password because of #12
    "#]],
    );
    check(
        story.answer("sync_object", written("1")),
        expect![[r#"
        13.0 create shop/strict (u1) because of #7 #13
    "#]],
    );
}

#[test]
fn what_the_api_server_or_the_cloud_does_not_give_is_told_and_tried_again() {
    let mut story = Story::ready();
    let web = pod("web-0", "u1");
    story.tell(Event::PodObserved(with(&web, &[("password", true)]).into()));
    let unreadable = Outcome::Done(Answer::ObjectUnreadable { message: "forbidden".into() });
    check(
        story.answer("sync_object", unreadable),
        expect![[r#"
        8.0 say of shop/web-0: FailedToReadMandatorySecret Secret "password" cannot be read: forbidden because of #8
        8.1 write shop/web-0: Pending CreateContainerConfigError Secret "password" cannot be read: forbidden because of #7 #8
    "#]],
    );
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    check(
        story.later(400_000),
        expect![[r#"
            10.0 list the cloud because of #10
            7.0 copy Secret shop/password attempt 2 because of #7
        "#]],
    );
    let refusal =
        Refusal { class: RefusalClass::OperatorAction, code: "403".into(), message: "quota".into() };
    check(
        story.answer("sync_object", Outcome::Refused(refusal)),
        expect![[r#"
        11.0 say of shop/web-0: ProviderCreateFailed the cloud does not take Secret "password": 403: quota because of #11
        11.1 write shop/web-0: Pending CreateContainerConfigError the cloud does not take Secret "password": 403: quota because of #7 #11
    "#]],
    );
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    story.later(400_000);
    check(
        story.answer("sync_object", written("1")),
        expect![[r#"
        14.0 create shop/web-0 (u1) because of #7 #14
    "#]],
    );
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    let mut story = Story::ready();
    let web = pod("web-0", "u1");
    story.tell(Event::PodObserved(with(&web, &[("password", true)]).into()));
    check(story.answer("sync_object", Outcome::Unknown { message: "lost".into() }), expect![[""]]);
    check(
        story.later(60_000),
        expect![[r#"
        7.0 copy Secret shop/password attempt 2 because of #7
        9.0 list the cloud because of #9
    "#]],
    );
    check(
        story.answer("sync_object", written("1")),
        expect![[r#"
        10.0 create shop/web-0 (u1) because of #7 #10
    "#]],
    );
}

#[test]
fn the_copy_goes_with_the_last_pod_that_needs_it() {
    let mut story = Story::ready();
    let [one, two] = [pod("web-0", "u1"), pod("web-1", "u2")];
    running(&mut story, &one);
    running(&mut story, &two);
    let ended = |story: &mut Story, pod: &PodRef| {
        story.tell(Event::PodGone { pod: pod.clone(), how: Gone::Deleted });
        story.answer("delete_cloud_pod", Outcome::Done(Answer::CloudPodAbsent))
    };
    check(ended(&mut story, &one), expect![[""]]);
    check(
        ended(&mut story, &two),
        expect![[r#"
        17.0 remove the copy of Secret shop/password because of #17
    "#]],
    );
    assert_eq!(story.state.objects_known(), 1);
    check(story.answer("sync_object", Outcome::Done(Answer::Nothing)), expect![[""]]);
    assert_eq!(story.state.objects_known(), 0);
}

#[test]
fn a_pod_keeps_its_copy_when_the_object_goes_and_new_ones_wait() {
    let mut story = Story::ready();
    let [one, two] = [pod("web-0", "u1"), pod("web-1", "u2")];
    running(&mut story, &one);
    check(story.tell(Event::ObjectGone { object: secret("password") }), expect![[""]]);
    check(
        story.tell(Event::PodObserved(with(&two, &[("password", true)]).into())),
        expect![[r#"
        12.0 say of shop/web-1: MandatorySecretNotFound Secret "password" not found because of #12
        held shop/web-1: ObjectsMissing because of #12
        12.1 write shop/web-1: Pending CreateContainerConfigError Secret "password" not found because of #12
    "#]],
    );
}

#[test]
fn after_a_start_the_copies_are_written_before_anything_is_made() {
    let mut story = Story::ready();
    let [one, two] = [pod("web-0", "u1"), pod("web-1", "u2")];
    running(&mut story, &one);
    story.start();
    story.issued.retain(|effect| effect.attempt == 0);
    story.start();
    story.tell(Event::PodObserved(with(&one, &[("password", true)]).into()));
    story.tell(Event::PodObserved(with(&two, &[("password", true)]).into()));
    check(
        story.list_both(),
        expect![[r#"
        held shop/web-1: CloudNotListed because of #14 #15
        16.0 list the cloud because of #16
        17.0 copy Secret shop/password because of #17
        17.1 write shop/web-0: Running because of #9 #13 #17
        held shop/web-1: ObjectsMissing because of #14 #17
    "#]],
    );
    check(
        story.answer("sync_object", written("1")),
        expect![[r#"
        20.0 create shop/web-1 (u2) because of #14 #20
    "#]],
    );
}

#[test]
fn what_an_earlier_life_has_left_is_removed_and_what_others_have_removed_is_written() {
    let mut story = Story::ready();
    let web = pod("web-0", "u1");
    running(&mut story, &web);
    check(
        story.tell(Event::CloudObjectObserved { object: secret("old") }),
        expect![[r#"
        11.0 remove the copy of Secret shop/old because of #11
    "#]],
    );
    check(
        story.tell(Event::CloudObjectMissing { object: secret("password") }),
        expect![[r#"
        12.0 copy Secret shop/password because of #12
    "#]],
    );
}

#[test]
fn a_pod_that_has_ended_needs_nothing() {
    let mut story = Story::ready();
    let job = pod("job", "u1");
    running(&mut story, &job);
    story.tell(Event::CloudPodObserved(cloud(&job, Phase::Succeeded).into()));
    check(
        story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten)),
        expect![[r#"
        12.0 remove the copy of Secret shop/password because of #12
    "#]],
    );
}

#[test]
fn a_copy_has_the_name_that_pods_of_this_node_mount() {
    let mut story = Story::ready();
    story.tell(Event::PodObserved(with(&pod("web-0", "u1"), &[("password", true)]).into()));
    let EffectKind::SyncObject { object, name, .. } = story.take("sync_object").kind else { panic!() };
    assert_eq!(name, object.cloud_name(&story.state.identity().node));
}

#[test]
fn an_optional_one_that_the_cloud_does_not_take_keeps_no_pod() {
    let mut story = Story::ready();
    story.tell(Event::PodObserved(with(&pod("web-0", "u1"), &[("password", false)]).into()));
    let refusal = Refusal { class: RefusalClass::Invalid, code: String::new(), message: "quota".into() };
    let said = story.answer("sync_object", Outcome::Refused(refusal));
    assert!(said.contains("create shop/web-0 (u1)"), "{said}");
}

#[test]
fn a_copy_that_fails_is_not_tried_as_fast_as_it_fails_and_is_told_once() {
    for outcome in [transient(), Outcome::Unknown { message: "reset".into() }] {
        let mut story = Story::ready();
        story.tell(Event::PodObserved(with(&pod("web-0", "u1"), &[("password", true)]).into()));
        let (mut tries, mut said) = (0, String::new());
        for _ in 0..600 {
            if story.kinds().contains(&"sync_object") {
                tries += 1;
                said += &story.answer("sync_object", outcome.clone());
            }
            story.later(100);
        }
        // A minute: half a second, one, two, … and then half a minute apart.
        assert!((5..=9).contains(&tries), "{tries}");
        assert_eq!(said.matches("ProviderCreateFailed").count(), 1, "{said}");
    }
    let wait =
        Outcome::Later { wait_ms: Some(20_000), reason: LaterReason::Transient, message: "away".into() };
    let mut story = Story::ready();
    story.tell(Event::PodObserved(with(&pod("web-0", "u1"), &[("password", true)]).into()));
    story.answer("sync_object", wait);
    story.later(19_000);
    assert!(!story.kinds().contains(&"sync_object"), "the cloud has asked for twenty seconds");
}
