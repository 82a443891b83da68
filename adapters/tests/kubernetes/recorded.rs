//! What the parser makes of a real API server's bodies.

use std::fmt::Write as _;

use adapters::kubernetes::lean::{WatchLine, object_of, parse_line, parse_pod, parse_status};
use adapters::kubernetes::render::render_status;
use engine::PodFacts;
use expect_test::expect;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::recording;
use crate::rendered::merge;

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

/// Digests are shown by the order in which they first came: `s2` is the second status seen.
#[derive(Default)]
struct Digests {
    statuses: Vec<u64>,
    specs: Vec<u64>,
}

fn short(uid: &str) -> &str {
    uid.get(..4).unwrap_or(uid)
}

fn place(seen: &mut Vec<u64>, digest: u64) -> usize {
    seen.iter().position(|known| *known == digest).unwrap_or_else(|| {
        seen.push(digest);
        seen.len() - 1
    })
}

impl Digests {
    fn line(&mut self, facts: &PodFacts) -> String {
        let deletion = facts.deletion.map(|deletion| format!(" deleted+{}s", deletion.grace_s));
        format!(
            "{}@{} {} {:?} {:?} spec {} status {}{}",
            facts.pod,
            facts.resource_version,
            short(&facts.pod.uid.0),
            facts.phase,
            facts.restart_policy,
            place(&mut self.specs, facts.spec_digest),
            place(&mut self.statuses, facts.status_digest),
            deletion.unwrap_or_default(),
        )
    }
}

fn summary(watch: &str) -> String {
    let mut digests = Digests::default();
    let mut text = String::new();
    for line in watch.lines() {
        let line = match parse_line(line.as_bytes(), Default::default()) {
            WatchLine::Observed(facts) => format!("observed {}", digests.line(&facts)),
            WatchLine::Deleted { pod, resource_version } => {
                format!("deleted {pod}@{resource_version} {}", short(&pod.uid.0))
            }
            WatchLine::Bookmark { resource_version } => format!("bookmark @{resource_version}"),
            WatchLine::Error { code, message } => format!("error {code} {message}"),
            WatchLine::Bad(bad) => format!("bad {bad:?}"),
        };
        writeln!(text, "{line}").expect("a string takes all");
    }
    text
}

