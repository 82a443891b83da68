//! The watch against every way in which a server ends one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use adapters::cci::Rooms;
use adapters::kubernetes::{Manifests, PodMirror, PodWatch, PodWriter, WatchCounts, WatchSettings};
use adapters::{Clock, Seen};
use engine::size::SizePolicy;
use engine::{Answer, Event, Micros, Outcome, Phase, PodRef, PodStatus};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::server::{Reply, Server, patiently};
use crate::{pod, pod_ref, recording};

/// A watch that runs until the test ends.
struct Following {
    server: Arc<Server>,
    client: kube::Client,
    mirror: Arc<PodMirror>,
    manifests: Arc<Manifests>,
    counts: Arc<WatchCounts>,
    reports: Receiver<Seen>,
    _running: DropGuard,
}

async fn follow(known: Vec<PodRef>, script: Vec<Reply>) -> Following {
    let (server, client) = Server::start(script).await;
    let (sender, reports) = tokio::sync::mpsc::channel(1);
    let mirror = Arc::new(PodMirror::knowing(known));
    let manifests = Arc::new(Manifests::default());
    let rooms = Some(Arc::new(Rooms::new(SizePolicy::Cci10V125, Some("a"))));
    let settings = WatchSettings { page_pods: 2, rooms, ..WatchSettings::of_node("burst") };
    let clock = Clock::starting_at(Micros(0));
    let watch = PodWatch::new(client.clone(), settings, mirror.clone(), manifests.clone(), sender, clock);
    let counts = watch.counts();
    let cancel = CancellationToken::new();
    tokio::spawn(watch.run(cancel.clone()));
    Following { server, client, mirror, manifests, counts, reports, _running: cancel.drop_guard() }
}

impl Following {
    /// The next `count` reports, in words.
    async fn reports(&mut self, count: usize) -> Vec<String> {
        let mut words = Vec::new();
        for _ in 0..count {
            let seen = patiently(self.reports.recv()).await.expect("the watch runs");
            words.push(words_of(&seen.event));
        }
        words
    }

    /// The resource versions that watches were opened with, and `list` for each first page.
    async fn course(&self, count: usize) -> Vec<String> {
        let lines = self.server.lines(count).await;
        lines.iter().map(|line| course_of(line)).collect()
    }
}

fn words_of(event: &Event) -> String {
    if let Event::PodObserved(facts) = event {
        return format!("observed {}@{} {:?}", facts.pod, facts.resource_version, facts.phase);
    }
    if let Event::PodGone { pod, how } = event {
        return format!("gone {pod} {how:?}");
    }
    if let Event::PodsListed { resource_version, count } = event {
        return format!("listed {count} @{resource_version}");
    }
    panic!("a watch does not report {event:?}")
}

fn course_of(line: &str) -> String {
    let value = |key: &str| {
        let found = line.split(['?', '&']).find_map(|part| part.strip_prefix(&format!("{key}=")));
        found.map(str::to_owned)
    };
    match (value("watch"), value("continue")) {
        (Some(_), _) => format!("watch {}", value("resourceVersion").unwrap_or_default()),
        (None, Some(token)) => format!("page {token}"),
        (None, None) => "list".to_owned(),
    }
}

fn with_phase(mut pod: Value, phase: &str) -> Value {
    pod["status"]["phase"] = phase.into();
    pod
}

fn bookmark(resource_version: &str) -> Value {
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": { "resourceVersion": resource_version },
        "spec": { "containers": null },
        "status": {},
    })
}

/// A pod whose status no parser takes.
fn bad_pod(name: &str, uid: &str, resource_version: &str) -> Value {
    let mut pod = pod(name, uid, resource_version);
    pod["status"] = json!({ "phase": ["Running"] });
    pod
}

