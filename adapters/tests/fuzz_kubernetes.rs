//! Hostile lines of a watch, and pods of a list: what is believed of them stands in them, is within its bounds, and
//! holds no secret.

use adapters::kubernetes::lean::{BadObject, WatchLine, object_of, parse_line, parse_pod};
use adapters::kubernetes::lines::Lines;
use adapters::objects::{ImpliedNeeds, ServiceAccountTokens};
use engine::{Event, Gone, Micros, PodFacts, PodRef, Record, Seq};
use fuzz::CANARY;
use serde_json::{Value, json};
use store::{Batch, Pushed};

macro_rules! recording {
    ($name:literal) => {
        include_str!(concat!("recordings/kubernetes/", $name))
    };
}

/// Beside what is read, a parser holds what it has not taken over yet, and a list reserves room for the next.
const MEMORY_PER_BYTE: usize = 16;
const MEMORY_BYTES: usize = 64 * 1024;

const EVERYTHING: ImpliedNeeds = ImpliedNeeds { tokens: ServiceAccountTokens::All, service_variables: true };

/// A pod with all there is to read, and with secrets where nobody is to read.
fn pod() -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "namespace": "shop", "name": "web-0", "uid": "uid-1", "resourceVersion": "5",
            "deletionTimestamp": "2026-01-01T00:01:00Z", "deletionGracePeriodSeconds": 30,
            "labels": {"app": CANARY}, "annotations": {"token": CANARY}
        },
        "spec": {
            "restartPolicy": "OnFailure", "readinessGates": [{"conditionType": "example.com/ready"}],
            "containers": [{"name": "main", "env": [{"name": "PASSWORD", "value": CANARY}]}]
        },
        "status": {"phase": "Running", "message": CANARY, "podIPs": [{"ip": "10.0.0.1"}], "conditions": [
            {"type": "Ready", "status": "True", "message": CANARY, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ]}
    })
}

/// One line of each kind that was recorded, and one with secrets.
fn lines() -> Vec<Vec<u8>> {
    let watch: Vec<&str> = recording!("pods-by-node.watch.jsonl").lines().collect();
    let kind =
        |kind: &str| watch.iter().find(|line| line.contains(&format!("{{\"type\":\"{kind}\""))).copied();
    let recorded =
        ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"].map(|name| kind(name).expect("it was recorded"));
    let late = recording!("pods-watch-410.watch.jsonl").trim_end();
    let ours = json!({"type": "MODIFIED", "object": pod()}).to_string();
    let lines = recorded.into_iter().chain([watch[watch.len() / 2], late, &ours]);
    lines.map(|line| line.as_bytes().to_vec()).collect()
}

fn fits(event: Event) -> bool {
    let record = Record { seq: Seq(u64::MAX), at: Micros(u64::MAX), seen: Micros(u64::MAX), event };
    matches!(Batch::new().push(&record), Ok(Pushed::Added))
}

/// The identity against the object as a whole, which another parser reads.
fn check_identity(pod: &PodRef, resource_version: &str, object: &Value) {
    let metadata = &object["metadata"];
    assert_eq!((&metadata["namespace"], &metadata["name"]), (&json!(*pod.namespace), &json!(*pod.name)));
    assert_eq!(metadata["uid"], *pod.uid.0, "another incarnation");
    assert_eq!(metadata["resourceVersion"].as_str().unwrap_or_default(), resource_version);
}

/// Whether there is a secret in what may be told of an object.
fn is_told(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let mut told =
        ["namespace", "name", "uid", "resourceVersion"].map(|key| metadata[key].to_string()).concat();
    told.push_str(&object["spec"]["readinessGates"].to_string());
    told.contains(CANARY)
}

fn check_facts(facts: &PodFacts, object: &Value) {
    check_identity(&facts.pod, &facts.resource_version, object);
    let deleting = object["metadata"]["deletionTimestamp"].is_string();
    assert_eq!(facts.deletion.is_some(), deleting, "a deletion is made up, or not heard");
    assert!(is_told(object) || !format!("{facts:?}").contains(CANARY), "a secret: {facts:?}");
}

fn check_bad(bad: &BadObject, object: Option<&Value>) {
    assert!(!bad.fault.contains(CANARY), "a secret: {}", bad.fault);
    if let (Some(pod), Some(object)) = (bad.pod(), object) {
        assert!(fits(Event::PodGone { pod: pod.clone(), how: Gone::Deleted }), "no frame holds it");
        check_identity(&pod, object["metadata"]["resourceVersion"].as_str().unwrap_or_default(), object);
    }
}

