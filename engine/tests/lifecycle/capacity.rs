//! Sizes that the cloud has no room for.

use std::sync::Arc;

use engine::*;
use expect_test::expect;

use crate::check;
use crate::objects::{secret, version, with, written};
use crate::refusals::{arrears, pass, told};
use crate::story::*;

fn of_size(pod: &PodRef, size: &str) -> PodFacts {
    PodFacts { room: Some(Arc::new(Room { size: size.into(), zone: "".into() })), ..facts(pod) }
}

fn large(pod: &PodRef) -> Event {
    Event::PodObserved(of_size(pod, "cpu=4,memory=8Gi").into())
}

fn no_room(wait_ms: Option<u32>) -> Outcome {
    Outcome::Later { wait_ms, reason: LaterReason::Capacity, message: "NoAllocatedCluster".into() }
}

fn made(pod: &PodRef) -> Outcome {
    Outcome::Done(Answer::CloudPod(cloud(pod, Phase::Pending).into()))
}

fn pods(count: usize) -> Vec<PodRef> {
    (0..count).map(|number| pod(&format!("p{number}"), &format!("u{number:03}"))).collect()
}

/// Pods of one size that is sold out, the first of which was just refused.
fn sold_out(count: usize) -> (Story, Vec<PodRef>) {
    let mut story = Story::ready();
    let pods = pods(count);
    story.tell(large(&pods[0]));
    story.answer("create_cloud_pod", no_room(None));
    told(&mut story);
    for pod in &pods[1..] {
        let said = story.tell(large(pod));
        assert!(said.starts_with("held") && !said.contains("create"), "{said}");
    }
    (story, pods)
}

/// The pods whose creation is on its way, with the calls taken.
fn tried(story: &mut Story) -> Vec<Effect> {
    let is_create = |effect: &Effect| effect.kind.name() == "create_cloud_pod";
    (0..story.issued.iter().filter(|effect| is_create(effect)).count())
        .map(|_| story.take("create_cloud_pod"))
        .collect()
}

fn answer(story: &mut Story, effect: Effect, outcome: Outcome) -> String {
    let now = story.now();
    story.finish(effect, outcome, now)
}

