//! What is read of a pod's JSON, and the facts that come of it.

use std::borrow::Cow;

use engine::{
    Condition, ConditionKind, ContainerState, ContainerStatus, Deletion, ObjectUse, Phase, PodFacts, PodRef,
    PodStatus, RestartPolicy, Truth, Uid,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3Default;

use super::BadObject;
use crate::objects::{ImpliedNeeds, SpecObjects};
use crate::place;

/// Longest namespace and name of an object: a DNS subdomain (Kubernetes API conventions, names).
pub(super) const NAME_BYTES_MAX: usize = 253;
/// Longest UID we take: API servers make 36 characters, and a front of one may make them longer.
pub(super) const UID_BYTES_MAX: usize = 128;
/// Longest resource version we take: API servers make decimal numbers of 64 bits.
pub(crate) const RESOURCE_VERSION_BYTES_MAX: usize = 128;
/// Most readiness gates we take: their names go into the log, whose frames are bounded.
const READINESS_GATES_MAX: usize = 64;
/// Longest condition type: a label key, prefix included.
const CONDITION_TYPE_BYTES_MAX: usize = 317;

#[derive(Deserialize)]
pub(super) struct LeanPod<'a> {
    #[serde(borrow)]
    pub(super) metadata: LeanMetadata<'a>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "null_is_default")]
    status: LeanStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LeanMetadata<'a> {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    pub(super) resource_version: String,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    #[serde(borrow, default)]
    labels: Option<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeanSpec<'a> {
    #[serde(borrow, default)]
    restart_policy: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default")]
    readiness_gates: Vec<ReadinessGate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadinessGate {
    condition_type: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LeanStatus {
    #[serde(deserialize_with = "null_is_default")]
    phase: String,
    #[serde(deserialize_with = "null_is_default")]
    reason: String,
    #[serde(deserialize_with = "null_is_default")]
    message: String,
    #[serde(rename = "hostIP", deserialize_with = "null_is_default")]
    host_ip: String,
    #[serde(rename = "podIP", deserialize_with = "null_is_default")]
    pod_ip: String,
    #[serde(rename = "podIPs", deserialize_with = "null_is_default")]
    pod_ips: Vec<Ip>,
    start_time: Option<Time>,
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<LeanCondition>,
    #[serde(deserialize_with = "null_is_default")]
    init_container_statuses: Vec<LeanContainer>,
    #[serde(deserialize_with = "null_is_default")]
    container_statuses: Vec<LeanContainer>,
    #[serde(deserialize_with = "null_is_default")]
    ephemeral_container_statuses: Vec<LeanContainer>,
}

#[derive(Deserialize)]
struct Ip {
    ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeanCondition {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    status: String,
    #[serde(default, deserialize_with = "null_is_default")]
    reason: String,
    #[serde(default, deserialize_with = "null_is_default")]
    message: String,
    last_transition_time: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeanContainer {
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    image: String,
    #[serde(rename = "imageID", deserialize_with = "null_is_default")]
    image_id: String,
    #[serde(rename = "containerID", deserialize_with = "null_is_default")]
    container_id: String,
    #[serde(deserialize_with = "null_is_default")]
    ready: bool,
    started: Option<bool>,
    #[serde(deserialize_with = "null_is_default")]
    restart_count: i64,
    #[serde(deserialize_with = "null_is_default")]
    state: LeanState,
    #[serde(deserialize_with = "null_is_default")]
    last_state: LeanState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LeanState {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    exit_code: i32,
    signal: i32,
    reason: String,
    message: String,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    #[serde(rename = "containerID")]
    container_id: String,
}

/// Seconds since the epoch, from RFC 3339.
struct Time(i64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        struct Rfc3339;
        impl serde::de::Visitor<'_> for Rfc3339 {
            type Value = Time;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a time of RFC 3339")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                let time: jiff::Timestamp = text.parse().map_err(|_| E::custom("not a time of RFC 3339"))?;
                Ok(Time(time.as_second()))
            }
        }
        deserializer.deserialize_str(Rfc3339)
    }
}

/// Go writes an empty list or map as `null` where its type has no `omitempty`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

pub(super) fn identity_fault(pod: &PodRef) -> Option<&'static str> {
    let fits = |text: &str, bytes_max: usize| !text.is_empty() && text.len() <= bytes_max;
    if !fits(&pod.uid.0, UID_BYTES_MAX) {
        return Some("no usable uid");
    }
    let named = fits(&pod.namespace, NAME_BYTES_MAX) && fits(&pod.name, NAME_BYTES_MAX);
    (!named).then_some("no usable namespace or name")
}

impl LeanPod<'_> {
    pub(super) fn identity(&self) -> Result<PodRef, BadObject> {
        let metadata = &self.metadata;
        let pod = PodRef {
            namespace: metadata.namespace.as_str().into(),
            name: metadata.name.as_str().into(),
            uid: Uid(metadata.uid.as_str().into()),
        };
        match identity_fault(&pod) {
            None => Ok(pod),
            Some(fault) => Err(self.bad(fault)),
        }
    }

    pub(super) fn bad(&self, fault: &str) -> BadObject {
        let within = |text: &String, bytes_max: usize| {
            if text.len() <= bytes_max { text.clone() } else { String::new() }
        };
        BadObject {
            namespace: within(&self.metadata.namespace, NAME_BYTES_MAX),
            name: within(&self.metadata.name, NAME_BYTES_MAX),
            uid: Uid(within(&self.metadata.uid, UID_BYTES_MAX).into()),
            resource_version: within(&self.metadata.resource_version, RESOURCE_VERSION_BYTES_MAX),
            fault: fault.to_owned(),
        }
    }

    pub(super) fn facts(self, implied: ImpliedNeeds) -> Result<PodFacts, BadObject> {
        let pod = self.identity()?;
        let version_bytes = self.metadata.resource_version.len();
        if version_bytes == 0 || version_bytes > RESOURCE_VERSION_BYTES_MAX {
            return Err(self.bad("no usable resourceVersion"));
        }
        let spec: LeanSpec<'_> = match self.spec.map(|spec| serde_json::from_str(spec.get())) {
            None => return Err(self.bad("no spec")),
            Some(Err(error)) => return Err(self.bad(&format!("spec: {}", place(&error)))),
            Some(Ok(spec)) => spec,
        };
        let gates = &spec.readiness_gates;
        if gates.len() > READINESS_GATES_MAX
            || gates.iter().any(|gate| gate.condition_type.len() > CONDITION_TYPE_BYTES_MAX)
        {
            return Err(self.bad("too many readiness gates"));
        }

        let objects = match self.objects(&pod, implied) {
            Ok(objects) => objects,
            Err(fault) => return Err(self.bad(&fault)),
        };
        let spec_digest = self.spec_digest();
        let is_open = |gate: &&ReadinessGate| {
            self.status.conditions.iter().any(|one| one.kind == gate.condition_type && one.status == "True")
        };
        let closed = gates.iter().filter(|gate| !is_open(gate));
        let closed_gates = closed.map(|gate| gate.condition_type.clone()).collect();
        let deletion = self.metadata.deletion_timestamp.as_ref().map(|at| Deletion {
            grace_s: self.metadata.deletion_grace_period_seconds.unwrap_or(0).clamp(0, u32::MAX.into())
                as u32,
            at_s: at.0,
        });
        let status = self.status.into_status();
        Ok(PodFacts {
            pod,
            resource_version: self.metadata.resource_version,
            phase: status.phase,
            status_digest: status.digest(),
            restart_policy: match &*spec.restart_policy {
                "OnFailure" => RestartPolicy::OnFailure,
                "Never" => RestartPolicy::Never,
                _ => RestartPolicy::Always,
            },
            deletion,
            spec_digest,
            closed_gates,
            readiness_gates: spec.readiness_gates.into_iter().map(|gate| gate.condition_type).collect(),
            objects: objects.into(),
            // What is waited for in the cloud is read by who knows the cloud.
            room: None,
        })
    }

    /// Read apart from the rest: to skip what one is not after costs little, and the two are understood by themselves.
    fn objects(&self, pod: &PodRef, implied: ImpliedNeeds) -> Result<Vec<ObjectUse>, String> {
        let Some(spec) = self.spec else { return Ok(Vec::new()) };
        let objects: SpecObjects<'_> =
            serde_json::from_str(spec.get()).map_err(|error| format!("spec: {}", place(&error)))?;
        objects.uses(pod, implied).map_err(str::to_owned)
    }

    /// Over the raw text, which one API server always writes the same way. Another version of the server may
    /// add a default: then the digest changes once, and the pod is looked at once more.
    pub(super) fn spec_digest(&self) -> u64 {
        let mut hasher = Xxh3Default::new();
        for part in [self.spec, self.metadata.labels, self.metadata.annotations] {
            hasher.update(part.map_or("", RawValue::get).as_bytes());
            hasher.update(&[0]);
        }
        hasher.digest()
    }
}

