//! A cloud pod's JSON, read into facts. Unknown fields, phases and states never fail it.

use engine::{
    CloudFacts, CloudName, Condition, ConditionKind, ContainerState, ContainerStatus, Phase, PodStatus, Truth,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::bounds::{CONTAINERS_MAX, POD_IPS_MAX, container_name, fit, is_address};
use super::mark::{Annotations, ID_CHARS_MAX, Mark, Ownership};
use super::sent::spec_digest;
use crate::{cut, place};

/// Set by the built-in cloud to the microsecond; the real one tells times to the second only.
const CHANGED_AT_US: &str = "simulator.burst-agent.io/changed-at-us";

/// A pod that was seen.
#[derive(Debug, PartialEq)]
pub(in crate::cci) enum Sighting {
    /// It is ours.
    Ours(Box<CloudFacts>),
    /// It is somebody else's, and whose it seems to be.
    Foreign(String),
    /// It is ours, or may be, and cannot be read.
    Unreadable(String),
    /// It lies in another namespace than the one asked for.
    Elsewhere,
}

/// A page of a list.
#[derive(Debug)]
pub(in crate::cci) struct ListPage<'a> {
    /// `PodList` or `List`.
    pub kind: String,
    /// Where the next page begins; empty on the last page.
    pub next: String,
    pub items: Vec<&'a RawValue>,
}

/// `null` where a value is expected means "nothing".
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Reads a page.
///
/// # Errors
/// When this is not a list of pods: a list that is not understood is never an empty one.
pub(in crate::cci) fn read_page(body: &[u8]) -> Result<ListPage<'_>, String> {
    read_list(body, "PodList")
}

/// Splits a page of a list of this kind, as [`read_page`].
///
/// # Errors
/// When this is not such a list.
pub(in crate::cci) fn read_list<'a>(body: &'a [u8], kind: &str) -> Result<ListPage<'a>, String> {
    #[derive(Deserialize)]
    struct Page<'a> {
        kind: String,
        #[serde(default, deserialize_with = "or_default")]
        metadata: ListMeta,
        // A server in Go writes null for a list that it never put anything into.
        #[serde(borrow, deserialize_with = "or_default")]
        items: Vec<&'a RawValue>,
    }
    #[derive(Default, Deserialize)]
    struct ListMeta {
        #[serde(default, rename = "continue", deserialize_with = "or_default")]
        next: String,
    }
    let page: Page<'_> =
        serde_json::from_slice(body).map_err(|error| format!("not a list: {}", place(&error)))?;
    if page.kind != kind && page.kind != "List" {
        return Err(cut(&format!("a {} in place of a list", page.kind)));
    }
    Ok(ListPage { kind: page.kind, next: page.metadata.next, items: page.items })
}

/// Reads a pod that stands alone or in a list.
pub(in crate::cci) fn read_pod(mark: &Mark, namespace: &str, json: &[u8]) -> Sighting {
    // The head first: a pod that cannot be read whole must not be taken for somebody else's.
    let head: Head = match serde_json::from_slice(json) {
        Ok(head) => head,
        Err(error) => return Sighting::Unreadable(place(&error)),
    };
    let name_chars = head.metadata.name.len();
    // Items of a `PodList` may leave their kind out.
    if !matches!(head.kind.as_str(), "Pod" | "") || name_chars == 0 || name_chars > ID_CHARS_MAX {
        return Sighting::Unreadable(cut(&format!("a {:?} in place of a pod", head.kind)));
    }
    if head.metadata.namespace != namespace {
        return Sighting::Elsewhere;
    }
    let owner = match mark.read(&head.metadata.annotations) {
        Ownership::Ours(owner) => owner,
        Ownership::Foreign(message) => return Sighting::Foreign(message),
        Ownership::Unreadable => return Sighting::Unreadable("its mark names no pod".to_owned()),
    };
    let body: Body = match serde_json::from_slice(json) {
        Ok(body) => body,
        Err(error) => return Sighting::Unreadable(place(&error)),
    };
    if head.metadata.uid.is_empty() || head.metadata.uid.len() > ID_CHARS_MAX {
        return Sighting::Unreadable("it has no usable uid".to_owned());
    }
    let changed_at_us = head.metadata.annotations.get(CHANGED_AT_US).and_then(Option::as_deref);
    let changed_at_us = changed_at_us.and_then(|text| text.parse().ok());
    let status = body.status;
    Sighting::Ours(Box::new(CloudFacts {
        name: CloudName(head.metadata.name.into()),
        cloud_uid: head.metadata.uid.into(),
        owner,
        deleting: head.metadata.deletion_timestamp.is_some(),
        changed_at_us: changed_at_us.unwrap_or_else(|| status.changed_at_us()),
        spec_digest: spec_digest(&head.metadata.annotations),
        status: status.into_facts(),
    }))
}

