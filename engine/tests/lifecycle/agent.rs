//! What concerns more than one pod: the brake, the node, rest, and those who undo what was written.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

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
    let said = story.later(29_000);
    assert!(!said.contains("look up"), "half a minute lies between the two looks: {said}");
    story.later(1_000);
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
    let said = story.answer("patch_node", Outcome::Done(Answer::Nothing));
    assert_eq!(said, "", "the node says that deletions are held");
    let said = story.tell(Event::OperatorCommanded(Command::ReleaseBrake));
    assert!(said.contains("node is Ready"), "{said}");
    story.answer("patch_node", Outcome::Done(Answer::Nothing));
    let deletes = |story: &Story| story.kinds().iter().filter(|kind| **kind == "delete_cloud_pod").count();
    assert_eq!((story.state.braked(), deletes(&story)), (0, 30));

    // That holds for these alone: what is lost later is held again.
    for _ in 0..30 {
        story.answer("delete_cloud_pod", Outcome::Done(Answer::DeleteAccepted));
    }
    for i in 0..30 {
        let name = CloudName::of(&pod(&format!("lost-{i:02}"), &format!("u{i:02}")));
        let owner = pod(&format!("lost-{i:02}"), &format!("u{i:02}"));
        story.tell(Event::CloudPodMissing { name, owner, list: EffectId::default() });
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    }
    for i in 30..60 {
        let facts = cloud(&pod(&format!("lost-{i:02}"), &format!("u{i:02}")), Phase::Running);
        story.tell(Event::CloudPodObserved(facts.into()));
    }
    let mut said = String::new();
    for _ in 0..30 {
        said += &story.answer("look_up_pod", Outcome::Done(Answer::PodAbsent));
    }
    assert_eq!((story.state.braked(), deletes(&story)), (20, 10));
    assert!(said.contains("node is DeletionsHeld"), "{said}");
}

#[test]
fn a_node_that_somebody_deletes_is_registered_again() {
    let mut story = Story::ready();
    check(
        story.tell(Event::NodeGone),
        expect![[r#"
            7.0 node is Ready because of #7
        "#]],
    );
}

#[test]
fn a_node_that_could_not_be_written_is_written_again() {
    let refusal = Refusal { class: RefusalClass::Forbidden, code: String::new(), message: "no right".into() };
    for outcome in [Outcome::Refused(refusal), Outcome::Unknown { message: "reset".into() }, transient()] {
        let mut story = Story::ready();
        story.tell(Event::NodeGone);
        story.answer("patch_node", outcome);
        let said = story.later(30_000);
        assert!(said.contains("node is Ready attempt 2"), "{said}");
    }
}

#[test]
fn a_notice_is_tried_five_times_and_is_then_lost() {
    let mut story = Story::ready();
    story.tell(Event::PodObserved(facts(&pod("web", "u1")).into()));
    let web = cloud(&pod("web", "u1"), Phase::Running);
    story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(web.into())));
    for _ in 0..5 {
        assert!(story.kinds().contains(&"emit_notice"));
        story.answer("emit_notice", transient());
        story.later(300_000);
    }
    assert!(!story.kinds().contains(&"emit_notice"));
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
                "patch_pod_status" => drop(story.answer(kind, Outcome::Done(Answer::StatusWritten))),
                _ => {}
            }
        }
        story.later(100);
    }
    // A minute: half a second, one, two, … apart.
    assert!((5..=9).contains(&creates), "{creates}");
}