#[test]
fn a_size_that_is_sold_out_holds_its_pods_and_no_others() {
    let mut story = Story::ready();
    let [a, b, c, d] = [pod("a", "u1"), pod("b", "u2"), pod("c", "u3"), pod("d", "u4")];
    story.tell(large(&a));
    story.tell(large(&b));
    check(
        story.answer("create_cloud_pod", no_room(None)),
        expect![[r#"
            9.0 say of shop/a: ProviderCreateFailed NoAllocatedCluster because of #9
            held shop/a: Capacity because of #7 #9
            9.1 write shop/a: Pending ProviderFailed NoAllocatedCluster because of #7 #9
        "#]],
    );
    // This one was on its way: its status tells it, and nobody is warned a second time.
    check(
        story.answer("create_cloud_pod", no_room(None)),
        expect![[r#"
            held shop/b: Capacity because of #8 #10
            10.0 write shop/b: Pending ProviderFailed NoAllocatedCluster because of #8 #10
        "#]],
    );
    told(&mut story);
    check(
        story.tell(large(&c)),
        expect![[r#"
            held shop/c: Capacity because of #14
        "#]],
    );
    // Another size, and one in another zone, are none of its business; nor is one of no known size.
    let zone = Room { size: "cpu=4,memory=8Gi".into(), zone: "b".into() };
    for facts in [
        of_size(&d, "cpu=1,memory=2Gi"),
        PodFacts { room: Some(Arc::new(zone)), ..facts(&pod("e", "u5")) },
        facts(&pod("f", "u6")),
    ] {
        let said = story.tell(Event::PodObserved(facts.into()));
        assert!(said.contains("create"), "{said}");
    }
    let circuits = story.state.room_circuits();
    assert_eq!((circuits.len(), circuits[0].is_half_open, circuits[0].waiting), (1, false, 3));
}

#[test]
fn one_at_a_time_is_tried_ever_more_slowly_each_in_its_turn() {
    let (mut story, pods) = sold_out(3);
    let mut turns = Vec::new();
    let began = story.now();
    while story.now().ms_since(began) < 3_600_000 {
        story.later(100);
        told(&mut story);
        let tries = tried(&mut story);
        assert!(tries.len() <= 1, "one at a time");
        for effect in tries {
            turns.push((effect.kind.pod().expect("a pod").name.to_string(), story.now().ms_since(began)));
            // Others wait for the answer, however long it takes.
            story.later(2_000);
            told(&mut story);
            assert!(tried(&mut story).is_empty());
            answer(&mut story, effect, no_room(None));
            told(&mut story);
        }
    }
    let names: Vec<&str> = turns.iter().take(6).map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["p0", "p1", "p2", "p0", "p1", "p2"]);
    let gaps: Vec<u64> = turns.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert!(turns[0].1 < 1_000 && gaps[0] < 5_000, "{turns:?}");
    assert!(turns.len() < 30 && gaps.iter().all(|gap| *gap <= 310_000), "{gaps:?}");
    assert!(gaps.last().is_some_and(|gap| *gap >= 200_000), "{gaps:?}");
    assert_eq!(story.state.pods().filter(|pod| pod.held().is_some()).count(), pods.len());
}

#[test]
fn a_wait_that_the_cloud_asks_for_is_obeyed_by_all_of_the_size() {
    let mut story = Story::ready();
    let [a, b] = [pod("a", "u1"), pod("b", "u2")];
    story.tell(large(&a));
    story.answer("create_cloud_pod", no_room(Some(90_000)));
    told(&mut story);
    story.tell(large(&b));
    let said = pass(&mut story, 89);
    assert!(!said.contains("create"), "{said}");
    let said = pass(&mut story, 2);
    assert!(said.contains("create"), "{said}");
}

/// A pod that waits for room may wait for something else meanwhile, and a list may come then (seed 10023124).
#[test]
fn a_wait_that_the_cloud_asks_for_is_obeyed_though_the_pod_waits_for_an_object_meanwhile() {
    let mut story = Story::ready();
    let a = pod("a", "u1");
    let large = PodFacts { objects: with(&a, &[("password", false)]).objects, ..of_size(&a, "cpu=4") };
    story.tell(Event::PodObserved(large.into()));
    story.answer("sync_object", written("1"));
    story.answer("create_cloud_pod", no_room(Some(90_000)));
    told(&mut story);
    pass(&mut story, 60);
    let said = story.tell(Event::ObjectObserved { object: secret("password"), version: version("2") });
    assert!(said.contains("held shop/a: ObjectsMissing"), "{said}");
    pass(&mut story, 6);
    let said = story.answer("sync_object", written("2")) + &pass(&mut story, 23);
    assert!(!said.contains("create"), "{said}");
    let said = pass(&mut story, 2);
    assert!(said.contains("create shop/a"), "{said}");
}

#[test]
fn a_wait_that_the_cloud_asks_for_outlives_the_pod_that_it_was_told() {
    let mut story = Story::ready();
    let [a, b] = [pod("a", "u1"), pod("b", "u2")];
    story.tell(large(&a));
    story.answer("create_cloud_pod", no_room(Some(90_000)));
    told(&mut story);
    story.tell(Event::PodGone { pod: a.clone(), how: Gone::Deleted });
    pass(&mut story, 60);
    let said = story.tell(large(&b)) + &pass(&mut story, 29);
    assert!(!said.contains("create"), "{said}");
    let said = pass(&mut story, 2);
    assert!(said.contains("create shop/b"), "{said}");
}

#[test]
fn the_first_that_is_made_sets_two_free_and_each_of_those_twice_as_many() {
    let (mut story, _) = sold_out(40);
    pass(&mut story, 1);
    let mut rounds = Vec::new();
    loop {
        let tries = tried(&mut story);
        if tries.is_empty() {
            break;
        }
        rounds.push(tries.len());
        for effect in tries {
            let pod = effect.kind.pod().expect("a pod").clone();
            answer(&mut story, effect, made(&pod));
            told(&mut story);
        }
    }
    assert_eq!(rounds.iter().sum::<usize>(), 40);
    assert!(rounds.len() <= 5 && rounds[0] == 1 && rounds[1] == 2, "{rounds:?}");
    assert!(story.state.room_circuits().is_empty());
}

#[test]
fn one_place_that_comes_free_costs_a_few_calls_and_not_one_for_each_that_waits() {
    let (mut story, _) = sold_out(500);
    pass(&mut story, 1);
    let first = tried(&mut story).remove(0);
    let pod = first.kind.pod().expect("a pod").clone();
    answer(&mut story, first, made(&pod));
    told(&mut story);
    let tries = tried(&mut story);
    assert_eq!(tries.len(), 2);
    for effect in tries {
        answer(&mut story, effect, no_room(None));
        told(&mut story);
    }
    assert!(tried(&mut story).is_empty());
    pass(&mut story, 1);
    assert_eq!(tried(&mut story).len(), 1, "from the beginning");
}

#[test]
fn what_was_under_way_together_is_refused_once() {
    let mut story = Story::ready();
    let pods = pods(20);
    pods.iter().for_each(|pod| drop(story.tell(large(pod))));
    let sent = story.now();
    story.later(50);
    for effect in tried(&mut story) {
        story.finish(effect, no_room(None), sent);
    }
    told(&mut story);
    let said = pass(&mut story, 1);
    assert_eq!(said.matches("create").count(), 1, "the wait has not grown: {said}");
}

#[test]
fn a_pod_that_was_sent_before_the_refusal_does_not_say_that_there_is_room() {
    let mut story = Story::ready();
    let pods = pods(3);
    pods.iter().for_each(|pod| drop(story.tell(large(pod))));
    let sent = story.now();
    let mut tries = tried(&mut story).into_iter();
    story.later(50);
    story.finish(tries.next().expect("one"), no_room(None), sent);
    let said = story.finish(tries.next().expect("two"), made(&pods[1]), sent);
    assert!(!said.contains("create") && story.state.room_circuits().len() == 1, "{said}");
}

/// What a pod waits for and since when, once; no Event for it; and it goes with the wait.
#[test]
fn a_pod_that_waits_says_so_once_and_not_when_it_is_over_at_once() {
    let (mut story, pods) = sold_out(3);
    let said = pass(&mut story, 1);
    assert!(!said.contains("write"), "a moment is not worth it: {said}");
    let effect = tried(&mut story).remove(0);
    let said = answer(&mut story, effect, no_room(None));
    check(
        said,
        expect![[r#"
            held shop/p0: Capacity because of #7 #14
            14.0 write shop/p1: Pending CloudSoldOut since 1970-01-01T00:02:01Z the cloud has no room for pods of cpu=4,memory=8Gi; one of them is tried now and then, and the others follow when there is room because of #11 #14
            14.1 write shop/p2: Pending CloudSoldOut since 1970-01-01T00:02:01Z the cloud has no room for pods of cpu=4,memory=8Gi; one of them is tried now and then, and the others follow when there is room because of #12 #14
            14.2 node is SoldOut { message: "the cloud has no room for pods of cpu=4,memory=8Gi since 1970-01-01T00:02:01Z" } because of #14
        "#]],
    );
    told(&mut story);
    let mut writes = 0;
    for _ in 0..600 {
        let said = pass(&mut story, 1);
        writes += said.matches("write").count() + said.matches("say of").count();
        for effect in tried(&mut story) {
            let said = answer(&mut story, effect, no_room(None));
            writes += said.matches("write").count() + said.matches("say of").count();
            told(&mut story);
        }
    }
    assert_eq!(writes, 2, "each of the two that was tried says what the cloud said to it");

    // One that comes now says it at once.
    let late = pod("late", "u9");
    let said = story.tell(large(&late));
    assert!(said.contains("write shop/late: Pending CloudSoldOut"), "{said}");
    told(&mut story);
    for pod in &pods {
        story.tell(Event::PodGone { pod: pod.clone(), how: Gone::Deleted });
    }
    // Its turn comes, and the answer says nothing of room: it waits as before, and says the same.
    story.later(300_000);
    let effect = tried(&mut story).remove(0);
    let away = answer(&mut story, effect, transient());
    assert!(away.contains("held") && !away.contains("write"), "{away}");
}

#[test]
fn what_a_pod_said_of_its_wait_goes_with_the_wait() {
    let (mut story, _) = sold_out(2);
    pass(&mut story, 1);
    let effect = tried(&mut story).remove(0);
    let said = answer(&mut story, effect, no_room(None));
    assert!(said.contains("write shop/p1: Pending CloudSoldOut"), "{said}");
    told(&mut story);
    // After a start the circuit is not there any more, and nor is the cloud.
    let digest = story.state.pod(&Uid("u001".into())).and_then(|pod| pod.facts()).expect("it").status_digest;
    story.issued.clear();
    story.start();
    let seen = PodFacts { status_digest: digest, ..of_size(&pod("p1", "u001"), "cpu=4,memory=8Gi") };
    story.tell(Event::PodObserved(seen.into()));
    let said = story.list_both();
    assert!(said.contains("create shop/p1") && !said.contains("write shop/p1"), "the creation first: {said}");
    check(
        story.answer("create_cloud_pod", transient()),
        expect![[r#"
            23.0 write shop/p1: Pending because of #17 #23
        "#]],
    );
    told(&mut story);
    assert!(!pass(&mut story, 1).contains("write"));
}

#[test]
fn with_nobody_left_to_be_made_the_size_is_forgotten() {
    let (mut story, pods) = sold_out(3);
    for pod in &pods {
        story.tell(Event::PodGone { pod: pod.clone(), how: Gone::Deleted });
    }
    pass(&mut story, 6);
    assert!(story.state.room_circuits().is_empty());
    let said = story.tell(large(&pod("next", "u9")));
    assert!(said.contains("create"), "{said}");
}

#[test]
fn ends_and_updates_go_on_while_a_size_is_sold_out() {
    let (mut story, pods) = sold_out(2);
    let runs = pod("runs", "u9");
    let bound = PodFacts { phase: Phase::Running, ..of_size(&runs, "cpu=4,memory=8Gi") };
    story.tell(Event::PodObserved(bound.into()));
    let found = Answer::CloudPod(cloud(&runs, Phase::Running).into());
    story.answer("look_up_cloud_pod", Outcome::Done(found));
    told(&mut story);
    let said = story.tell(Event::PodObserved(
        PodFacts { deletion: deleting(&runs, 30).deletion, ..of_size(&runs, "cpu=4,memory=8Gi") }.into(),
    ));
    assert!(said.contains("delete shop/runs"), "{said}");
    let said = story.tell(Event::PodObserved(deleting(&pods[1], 0).into()));
    assert!(said.contains("release shop/p1"), "{said}");
}

#[test]
fn where_there_is_no_place_for_another_circuit_a_pod_rests_alone() {
    let mut story = Story::ready();
    for number in 0..70 {
        let one = pod(&format!("p{number}"), &format!("u{number}"));
        story.tell(Event::PodObserved(of_size(&one, &format!("cpu={number}")).into()));
        story.answer("create_cloud_pod", no_room(None));
        told(&mut story);
    }
    assert_eq!(story.state.room_circuits().len(), 64);
    assert!(story.state.pod(&Uid("u69".into())).expect("it").held().is_none());
    let said = story.tell(Event::PodObserved(of_size(&pod("more", "u99"), "cpu=69").into()));
    assert!(said.contains("create shop/more"), "{said}");
}

#[test]
fn a_size_that_is_sold_out_waits_for_a_person_as_all_others() {
    let (mut story, pods) = sold_out(2);
    let other = pod("other", "u9");
    story.tell(Event::PodObserved(of_size(&other, "cpu=1,memory=2Gi").into()));
    let said = story.answer("create_cloud_pod", arrears());
    assert!(said.contains("node is OperatorNeeded"), "{said}");
    told(&mut story);
    let said = pass(&mut story, 29);
    assert!(!said.contains("create"), "{said}");
    // The first that is made sets the others free, and with them the next try of the size.
    pass(&mut story, 2);
    let first = tried(&mut story).remove(0);
    let made_pod = first.kind.pod().expect("a pod").clone();
    answer(&mut story, first, made(&made_pod));
    told(&mut story);
    pass(&mut story, 2);
    let left = tried(&mut story).len();
    assert!(left >= 1, "{pods:?}");
    assert_eq!(story.state.operator_needed(), None);
}

/// It is held without a time of its own, and the turn comes before its own wait is over.
#[test]
fn a_pod_that_has_to_wait_for_itself_when_its_turn_comes_is_not_forgotten() {
    let (mut story, _) = sold_out(1);
    let said = pass(&mut story, 1);
    assert!(said.contains("create"), "{said}");
    // Its fate is not known: the next creation waits longer than the circuit.
    for _ in 0..6 {
        story.answer("create_cloud_pod", Outcome::Unknown { message: "timeout".into() });
        story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
        told(&mut story);
        let said = pass(&mut story, 60);
        assert!(said.contains("create"), "{said}");
    }
    let asked = Outcome::Later { wait_ms: Some(45_000), reason: LaterReason::Throttled, message: "".into() };
    story.answer("create_cloud_pod", asked);
    let said = pass(&mut story, 60);
    assert!(said.contains("create"), "{said}");
}
