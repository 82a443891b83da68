//! A pod comes, runs and ends by itself.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

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
            held shop/web: OperatorAction because of #8 #9
            9.1 node is OperatorNeeded { message: "no quota" } because of #9
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
