//! The cloud's own events about a pod in trouble, told once and counted up.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

/// A pod whose containers wait with this reason in the cloud.
fn waiting(pod: &PodRef, reason: &str) -> CloudFacts {
    let mut facts = cloud(pod, Phase::Pending);
    let state = ContainerState::Waiting { reason: reason.into(), message: String::new() };
    facts.status.containers[0].state = state;
    facts
}

fn seen(facts: CloudFacts) -> Event {
    Event::CloudPodObserved(facts.into())
}

/// Pods that were made and wait in the cloud as they should.
fn starting(names: &[&str]) -> (Story, Vec<PodRef>) {
    let mut story = Story::ready();
    let pods: Vec<PodRef> = names.iter().map(|name| pod(name, &format!("u-{name}"))).collect();
    for pod in &pods {
        story.tell(Event::PodObserved(facts(pod).into()));
        let made = waiting(pod, "ContainerCreating");
        story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(made.into())));
        story.answer("emit_notice", Outcome::Done(Answer::Nothing));
        story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    }
    (story, pods)
}

fn event(id: &str, reason: &str, count: u32) -> CloudEvent {
    CloudEvent { id: id.into(), reason: reason.into(), message: "m".into(), count, ..CloudEvent::default() }
}

fn events(events: &[CloudEvent]) -> Outcome {
    Outcome::Done(Answer::CloudEvents(events.iter().map(|event| event.clone().into()).collect()))
}

fn reads(story: &Story) -> usize {
    story.kinds().iter().filter(|kind| **kind == "read_cloud_events").count()
}

/// Lets the time pass second by second, and returns after how many of them something was read.
fn seconds_until_read(story: &mut Story) -> u64 {
    (1..3_600)
        .find(|_| {
            story.later(1_000);
            reads(story) > 0
        })
        .expect("something is read")
}

