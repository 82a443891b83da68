//! What people ask with kubectl that is not in the recordings.

use serde_json::{Value, json};

use crate::{JSON, PODS, World, pod};

const MERGE: &str = "application/merge-patch+json";

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let world = World::start().await;
    let stored = world.post(PODS, pod("a")).await;
    let before = world.revision();
    let all = json!({ "dryRun": ["All"], "gracePeriodSeconds": 0 });
    let eviction = json!({ "metadata": { "name": "a" }, "deleteOptions": all }).to_string();
    let (label, all) = (json!({ "metadata": { "labels": { "x": "y" } } }).to_string(), all.to_string());
    let (a, b) = (format!("{PODS}/a"), pod("b").to_string());
    let cases = [
        (201, "POST", format!("{PODS}?dryRun=All"), JSON, b.as_str()),
        (200, "PATCH", format!("{a}?dryRun=All"), MERGE, &label),
        (200, "DELETE", a.clone(), JSON, &all),
        (200, "DELETE", format!("{a}?dryRun=All"), JSON, ""),
        (200, "DELETE", PODS.to_owned(), JSON, &all),
        (201, "POST", format!("{a}/eviction"), JSON, &eviction),
        (400, "POST", format!("{PODS}?dryRun=some"), JSON, &b),
        (409, "POST", format!("{PODS}?dryRun=All"), JSON, &stored.to_string()),
    ];
    let mut answers: Vec<Value> = Vec::new();
    for (code, method, path, kind, body) in cases {
        let (answered, text) = world.ask(method, &path, kind, JSON, body).await;
        assert_eq!(answered.as_u16(), code, "{method} {path}: {text}");
        answers.push(text.parse().unwrap());
    }
    let (made, labelled) = (&answers[0]["metadata"], &answers[1]["metadata"]);
    assert!(made["uid"].is_string() && made.get("resourceVersion").is_none(), "nothing is stored: {made}");
    assert_eq!(
        (&labelled["labels"]["x"], &labelled["resourceVersion"]),
        (&json!("y"), &stored["metadata"]["resourceVersion"])
    );
    assert_eq!(world.revision(), before);
    assert_eq!(world.get(PODS).await["items"].as_array().unwrap().len(), 1);
}
