//! What pods use, as each generation tells it.

use expect_test::expect;

use super::*;

#[test]
fn the_metrics_api_tells_of_what_ran_when_it_last_measured() {
    let mut world = World::ready(CloudOptions::default());
    for name in ["a", "b", "c"] {
        world.create_pod(&pod_with(name, "/metadata/annotations", json!({CPU_SHARE: "0.25"})));
    }
    let usage = |world: &mut World, query: Query| {
        let list = world.request(Verb::List, Resource::PodMetrics, "burst", "").with_query(query);
        world.call(&list).json()
    };
    assert_eq!(usage(&mut world, Query::default())["items"], json!([]), "nothing runs yet");
    world.pass(60 * SECOND);
    let page = usage(&mut world, Query { limit: Some(2), ..Query::default() });
    let first = &page["items"][0];
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&first["metadata"]["name"], &first["containers"][0]["usage"]["cpu"]),
        (&json!("a"), &json!("125000000n"))
    );
    assert_eq!((&first["timestamp"], &first["window"]), (&json!("2026-01-01T00:01:00Z"), &json!("15s")));
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = usage(&mut world, Query { limit: Some(2), continue_token: token, ..Query::default() });
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");
    assert_eq!(rest["metadata"]["continue"], Value::Null);
    world.pass(10 * SECOND);
    let again = usage(&mut world, Query::default());
    assert_eq!(again["items"][0], *first, "it has not measured again");
}

#[test]
fn the_exporter_counts_for_as_long_as_its_containers_run() {
    let mut world = World::ready_in(Generation::Two, CloudOptions::default());
    world.create_pod(&pod_with("a", "/metadata/annotations", json!({CPU_SHARE: "0.5"})));
    assert_eq!(exporter_text(&world.cloud, &world.key("a")), None, "nothing runs yet");
    world.pass(100 * SECOND);
    let text = exporter_text(&world.cloud, &world.key("a")).unwrap();
    let cpu = |text: &str| {
        let line =
            text.lines().find(|line| line.starts_with("container_cpu") && line.contains("\"web\"")).unwrap();
        line.split(' ').nth(1).unwrap().parse::<f64>().unwrap()
    };
    expect!["# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed in seconds."]
        .assert_eq(text.lines().next().unwrap());
    let before = cpu(&text);
    world.pass(10 * SECOND);
    let after = cpu(&exporter_text(&world.cloud, &world.key("a")).unwrap());
    assert!((after - before - 2.5).abs() < 1e-6, "{before} {after}: half of half a core");
    let key = world.key("a");
    world.cloud.kill_containers(world.now_us, &key);
    assert_eq!(exporter_text(&world.cloud, &key), None);
    world.pass(60 * SECOND);
    assert!(cpu(&exporter_text(&world.cloud, &key).unwrap()) < after, "a new life begins at nothing");
    let off = json!({"monitoring.cci.io/enable-pod-metrics": "false"});
    world.create_pod(&pod_with("b", "/metadata/annotations", off));
    world.pass(60 * SECOND);
    assert_eq!(exporter_text(&world.cloud, &world.key("b")), None);
}