#[test]
fn a_healthy_start_costs_no_read_and_a_slow_one_does_after_a_while() {
    let (mut story, pods) = starting(&["quick", "slow"]);
    story.later(5_000);
    let said = story.tell(seen(cloud(&pods[0], Phase::Running)));
    assert!(!said.contains("read"), "{said}");
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    assert_eq!(seconds_until_read(&mut story), 25);
    check(
        story.answer("read_cloud_events", events(&[event("a", "FailedScheduling", 3)])),
        expect![[r#"
            43.0 tell of shop/slow: FailedScheduling x3 m because of #43
        "#]],
    );
    assert_eq!(reads(&story), 0, "the other one is well");
}

#[test]
fn what_fails_is_read_at_once_and_each_event_is_told_once_and_counted_up() {
    let (mut story, pods) = starting(&["web"]);
    check(
        story.tell(seen(waiting(&pods[0], "ImagePullBackOff"))),
        expect![[r#"
        11.0 write shop/web: Pending because of #7 #11
        11.1 read the events of shop/web (cloud-u-web) because of #11
    "#]],
    );
    check(
        story.answer("read_cloud_events", events(&[event("a", "Pulling", 1), event("b", "Failed", 1)])),
        expect![[r#"
            12.0 tell of shop/web: Pulling x1 m because of #12
            12.1 tell of shop/web: Failed x1 m because of #12
        "#]],
    );
    story.answer("tell_cloud_event", Outcome::Done(Answer::Nothing));
    story.answer("tell_cloud_event", Outcome::Done(Answer::Nothing));
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    let apart = seconds_until_read(&mut story);
    assert!((30..=38).contains(&apart), "{apart}");
    check(
        story.answer("read_cloud_events", events(&[event("a", "Pulling", 1), event("b", "Failed", 4)])),
        expect![[r#"
            46.0 tell of shop/web: Failed x4 m because of #46
        "#]],
    );
    story.answer("tell_cloud_event", Outcome::Done(Answer::Nothing));
    let apart = seconds_until_read(&mut story);
    assert!((45..=75).contains(&apart), "{apart}");
    for _ in 0..8 {
        story.answer("read_cloud_events", events(&[event("a", "Pulling", 1), event("b", "Failed", 4)]));
        assert!(seconds_until_read(&mut story) <= 600);
    }
    assert!(story.kinds().iter().all(|kind| *kind != "tell_cloud_event"));
}

#[test]
fn a_pod_that_is_well_again_or_is_to_go_is_read_no_more() {
    let (mut story, pods) = starting(&["web", "db"]);
    for pod in &pods {
        story.tell(seen(waiting(pod, "ImagePullBackOff")));
        story.answer("read_cloud_events", events(&[]));
        story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    }
    story.tell(seen(cloud(&pods[0], Phase::Running)));
    story.tell(Event::PodObserved(deleting(&pods[1], 30).into()));
    for _ in 0..200 {
        story.later(10_000);
        assert_eq!(reads(&story), 0);
    }
}

#[test]
fn a_pod_that_has_failed_is_read_until_two_answers_know_of_it() {
    let (mut story, pods) = starting(&["web"]);
    story.tell(seen(cloud(&pods[0], Phase::Failed)));
    story.answer("read_cloud_events", transient());
    seconds_until_read(&mut story);
    // The event comes a little after the status.
    story.answer("read_cloud_events", events(&[]));
    seconds_until_read(&mut story);
    let said = story.answer("read_cloud_events", events(&[event("a", "FailedCreatePodSandBox", 1)]));
    assert!(said.contains("tell of shop/web: FailedCreatePodSandBox x1"), "{said}");
    for _ in 0..200 {
        story.later(10_000);
        assert_eq!(reads(&story), 0);
    }
}

#[test]
fn what_an_answer_says_of_a_body_that_was_replaced_is_not_told() {
    let (mut story, pods) = starting(&["web"]);
    story.tell(seen(waiting(&pods[0], "ErrImagePull")));
    let read = story.take("read_cloud_events");
    let other = CloudFacts { cloud_uid: "another".into(), ..waiting(&pods[0], "ErrImagePull") };
    story.tell(seen(other));
    let now = story.now();
    let said = story.finish(read, events(&[event("a", "Failed", 1)]), now);
    assert!(!said.contains("tell"), "{said}");
}

#[test]
fn a_few_are_read_at_a_time_and_those_that_fail_come_first() {
    let names: Vec<String> = (0..12).map(|number| format!("web-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut story, pods) = starting(&names);
    story.later(60_000);
    assert_eq!(reads(&story), 4);
    story.tell(seen(waiting(&pods[9], "CrashLoopBackOff")));
    assert_eq!(reads(&story), 4);
    let said = story.answer("read_cloud_events", events(&[]));
    assert!(said.contains("read the events of shop/web-9"), "{said}");
    assert_eq!(reads(&story), 4);
}

#[test]
fn the_wait_that_was_asked_for_is_kept() {
    let (mut story, pods) = starting(&["web"]);
    story.tell(seen(waiting(&pods[0], "ContainerCreating")));
    story.later(31_000);
    let throttled =
        Outcome::Later { wait_ms: Some(200_000), reason: LaterReason::Throttled, message: "slow".into() };
    story.answer("read_cloud_events", throttled);
    story.tell(seen(waiting(&pods[0], "ErrImagePull")));
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    assert_eq!(seconds_until_read(&mut story), 200);
}

/// The read was asked for before the pod was well for long, and is answered after (seed 20001201).
#[test]
fn a_late_answer_lets_the_next_read_wait_though_the_pod_was_well_for_long() {
    let (mut story, pods) = starting(&["web"]);
    story.tell(seen(waiting(&pods[0], "ErrImagePull")));
    assert_eq!(reads(&story), 1);
    story.tell(seen(cloud(&pods[0], Phase::Running)));
    story.later(700_000);
    story.tell(seen(waiting(&pods[0], "ErrImagePull")));
    story.tell(seen(cloud(&pods[0], Phase::Running)));
    story.answer("read_cloud_events", transient());
    story.tell(seen(waiting(&pods[0], "ErrImagePull")));
    assert_eq!(reads(&story), 0, "the cloud was asked just now");
    assert!(seconds_until_read(&mut story) >= 30);
}

#[test]
fn a_cloud_that_does_not_show_its_events_is_asked_no_more_and_that_is_said_once() {
    let (mut story, pods) = starting(&["web", "db"]);
    story.tell(seen(waiting(&pods[0], "ErrImagePull")));
    story.tell(seen(waiting(&pods[1], "ErrImagePull")));
    let refused = || {
        let message = "not for you".to_owned();
        Outcome::Refused(Refusal { class: RefusalClass::Forbidden, code: String::new(), message })
    };
    check(
        story.answer("read_cloud_events", refused()),
        expect![[r#"
        17.0 say of shop/web: CloudEventsUnavailable The cloud does not show its events, and is asked for them again when the agent starts: not for you because of #17
    "#]],
    );
    check(story.answer("read_cloud_events", refused()), expect![[""]]);
    for _ in 0..2 {
        story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    }
    for _ in 0..200 {
        story.later(10_000);
        assert_eq!(reads(&story), 0);
    }
    story.issued.clear();
    story.start();
    story.list_both();
    for pod in &pods {
        story.tell(seen(waiting(pod, "ErrImagePull")));
    }
    assert_eq!(reads(&story), 2, "another start asks again");
}

#[test]
fn what_was_not_told_for_certain_before_a_start_is_told_after_it() {
    let (mut story, pods) = starting(&["web"]);
    story.tell(seen(waiting(&pods[0], "ErrImagePull")));
    let both = [event("a", "Pulling", 1), event("b", "Failed", 1)];
    story.answer("read_cloud_events", events(&both));
    story.answer("tell_cloud_event", Outcome::Done(Answer::Nothing));
    story.issued.clear();
    story.start();
    story.list_both();
    story.tell(Event::PodObserved(facts(&pods[0]).into()));
    seconds_until_read(&mut story);
    check(
        story.answer("read_cloud_events", events(&both)),
        expect![[r#"
        51.0 tell of shop/web: Failed x1 m because of #51
    "#]],
    );
}