impl LeanStatus {
    pub(super) fn into_status(self) -> PodStatus {
        let mut pod_ips: Vec<String> = self.pod_ips.into_iter().filter_map(|ip| ip.ip).collect();
        if pod_ips.is_empty() && !self.pod_ip.is_empty() {
            pod_ips.push(self.pod_ip);
        }
        let mut conditions: Vec<Condition> =
            self.conditions.into_iter().filter_map(LeanCondition::into_condition).collect();
        conditions.sort_by_key(|condition| condition.kind);
        let containers =
            |list: Vec<LeanContainer>| list.into_iter().map(LeanContainer::into_container).collect();
        PodStatus {
            phase: parse_phase(&self.phase),
            reason: self.reason,
            message: self.message,
            host_ip: self.host_ip.into(),
            pod_ips,
            start_time_s: seconds(self.start_time),
            conditions,
            init_containers: containers(self.init_container_statuses),
            containers: containers(self.container_statuses),
            ephemeral_containers: containers(self.ephemeral_container_statuses),
        }
    }
}

/// A pod without a phase was never written to: it is pending.
fn parse_phase(phase: &str) -> Phase {
    match phase {
        "" | "Pending" => Phase::Pending,
        "Running" => Phase::Running,
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        _ => Phase::Unknown,
    }
}

