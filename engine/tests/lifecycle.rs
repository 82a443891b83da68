//! The life of a pod, as events and the decisions that follow.

mod story;

use engine::*;
use expect_test::{Expect, expect};
use story::*;

fn check(said: String, expected: Expect) {
    expected.assert_eq(&said);
}

#[test]
fn a_pod_from_binding_to_release() {
    let mut story = Story::ready();
    let web = pod("web-0", "u1");
    check(
        story.tell(Event::PodObserved(facts(&web).into())),
        expect![[r#"
        7.0 create shop/web-0 (u1) because of #7
    "#]],
    );
    let created = Outcome::Done(Answer::CloudPod(cloud(&web, Phase::Pending).into()));
    check(
        story.answer("create_cloud_pod", created),
        expect![[r#"
        8.0 say of shop/web-0: ProviderCreateSuccess Created shop-web-0-5ps6xssgkg in the cloud because of #8
        8.1 write shop/web-0: Pending because of #7 #8
    "#]],
    );
    story.answer("emit_notice", Outcome::Done(Answer::Nothing));
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    check(
        story.tell(Event::CloudPodObserved(cloud(&web, Phase::Running).into())),
        expect![[r#"
        11.0 write shop/web-0: Running because of #7 #11
    "#]],
    );
    check(story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten)), expect![[r#""#]]);

    let mut asked = deleting(&web, 30);
    asked.phase = Phase::Running;
    asked.status_digest = status(Phase::Running).digest();
    check(
        story.tell(Event::PodObserved(asked.into())),
        expect![[r#"
        13.0 delete shop/web-0 (cloud-u1) with grace 30 s because of #11 #13
    "#]],
    );
    check(
        story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted)),
        expect![[r#"
        14.0 say of shop/web-0: ProviderDeleteSuccess Deleting shop-web-0-5ps6xssgkg in the cloud because of #14
    "#]],
    );
    story.answer("emit_notice", Outcome::Done(Answer::Nothing));
    let list = EffectId::default();
    let missing = Event::CloudPodMissing { name: CloudName::of(&web), owner: web.clone(), list };
    check(
        story.tell(missing),
        expect![[r#"
        16.0 look up shop/web-0 in the cloud because of #13 #16
    "#]],
    );
    check(
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)),
        expect![[r#"
        17.0 release shop/web-0 (u1) because of #13 #17
    "#]],
    );
    check(story.answer("release_pod", Outcome::Done(Answer::Nothing)), expect![[r#""#]]);
    check(story.tell(Event::PodGone { pod: web.clone(), how: Gone::Deleted }), expect![[r#""#]]);
    assert!(story.state.pod(&web.uid).is_none(), "nothing is left of it");
    assert_eq!(story.state.outstanding().count(), 0);
}

#[test]
fn nothing_is_made_or_ended_before_both_sides_are_listed() {
    let mut story = Story::started();
    let (new, old) = (pod("new", "u1"), pod("old", "u2"));
    check(
        story.tell(Event::PodObserved(facts(&new).into())),
        expect![[r#"
        held shop/new: KubernetesNotListed because of #2
    "#]],
    );
    check(
        story.tell(Event::PodObserved(deleting(&old, 0).into())),
        expect![[r#"
        held shop/old: KubernetesNotListed because of #3
    "#]],
    );
    check(story.tell(Event::CloudPodObserved(cloud(&old, Phase::Running).into())), expect![""]);
    check(
        story.list_both(),
        expect![[r#"
        held shop/new: CloudNotListed because of #2 #5
        held shop/old: CloudNotListed because of #3 #4 #5
        6.0 list the cloud because of #6
        7.0 create shop/new (u1) because of #2 #7
        7.1 delete shop/old (cloud-u2) with grace 0 s because of #3 #4 #7
    "#]],
    );
}

#[test]
fn a_cut_list_is_not_a_list() {
    let mut story = Story::started();
    story.tell(Event::PodObserved(facts(&pod("web", "u1")).into()));
    story.tell(Event::PodsListed { resource_version: "1".into(), count: 1 });
    story.answer("ensure_cloud_namespace", Outcome::Done(Answer::Nothing));
    let cut = Outcome::Done(Answer::Listed { complete: false, count: 0 });
    check(story.answer("list_cloud_pods", cut), expect![[r#""#]]);
    assert!(!story.state.cloud_listed());
    check(
        story.later(5_000),
        expect![[r#"
        6.0 list the cloud because of #6
    "#]],
    );
    check(
        story.listed(),
        expect![[r#"
        7.0 create shop/web (u1) because of #2 #7
    "#]],
    );
}

#[test]
fn an_unknown_create_is_looked_up_and_adopted() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    check(
        story.answer("create_cloud_pod", Outcome::Unknown { message: "timeout".into() }),
        expect![[r#"
        8.0 look up shop/web in the cloud because of #7 #8
    "#]],
    );
    let found = Outcome::Done(Answer::CloudPod(cloud(&web, Phase::Running).into()));
    check(
        story.answer("look_up_cloud_pod", found),
        expect![[r#"
        9.0 write shop/web: Running because of #7 #9
    "#]],
    );
}

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

#[test]
fn two_incarnations_of_a_name_are_two_pods() {
    let mut story = Story::ready();
    let (first, second) = (pod("db-0", "u1"), pod("db-0", "u2"));
    story.run(&first);
    check(
        story.tell(Event::PodObserved(deleting(&first, 30).into())),
        expect![[r#"
        11.0 delete shop/db-0 (cloud-u1) with grace 30 s because of #8 #11
    "#]],
    );
    check(
        story.tell(Event::PodObserved(facts(&second).into())),
        expect![[r#"
        12.0 create shop/db-0 (u2) because of #12
    "#]],
    );
    let accepted = Outcome::Done(Answer::DeleteAccepted);
    story.answer("delete_cloud_pod", accepted);
    check(story.tell(Event::PodGone { pod: first.clone(), how: Gone::Deleted }), expect![[r#""#]]);
    assert!(story.state.pod(&second.uid).is_some());
}

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

#[test]
fn a_retry_keeps_its_id_and_obeys_the_wait() {
    let mut story = Story::ready();
    story.tell(Event::PodObserved(facts(&pod("web", "u1")).into()));
    let throttled =
        Outcome::Later { wait_ms: Some(7_000), reason: LaterReason::Throttled, message: "slow down".into() };
    story.answer("create_cloud_pod", throttled);
    story.later(5_000);
    story.listed();
    check(story.later(1_999), expect![[r#""#]]);
    check(
        story.later(1),
        expect![[r#"
        7.0 create shop/web (u1) attempt 2 because of #7
    "#]],
    );
}

#[test]
fn a_restart_looks_up_what_was_in_flight_and_reissues_what_waited_under_its_id() {
    let mut story = Story::ready();
    let (half, ending, refused) = (pod("half", "u1"), pod("ending", "u2"), pod("refused", "u3"));
    story.run(&ending);
    story.run(&refused);
    story.tell(Event::PodObserved(facts(&half).into()));
    story.tell(Event::PodObserved(deleting(&refused, 30).into()));
    story.answer("delete_cloud_pod", transient());
    story.tell(Event::PodObserved(deleting(&ending, 30).into()));
    let before: Vec<_> = story.state.outstanding().map(|outstanding| outstanding.effect.id).collect();
    story.issued.clear();
    check(
        story.start(),
        expect![[r#"
            held shop/half: KubernetesNotListed because of #15 #19
            19.0 look up shop/ending in the cloud because of #18 #19
            held shop/refused: KubernetesNotListed because of #12 #16 #19
            19.1 ensure the cloud namespace because of #19
            19.2 node is Starting because of #19
        "#]],
    );
    check(
        story.tell(Event::PodObserved(facts(&half).into())),
        expect![[r#"
            20.0 look up shop/half in the cloud because of #19 #20
        "#]],
    );
    check(
        story.list_both(),
        expect![[r#"
            held shop/refused: CloudNotListed because of #12 #16 #21
            22.0 list the cloud because of #22
            16.0 delete shop/refused (cloud-u3) with grace 30 s attempt 2 because of #12 #16
        "#]],
    );
    let again = story.issued.iter().find(|effect| effect.kind.name() == "delete_cloud_pod");
    assert!(before.contains(&again.expect("the delete is issued again").id));
}

/// Whether it arrived is not known: an absence may still be the cloud's lag after the creation (seeds 2390, 3014).
#[test]
fn a_deletion_that_a_kill_interrupted_waits_for_the_create_lag() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    story.tell(Event::PodObserved(deleting(&web, 30).into()));
    story.issued.clear();
    story.start();
    story.list_both();
    check(story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)), expect![[r#""#]]);
    story.later(60_000);
    check(
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)),
        expect![[r#"
            20.0 release shop/web (u1) because of #11 #20
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
fn a_refusal_does_not_take_back_what_somebody_else_said_of_the_pod() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    let running = PodFacts { phase: Phase::Running, resource_version: "2".into(), ..facts(&web) };
    story.tell(Event::PodObserved(running.into()));
    let message = String::from("no quota");
    let refusal = Refusal { class: RefusalClass::OperatorAction, code: String::new(), message };
    check(
        story.answer("create_cloud_pod", Outcome::Refused(refusal)),
        expect![[r#"
            9.0 say of shop/web: ProviderCreateFailed no quota because of #9
        "#]],
    );
}

#[test]
fn a_released_pod_that_a_backup_brings_back_is_released_again() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(deleting(&web, 5).into()));
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    story.answer("release_pod", Outcome::Done(Answer::Nothing));
    let back = PodFacts { resource_version: "2".into(), ..deleting(&web, 5) };
    check(
        story.tell(Event::PodObserved(back.into())),
        expect![[r#"
            10.0 release shop/web (u1) because of #8 #10
        "#]],
    );
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
fn a_pod_that_ended_is_left_alone() {
    let mut story = Story::ready();
    let mut done = facts(&pod("job", "u1"));
    done.phase = Phase::Succeeded;
    check(story.tell(Event::PodObserved(done.into())), expect![[r#""#]]);
}

#[test]
fn a_permanent_refusal_is_told_and_ends_a_pod_that_runs_once() {
    let refused = || {
        let message = String::from("limit and request doesn't equal");
        Outcome::Refused(Refusal { class: RefusalClass::Invalid, code: "CCI.01.400101".into(), message })
    };
    let mut story = Story::ready();
    story.tell(Event::PodObserved(facts(&pod("web", "u1")).into()));
    check(
        story.answer("create_cloud_pod", refused()),
        expect![[r#"
        8.0 say of shop/web: ProviderCreateFailed CCI.01.400101: limit and request doesn't equal because of #8
        8.1 write shop/web: Pending ProviderFailed CCI.01.400101: limit and request doesn't equal because of #7 #8
    "#]],
    );
    check(story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten)), expect![[r#""#]]);

    let mut story = Story::ready();
    let mut once = facts(&pod("job", "u1"));
    once.restart_policy = RestartPolicy::Never;
    story.tell(Event::PodObserved(once.into()));
    check(
        story.answer("create_cloud_pod", refused()),
        expect![[r#"
        8.0 say of shop/job: ProviderCreateFailed CCI.01.400101: limit and request doesn't equal because of #8
        8.1 write shop/job: Failed ProviderFailed CCI.01.400101: limit and request doesn't equal because of #7 #8
    "#]],
    );
    check(story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten)), expect![[r#""#]]);
    check(
        story.later(400_000),
        expect![[r#"
        10.0 list the cloud because of #10
    "#]],
    );
}

#[test]
fn many_deletions_from_absence_need_a_second_look() {
    let mut story = Story::ready();
    let pods: Vec<_> = (0..30).map(|i| pod(&format!("lost-{i:02}"), &format!("u{i:02}"))).collect();
    for pod in &pods {
        story.tell(Event::CloudPodObserved(cloud(pod, Phase::Running).into()));
    }
    for _ in &pods {
        story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
    }
    let deletes = |story: &Story| story.kinds().iter().filter(|kind| **kind == "delete_cloud_pod").count();
    assert_eq!(deletes(&story), 10, "the floor goes, the rest is held");
    assert_eq!(story.state.braked(), 20);
    story.later(30_000);
    for _ in 0..20 {
        story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
    }
    assert_eq!(deletes(&story), 30);
}

/// A backup took the wish back, and another one the pods (seed 1436): what still ends keeps its grace.
#[test]
fn many_graces_are_not_cut_short_for_absence_without_a_second_look() {
    let mut story = Story::ready();
    let pods: Vec<_> = (0..30).map(|i| pod(&format!("lost-{i:02}"), &format!("u{i:02}"))).collect();
    for pod in &pods {
        story.run(pod);
        let bound = PodFacts { status_digest: status(Phase::Running).digest(), ..facts(pod) };
        story.tell(Event::PodObserved(
            PodFacts { deletion: deleting(pod, 600).deletion, ..bound.clone() }.into(),
        ));
        story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
        story.tell(Event::PodObserved(bound.into()));
        story.tell(Event::PodGone { pod: pod.clone(), how: Gone::Unlisted });
    }
    for _ in &pods {
        story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
    }
    let deletes = story.kinds().iter().filter(|kind| **kind == "delete_cloud_pod").count();
    assert_eq!((deletes, story.state.braked()), (10, 20));
}

#[test]
fn an_operator_can_release_the_brake() {
    let mut story = Story::ready();
    for i in 0..30 {
        story.tell(Event::CloudPodObserved(
            cloud(&pod(&format!("lost-{i:02}"), &format!("u{i:02}")), Phase::Running).into(),
        ));
    }
    for _ in 0..30 {
        story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
    }
    story.tell(Event::OperatorCommanded(Command::ReleaseBrake));
    assert_eq!(story.state.braked(), 0);
    assert_eq!(story.kinds().iter().filter(|kind| **kind == "delete_cloud_pod").count(), 30);
}

#[test]
fn a_write_war_is_answered_ever_more_slowly() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.run(&web);
    let mut undone = facts(&web);
    undone.phase = Phase::Running;
    for _ in 0..2 {
        assert!(story.tell(Event::PodObserved(undone.clone().into())).contains("write shop/web: Running"));
        story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    }
    check(story.tell(Event::PodObserved(undone.clone().into())), expect![[r#""#]]);
    check(
        story.later(3_000),
        expect![[r#"
        16.0 write shop/web: Running because of #8 #15 #16
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

#[test]
fn the_node_tells_when_the_cloud_is_away_and_back() {
    let mut story = Story::ready();
    story.later(5_000);
    check(story.answer("list_cloud_pods", transient()), expect![[r#""#]]);
    check(
        story.later(1_000),
        expect![[r#"
        7.0 list the cloud attempt 2 because of #7
    "#]],
    );
    check(
        story.answer("list_cloud_pods", transient()),
        expect![[r#"
        10.0 node is CloudAway { message: "away" } because of #10
    "#]],
    );
    story.answer("patch_node", Outcome::Done(Answer::Nothing));
    story.later(10_000);
    check(
        story.listed(),
        expect![[r#"
        13.0 node is Ready because of #13
    "#]],
    );
}

#[test]
fn a_node_whose_cloud_never_answered_says_why_and_changes_its_words_once_a_minute() {
    let mut story = Story::started();
    story.tell(Event::PodsListed { resource_version: "1".into(), count: 0 });
    story.answer("patch_node", Outcome::Done(Answer::Nothing));
    let refused = |message: &str| {
        let class = RefusalClass::Forbidden;
        Outcome::Refused(Refusal { class, code: String::new(), message: message.into() })
    };
    check(
        story.answer("ensure_cloud_namespace", refused("wrong password")),
        expect![[r#"
            4.0 node is NeverAnswered { message: "wrong password" } because of #4
        "#]],
    );
    story.answer("patch_node", Outcome::Done(Answer::Nothing));
    story.later(30_000);
    check(story.answer("ensure_cloud_namespace", refused("account locked")), expect![[r#""#]]);
    story.later(30_000);
    check(
        story.answer("ensure_cloud_namespace", refused("account locked")),
        expect![[r#"
        9.0 node is NeverAnswered { message: "account locked" } because of #9
    "#]],
    );
}

#[test]
fn quiet_means_one_list_a_period_and_nothing_else() {
    let mut story = Story::ready();
    story.run(&pod("web", "u1"));
    let mut said = String::new();
    for _ in 0..3 {
        said += &story.later(5_000);
        said += &story.listed();
    }
    check(
        said,
        expect![[r#"
        11.0 list the cloud because of #11
        13.0 list the cloud because of #13
        15.0 list the cloud because of #15
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

#[test]
fn a_cloud_that_answers_nothing_is_not_asked_as_fast_as_it_fails() {
    let mut story = Story::ready();
    story.tell(Event::PodObserved(facts(&pod("web", "u1")).into()));
    let mut creates = 0;
    for _ in 0..600 {
        for kind in story.kinds() {
            match kind {
                "create_cloud_pod" => {
                    creates += 1;
                    story.answer(kind, Outcome::Unknown { message: "502".into() });
                }
                "look_up_cloud_pod" => drop(story.answer(kind, Outcome::Done(Answer::CloudPodAbsent))),
                "list_cloud_pods" => drop(story.listed()),
                _ => {}
            }
        }
        story.later(100);
    }
    // A minute: half a second, one, two, … apart.
    assert!((5..=9).contains(&creates), "{creates}");
}

/// A log may have lost its last part, and the pod been made and told of in it.
#[test]
fn a_pod_that_has_run_since_our_log_is_neither_made_nor_told_pending_again() {
    let mut story = Story::ready();
    let (refused, unknown) = (pod("refused", "u1"), pod("unknown", "u2"));
    for pod in [&refused, &unknown] {
        story.tell(Event::PodObserved(facts(pod).into()));
    }
    let taken = Answer::CloudPodForeign { message: "no mark".into() };
    story.answer("create_cloud_pod", Outcome::Done(taken));
    story.answer("create_cloud_pod", Outcome::Unknown { message: "lost".into() });
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    story.issued.clear();
    story.start();
    let said = |story: &mut Story, pod: &PodRef| {
        let status_digest = status(Phase::Running).digest();
        let runs = PodFacts { phase: Phase::Running, status_digest, ..facts(pod) };
        story.tell(Event::PodObserved(runs.into()))
    };
    check(said(&mut story, &refused), expect![[r#""#]]);
    check(said(&mut story, &unknown), expect![[r#""#]]);
    check(
        story.list_both(),
        expect![[r#"
        held shop/refused: CloudNotListed because of #9 #13 #15
        held shop/unknown: CloudNotListed because of #11 #14 #15
        16.0 list the cloud because of #16
        17.0 look up shop/refused in the cloud because of #9 #13 #17
        17.1 look up shop/unknown in the cloud because of #11 #14 #17
    "#]],
    );
}

/// For the same reason, what our log says that we never made may be there.
#[test]
fn a_pod_that_was_not_made_before_the_start_is_looked_up_before_it_is_released() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", transient());
    story.issued.clear();
    story.start();
    story.tell(Event::PodObserved(deleting(&web, 30).into()));
    check(
        story.list_both(),
        expect![[r#"
        held shop/web: CloudNotListed because of #10 #11
        12.0 list the cloud because of #12
        13.0 look up shop/web in the cloud because of #10 #13
    "#]],
    );
}

#[test]
fn a_pod_that_is_to_go_at_first_sight_is_looked_up_before_it_is_released() {
    let mut story = Story::ready();
    check(
        story.tell(Event::PodObserved(deleting(&pod("web", "u1"), 30).into())),
        expect![[r#"
        7.0 look up shop/web in the cloud because of #7
    "#]],
    );
    check(
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)),
        expect![[r#"
        8.0 release shop/web (u1) because of #7 #8
    "#]],
    );
}

#[test]
fn no_status_is_told_after_a_start_before_the_cloud_is_listed() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(cloud(&web, Phase::Pending).into())));
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    story.issued.clear();
    story.start();
    let status_digest = status(Phase::Running).digest();
    let runs = PodFacts { phase: Phase::Running, status_digest, ..facts(&web) };
    check(story.tell(Event::PodObserved(runs.into())), expect![[r#""#]]);
    story.tell(Event::PodsListed { resource_version: "9".into(), count: 1 });
    story.answer("ensure_cloud_namespace", Outcome::Done(Answer::Nothing));
    check(story.tell(Event::CloudPodObserved(cloud(&web, Phase::Running).into())), expect![[r#""#]]);
    check(story.listed(), expect![[r#""#]]);
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
