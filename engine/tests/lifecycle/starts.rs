//! The agent starts, with what is left of its log.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

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

/// The API server was not listed yet, so that nobody knew whose the body was (seed 379111): its pod is not made once more,
/// and has failed only on a second answer.
#[test]
fn a_body_that_goes_before_the_api_server_is_listed_is_not_made_again() {
    let mut story = Story::started();
    let web = pod("web", "u1");
    story.answer("ensure_cloud_namespace", Outcome::Done(Answer::Nothing));
    story.tell(Event::CloudPodObserved(cloud(&web, Phase::Running).into()));
    story.listed();
    story.later(5_000);
    let list = story.take("list_cloud_pods");
    let (name, owner) = (CloudName::of(&web), web.clone());
    story.tell(Event::CloudPodMissing { name, owner, list: list.id });
    story.finish(list, Outcome::Done(Answer::Listed { complete: true, count: 0 }), Micros(1_000_000));
    story.later(60_000);
    story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    check(
        story.tell(Event::PodObserved(facts(&web).into())),
        expect![[r#"
            10.0 look up shop/web in the cloud because of #9 #10
        "#]],
    );
    check(story.tell(Event::PodsListed { resource_version: "9".into(), count: 1 }), expect![""]);
    check(
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent)),
        expect![[r#"
            12.0 write shop/web: Failed NotFound The pod has disappeared from the cloud because of #10 #12
        "#]],
    );
}
