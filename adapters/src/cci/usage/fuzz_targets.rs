//! Hostile tellers of usage: what is taken from them is about the pods that are asked about, and little.

use serde_json::{Value, json};

use super::sample::Sample;
use super::series::Series;
use super::{CONTAINERS_MAX, PodReading, read_item};
use crate::cci::wire::read_list;

const NAMESPACE: &str = "cce-burst-c1";

/// Beside what is read, a parser holds what it has not taken over yet, and a list reserves room for the next.
const MEMORY_PER_BYTE: usize = 16;
const MEMORY_BYTES: usize = 64 * 1024;

fn corpus(inputs: &[Vec<u8>]) -> Vec<&[u8]> {
    inputs.iter().map(Vec::as_slice).collect()
}

/// Of a list of usage only what can be read is taken, and of this namespace only.
fn check_usage(input: &[u8]) {
    let Ok(page) = read_list(input, "PodMetricsList") else { return };
    for item in &page.items {
        let (read, peak) = fuzz::peak_bytes(|| read_item(NAMESPACE, item));
        let bytes = item.get().len();
        assert!(peak <= MEMORY_PER_BYTE * bytes + MEMORY_BYTES, "{peak} bytes for {bytes}");
        let Some((name, reading)) = read else { continue };
        assert!(reading.containers.len() <= CONTAINERS_MAX && reading.interfaces.is_empty());
        if let Ok(json) = serde_json::from_str::<Value>(item.get()) {
            assert_eq!(json["metadata"]["name"], name);
            let namespace = json["metadata"]["namespace"].as_str().unwrap_or_default();
            assert!(namespace.is_empty() || namespace == NAMESPACE, "a pod of another namespace");
        }
    }
}

#[test]
fn fuzz_cci_usage() {
    let item = |namespace: &str, cpu: Value| {
        json!({
            "metadata": {"name": "shop-web-0-x", "namespace": namespace}, "timestamp": "2026-01-01T00:00:00Z",
            "window": "15s", "containers": [{"name": "main", "usage": {"cpu": cpu, "memory": "104857600"}}, {"name": "side"}]
        })
    };
    let list = |kind: &str, items: Value| {
        json!({"kind": kind, "metadata": {"continue": "t"}, "items": items}).to_string().into_bytes()
    };
    let lists = [
        list("PodMetricsList", json!([item(NAMESPACE, json!("1234567n")), item("other", json!("2"))])),
        list("List", json!([item("", Value::Null)])),
        list("PodMetricsList", Value::Null),
    ];
    lists.iter().for_each(|list| check_usage(list));
    fuzz::target!(&corpus(&lists), check_usage);
}

/// An exporter tells of the containers that are looked for and of few interfaces, whatever it says.
fn check_exporter(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let containers = ["main".to_owned(), "side".to_owned()];
    let (reading, peak) = fuzz::peak_bytes(|| {
        let mut series = Series::of(&containers);
        text.lines().for_each(|line| series.line(line));
        series.finish()
    });
    assert!(peak <= MEMORY_PER_BYTE * input.len() + MEMORY_BYTES, "{peak} bytes for {}", input.len());
    let PodReading { containers: read, interfaces } = reading;
    assert!(read.len() <= containers.len() && read.iter().all(|(name, _)| containers.contains(name)));
    assert!(interfaces.len() <= 16 && interfaces.iter().all(|(name, _)| !name.is_empty() && name != "lo"));
    for sample in text.lines().filter_map(Sample::read) {
        assert!(text.contains(sample.name));
    }
}

#[test]
fn fuzz_cci_exporter() {
    let texts = [
        include_bytes!("testdata/exporter.txt").to_vec(),
        br#"container_memory_rss{container="main",x="a\\b\"c\n}"} 1e3 -7"#.to_vec(),
        b"container_memory_rss{container=\"main\",} NaN\ncontainer_network_receive_bytes_total{interface=\"e\"} 1".to_vec(),
    ];
    texts.iter().for_each(|text| check_exporter(text));
    fuzz::target!(&corpus(&texts), check_exporter);
}
