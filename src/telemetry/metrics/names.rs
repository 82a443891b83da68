//! The names of our metrics, with what they mean. A counter's name gets `_total` when it is written out.

/// A metric's name and its help.
pub type Name = (&'static str, &'static str);

/// Counter by `event`.
pub const EVENTS: Name = ("burst_agent_events", "Records applied, by event");
/// Counter by `effect` and `outcome`.
pub const EFFECTS: Name = ("burst_agent_effects", "Attempts of effects that ended, by effect and outcome");
/// Histogram by `event` and `stage`.
pub const EVENT_STAGE_SECONDS: Name = (
    "burst_agent_event_stage_seconds",
    "Time from one stage of an event to the next (seen_durable, durable_decided)",
);
/// Histogram by `effect` and `stage`.
pub const EFFECT_STAGE_SECONDS: Name = (
    "burst_agent_effect_stage_seconds",
    "Time from one stage of an effect to the next (decided_permitted, permitted_sent, sent_answered)",
);
/// Histogram.
pub const COMMIT_SECONDS: Name = ("burst_agent_commit_seconds", "Time to make a group of records durable");
/// Histogram.
pub const COMMIT_RECORDS: Name = ("burst_agent_commit_records", "Records made durable at once");
/// Gauge.
pub const DURABLE_SEQ: Name = ("burst_agent_durable_seq", "Sequence number of the last durable record");
/// Gauge.
pub const APPLIED_SEQ: Name = ("burst_agent_applied_seq", "Sequence number of the last applied record");
/// Gauge.
pub const SNAPSHOT_SEQ: Name = ("burst_agent_snapshot_seq", "Sequence number of the last durable snapshot");
/// Counter.
pub const WATCH_RESTARTS: Name = ("burst_agent_watch_restarts", "Watches begun again");
/// Counter.
pub const RELISTS: Name = ("burst_agent_relists", "Lists read because a watch could not be resumed");
/// Counter.
pub const BAD_OBJECTS: Name = ("burst_agent_bad_objects", "Objects left out because they could not be read");
/// Counter by `bucket`.
pub const THROTTLED: Name =
    ("burst_agent_throttled", "Calls that the other side refused as too many, by bucket");
/// Gauge.
pub const QUEUE_DEPTH: Name = ("burst_agent_queue_depth", "Reports that wait for the run loop");
/// Gauge.
pub const BRAKE_HELD: Name = ("burst_agent_brake_held", "Deletions held by the mass-delete brake");
/// Gauge by `state`.
pub const PODS: Name = ("burst_agent_pods", "Pods known, by state");
/// Gauge by `effect`.
pub const OUTSTANDING_EFFECTS: Name =
    ("burst_agent_outstanding_effects", "Effects that have not ended, by effect");
/// Gauge by `size`, `zone` and `state`, of the sizes alone that are sold out: at most as many as there are circuits.
pub const CIRCUITS: Name = (
    "burst_agent_circuits",
    "Sizes that the cloud has no room for, by size, zone and state (open, half_open)",
);
/// Gauge by `size` and `zone`, of the same.
pub const CIRCUIT_WAITING_PODS: Name =
    ("burst_agent_circuit_waiting_pods", "Pods that wait for room in the cloud, by size and zone");
/// Gauge by `reason`.
pub const HELD_PODS: Name = ("burst_agent_held_pods", "Pods for which a step is held back, by reason");

/// Counter by `page` and `code`.
pub const KUBELET_REQUESTS: Name =
    ("burst_agent_kubelet_requests", "Requests to the kubelet API, by page and status code");
/// Gauge by `state`.
pub const KUBELET_CONNECTIONS: Name = (
    "burst_agent_kubelet_connections",
    "Connections to the kubelet API that are open, by state (a stranger was allowed nothing yet)",
);
/// Gauge by `kind`.
pub const KUBELET_STREAMS: Name = (
    "burst_agent_kubelet_streams",
    "Streams of the kubelet API that are open, by kind (a session is an exec or an attach)",
);

/// Gauge by `namespace`, `pod` and `uid`, on the page of pods.
pub const POD_ASKED_CPU_CORES: Name =
    ("burst_agent_pod_asked_cpu_cores", "CPU that the containers of the pod ask for");
/// The same.
pub const POD_ASKED_MEMORY_BYTES: Name =
    ("burst_agent_pod_asked_memory_bytes", "Memory that the containers of the pod ask for");
/// The same.
pub const POD_BILLED_CPU_CORES: Name = ("burst_agent_pod_billed_cpu_cores", "CPU that the pod is billed for");
/// The same.
pub const POD_BILLED_MEMORY_BYTES: Name =
    ("burst_agent_pod_billed_memory_bytes", "Memory that the pod is billed for");
/// The same, with the `rules` that decided.
pub const POD_SIZE_ADJUSTED: Name =
    ("burst_agent_pod_size_adjusted", "Pods that are billed for another size than they asked for, by rules");

/// The values of `event`: every [`engine::Event::name`].
pub const EVENT_VALUES: [&str; 15] = [
    "started",
    "policy_changed",
    "tick",
    "pod_observed",
    "pod_gone",
    "pods_listed",
    "cloud_pod_observed",
    "cloud_pod_missing",
    "effect_finished",
    "node_gone",
    "operator_commanded",
    "object_observed",
    "object_gone",
    "cloud_object_observed",
    "cloud_object_missing",
];

/// The values of `effect`: every [`engine::EffectKind::name`].
pub const EFFECT_VALUES: [&str; 14] = [
    "create_cloud_pod",
    "delete_cloud_pod",
    "look_up_cloud_pod",
    "list_cloud_pods",
    "ensure_cloud_namespace",
    "patch_pod_status",
    "release_pod",
    "look_up_pod",
    "emit_notice",
    "patch_node",
    "patch_cloud_pod",
    "sync_object",
    "read_cloud_events",
    "tell_cloud_event",
];

/// The values of `code` that are there from the start, so that the first denial is a rise.
pub const KUBELET_CODE_VALUES: [u16; 5] = [200, 401, 403, 429, 500];

/// The values of `outcome`.
pub const OUTCOME_VALUES: [&str; 4] = ["done", "refused", "later", "unknown"];

/// The values of `state`: every [`engine::Pod::cloud_state`].
pub const STATE_VALUES: [&str; 7] = ["unproven", "never", "unknown", "present", "doubted", "ending", "gone"];

/// The values of `reason`: every [`engine::HoldReason::name`].
pub const HOLD_VALUES: [&str; 6] =
    ["kubernetes_not_listed", "cloud_not_listed", "brake", "operator_action", "objects_missing", "capacity"];
