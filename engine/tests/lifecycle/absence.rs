//! A pod is missed on one side.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

#[test]
fn an_unknown_create_that_is_absent_is_made_again() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    check(story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)), expect![""]);
    check(
        story.later(700),
        expect![[r#"
        10.0 create shop/web (u1) because of #7 #9 #10
    "#]],
    );
    let exists =
        Refusal { class: RefusalClass::AlreadyExists, code: String::new(), message: "exists".into() };
    check(
        story.answer("create_cloud_pod", Outcome::Refused(exists)),
        expect![[r#"
            11.0 look up shop/web in the cloud because of #7 #11
        "#]],
    );
}

/// The agent was stopped, or its disk was slow: what was read within the lag is heard after it (seed 2390).
#[test]
fn an_absence_is_as_old_as_the_read_that_found_it() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodObserved(PodFacts { phase: Phase::Running, ..deleting(&web, 30) }.into()));
    story.answer("delete_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    let read = story.take("look_up_cloud_pod");
    let sent = story.now();
    story.later(61_000);
    check(story.finish(read, Outcome::Done(Answer::CloudPodAbsent), sent), expect![[r#""#]]);
    assert_eq!(story.state.pod(&web.uid).map(Pod::cloud_state), Some("doubted"));
}

/// Nothing tells again that a list lacked it (seed 1595): with a long grace it would be waited for an hour in vain.
#[test]
fn a_pod_that_a_list_lacked_while_its_deletion_was_under_way_is_looked_up() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodObserved(PodFacts { phase: Phase::Running, ..deleting(&web, 3_600) }.into()));
    let list = EffectId::default();
    story.tell(Event::CloudPodMissing { name: CloudName::of(&web), owner: web.clone(), list });
    let said = story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    let said = said + &story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    assert!(said.contains("look up shop/web in the cloud"), "{said}");
}

#[test]
fn a_pod_that_a_list_showed_is_known_whatever_became_of_the_answer_to_its_create() {
    let seen_then = |what: fn(&mut Story)| {
        let mut story = Story::ready();
        let web = pod("web", "u1");
        story.tell(Event::PodObserved(facts(&web).into()));
        story.tell(Event::CloudPodObserved(cloud(&web, Phase::Running).into()));
        what(&mut story);
        story.state.pod(&web.uid).expect("a row").cloud_state()
    };
    let lost = |story: &mut Story| {
        story.answer("create_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    };
    let killed = |story: &mut Story| {
        story.start();
    };
    assert_eq!([seen_then(lost), seen_then(killed)], ["present", "present"]);
}

#[test]
fn a_pod_seen_while_its_look_up_was_under_way_is_looked_up_again_before_it_is_forgotten() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    story.tell(Event::PodGone { pod: web.clone(), how: Gone::Deleted });
    story.tell(Event::CloudPodObserved(cloud(&web, Phase::Running).into()));
    check(story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)), expect![""]);
    assert_eq!(story.state.pod(&web.uid).map(Pod::cloud_state), Some("doubted"));
}

#[test]
fn a_create_of_unknown_fate_is_not_known_absent_when_the_pod_is_to_go() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    check(
        story.tell(Event::PodObserved(deleting(&web, 0).into())),
        expect![[r#"
            10.0 look up shop/web in the cloud because of #9 #10
        "#]],
    );
    check(
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)),
        expect![[r#"
            11.0 release shop/web (u1) because of #10 #11
        "#]],
    );
}

#[test]
fn an_orphan_is_ended_only_once_its_owner_is_proven_gone() {
    let mut story = Story::ready();
    let lost = pod("lost", "u1");
    check(
        story.tell(Event::CloudPodObserved(cloud(&lost, Phase::Running).into())),
        expect![[r#"
        7.0 look up shop/lost in Kubernetes because of #7
    "#]],
    );
    check(
        story.answer("look_up_pod", Outcome::Done(Answer::PodPresent { deleting: false })),
        expect![[r#""#]],
    );
    check(
        story.later(30_000),
        expect![[r#"
        9.0 list the cloud because of #9
        9.1 look up shop/lost in Kubernetes because of #7 #8 #9
    "#]],
    );
    check(
        story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent)),
        expect![[r#"
        10.0 delete shop/lost (cloud-u1) with grace 0 s because of #7 #10
    "#]],
    );
}

#[test]
fn an_api_object_that_a_list_lacks_is_looked_up_first() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    check(
        story.tell(Event::PodGone { pod: web.clone(), how: Gone::Unlisted }),
        expect![[r#"
        11.0 look up shop/web in Kubernetes because of #8 #11
    "#]],
    );
    let present = Outcome::Done(Answer::PodPresent { deleting: false });
    check(story.answer("look_up_pod", present), expect![[r#""#]]);
    story.tell(Event::PodGone { pod: web.clone(), how: Gone::Unlisted });
    check(
        story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent)),
        expect![[r#"
        14.0 delete shop/web (cloud-u1) with grace 0 s because of #8 #14
    "#]],
    );
}

#[test]
fn a_pod_that_vanishes_fails_only_on_proof() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.later(120_000);
    let list = EffectId::default();
    let missing = Event::CloudPodMissing { name: CloudName::of(&web), owner: web.clone(), list };
    check(
        story.tell(missing),
        expect![[r#"
        12.0 look up shop/web in the cloud because of #7 #12
    "#]],
    );
    check(story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)), expect![[r#""#]]);
    check(
        story.later(5_000),
        expect![[r#"
        12.0 look up shop/web in the cloud attempt 2 because of #7 #12
    "#]],
    );
    check(
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)),
        expect![[r#"
        15.0 write shop/web: Failed NotFound The pod has disappeared from the cloud because of #7 #15
    "#]],
    );
    check(story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten)), expect![[r#""#]]);
    check(story.later(1_000_000), expect![[r#""#]]);
}

#[test]
fn a_pod_whose_place_somebody_took_has_failed_and_is_not_made_again() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.later(120_000);
    let list = EffectId::default();
    story.tell(Event::CloudPodMissing { name: CloudName::of(&web), owner: web.clone(), list });
    let foreign = Answer::CloudPodForeign { message: "nobody's".into() };
    check(
        story.answer("look_up_cloud_pod", Outcome::Done(foreign)),
        expect![[r#"
            13.0 write shop/web: Failed NotFound The pod has disappeared from the cloud because of #7 #13
        "#]],
    );
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    story.later(1_000_000);
    assert!(!story.kinds().contains(&"create_cloud_pod"));
}

#[test]
fn a_pod_seen_while_a_read_found_it_absent_is_read_again() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodGone { pod: web.clone(), how: Gone::Unlisted });
    story.tell(Event::PodObserved(facts(&web).into()));
    check(
        story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent)),
        expect![[r#"
        13.0 look up shop/web in Kubernetes because of #8 #13
    "#]],
    );
    check(
        story.answer("look_up_pod", Outcome::Done(Answer::PodPresent { deleting: false })),
        expect![[r#"
            14.0 write shop/web: Running because of #8 #14
        "#]],
    );
}

#[test]
fn a_deletion_of_unknown_fate_is_looked_up_and_absence_believed_at_once() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    let asked = PodFacts { status_digest: status(Phase::Running).digest(), ..deleting(&web, 30) };
    story.tell(Event::PodObserved(asked.into()));
    check(
        story.answer("delete_cloud_pod", Outcome::Unknown { message: "timeout".into() }),
        expect![[r#"
        12.0 look up shop/web in the cloud because of #11 #12
    "#]],
    );
    let mut there = cloud(&web, Phase::Running);
    check(
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPod(there.clone().into()))),
        expect![""],
    );
    check(
        story.later(700),
        expect![[r#"
        14.0 delete shop/web (cloud-u1) with grace 30 s because of #11 #13 #14
    "#]],
    );
    story.answer("delete_cloud_pod", Outcome::Unknown { message: "timeout".into() });
    there.deleting = true;
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPod(there.into())));
    let missing =
        Event::CloudPodMissing { name: CloudName::of(&web), owner: web.clone(), list: EffectId::default() };
    check(
        story.tell(missing),
        expect![[r#"
        17.0 look up shop/web in the cloud because of #11 #17
    "#]],
    );
    check(
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)),
        expect![[r#"
        18.0 release shop/web (u1) because of #11 #18
    "#]],
    );
}

#[test]
fn a_look_up_that_is_repeated_for_proof_has_not_failed() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    let missing =
        Event::CloudPodMissing { name: CloudName::of(&web), owner: web.clone(), list: EffectId::default() };
    story.tell(missing);
    for _ in 0..8 {
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
        story.later(5_000);
        if story.kinds().contains(&"list_cloud_pods") {
            story.listed();
        }
    }
    // The ninth attempt fails for the first time, and waits as long as a first failure does.
    story.answer("look_up_cloud_pod", transient());
    assert!(story.later(700).contains("attempt 10"));
}

/// A watch that lags behind a read tells of the pod as if it were new (seed 37): it is known until the watch has said that it
/// is gone, or for a day.
#[test]
fn a_pod_that_a_read_proved_gone_is_not_made_again_by_a_watch_that_lags() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodGone { pod: web.clone(), how: Gone::Unlisted });
    story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
    story.answer("delete_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    let said = story.tell(Event::PodObserved(facts(&web).into()));
    assert!(!said.contains("create"), "{said}");
    story.answer("patch_pod_status", Outcome::Done(Answer::PodAbsent));
    story.tell(Event::PodGone { pod: web.clone(), how: Gone::Deleted });
    story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
    assert!(story.state.pod(&web.uid).is_none(), "the watch has said it");
}

#[test]
fn a_pod_that_a_read_proved_gone_is_forgotten_without_the_watchs_word_at_last() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodGone { pod: web.clone(), how: Gone::Unlisted });
    story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
    story.answer("delete_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    assert!(story.state.pod(&web.uid).is_some());
    story.later(86_430_000);
    assert!(story.state.pod(&web.uid).is_none());
}

/// The log is lost, and one read does not show a pod that runs: that is as little proof as it is with the log.
#[test]
fn a_pod_that_is_said_to_run_and_was_never_seen_is_looked_up_twice_before_it_has_failed() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(PodFacts { phase: Phase::Running, ..facts(&web) }.into()));
    let said = story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    assert_eq!(said, "");
    story.later(5_000);
    let said = story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    assert!(said.contains("write shop/web: Failed NotFound"), "{said}");
}

/// They are remembered for the watch's word, and the cloud shows them again (seeds 110623, 219915): that they are absent is
/// still all that speaks for their end.
#[test]
fn the_brake_counts_bodies_that_come_back_without_their_owners() {
    let mut story = Story::ready();
    let pods: Vec<PodRef> = (0..12).map(|n| pod(&format!("web-{n}"), &format!("u{n}"))).collect();
    for one in &pods {
        story.run(one);
    }
    for one in &pods {
        story.tell(Event::PodGone { pod: one.clone(), how: Gone::Unlisted });
        story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
        story.answer("delete_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    }
    let said: String = pods
        .iter()
        .map(|one| story.tell(Event::CloudPodObserved(cloud(one, Phase::Running).into())))
        .collect();
    assert_eq!(said.matches("delete shop/").count(), usize::from(Policy::default().brake_floor), "{said}");
    assert!(said.contains("Brake"), "{said}");
}

/// Nothing is left of them but that the watch's word is awaited; after a start they are no part of what there is
/// (seed 72560).
#[test]
fn pods_that_have_ended_do_not_make_the_share_of_absent_ones_smaller() {
    let mut story = Story::ready();
    let pods: Vec<PodRef> = (0..24).map(|n| pod(&format!("web-{n}"), &format!("u{n}"))).collect();
    let old: Vec<PodRef> = (0..60).map(|n| pod(&format!("old-{n}"), &format!("o{n}"))).collect();
    for one in &pods {
        story.run(one);
    }
    // They come while what they need is missing, so that they are never made, and go by a read's word alone.
    for one in &old {
        let needs = ObjectUse { kind: ObjectKind::Secret, name: "password".into(), mandatory: true };
        let waits = PodFacts { objects: [needs].into(), ..facts(one) };
        story.tell(Event::PodObserved(waits.into()));
        story.tell(Event::PodGone { pod: one.clone(), how: Gone::Unlisted });
        story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
        assert!(story.state.pod(&one.uid).is_some(), "the word is awaited");
    }
    story.start();
    for one in &pods {
        story.tell(Event::PodObserved(PodFacts { phase: Phase::Running, ..facts(one) }.into()));
        story.tell(Event::CloudPodObserved(cloud(one, Phase::Running).into()));
    }
    story.list_both();
    for _ in &pods {
        story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    }
    let mut said = String::new();
    for one in pods.iter().take(12) {
        story.tell(Event::PodGone { pod: one.clone(), how: Gone::Unlisted });
        said += &story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
    }
    assert_eq!(said.matches("delete shop/").count(), usize::from(Policy::default().brake_floor), "{said}");
}