fn seconds(time: Option<Time>) -> Option<i64> {
    time.map(|time| time.0)
}

impl LeanCondition {
    /// `None` for a condition that is not a node agent's.
    fn into_condition(self) -> Option<Condition> {
        let kind = ConditionKind::ALL.into_iter().find(|kind| kind.as_str() == self.kind)?;
        Some(Condition {
            kind,
            status: match &*self.status {
                "True" => Truth::True,
                "False" => Truth::False,
                _ => Truth::Unknown,
            },
            reason: self.reason,
            message: self.message,
            since_s: seconds(self.last_transition_time).unwrap_or(0),
        })
    }
}

impl LeanContainer {
    fn into_container(self) -> ContainerStatus {
        let not_started = || ContainerState::Waiting { reason: String::new(), message: String::new() };
        ContainerStatus {
            name: self.name,
            image: self.image,
            image_id: self.image_id,
            container_id: self.container_id,
            ready: self.ready,
            started: self.started,
            restart_count: self.restart_count.clamp(0, u32::MAX.into()) as u32,
            // The API's own reading of a state with no member set.
            state: self.state.into_state().unwrap_or_else(not_started),
            last_state: self.last_state.into_state().map(Box::new),
        }
    }
}

impl LeanState {
    fn into_state(self) -> Option<ContainerState> {
        if let Some(running) = self.running {
            return Some(ContainerState::Running { started_at_s: seconds(running.started_at) });
        }
        if let Some(ended) = self.terminated {
            return Some(ContainerState::Terminated {
                exit_code: ended.exit_code,
                signal: ended.signal,
                reason: ended.reason,
                message: ended.message,
                started_at_s: seconds(ended.started_at),
                finished_at_s: seconds(ended.finished_at),
                container_id: ended.container_id,
            });
        }
        let waiting = self.waiting?;
        Some(ContainerState::Waiting { reason: waiting.reason, message: waiting.message })
    }
}
