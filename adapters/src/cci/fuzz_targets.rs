//! Hostile answers of the cloud: what is believed of them stands in them, is within its bounds, and holds no secret.

use engine::{
    Answer, Bucket, CLOUD_EVENTS_MAX, CloudFacts, CloudName, EffectId, EffectTimes, Event, Micros, Outcome,
    PodRef, Record, RefusalClass, Seq, Uid,
};
use fuzz::CANARY;
use serde_json::{Value, json};
use store::{Batch, Pushed};

use super::PodChoices;
use super::admission::sentence;
use super::error::{Intent, Problem, WAIT_MS_MAX};
use super::profile::Profile;
use super::wire::parts::{CONTAINER_LISTS, items};
use super::wire::{self, Mark, Sighting, most_telling, read_event, read_list, read_page, read_pod};
use crate::TEXT_BYTES_MAX;
use crate::kubernetes::{lean, render};

const NAMESPACE: &str = "cce-burst-c1";
const NOW: Micros = Micros(1_767_225_600_000_000);

/// Beside what is read, a parser holds what it has not taken over yet, and a list reserves room for the next.
const MEMORY_PER_BYTE: usize = 16;
const MEMORY_BYTES: usize = 64 * 1024;

fn mark() -> Mark {
    Mark { cluster_id: "c1".into(), node: "n1".into() }
}

/// A pod with all there is to read, and with secrets where nobody is to read.
fn pod() -> Value {
    let ended = json!({"terminated": {
        "exitCode": 137, "signal": 9, "reason": "OOMKilled", "message": "m", "containerID": "c://1",
        "startedAt": "2026-01-01T00:00:02Z", "finishedAt": "2026-01-01T00:00:06Z"
    }});
    let container = |name: &str, state: Value| {
        json!({
            "name": name, "image": "nginx", "imageID": "sha256:1", "containerID": "c://2", "ready": true,
            "started": true, "restartCount": 2, "state": state, "lastState": ended
        })
    };
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:07Z"}});
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "shop-web-0-x", "namespace": NAMESPACE, "uid": "cloud-1", "labels": {"app": CANARY},
            "deletionTimestamp": "2026-01-01T00:01:00Z",
            "annotations": {
                "burst-agent.io/cluster-id": "c1", "burst-agent.io/node": "n1", "burst-agent.io/namespace": "shop",
                "burst-agent.io/name": "web-0", "burst-agent.io/uid": "uid-1", "token": CANARY,
                "simulator.burst-agent.io/changed-at-us": "1767225607000000"
            }
        },
        "spec": {"containers": [{"name": "main", "env": [{"name": "PASSWORD", "value": CANARY}]}]},
        "status": {
            "phase": "Running", "reason": "r", "message": "m", "hostIP": "10.0.0.1", "podIP": "192.168.0.9",
            "podIPs": [{"ip": "192.168.0.9"}, {"ip": "fd00::9"}], "startTime": "2026-01-01T00:00:00Z",
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"},
                {"type": "PodScheduled", "status": "False", "reason": "r", "message": "m"}
            ],
            "initContainerStatuses": [container("init", ended.clone())],
            "containerStatuses": [container("main", running), container("side", waiting)],
            "ephemeralContainerStatuses": null
        }
    })
}

/// The texts of the pods, as a server in Go writes them and as a hasty one does.
fn pods() -> Vec<Vec<u8>> {
    let mut bare = pod();
    bare["status"] = json!({"phase": "Pending"});
    bare["metadata"]["labels"] = Value::Null;
    let mut foreign = pod();
    foreign["metadata"]["annotations"]["burst-agent.io/node"] = json!("n2");
    [pod(), bare, foreign].iter().map(|pod| pod.to_string().into_bytes()).collect()
}

fn corpus(inputs: &[Vec<u8>]) -> Vec<&[u8]> {
    inputs.iter().map(Vec::as_slice).collect()
}

/// Whether a frame of the log holds the pod as it is listed, and as it is answered with.
fn fits(event: Event) -> bool {
    let last = Micros(u64::MAX);
    let record = Record { seq: Seq(u64::MAX), at: last, seen: last, event };
    matches!(Batch::new().push(&record), Ok(Pushed::Added))
}

