//! One reading of a node's `/metrics/resource`.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode, header};
use prometheus_parse::Value;

use crate::serve::kubernetes::node::{Endpoint, Nodes};

/// The most that is read: four lines of 300 bytes for each of 20,000 containers.
const BYTES_MAX: usize = 24 << 20;

/// What a node says at one time.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Readings {
    /// Of itself.
    pub node: Option<Sample>,
    /// Of its containers, by namespace, pod and name.
    pub containers: BTreeMap<(String, String, String), Sample>,
}

/// What was used by a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// CPU seconds since the start.
    pub cpu_s: f64,
    /// Memory that cannot be taken away without harm.
    pub memory_bytes: f64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// When it started.
    pub start_ms: Option<i64>,
}

/// Reads a node; `None` when it does not answer with metrics.
pub(super) async fn read(nodes: &Nodes, endpoint: &Endpoint) -> Option<Readings> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = "/metrics/resource".parse().ok()?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, endpoint.authority().parse().ok()?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static("metrics-server/v0.8.0"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
    let (code, text) = nodes.read(endpoint, request, BYTES_MAX).await?;
    (code == StatusCode::OK).then(|| parse(&text)).flatten()
}

fn parse(text: &str) -> Option<Readings> {
    let scrape =
        prometheus_parse::Scrape::parse(text.lines().map(|line| Ok::<_, std::io::Error>(line.to_owned())))
            .ok()?;
    let mut readings = Readings::default();
    // What has no CPU or no memory is not told of: half of it would be read as nothing.
    let (mut node, mut containers) = (Half::default(), BTreeMap::<_, Half>::new());
    for sample in scrape.samples {
        let (Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value)) = sample.value else {
            continue;
        };
        let label = |name: &str| sample.labels.get(name).unwrap_or_default().to_owned();
        let half = if sample.metric.starts_with("node_") {
            &mut node
        } else if sample.metric.starts_with("container_") {
            containers.entry((label("namespace"), label("pod"), label("container"))).or_default()
        } else {
            continue;
        };
        let at_ms = sample.timestamp.timestamp_millis();
        match sample.metric.as_str() {
            "node_cpu_usage_seconds_total" | "container_cpu_usage_seconds_total" => {
                half.cpu = Some((value, at_ms))
            }
            "node_memory_working_set_bytes" | "container_memory_working_set_bytes" => {
                half.memory = Some(value)
            }
            "container_start_time_seconds" => half.start_ms = Some((value * 1e3) as i64),
            _ => {}
        }
    }
    readings.node = node.whole();
    let whole = containers.into_iter().filter_map(|(key, half)| Some((key, half.whole()?)));
    readings.containers = whole.collect();
    Some(readings)
}

#[derive(Debug, Default)]
struct Half {
    cpu: Option<(f64, i64)>,
    memory: Option<f64>,
    start_ms: Option<i64>,
}

impl Half {
    fn whole(self) -> Option<Sample> {
        let (cpu_s, at_ms) = self.cpu?;
        Some(Sample { cpu_s, memory_bytes: self.memory?, at_ms, start_ms: self.start_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelets_text_is_read() {
        let text = r#"# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="demo",pod="probe"} 4.710169 1633253812125
container_cpu_usage_seconds_total{container="half",namespace="demo",pod="probe"} 1 1633253812125
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="main",namespace="demo",pod="probe"} 1.253376e+06 1633253812125
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="main",namespace="demo",pod="probe"} 1.63325380e+09
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 357.35 1633253809720
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 1.616273408e+09 1633253809720
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="demo",pod="probe"} 4.67812 1633253803945
# TYPE resource_scrape_error gauge
resource_scrape_error 0
"#;
        let readings = parse(text).unwrap();
        let node =
            Sample { cpu_s: 357.35, memory_bytes: 1_616_273_408.0, at_ms: 1_633_253_809_720, start_ms: None };
        assert_eq!(readings.node, Some(node));
        let main = Sample {
            cpu_s: 4.710_169,
            memory_bytes: 1_253_376.0,
            at_ms: 1_633_253_812_125,
            start_ms: Some(1_633_253_800_000),
        };
        let key = ("demo".to_owned(), "probe".to_owned(), "main".to_owned());
        assert_eq!(readings.containers, BTreeMap::from([(key, main)]));
    }
}