/// Reads a pod's annotations; none of what is no pod.
pub(in crate::cci) fn read_annotations(json: &[u8]) -> Annotations {
    serde_json::from_slice(json).map(|head: Head| head.metadata.annotations).unwrap_or_default()
}

#[derive(Deserialize)]
struct Head {
    #[serde(default, deserialize_with = "or_default")]
    kind: String,
    metadata: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    namespace: String,
    #[serde(default, deserialize_with = "or_default")]
    uid: String,
    #[serde(default, deserialize_with = "or_default")]
    annotations: Annotations,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "or_default")]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pod_ips: Vec<PodIp>,
    start_time: Option<Time>,
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<RawCondition>,
    #[serde(deserialize_with = "or_default")]
    init_container_statuses: Vec<RawContainer>,
    #[serde(deserialize_with = "or_default")]
    container_statuses: Vec<RawContainer>,
    #[serde(deserialize_with = "or_default")]
    ephemeral_container_statuses: Vec<RawContainer>,
}

#[derive(Deserialize)]
struct PodIp {
    #[serde(default, deserialize_with = "or_default")]
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawCondition {
    #[serde(rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    status: String,
    reason: Option<String>,
    message: Option<String>,
    last_transition_time: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawContainer {
    #[serde(deserialize_with = "or_default")]
    name: String,
    image: Option<String>,
    #[serde(rename = "imageID")]
    image_id: Option<String>,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    ready: Option<bool>,
    started: Option<bool>,
    restart_count: Option<i64>,
    state: Option<RawState>,
    last_state: Option<RawState>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawState {
    waiting: Option<RawWaiting>,
    running: Option<RawRunning>,
    terminated: Option<RawTerminated>,
}

#[derive(Deserialize)]
struct RawWaiting {
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRunning {
    started_at: Option<Time>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTerminated {
    exit_code: Option<i64>,
    signal: Option<i64>,
    reason: Option<String>,
    message: Option<String>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
}

/// The first second of the year 0: RFC 3339 has no name for what was before, and a status that holds such a time could
/// not be written as it is meant, and so would be written again and again.
const YEAR_ZERO_S: i64 = -62_167_219_200;

/// A time; nothing when it cannot be read, or not be written.
#[derive(Deserialize)]
#[serde(from = "String")]
pub(super) struct Time(Option<jiff::Timestamp>);

impl From<String> for Time {
    fn from(text: String) -> Time {
        let time = text.parse().ok();
        Time(time.filter(|time: &jiff::Timestamp| time.as_second() >= YEAR_ZERO_S))
    }
}

pub(super) fn seconds(time: &Option<Time>) -> Option<i64> {
    time.as_ref()?.0.map(|time| time.as_second())
}

fn words(text: Option<String>) -> String {
    text.map(|text| cut(&text)).unwrap_or_default()
}

impl Status {
    /// The latest time that the status names.
    fn changed_at_us(&self) -> u64 {
        let lists =
            [&self.init_container_statuses, &self.container_statuses, &self.ephemeral_container_statuses];
        let containers = lists.into_iter().flatten().filter_map(|container| container.state.as_ref());
        let times = containers.flat_map(RawState::times);
        let transitions = self.conditions.iter().map(|condition| &condition.last_transition_time);
        let latest = transitions.chain(times).filter_map(|time| time.as_ref()?.0).max();
        latest.map_or(0, |time| u64::try_from(time.as_microsecond()).unwrap_or(0))
    }

    fn into_facts(self) -> PodStatus {
        let phase = match self.phase.as_deref() {
            None | Some("" | "Pending") => Phase::Pending,
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            Some(_) => Phase::Unknown,
        };
        let mut pod_ips: Vec<String> =
            self.pod_ip.iter().chain(self.pod_ips.iter().map(|ip| &ip.ip)).cloned().collect();
        pod_ips.retain(|ip| is_address(ip));
        let mut seen = std::collections::BTreeSet::new();
        pod_ips.retain(|ip| seen.insert(ip.clone()));
        pod_ips.truncate(POD_IPS_MAX);
        let mut status = PodStatus {
            phase,
            reason: words(self.reason),
            message: words(self.message),
            host_ip: self.host_ip.filter(|ip| is_address(ip)).unwrap_or_default().into(),
            pod_ips,
            start_time_s: seconds(&self.start_time),
            conditions: conditions(self.conditions),
            init_containers: containers(self.init_container_statuses),
            containers: containers(self.container_statuses),
            ephemeral_containers: containers(self.ephemeral_container_statuses),
        };
        fit(&mut status);
        status
    }
}

/// The list without the room that was left in it: it is kept for as long as the pod is.
fn containers(raw: Vec<RawContainer>) -> Vec<ContainerStatus> {
    let mut containers = Vec::with_capacity(raw.len().min(CONTAINERS_MAX));
    containers.extend(raw.into_iter().take(CONTAINERS_MAX).map(RawContainer::into_facts));
    containers
}

/// The conditions that a node agent owns, one of each kind, in their order.
fn conditions(raw: Vec<RawCondition>) -> Vec<Condition> {
    let mut known: Vec<Condition> = Vec::with_capacity(ConditionKind::ALL.len());
    for condition in raw {
        let kind = ConditionKind::ALL.into_iter().find(|kind| kind.as_str() == condition.kind);
        let Some(kind) = kind.filter(|kind| known.iter().all(|known| known.kind != *kind)) else { continue };
        let status = match condition.status.as_str() {
            "True" => Truth::True,
            "False" => Truth::False,
            _ => Truth::Unknown,
        };
        known.push(Condition {
            kind,
            status,
            reason: words(condition.reason),
            message: words(condition.message),
            since_s: seconds(&condition.last_transition_time).unwrap_or(0),
        });
    }
    known.sort_by_key(|condition| condition.kind);
    known
}

impl RawContainer {
    fn into_facts(self) -> ContainerStatus {
        let waiting = || ContainerState::Waiting { reason: String::new(), message: String::new() };
        ContainerStatus {
            name: container_name(self.name),
            image: words(self.image),
            image_id: words(self.image_id),
            container_id: words(self.container_id),
            ready: self.ready.unwrap_or(false),
            started: self.started,
            restart_count: self.restart_count.unwrap_or(0).clamp(0, i64::from(u32::MAX)) as u32,
            state: self.state.and_then(RawState::into_facts).unwrap_or_else(waiting),
            last_state: self.last_state.and_then(RawState::into_facts).map(Box::new),
        }
    }
}

fn to_i32(number: i64) -> i32 {
    number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

impl RawState {
    fn times(&self) -> impl Iterator<Item = &Option<Time>> {
        let running = self.running.iter().map(|running| &running.started_at);
        let terminated = self.terminated.iter().flat_map(|ended| [&ended.started_at, &ended.finished_at]);
        running.chain(terminated)
    }

    /// `None` when no state is given, or one that we do not know.
    fn into_facts(self) -> Option<ContainerState> {
        if let Some(ended) = self.terminated {
            return Some(ContainerState::Terminated {
                // Without a code it did not provably end well.
                exit_code: to_i32(ended.exit_code.unwrap_or(-1)),
                signal: to_i32(ended.signal.unwrap_or(0)),
                reason: words(ended.reason),
                message: words(ended.message),
                started_at_s: seconds(&ended.started_at),
                finished_at_s: seconds(&ended.finished_at),
                container_id: words(ended.container_id),
            });
        }
        if let Some(running) = self.running {
            return Some(ContainerState::Running { started_at_s: seconds(&running.started_at) });
        }
        let waiting = self.waiting?;
        Some(ContainerState::Waiting { reason: words(waiting.reason), message: words(waiting.message) })
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
