//! Whatever the API server says of a pod, a record of the log holds it.

use adapters::kubernetes::lean::parse_pod;
use engine::{Event, Gone, Micros, PodFacts, Record, Seq};
use proptest::prelude::*;
use serde_json::{Value, json};
use store::{Batch, Pushed};

/// A pod with texts of these lengths.
fn pod(name: usize, uid: usize, version: usize, gates: usize, gate: usize) -> Value {
    let text = |bytes: usize| "x".repeat(bytes);
    let gates: Vec<Value> = (0..gates).map(|_| json!({ "conditionType": text(gate) })).collect();
    json!({
        "metadata": {
            "namespace": text(name), "name": text(name), "uid": text(uid), "resourceVersion": text(version),
            "deletionTimestamp": "9999-12-30T00:00:00Z", "deletionGracePeriodSeconds": i64::MAX,
            "labels": { "l": text(100_000) },
        },
        "spec": { "readinessGates": gates, "nodeName": text(100_000) },
        "status": { "message": text(100_000) },
    })
}

fn fits(facts: &PodFacts) -> bool {
    let gone = Event::PodGone { pod: facts.pod.clone(), how: Gone::Deleted };
    [Event::PodObserved(facts.clone().into()), gone].into_iter().all(|event| {
        let record = Record { seq: Seq(u64::MAX), at: Micros(u64::MAX), seen: Micros(u64::MAX), event };
        matches!(Batch::new().push(&record), Ok(Pushed::Added))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_read_fits_into_a_frame(
        name in 0usize..300, uid in 0usize..150, version in 0usize..150, gates in 0usize..80, gate in 0usize..400,
    ) {
        let object = pod(name, uid, version, gates, gate).to_string();
        let within = (1..=253).contains(&name) && (1..=128).contains(&uid) && (1..=128).contains(&version);
        match parse_pod(&object, Default::default()) {
            Ok(facts) => prop_assert!(within && fits(&facts)),
            Err(bad) => prop_assert!(!within || gates > 64 || gate > 317, "{bad:?}"),
        }
    }
}

#[test]
fn the_longest_pod_is_read_and_fits_into_a_frame() {
    let longest = parse_pod(&pod(253, 128, 128, 64, 317).to_string(), Default::default())
        .expect("it is within all bounds");
    assert!(fits(&longest));
}