fn finished(outcome: Outcome) -> Event {
    let last = Micros(u64::MAX);
    Event::EffectFinished {
        id: EffectId { seq: Seq(u64::MAX), position: u32::MAX },
        attempt: u32::MAX,
        outcome,
        times: EffectTimes { durable: last, queued: last, permitted: last, sent: last, answered: last },
        bucket: Bucket::CloudCreate,
    }
}

/// What is read of a pod against the JSON as a whole, which another parser reads.
fn check_facts(facts: &CloudFacts, json: &Value) {
    let metadata = &json["metadata"];
    assert_eq!(metadata["namespace"], NAMESPACE, "a pod of another namespace");
    assert_eq!((&metadata["name"], &metadata["uid"]), (&json!(*facts.name.0), &json!(*facts.cloud_uid)));
    let mark = |key: &str| &metadata["annotations"][format!("burst-agent.io/{key}")];
    assert_eq!((mark("cluster-id"), mark("node")), (&json!("c1"), &json!("n1")), "a pod of somebody else's");
    let owner = &facts.owner;
    assert_eq!(mark("namespace"), &*owner.namespace);
    assert_eq!((mark("name"), mark("uid")), (&json!(*owner.name), &json!(*owner.uid.0)));
}

/// Takes away what may be read, so that what is left may not.
fn without_what_is_told(mut json: Value) -> String {
    let mut told = vec![json["status"].to_string(), json["metadata"]["name"].to_string()];
    told.push(json["metadata"]["uid"].to_string());
    if let Some(annotations) = json["metadata"]["annotations"].as_object_mut() {
        annotations.retain(|key, _| key.starts_with("burst-agent.io/"));
        told.push(json["metadata"]["annotations"].to_string());
    }
    told.concat()
}

/// What the API server makes of a patch where there was nothing: the directives are carried out.
fn merged(mut patch: Value) -> Value {
    for list in ["conditions", "podIPs", "hostIPs"] {
        if let Some(entries) = patch[list].as_array_mut() {
            entries.retain(|entry| entry.get("$patch").is_none());
        }
    }
    patch
}

fn check_pod(input: &[u8]) {
    let (sighting, peak) = fuzz::peak_bytes(|| read_pod(&mark(), NAMESPACE, input));
    assert!(peak <= MEMORY_PER_BYTE * input.len() + MEMORY_BYTES, "{peak} bytes for {}", input.len());
    let json = serde_json::from_slice::<Value>(input);
    match sighting {
        Sighting::Ours(facts) => {
            if let Ok(json) = json {
                check_facts(&facts, &json);
                let told = without_what_is_told(json).contains(CANARY);
                assert!(told || !format!("{facts:?}").contains(CANARY), "a secret: {facts:?}");
            }
            // What is written of it must read the same, or it would be written again and again.
            let written = merged(render::render_status(&facts.status)).to_string();
            let read = lean::parse_status(&written).expect("our own status is one");
            assert_eq!(read.digest(), facts.status.digest(), "{written} is read as {read:?}");
            assert!(fits(Event::CloudPodObserved((*facts).clone().into())), "no frame holds it");
            assert!(fits(finished(Outcome::Done(Answer::CloudPod((*facts).into())))), "no frame holds it");
        }
        Sighting::Foreign(words) => {
            assert!(words.len() <= TEXT_BYTES_MAX);
            let told = json.is_ok_and(|json| without_what_is_told(json).contains(CANARY));
            assert!(told || !words.contains(CANARY), "a secret: {words}");
        }
        Sighting::Unreadable(words) => {
            let told = json.is_ok_and(|json| json["kind"].to_string().contains(CANARY));
            assert!(words.len() <= TEXT_BYTES_MAX && (told || !words.contains(CANARY)), "{words}");
        }
        Sighting::Elsewhere => {}
    }
}

#[test]
fn fuzz_cci_pod() {
    let pods = pods();
    fuzz::target!(&corpus(&pods), check_pod);
}