#[test]
fn a_watch_of_several_lives() {
    expect![[r#"
        observed demo/web-747db64f4c-bsss6@305 42c3 Pending Always spec 0 status 0
        observed demo/web-747db64f4c-bsss6@330 42c3 Pending Always spec 0 status 1
        observed demo/bare-long@342 0fb9 Pending Always spec 1 status 0
        observed demo/db-0@352 6415 Pending Always spec 2 status 0
        observed demo/db-0@356 6415 Pending Always spec 2 status 2
        observed demo/bare-long@361 0fb9 Pending Always spec 1 status 3
        observed demo/bare-ok@365 8304 Pending Never spec 3 status 0
        observed demo/bare-fail@368 2ac8 Pending Never spec 4 status 0
        observed demo/bare-ok@369 8304 Pending Never spec 3 status 3
        observed demo/bare-fail@370 2ac8 Pending Never spec 4 status 3
        observed demo/bare-pending@381 5f3a Pending Always spec 5 status 0
        observed demo/web-747db64f4c-bsss6@388 42c3 Running Always spec 0 status 4
        observed demo/bare-long@404 0fb9 Running Always spec 1 status 5
        observed demo/db-0@405 6415 Running Always spec 2 status 6
        observed demo/bare-ok@415 8304 Running Never spec 3 status 7
        observed demo/bare-fail@417 2ac8 Running Never spec 4 status 8
        observed demo/bare-ok@425 8304 Succeeded Never spec 3 status 9
        observed demo/bare-fail@426 2ac8 Failed Never spec 4 status 10
        observed demo/web-747db64f4c-bsss6@499 42c3 Running Always spec 0 status 4 deleted+30s
        observed demo/web-747db64f4c-bsss6@517 42c3 Running Always spec 0 status 11 deleted+30s
        observed demo/web-747db64f4c-bsss6@527 42c3 Running Always spec 0 status 11 deleted+0s
        deleted demo/web-747db64f4c-bsss6@528 42c3
        observed demo/bare-long@616 0fb9 Running Always spec 6 status 5
        observed demo/bare-long@617 0fb9 Running Always spec 7 status 5
        observed demo/bare-long@618 0fb9 Running Always spec 8 status 5
        observed demo/bare-long@621 0fb9 Running Always spec 8 status 5 deleted+30s
        observed demo/bare-long@624 0fb9 Running Always spec 8 status 12 deleted+30s
        observed demo/bare-long@625 0fb9 Running Always spec 8 status 12 deleted+0s
        deleted demo/bare-long@626 0fb9
        observed demo/bare-pending@629 5f3a Pending Always spec 5 status 0 deleted+30s
        observed demo/bare-pending@656 5f3a Running Always spec 5 status 13 deleted+30s
        observed demo/bare-pending@657 5f3a Running Always spec 5 status 13 deleted+0s
        deleted demo/bare-pending@658 5f3a
        observed demo/db-0@669 6415 Running Always spec 2 status 6 deleted+10s
        bookmark @669
        observed demo/db-0@673 6415 Running Always spec 2 status 14 deleted+10s
        observed demo/db-0@677 6415 Running Always spec 2 status 14 deleted+0s
        deleted demo/db-0@678 6415
        observed demo/db-0@683 59a4 Pending Always spec 9 status 0
        observed demo/db-0@686 59a4 Pending Always spec 9 status 15
        observed demo/db-0@687 59a4 Running Always spec 9 status 16
        observed demo/bare-fail@705 2ac8 Failed Never spec 4 status 10 deleted+0s
        deleted demo/bare-fail@706 2ac8
        observed demo/bare-ok@707 8304 Succeeded Never spec 3 status 9 deleted+0s
        deleted demo/bare-ok@708 8304
        observed demo/db-0@709 59a4 Running Always spec 9 status 16 deleted+10s
        observed demo/db-0@737 59a4 Running Always spec 9 status 17 deleted+10s
        observed demo/db-0@748 59a4 Running Always spec 9 status 17 deleted+0s
        deleted demo/db-0@749 59a4
        bookmark @855
        bookmark @874
        bookmark @886
    "#]]
    .assert_eq(&summary(recording!("pods-by-node.watch.jsonl")));
}

#[test]
fn forced_and_held_deletions() {
    expect![[r#"
        observed demo2/sched-1@937 d785 Pending Always spec 0 status 0
        observed demo2/direct-1@939 36bd Pending Always spec 1 status 1
        observed demo2/direct-2@940 0c51 Pending Always spec 2 status 1
        observed demo2/direct-3@941 daf0 Pending Always spec 3 status 1
        observed demo2/direct-2@942 0c51 Pending Always spec 4 status 1
        observed demo2/direct-2@943 0c51 Pending Always spec 5 status 1
        observed demo2/direct-1@944 36bd Pending Always spec 1 status 1 deleted+0s
        deleted demo2/direct-1@945 36bd
        observed demo2/direct-2@946 0c51 Pending Always spec 5 status 1 deleted+30s
        observed demo2/direct-2@948 0c51 Pending Always spec 5 status 1 deleted+0s
        deleted demo2/direct-2@949 0c51
        observed demo2/direct-3@950 daf0 Pending Always spec 3 status 1 deleted+0s
        deleted demo2/direct-3@951 daf0
        observed demo2/page-0@953 2411 Pending Always spec 6 status 1
        observed demo2/page-1@954 4470 Pending Always spec 7 status 1
        observed demo2/page-2@955 85f6 Pending Always spec 8 status 1
        bookmark @955
        bookmark @955
    "#]]
    .assert_eq(&summary(recording!("pods-force-delete.watch.jsonl")));
}

#[test]
fn a_watch_that_is_too_late() {
    expect![[r#"
        error 410 too old resource version: 955 (969)
    "#]]
    .assert_eq(&summary(recording!("pods-watch-410.watch.jsonl")));
}

#[test]
fn the_items_of_a_list_have_no_kind() {
    let mut digests = Digests::default();
    let mut text = String::new();
    for page in [recording!("pods-page-1.list.json"), recording!("pods-page-4.list.json")] {
        let list: List<'_> = serde_json::from_str(page).expect("a list");
        for item in list.items {
            let facts = parse_pod(item.get(), Default::default()).expect("a pod");
            writeln!(text, "{}", digests.line(&facts)).expect("a string takes all");
        }
    }
    expect![[r#"
        demo/bare-direct@410 f695 Running Always spec 0 status 0
        demo/bare-fail@426 2ac8 Failed Never spec 1 status 1
        demo/bare-hostnet@418 6646 Running Always spec 2 status 2
        demo/bare-long@404 0fb9 Running Always spec 3 status 3
        demo/bare-ok@425 8304 Succeeded Never spec 4 status 4
        demo/web-747db64f4c-nllqf@398 18b1 Running Always spec 5 status 5
    "#]]
    .assert_eq(&text);
}

/// The lean type reads the same as the whole type of the client library, which is generated from the API.
#[test]
fn a_real_status_survives_our_rendering() {
    let mut read = 0;
    for line in recording!("pods-by-node.watch.jsonl").lines() {
        let WatchLine::Observed(facts) = parse_line(line.as_bytes(), Default::default()) else { continue };
        let object = object_of(line.as_bytes()).expect("an object");
        let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_str(object.get()).expect("a pod");
        let status = serde_json::to_string(&pod.status).expect("a status");
        let status = parse_status(&status).expect("a status");
        assert_eq!(status.digest(), facts.status_digest);
        let mut there = serde_json::json!({ "podIPs": [{ "ip": "10.9.9.9" }], "phase": "Pending" });
        merge(&mut there, &render_status(&status));
        assert_eq!(parse_status(&there.to_string()).expect("ours").digest(), facts.status_digest);
        read += 1;
    }
    assert!(read > 40, "{read}");
}

#[test]
fn what_is_bad_is_told_without_its_content() {
    let cases = [
        "",
        "{",
        "[]",
        r#"{"type":"ADDED"}"#,
        r#"{"type":"ADDED","object":{"metadata":{}}}"#,
        r#"{"type":"ADDED","object":{"metadata":{"namespace":"n","name":"a","uid":"u"},"spec":{}}}"#,
        r#"{"type":"ADDED","object":{"metadata":{"namespace":"n","name":"a","uid":"u","resourceVersion":"5"}}}"#,
        r#"{"type":"MODIFIED","object":{"metadata":{"namespace":"n","name":"a","uid":"u","resourceVersion":"5"},"spec":{"restartPolicy":{"example":"secret"}}}}"#,
        r#"{"type":"MODIFIED","object":{"metadata":{"namespace":"n","name":"a","uid":"u","resourceVersion":"5"},"spec":{},"status":{"phase":["example-secret"]}}}"#,
        r#"{"type":"DELETED","object":{"metadata":{"namespace":"n","name":"a","uid":"u","resourceVersion":"5"},"status":7}}"#,
        r#"{"type":"MODIFIED","object":{"metadata":{"namespace":"n","name":"a","uid":7,"resourceVersion":"5"}}}"#,
        r#"{"type":"FRESH","object":{"metadata":{"namespace":"n","name":"a","uid":"u","resourceVersion":"5"}}}"#,
        r#"{"type":"ERROR","object":null}"#,
    ];
    let text: String = cases.iter().map(|line| summary(&format!("{line}\n"))).collect();
    assert!(!text.contains("secret"), "{text}");
    expect![[r#"
        bad BadObject { namespace: "", name: "", uid: Uid(""), resource_version: "", fault: "Eof error at column 0" }
        bad BadObject { namespace: "", name: "", uid: Uid(""), resource_version: "", fault: "Eof error at column 1" }
        bad BadObject { namespace: "", name: "", uid: Uid(""), resource_version: "", fault: "Data error at column 2" }
        bad BadObject { namespace: "", name: "", uid: Uid(""), resource_version: "", fault: "Data error at column 16" }
        bad BadObject { namespace: "", name: "", uid: Uid(""), resource_version: "", fault: "no usable uid" }
        bad BadObject { namespace: "n", name: "a", uid: Uid("u"), resource_version: "", fault: "no usable resourceVersion" }
        bad BadObject { namespace: "n", name: "a", uid: Uid("u"), resource_version: "5", fault: "no spec" }
        bad BadObject { namespace: "n", name: "a", uid: Uid("u"), resource_version: "5", fault: "spec: Data error at column 17" }
        bad BadObject { namespace: "n", name: "a", uid: Uid("u"), resource_version: "5", fault: "Data error at column 129" }
        deleted n/a@5 u
        bad BadObject { namespace: "n", name: "a", uid: Uid(""), resource_version: "5", fault: "Data error at column 75" }
        bad BadObject { namespace: "n", name: "a", uid: Uid("u"), resource_version: "5", fault: "unknown type of event" }
        error 0 
    "#]].assert_eq(&text);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let line = format!(r#"{{"type":"ADDED","object":{{"metadata":{deep}}}}}"#);
    assert!(matches!(parse_line(line.as_bytes(), Default::default()), WatchLine::Bad(_)));
}

#[test]
fn names_and_gates_have_bounds() {
    let gated = |gates: usize, name: usize| {
        let gates = vec![serde_json::json!({ "conditionType": "example.com/ready" }); gates];
        let mut pod = crate::pod(&"a".repeat(name), "u", "5");
        pod["spec"]["readinessGates"] = gates.into();
        parse_pod(&pod.to_string(), Default::default()).is_ok()
    };
    assert!(gated(63, 252) && gated(64, 253));
    assert!(!gated(65, 253));
    assert!(!gated(64, 254));
}

#[test]
fn a_readiness_gate_is_closed_until_its_condition_is_true() {
    let facts = |conditions: serde_json::Value| {
        let mut pod = crate::pod("web", "u", "5");
        pod["spec"]["readinessGates"] = serde_json::json!([{ "conditionType": "example.com/a" }]);
        pod["status"]["conditions"] = conditions;
        parse_pod(&pod.to_string(), Default::default()).expect("a pod")
    };
    let condition = |status: &str| serde_json::json!([{ "type": "example.com/a", "status": status }]);
    for closed in [serde_json::json!([]), condition("False"), condition("Unknown")] {
        assert_eq!(facts(closed).closed_gates, ["example.com/a"]);
    }
    let (open, closed) = (facts(condition("True")), facts(condition("False")));
    assert!(open.closed_gates.is_empty());
    assert_ne!(open.digest(), closed.digest(), "it is news");
}