#[tokio::test]
async fn a_list_and_then_what_changes() {
    let a = pod("a", "u-a", "5");
    let watch = Reply::watch(&[
        ("MODIFIED", &with_phase(pod("a", "u-a", "11"), "Running")),
        ("ADDED", &pod("b", "u-b", "12")),
        ("MODIFIED", &with_phase(pod("a", "u-a", "13"), "Running")),
        ("DELETED", &pod("a", "u-a", "14")),
        ("DELETED", &pod("stranger", "u-x", "15")),
    ]);
    let mut following = follow(vec![], vec![Reply::list("10", "", &[a]), watch]).await;
    assert_eq!(
        following.reports(5).await,
        [
            "observed shop/a@5 Pending",
            "listed 1 @10",
            "observed shop/a@11 Running",
            "observed shop/b@12 Pending",
            "gone shop/a Deleted",
        ]
    );
    expect_test::expect![[r#"
        [
            "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dburst&limit=2",
            "GET /api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dburst&resourceVersion=10&allowWatchBookmarks=true&timeoutSeconds=120",
        ]
    "#]]
    .assert_debug_eq(&following.server.lines(2).await);
    assert_eq!(following.mirror.len(), 1);
    assert!(following.manifests.get(&pod_ref("a", "u-a").uid).is_none(), "it runs");
    let kept = following.manifests.get(&pod_ref("b", "u-b").uid).expect("it waits");
    assert_eq!(serde_json::from_str::<Value>(kept.get()).expect("JSON"), pod("b", "u-b", "12"));
}

#[tokio::test]
async fn a_cut_watch_resumes_from_the_last_version_seen() {
    let (first, live) = Reply::live();
    live.event("ADDED", &pod("a", "u-a", "11"));
    live.send(r#"{"type":"DELETED","object":{"metadata":{"na"#);
    let second = Reply::watch(&[("BOOKMARK", &bookmark("20"))]);
    let third = Reply::watch(&[("ADDED", &pod("b", "u-b", "21"))]);
    let mut following = follow(vec![], vec![Reply::list("10", "", &[]), first, second, third]).await;
    assert_eq!(following.reports(2).await, ["listed 0 @10", "observed shop/a@11 Pending"]);
    live.cut();
    assert_eq!(following.reports(1).await, ["observed shop/b@21 Pending"]);
    assert_eq!(following.course(5).await, ["list", "watch 10", "watch 11", "watch 20", "watch 21"]);
}

#[tokio::test]
async fn both_forms_of_410_lead_to_a_list() {
    let expired = recording!("pods-watch-410.watch.jsonl");
    let (as_event, live) = Reply::live();
    live.event("MODIFIED", &with_phase(pod("a", "u-a", "11"), "Running"));
    live.send(expired);
    let script = vec![
        Reply::list("10", "", &[pod("a", "u-a", "5"), pod("b", "u-b", "6")]),
        as_event,
        Reply::list("30", "", &[with_phase(pod("a", "u-a", "11"), "Running")]),
        Reply::text(410, recording!("error-410-continue-expired.object.json")),
        Reply::list("40", "", &[]),
    ];
    let mut following = follow(vec![], script).await;
    assert_eq!(
        following.reports(8).await,
        [
            "observed shop/a@5 Pending",
            "observed shop/b@6 Pending",
            "listed 2 @10",
            "observed shop/a@11 Running",
            "gone shop/b Unlisted",
            "listed 1 @30",
            "gone shop/a Unlisted",
            "listed 0 @40",
        ]
    );
    assert_eq!(following.course(6).await, ["list", "watch 10", "list", "watch 30", "list", "watch 40"]);
}

#[tokio::test]
async fn a_bad_object_is_skipped_and_not_met_again() {
    let watch =
        Reply::watch(&[("ADDED", &bad_pod("bad", "u-bad", "11")), ("MODIFIED", &bad_pod("a", "u-a", "12"))]);
    let next = Reply::watch(&[("ADDED", &pod("b", "u-b", "13"))]);
    let script = vec![Reply::list("10", "", &[pod("a", "u-a", "5")]), watch, next];
    let mut following = follow(vec![], script).await;
    assert_eq!(
        following.reports(3).await,
        ["observed shop/a@5 Pending", "listed 1 @10", "observed shop/b@13 Pending"]
    );
    assert_eq!(following.course(3).await, ["list", "watch 10", "watch 12"]);
    assert_eq!(following.counts.bad_objects.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_bad_object_in_a_list_is_not_absent() {
    let known = vec![pod_ref("a", "u-a"), pod_ref("b", "u-b")];
    let script = vec![Reply::list("10", "", &[bad_pod("a", "u-a", "5")])];
    let mut following = follow(known, script).await;
    assert_eq!(following.reports(2).await, ["gone shop/b Unlisted", "listed 1 @10"]);
}

#[tokio::test]
async fn a_list_with_an_object_of_unknown_identity_proves_no_absence() {
    let nameless = json!({ "metadata": { "name": "b" }, "spec": {} });
    let script = vec![
        Reply::list("10", "", &[pod("a", "u-a", "5"), nameless]),
        Reply::list("12", "", &[pod("a", "u-a", "5"), pod("b", "u-b", "11")]),
    ];
    let mut following = follow(vec![pod_ref("b", "u-b")], script).await;
    assert_eq!(
        following.reports(3).await,
        ["observed shop/a@5 Pending", "observed shop/b@11 Pending", "listed 2 @12"]
    );
}

#[tokio::test]
async fn a_list_without_a_usable_version_is_no_list() {
    let script = vec![
        Reply::list(&"1".repeat(129), "", &[]),
        Reply::list("", "", &[]),
        Reply::list(&"1".repeat(128), "", &[]),
    ];
    let mut following = follow(vec![], script).await;
    assert_eq!(following.reports(1).await, [format!("listed 0 @{}", "1".repeat(128))]);
}

#[tokio::test]
async fn a_list_whose_pages_expire_begins_anew() {
    let (a, b, c) = (pod("a", "u-a", "1"), pod("b", "u-b", "2"), pod("c", "u-c", "3"));
    let script = vec![
        Reply::list("10", "t/1", &[a.clone(), b.clone()]),
        Reply::text(410, recording!("error-410-continue-expired.object.json")),
        Reply::list("20", "t/2", &[a, b]),
        Reply::list("20", "", &[c]),
    ];
    let mut following = follow(vec![pod_ref("old", "u-old")], script).await;
    assert_eq!(
        following.reports(5).await,
        [
            "observed shop/a@1 Pending",
            "observed shop/b@2 Pending",
            "observed shop/c@3 Pending",
            "gone shop/old Unlisted",
            "listed 3 @20",
        ]
    );
    assert_eq!(following.course(5).await, ["list", "page t%2F1", "list", "page t%2F2", "watch 20"]);
}

#[tokio::test]
async fn trouble_is_outlasted_without_a_new_list() {
    let (last, live) = Reply::live();
    let script = vec![
        Reply::text(403, "forbidden"),
        Reply::list("10", "", &[]),
        Reply::json(500, &json!({ "kind": "Status", "message": "etcd is away" })),
        Reply::watch(&[("ERROR", &json!({ "kind": "Status", "code": 500, "message": "decode" }))]),
        last,
    ];
    let mut following = follow(vec![], script).await;
    live.event("ADDED", &pod("a", "u-a", "11"));
    assert_eq!(following.reports(2).await, ["listed 0 @10", "observed shop/a@11 Pending"]);
    assert_eq!(following.course(5).await, ["list", "list", "watch 10", "watch 10", "watch 10"]);
}

#[tokio::test]
async fn the_echo_of_our_own_status_is_not_reported() {
    let (watch, live) = Reply::live();
    let script = vec![
        Reply::list("10", "", &[pod("a", "u-a", "5")]),
        watch,
        Reply::json(200, &json!({ "metadata": { "uid": "u-a", "resourceVersion": "11" } })),
        Reply::json(200, &json!({ "metadata": { "uid": "u-a", "resourceVersion": "13" } })),
    ];
    let mut following = follow(vec![], script).await;
    assert_eq!(following.reports(2).await, ["observed shop/a@5 Pending", "listed 1 @10"]);
    following.server.asked(2).await;

    let writer =
        PodWriter::new(following.client.clone(), following.mirror.clone(), following.manifests.clone());
    let pod_a = pod_ref("a", "u-a");
    let written = Outcome::Done(Answer::StatusWritten);
    let running = PodStatus { phase: Phase::Running, ..PodStatus::default() };
    assert_eq!(writer.patch_status(&pod_a, "5", &running).await, written);
    assert_eq!(writer.patch_status(&pod_a, "5", &running).await, written, "without a call");

    // The echo; somebody's write of no interest; our next write, at the version of that; a change.
    live.event("MODIFIED", &with_phase(pod("a", "u-a", "11"), "Running"));
    live.event("MODIFIED", &with_phase(pod("a", "u-a", "12"), "Running"));
    live.event("ADDED", &pod("b", "u-b", "12"));
    assert_eq!(following.reports(1).await, ["observed shop/b@12 Pending"], "and nothing of a");
    let ended = PodStatus { phase: Phase::Succeeded, ..PodStatus::default() };
    assert_eq!(writer.patch_status(&pod_a, "5", &ended).await, written);
    live.event("MODIFIED", &with_phase(pod("a", "u-a", "13"), "Succeeded"));
    live.event("MODIFIED", &with_phase(pod("a", "u-a", "14"), "Failed"));
    assert_eq!(following.reports(1).await, ["observed shop/a@14 Failed"]);

    let asked = following.server.asked(4).await;
    let versions: Vec<&Value> =
        asked[2..].iter().map(|asked| &asked.body["metadata"]["resourceVersion"]).collect();
    assert_eq!(versions, ["5", "12"]);
}

#[tokio::test]
async fn a_line_without_end_leads_to_a_list_and_not_to_memory() {
    let (endless, live) = Reply::live();
    let script = vec![Reply::list("10", "", &[]), endless, Reply::list("20", "", &[pod("a", "u-a", "11")])];
    let mut following = follow(vec![], script).await;
    assert_eq!(following.reports(1).await, ["listed 0 @10"]);
    for _ in 0..=adapters::kubernetes::lines::LINE_BYTES_MAX >> 20 {
        live.send(vec![b' '; 1 << 20]);
    }
    assert_eq!(following.reports(2).await, ["observed shop/a@11 Pending", "listed 1 @20"]);
    assert_eq!(following.course(4).await, ["list", "watch 10", "list", "watch 20"]);
}

#[tokio::test]
async fn a_pod_that_a_list_lacked_and_that_is_there_is_listed_again() {
    let (cut_off, _live) = Reply::live();
    let script = vec![
        Reply::list("10", "", &[pod("a", "u-a", "5")]),
        Reply::text(410, recording!("error-410-continue-expired.object.json")),
        Reply::list("20", "", &[]),
        cut_off,
        Reply::json(200, &pod("a", "u-a", "11")),
        Reply::list("30", "", &[pod("a", "u-a", "11")]),
    ];
    let mut following = follow(vec![], script).await;
    assert_eq!(following.reports(2).await, ["observed shop/a@5 Pending", "listed 1 @10"]);
    assert_eq!(following.reports(2).await, ["gone shop/a Unlisted", "listed 0 @20"]);
    following.server.asked(4).await;

    let writer =
        PodWriter::new(following.client.clone(), following.mirror.clone(), following.manifests.clone());
    let present = Outcome::Done(Answer::PodPresent { deleting: false });
    assert_eq!(writer.look_up(&pod_ref("a", "u-a")).await, present);
    assert_eq!(following.reports(2).await, ["observed shop/a@11 Pending", "listed 1 @30"]);
    assert_eq!(following.course(7).await[5..], ["list", "watch 30"]);
}

#[tokio::test]
async fn a_pod_that_is_to_be_made_is_reported_with_its_size_and_zone() {
    let sized = |mut pod: Value| {
        pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "300m", "memory": "512Mi"}});
        pod
    };
    let watch = Reply::watch(&[
        ("ADDED", &sized(pod("a", "u-a", "11"))),
        ("MODIFIED", &sized(with_phase(pod("a", "u-a", "12"), "Running"))),
    ]);
    let mut following = follow(vec![], vec![Reply::list("10", "", &[]), watch]).await;
    let mut rooms = Vec::new();
    while rooms.len() < 2 {
        let seen = patiently(following.reports.recv()).await.expect("the watch runs");
        if let Event::PodObserved(facts) = seen.event {
            rooms.push(facts.room.as_ref().map(ToString::to_string));
        }
    }
    assert_eq!(rooms, [Some("cpu=500m,memory=1Gi in zone a".to_owned()), None], "it is not made any more");
}
