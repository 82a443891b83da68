use engine::{Answer, Bucket, CloudFacts, EffectId, EffectTimes, Event, Micros, Outcome, Record, Seq};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use store::{Batch, Pushed};

use super::super::{Mark, Sighting, read_pod};

/// Longest name or UID that is read.
const ID: usize = 253;

fn facts(status: &Value) -> CloudFacts {
    let id = "i".repeat(ID);
    let pod = json!({
        "kind": "Pod",
        "metadata": {
            "name": id, "namespace": "n", "uid": id,
            "annotations": {
                "burst-agent.io/cluster-id": "c1", "burst-agent.io/node": "n1",
                "burst-agent.io/namespace": id, "burst-agent.io/name": id, "burst-agent.io/uid": id
            }
        },
        "status": status
    });
    let mark = Mark { cluster_id: "c1".into(), node: "n1".into() };
    match read_pod(&mark, "n", pod.to_string().as_bytes()) {
        Sighting::Ours(facts) => *facts,
        other @ (Sighting::Foreign(_) | Sighting::Unreadable(_) | Sighting::Elsewhere) => panic!("{other:?}"),
    }
}

/// Whether a frame of the log holds the pod as it is seen in a list, and as it is answered with.
fn fits(facts: CloudFacts) -> bool {
    const LAST: Micros = Micros(u64::MAX);
    let answered = Event::EffectFinished {
        id: EffectId { seq: Seq(u64::MAX), position: u32::MAX },
        attempt: u32::MAX,
        outcome: Outcome::Done(Answer::CloudPod(facts.clone().into())),
        times: EffectTimes { durable: LAST, queued: LAST, permitted: LAST, sent: LAST, answered: LAST },
        bucket: Bucket::CloudRead,
    };
    [Event::CloudPodObserved(facts.into()), answered].into_iter().all(|event| {
        let record = Record { seq: Seq(u64::MAX), at: LAST, seen: LAST, event };
        matches!(Batch::new().push(&record), Ok(Pushed::Added))
    })
}

/// Texts around each bound, and longer ones, of characters of one to four bytes.
fn text() -> impl Strategy<Value = String> {
    let bytes = prop::sample::select(vec![0, 1, 45, 46, 63, 64, 253, 511, 512, 513, 900]);
    let character = prop::sample::select(vec!["a", "é", "…", "𝄞"]);
    (bytes, character).prop_map(|(bytes, character)| character.repeat(bytes / character.len()))
}

fn state() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"running": {"startedAt": "9999-12-30T00:00:00Z"}})),
        (text(), text())
            .prop_map(|(reason, message)| json!({"waiting": {"reason": reason, "message": message}})),
        (text(), text(), text(), any::<i64>()).prop_map(
            |(reason, message, id, number)| json!({"terminated": {
                "exitCode": number, "signal": number, "reason": reason, "message": message, "containerID": id,
                "startedAt": "9999-12-30T00:00:00Z", "finishedAt": "-009998-01-01T00:00:00Z"
            }})
        ),
    ]
}

fn containers() -> impl Strategy<Value = Vec<Value>> {
    let container = (text(), text(), text(), text(), any::<i64>(), state(), state()).prop_map(
        |(name, image, image_id, container_id, restarts, state, last)| {
            json!({
                "name": name, "image": image, "imageID": image_id, "containerID": container_id,
                "ready": true, "started": true, "restartCount": restarts, "state": state, "lastState": last
            })
        },
    );
    vec(container, 0..20)
}

fn status() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec!["PodScheduled", "Initialized", "ContainersReady", "Ready"]);
    let condition = (kind, text(), text()).prop_map(|(kind, reason, message)| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "9999-12-30T00:00:00Z"
        })
    });
    let address = text().prop_map(|ip| json!({"ip": ip}));
    let pod = (text(), text(), text(), vec(address, 0..6), vec(condition, 0..8));
    (pod, containers(), containers(), containers()).prop_map(
        |((reason, message, ip, ips, conditions), init, plain, ephemeral)| {
            json!({
                "phase": "Running", "reason": reason, "message": message, "hostIP": ip, "podIP": ip, "podIPs": ips,
                "startTime": "9999-12-30T00:00:00Z", "conditions": conditions, "initContainerStatuses": init,
                "containerStatuses": plain, "ephemeralContainerStatuses": ephemeral
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_pod_fits_into_a_frame(status in status()) {
        prop_assert!(fits(facts(&status)));
    }
}

/// A container with nothing but longest texts.
fn longest() -> Value {
    let text = "m".repeat(2_000);
    let ended = json!({"terminated": {
        "exitCode": i32::MIN, "signal": i32::MIN, "reason": text, "message": text, "containerID": text,
        "startedAt": "9999-12-30T00:00:00Z", "finishedAt": "9999-12-30T00:00:00Z"
    }});
    json!({
        "name": text, "image": text, "imageID": text, "containerID": text, "ready": true, "started": true,
        "restartCount": i64::MAX, "state": ended, "lastState": ended
    })
}

#[test]
fn the_longest_pod_fits_into_a_frame() {
    let text = "m".repeat(2_000);
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(|kind| {
        json!({"type": kind, "reason": text, "message": text, "lastTransitionTime": "9999-12-30T00:00:00Z"})
    });
    let containers = vec![longest(); 40];
    let addresses: Vec<Value> = ('a'..'h').map(|c| json!({"ip": c.to_string().repeat(45)})).collect();
    let facts = facts(&json!({
        "reason": text, "message": text, "hostIP": "f".repeat(45), "podIPs": addresses, "conditions": conditions,
        "startTime": "9999-12-30T00:00:00Z", "containerStatuses": containers,
        "initContainerStatuses": containers, "ephemeralContainerStatuses": containers
    }));
    let counts =
        [&facts.status.init_containers, &facts.status.containers, &facts.status.ephemeral_containers];
    assert_eq!(counts.map(Vec::len), [16, 16, 16]);
    assert_eq!(facts.status.pod_ips.len(), 4);
    assert!(facts.status.containers[15].image.ends_with("m…"), "{}", facts.status.containers[15].image);
    assert!(fits(facts));
}

#[test]
fn texts_are_shortened_only_where_there_is_no_room() {
    let usual = facts(&json!({"containerStatuses": vec![longest(); 8]}));
    assert_eq!(usual.status.containers[7].image.len(), crate::TEXT_BYTES_MAX);
    let many = facts(&json!({"containerStatuses": vec![longest(); 12]}));
    assert!((300..crate::TEXT_BYTES_MAX).contains(&many.status.containers[11].image.len()));
    assert_eq!(many.status.containers[11].name.len(), 63);
}

#[test]
fn what_is_no_address_is_none() {
    let long = "f".repeat(46);
    let facts = facts(&json!({"hostIP": long, "podIP": long, "podIPs": [{"ip": "192.168.0.9"}, {"ip": ""}]}));
    assert_eq!((&*facts.status.host_ip, &facts.status.pod_ips[..]), ("", &["192.168.0.9".to_owned()][..]));
}