/// A pod that uses all that there is to be admitted, or to be refused for, with secrets where nobody is to read.
fn manifest(with: Value) -> Vec<u8> {
    let container = json!({
        "name": "main", "image": "shop:1", "command": [CANARY], "args": [CANARY],
        "env": [{"name": "PASSWORD", "value": CANARY}, {"name": "A", "valueFrom": {"secretKeyRef": {"key": "k"}}}],
        "resources": {"requests": {"cpu": "300m", "memory": 1e8}, "limits": {"memory": "1.5Gi", "example.com/gpu": 1}},
        "securityContext": {"privileged": false}, "ports": [{"containerPort": 80, "hostPort": 80}],
        "livenessProbe": {"exec": {"command": [CANARY]}}, "lifecycle": {"preStop": {"httpGet": {"path": "/"}}},
        "volumeMounts": [{"name": "config", "subPath": "a"}, {"name": "data", "subPath": ""}]
    });
    let mut spec = json!({
        "restartPolicy": "Always", "hostNetwork": false, "securityContext": {"runAsUser": 7},
        "initContainers": [container], "containers": [container, {"name": "side"}],
        "volumes": [
            {"name": "data", "emptyDir": {}}, {"name": "config", "configMap": {"name": "c"}},
            {"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
        ]
    });
    spec.as_object_mut().expect("an object").extend(with.as_object().expect("an object").clone());
    let metadata = json!({
        "uid": "uid-1", "labels": {"app": "web"}, "annotations": {"token": CANARY},
        "ownerReferences": [{"kind": "ReplicaSet", "controller": true}]
    });
    json!({"metadata": metadata, "spec": spec}).to_string().into_bytes()
}

/// Takes away what a refusal must not show.
fn without_what_is_kept(mut manifest: Value) -> String {
    manifest["metadata"]["annotations"].take();
    for list in CONTAINER_LISTS {
        for container in manifest["spec"][list].as_array_mut().into_iter().flatten() {
            for field in ["command", "args", "env", "livenessProbe"] {
                if let Some(field) = container.get_mut(field) {
                    field.take();
                }
            }
        }
    }
    manifest.to_string()
}

/// The spec without the names of its objects: what is renamed is renamed again.
fn nameless(mut pod: Value) -> Value {
    if let Some(spec) = pod["spec"].as_object_mut() {
        wire::objects::rename_objects(spec, &|_, _| "object".to_owned());
    }
    pod["spec"].take()
}

/// A manifest is refused in few words that hold no secret, or becomes a pod of ours with nothing in it that the cloud
/// does not take, of a size that the policy has no more to say about.
fn check_manifest(input: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<Value>(input) else { return };
    if !manifest["metadata"].is_object() || !manifest["spec"].is_object() {
        return;
    }
    let (profile, name) = (Profile::CCI_1_0, CloudName("shop-web-0-x".into()));
    let owner = PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-1".into()) };
    let mark = mark();
    let choices = PodChoices::sized(profile.size_policy());
    let recipe = wire::Recipe { shape: &profile.pod, choices: &choices, mark: &mark };
    let build = |manifest: &Value| wire::build(&recipe, &owner, &name, manifest);
    match build(&manifest) {
        Ok(made) => {
            assert_eq!(made.json["metadata"]["annotations"]["burst-agent.io/uid"], "uid-1");
            let spec = made.json["spec"].as_object().expect("an object");
            assert!(spec.keys().all(|field| profile.pod.spec.contains(&field.as_str())), "{spec:?}");
            for container in CONTAINER_LISTS.iter().flat_map(|list| items(spec.get(*list))) {
                let resources = &container["resources"];
                assert_eq!(resources["requests"], resources["limits"], "{container}");
            }
            let again = build(&made.json).expect("what was made is acceptable");
            assert_eq!(nameless(again.json), nameless(made.json), "what was given is changed again");
        }
        Err(reasons) => {
            let words = sentence(&reasons);
            assert!(!reasons.is_empty() && (1..=TEXT_BYTES_MAX).contains(&words.len()), "{words}");
            let told = without_what_is_kept(manifest).contains(CANARY);
            assert!(told || !format!("{reasons:?}").contains(CANARY), "a secret: {reasons:?}");
        }
    }
}

#[test]
fn fuzz_cci_manifest() {
    let side = |fields: Value| json!({"containers": [fields]});
    let manifests = [
        manifest(json!({})),
        manifest(
            json!({"hostNetwork": true, "hostPID": true, "hostIPC": true, "resourceClaims": [{"name": "g"}]}),
        ),
        manifest(
            json!({"volumes": [{"name": "data", "hostPath": {"path": "/"}}, {"name": "config", "emptyDir": {}}]}),
        ),
        manifest(side(
            json!({"name": "a", "securityContext": {"privileged": true}, "volumeDevices": [{"name": "d"}]}),
        )),
        manifest(side(json!({"name": "a", "resources": {"limits": {"cpu": "x", "memory": "1GB"}}}))),
        manifest(json!({"containers": vec![json!({"name": "a", "resources": {"limits": {"cpu": 1}}}); 6]})),
    ];
    fuzz::target!(&corpus(&manifests), check_manifest);
}

/// A page is a list of pods by its own word, whole, and goes on where it says.
fn check_page(input: &[u8]) {
    let (page, peak) = fuzz::peak_bytes(|| read_page(input));
    assert!(peak <= MEMORY_PER_BYTE * input.len() + MEMORY_BYTES, "{peak} bytes for {}", input.len());
    match page {
        Ok(page) => {
            for item in &page.items {
                check_pod(item.get().as_bytes());
            }
            let Ok(json) = serde_json::from_slice::<Value>(input) else { return };
            assert!(json["kind"] == "PodList" || json["kind"] == "List", "no list is taken for an empty one");
            let items = json["items"].as_array().map_or(0, Vec::len);
            assert_eq!(page.items.len(), items, "an item is left out");
            let next = json["metadata"]["continue"].as_str().unwrap_or_default();
            assert_eq!(page.next, next, "a page is left out");
        }
        Err(words) => {
            let json = serde_json::from_slice::<Value>(input);
            let told = json.is_ok_and(|json| json["kind"].to_string().contains(CANARY));
            assert!(words.len() <= TEXT_BYTES_MAX && (told || !words.contains(CANARY)), "{words}");
        }
    }
}

#[test]
fn fuzz_cci_page() {
    let page = |kind: &str, next: &str, items: Value| {
        let metadata = json!({"continue": next, "resourceVersion": ""});
        json!({"kind": kind, "metadata": metadata, "items": items}).to_string().into_bytes()
    };
    let one = json!([pod()]);
    let pages = [
        page("PodList", "t/1=", json!([pod(), pod()])),
        page("List", "", one),
        page("PodList", "", Value::Null),
    ];
    fuzz::target!(&corpus(&pages), check_page);
}

/// Events are about the pod that was asked for, few, within their bounds, and fit into the log together.
fn check_events(input: &[u8]) {
    let Ok(page) = read_list(input, "EventList") else { return };
    let events: Vec<_> = page.items.iter().filter_map(|item| read_event("cloud-1", item)).collect();
    // Judged where the whole is JSON to the last byte: what is not looked at may hold a number that is too big for a value.
    if let Ok(whole) = serde_json::from_slice::<Value>(input) {
        let about = |item: &&Value| item["involvedObject"]["uid"] == "cloud-1";
        assert!(events.len() <= whole["items"].as_array().into_iter().flatten().filter(about).count());
    }
    let told = most_telling(events);
    assert!(told.len() <= CLOUD_EVENTS_MAX);
    for event in &told {
        let texts = [&event.reason, &event.message, &event.source];
        assert!(texts.iter().all(|text| text.len() <= TEXT_BYTES_MAX), "{event:?}");
        assert!(event.count > 0 && event.first_s <= event.last_s, "{event:?}");
        assert!(
            [event.first_s, event.last_s].iter().all(|time_s| render::rfc3339(*time_s).is_some()),
            "{event:?}"
        );
    }
    let events = told.into_iter().map(Into::into).collect();
    assert!(fits(finished(Outcome::Done(Answer::CloudEvents(events)))), "no frame holds them");
}

#[test]
fn fuzz_cci_events() {
    let event = |uid: &str, count: Value| {
        json!({
            "metadata": {"name": "web.17a", "uid": format!("e-{count}"), "creationTimestamp": "2026-01-01T00:00:00Z"},
            "involvedObject": {"kind": "Pod", "uid": uid}, "type": "Warning", "reason": "Failed",
            "message": "Failed to pull image", "count": count, "source": {"component": "kubelet"},
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:09Z", "eventTime": null,
            "series": {"count": 3, "lastObservedTime": "2026-01-01T00:01:00Z"}, "reportingComponent": "kubelet"
        })
    };
    let list =
        |items: Value| json!({"kind": "List", "metadata": {}, "items": items}).to_string().into_bytes();
    let lists = [
        list(json!([event("cloud-1", json!(1)), event("cloud-1", json!(-7)), event("cloud-2", json!(2))])),
        list(json!([event("cloud-1", Value::Null)])),
        list(json!((0..12).map(|count| event("cloud-1", json!(count))).collect::<Vec<_>>())),
        br#"{"kind":"List","metadata":{},"more":1e999,"items":[{"metadata":{"uid":"e"},"involvedObject":{"uid":"cloud-1"}}]}"#.to_vec(),
    ];
    lists.iter().for_each(|list| check_events(list));
    fuzz::target!(&corpus(&lists), check_events);
}

/// Statuses, waits and intents that an answer is read under; the body is the input.
fn check_problem(input: &[u8]) {
    let secrets = [CANARY, "an0ther-s3cr3t"];
    for status in [300, 400, 401, 403, 404, 408, 409, 410, 413, 422, 429, 500, 503] {
        let problem = Problem::read(status, Some("7"), input, NOW, &secrets);
        assert!(!secrets.iter().any(|secret| format!("{problem:?}").contains(secret)), "{problem:?}");
        for intent in [Intent::Read, Intent::Write] {
            let outcome = problem.outcome(intent);
            let texts = match &outcome {
                Outcome::Refused(refusal) => vec![&refusal.code, &refusal.message],
                Outcome::Later { message, .. } | Outcome::Unknown { message } => vec![message],
                Outcome::Done(answer) => panic!("{status} is no success: {answer:?}"),
            };
            assert!(texts.iter().all(|text| text.len() <= TEXT_BYTES_MAX), "{outcome:?}");
            let unknown = matches!(outcome, Outcome::Unknown { .. });
            assert!(!(unknown && intent == Intent::Read), "a read that is lost changed nothing: {outcome:?}");
            let not_found =
                matches!(&outcome, Outcome::Refused(r) if r.class == RefusalClass::NotFound && status != 404);
            assert!(!not_found, "absence is only ever told by a 404: {outcome:?}");
            assert!(fits(finished(outcome)), "no frame holds it");
        }
        // A page of an error is no page of a list, and an error is no pod of ours.
        assert!(!matches!(read_pod(&mark(), NAMESPACE, input), Sighting::Ours(_)));
    }
}

#[test]
fn fuzz_cci_error() {
    let words = format!("pods \"a\" is forbidden: {CANARY} and an0ther-s3cr3t");
    let bodies = [
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": words,
            "reason": "Forbidden", "details": {"name": "a", "kind": "pods"}, "code": 403}),
        json!({"kind": "Status", "message": words, "reason": "Conflict", "code": 409, "errorCode": "CCI.02.409101"}),
        json!({"error_code": "APIGW.0308", "error_msg": words, "request_id": "7"}),
        json!({"error": {"code": 401, "message": words, "title": "Unauthorized"}}),
        json!({"errorCode": CANARY, "message": words, "reason": CANARY, "kind": CANARY}),
        json!("<html>no</html>"),
    ];
    let bodies: Vec<Vec<u8>> = bodies.iter().map(|body| body.to_string().into_bytes()).collect();
    fuzz::target!(&corpus(&bodies), check_problem);
}

/// A wait is as long as it says, up to a bound; a date says how far off it is.
fn check_wait(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let wait_ms = Problem::read(503, Some(text), b"", NOW, &[]).wait_ms;
    assert!(wait_ms.is_none_or(|wait_ms| wait_ms <= WAIT_MS_MAX));
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(u64::MAX);
        assert_eq!(wait_ms, Some(seconds.saturating_mul(1_000).min(u64::from(WAIT_MS_MAX)) as u32));
    }
    // Digits that are no seconds and no date: better no wait than one that nobody asked for.
    assert!(wait_ms.is_none() || text.bytes().any(|byte| byte.is_ascii_digit()), "{text:?}: {wait_ms:?}");
}

#[test]
fn fuzz_retry_after() {
    let values: [&[u8]; 7] = [
        b"120",
        b" 0 ",
        b"18446744073709551615",
        b"Thu, 01 Jan 2026 00:00:30 GMT",
        b"Thu, 01 Jan 2026 00:00:30 +0000",
        b"Thursday, 01-Jan-26 00:00:30 GMT",
        b"Thu, 1 Jan 1970 00:00:00 -0000",
    ];
    fuzz::target!(&values, check_wait);
}
