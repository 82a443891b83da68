use engine::{Answer, EffectKind, LaterReason};
use expect_test::expect;

use super::*;

/// The metrics but for those of the process, the buckets and the zeros, which would fill pages.
fn text(metrics: &Metrics) -> String {
    let text = metrics.text().unwrap();
    let is_ours =
        |line: &&str| line.starts_with("burst_agent_") && !line.contains("_bucket{") && !line.ends_with(" 0");
    let mut lines: Vec<&str> = text.lines().filter(is_ours).collect();
    // Labels of one name come in the order of a hash.
    lines.sort_unstable();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn verbs_become_metrics() {
    let metrics = Metrics::new();
    let times = EffectTimes {
        durable: Micros(1_000_000),
        queued: Micros(1_000_000),
        permitted: Micros(1_500_000),
        sent: Micros(1_750_000),
        answered: Micros(2_000_000),
    };
    metrics.event_applied(&Event::Tick);
    metrics.event_decided(&Event::Tick, Micros(1_000_000), Micros(1_125_000), Micros(1_250_000));
    let poll = EffectKind::ListCloudPods;
    metrics.effect_finished(&poll, &Outcome::Done(Answer::Nothing), &times);
    let throttled = Outcome::Later { wait_ms: None, reason: LaterReason::Throttled, message: String::new() };
    metrics.effect_finished(&poll, &throttled, &EffectTimes::default());
    metrics.committed(3, Duration::from_millis(250), Seq(7));
    metrics.applied(Seq(6));
    metrics.snapshot_taken(Seq(5));
    metrics.watched(3, 2, 1);
    metrics.queue_depth(4);
    metrics.brake_held(2);
    metrics.project(|| Projection {
        pods: vec![("present", 12)],
        outstanding: vec![("list_cloud_pods", 1)],
        held: vec![("capacity", 3)],
        circuits: vec![CircuitCount {
            room: engine::Room { size: "cpu=2,memory=4Gi".into(), zone: "a".into() },
            state: "half_open",
            waiting: 3,
        }],
    });
    expect![[r#"
        burst_agent_applied_seq 6
        burst_agent_bad_objects_total 1
        burst_agent_brake_held 2
        burst_agent_circuit_waiting_pods{size="cpu=2,memory=4Gi",zone="a"} 3
        burst_agent_circuits{size="cpu=2,memory=4Gi",zone="a",state="half_open"} 1
        burst_agent_commit_records_count 1
        burst_agent_commit_records_sum 3.0
        burst_agent_commit_seconds_count 1
        burst_agent_commit_seconds_sum 0.25
        burst_agent_durable_seq 7
        burst_agent_effect_stage_seconds_count{effect="list_cloud_pods",stage="decided_permitted"} 1
        burst_agent_effect_stage_seconds_count{effect="list_cloud_pods",stage="permitted_sent"} 1
        burst_agent_effect_stage_seconds_count{effect="list_cloud_pods",stage="sent_answered"} 1
        burst_agent_effect_stage_seconds_sum{effect="list_cloud_pods",stage="decided_permitted"} 0.5
        burst_agent_effect_stage_seconds_sum{effect="list_cloud_pods",stage="permitted_sent"} 0.25
        burst_agent_effect_stage_seconds_sum{effect="list_cloud_pods",stage="sent_answered"} 0.25
        burst_agent_effects_total{effect="list_cloud_pods",outcome="done"} 1
        burst_agent_effects_total{effect="list_cloud_pods",outcome="later"} 1
        burst_agent_event_stage_seconds_count{event="tick",stage="durable_decided"} 1
        burst_agent_event_stage_seconds_count{event="tick",stage="seen_durable"} 1
        burst_agent_event_stage_seconds_sum{event="tick",stage="durable_decided"} 0.125
        burst_agent_event_stage_seconds_sum{event="tick",stage="seen_durable"} 0.125
        burst_agent_events_total{event="tick"} 1
        burst_agent_held_pods{reason="capacity"} 3
        burst_agent_outstanding_effects{effect="list_cloud_pods"} 1
        burst_agent_pods{state="present"} 12
        burst_agent_queue_depth 4
        burst_agent_relists_total 2
        burst_agent_snapshot_seq 5
        burst_agent_throttled_total{bucket="cloud_read"} 1
        burst_agent_watch_restarts_total 3
    "#]]
    .assert_eq(&text(&metrics));
}

#[test]
fn what_has_not_happened_is_zero() {
    let metrics = Metrics::new();
    metrics.project(Projection::default);
    let text = metrics.text().unwrap();
    for line in [
        r#"burst_agent_pods{state="present"} 0"#,
        r#"burst_agent_outstanding_effects{effect="create_cloud_pod"} 0"#,
        r#"burst_agent_throttled_total{bucket="cloud_create"} 0"#,
        r#"burst_agent_effects_total{effect="create_cloud_pod",outcome="refused"} 0"#,
        r#"burst_agent_events_total{event="node_gone"} 0"#,
        "# TYPE burst_agent_throttled counter",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}");
    }
}

#[test]
fn names_are_prefixed_and_used_once() {
    let metrics = Metrics::new();
    metrics.kubelet_served(Open::default);
    metrics.project(Projection::default);
    let text = metrics.text().unwrap();
    let mut names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(names.iter().all(|name| name.starts_with("burst_agent_") || name.starts_with("process_")));
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_shows_itself() {
    let text = Metrics::new().text().unwrap();
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().parse::<f64>().ok());
        assert!(value.is_some_and(|value| value >= 0.0), "{name}: {text}");
    }
}

#[test]
fn the_kubelet_api_is_counted_where_it_is_served() {
    let metrics = Metrics::new();
    assert!(!metrics.text().unwrap().contains("burst_agent_kubelet_connections{"));
    let open = Open { strangers: 7, trusted: 6, followers: 5, logs: 4, sessions: 3, forwards: 2 };
    metrics.kubelet_served(move || open);
    metrics.kubelet_answered("exec", 403);
    expect![[r#"
        burst_agent_commit_records_sum 0.0
        burst_agent_commit_seconds_sum 0.0
        burst_agent_kubelet_connections{state="stranger"} 7
        burst_agent_kubelet_connections{state="trusted"} 6
        burst_agent_kubelet_requests_total{page="exec",code="403"} 1
        burst_agent_kubelet_streams{kind="followed_log"} 5
        burst_agent_kubelet_streams{kind="log"} 4
        burst_agent_kubelet_streams{kind="port_forward"} 2
        burst_agent_kubelet_streams{kind="session"} 3
    "#]]
    .assert_eq(&text(&metrics));
    let zero = r#"burst_agent_kubelet_requests_total{page="containerLogs",code="401"} 0"#;
    assert!(metrics.text().unwrap().contains(zero));
}