fn check_line(input: &[u8]) {
    let (line, peak) = fuzz::peak_bytes(|| parse_line(input, EVERYTHING));
    assert!(peak <= MEMORY_PER_BYTE * input.len() + MEMORY_BYTES, "{peak} bytes for {}", input.len());
    // Depth and numbers that the other parser refuses are skipped by ours where they do not matter.
    let whole = serde_json::from_slice::<Value>(input).ok();
    let object = whole.as_ref().map(|whole| &whole["object"]);
    let kind = whole.as_ref().map(|whole| &whole["type"]);
    match line {
        WatchLine::Observed(facts) => {
            assert!(kind.is_none_or(|kind| kind == "ADDED" || kind == "MODIFIED"), "{kind:?}");
            object.into_iter().for_each(|object| check_facts(&facts, object));
            assert!(fits(Event::PodObserved(facts.into())), "no frame holds it");
            assert!(object_of(input).is_some(), "its manifest is lost");
        }
        WatchLine::Deleted { pod, resource_version } => {
            assert!(kind.is_none_or(|kind| kind == "DELETED"), "{kind:?}");
            object.into_iter().for_each(|object| {
                check_identity(&pod, &resource_version, object);
            });
            assert!(fits(Event::PodGone { pod, how: Gone::Deleted }), "no frame holds it");
        }
        WatchLine::Bookmark { resource_version } => {
            assert!(kind.is_none_or(|kind| kind == "BOOKMARK"), "{kind:?}");
            let there =
                object.map(|object| object["metadata"]["resourceVersion"].as_str().unwrap_or_default());
            assert!(there.is_none_or(|there| there == resource_version));
        }
        WatchLine::Error { message, .. } => {
            assert!(kind.is_none_or(|kind| kind == "ERROR"), "{kind:?}");
            assert!(message.len() <= adapters::TEXT_BYTES_MAX);
        }
        WatchLine::Bad(bad) => check_bad(&bad, object),
    }
}

#[test]
fn fuzz_watch_line() {
    let lines = lines();
    let corpus: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    fuzz::target!(&corpus, check_line);
}

/// A stream in pieces is the lines that it is as a whole, and no more is kept than a line may be long.
fn check_stream(input: &[u8]) {
    const LINE_BYTES_MAX: usize = 8 * 1024;
    let Some((piece, stream)) = input.split_first() else { return };
    let mut lines = Lines::bounded(LINE_BYTES_MAX);
    let mut seen = Vec::new();
    let mut too_long = false;
    for piece in stream.chunks(usize::from(*piece) + 1) {
        lines.push(piece);
        while let Some(line) = lines.next_line().unwrap_or_else(|_| {
            too_long = true;
            None
        }) {
            seen.push(line);
        }
        if too_long {
            break;
        }
    }
    let whole = stream.split(|byte| *byte == b'\n');
    let is_long = whole.clone().any(|line| line.len() > LINE_BYTES_MAX);
    assert_eq!(too_long, is_long, "the bound is on the line");
    // What stands behind the last line end is not said yet.
    let ends = stream.iter().filter(|byte| **byte == b'\n').count();
    let whole: Vec<&[u8]> = whole.take(ends).filter(|line| !line.is_empty()).collect();
    assert!(seen.len() <= whole.len() && (is_long || seen.len() == whole.len()), "a line is lost");
    assert!(seen.iter().zip(whole).all(|(seen, whole)| *seen == whole), "another line");
}

#[test]
fn fuzz_watch_stream() {
    let recorded = recording!("pods-force-delete.watch.jsonl").as_bytes();
    let stream = |piece: u8, bytes: &[u8]| [&[piece], bytes].concat();
    let streams =
        [stream(255, &recorded[..9_000]), stream(0, b"one\ntwo\n\nthree"), stream(6, &recorded[..20_000])];
    let corpus: Vec<&[u8]> = streams.iter().map(Vec::as_slice).collect();
    fuzz::target!(&corpus, check_stream);
}

fn check_pod(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (read, peak) = fuzz::peak_bytes(|| parse_pod(text, EVERYTHING));
    assert!(peak <= MEMORY_PER_BYTE * input.len() + MEMORY_BYTES, "{peak} bytes for {}", input.len());
    let object = serde_json::from_slice::<Value>(input).ok();
    match read {
        Ok(facts) => {
            object.iter().for_each(|object| check_facts(&facts, object));
            assert!(fits(Event::PodObserved(facts.into())), "no frame holds it");
        }
        Err(bad) => check_bad(&bad, object.as_ref()),
    }
}

#[test]
fn fuzz_listed_pod() {
    let page: Value = serde_json::from_str(recording!("pods-page-4.list.json")).expect("a page");
    let pods = [page["items"][0].to_string(), pod().to_string()];
    fuzz::target!(&[pods[0].as_bytes(), pods[1].as_bytes()], check_pod);
}
