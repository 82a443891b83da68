//! A pod's status as the patch that makes the API server's equal to it.
//!
//! The patch is a strategic merge: conditions merge by type, so that those of others survive; lists of
//! containers are atomic and replaced; addresses merge by address, so they carry the directive to replace.
//! What is empty is sent as `null`, which clears it.

use engine::{Condition, ConditionKind, ContainerState, ContainerStatus, Phase, PodRef, PodStatus, Truth};
use serde_json::{Map, Value, json};

/// The body of a `PATCH …/status`. The UID and the resource version make the API server refuse it when the
/// pod is another one, or has changed (virtual-kubelet rule VK-S5).
#[must_use]
pub fn status_patch(pod: &PodRef, resource_version: &str, status: &PodStatus) -> Value {
    json!({
        "metadata": { "uid": pod.uid.0, "resourceVersion": resource_version },
        "status": render_status(status),
    })
}

/// The `status` of the patch.
#[must_use]
pub fn render_status(status: &PodStatus) -> Value {
    let host_ip = Some(&*status.host_ip).filter(|ip| !ip.is_empty());
    json!({
        "phase": render_phase(status.phase),
        "reason": text_or_null(&status.reason),
        "message": text_or_null(&status.message),
        "hostIP": text_or_null(&status.host_ip),
        // The API server refuses a hostIP that is not the first of the hostIPs.
        "hostIPs": render_ips(host_ip.into_iter()),
        "podIP": text_or_null(status.pod_ips.first().map_or("", String::as_str)),
        "podIPs": render_ips(status.pod_ips.iter().map(String::as_str)),
        "startTime": status.start_time_s.and_then(rfc3339),
        "conditions": ConditionKind::ALL.map(|kind| render_condition(kind, status.condition(kind))),
        "initContainerStatuses": render_containers(&status.init_containers),
        "containerStatuses": render_containers(&status.containers),
        "ephemeralContainerStatuses": render_containers(&status.ephemeral_containers),
    })
}

/// Seconds since the epoch as Kubernetes writes times; `None` outside the years that RFC 3339 can name.
#[must_use]
pub fn rfc3339(time_s: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(time_s).ok()?;
    let year = time.to_zoned(jiff::tz::TimeZone::UTC).year();
    (0..=9999).contains(&year).then(|| time.to_string())
}

/// The `status.phase` of the API.
#[must_use]
pub fn render_phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Unknown => "Unknown",
    }
}

/// The `status` of a condition.
#[must_use]
pub fn render_truth(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    }
}

fn text_or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

fn render_ips<'a>(ips: impl Iterator<Item = &'a str>) -> Value {
    let mut ips = ips.peekable();
    if ips.peek().is_none() {
        return Value::Null;
    }
    let replace = std::iter::once(json!({ "$patch": "replace" }));
    replace.chain(ips.map(|ip| json!({ "ip": ip }))).collect()
}

/// A condition of ours that the status does not have is taken away: a merge would keep it for ever.
fn render_condition(kind: ConditionKind, condition: Option<&Condition>) -> Value {
    let Some(condition) = condition else {
        return json!({ "$patch": "delete", "type": kind.as_str() });
    };
    let mut json = json!({
        "type": kind.as_str(),
        "status": render_truth(condition.status),
        "reason": text_or_null(&condition.reason),
        "message": text_or_null(&condition.message),
    });
    if condition.since_s != 0 {
        json["lastTransitionTime"] = json!(rfc3339(condition.since_s));
    }
    json
}

fn render_containers(containers: &[ContainerStatus]) -> Value {
    if containers.is_empty() { Value::Null } else { containers.iter().map(render_container).collect() }
}

fn render_container(container: &ContainerStatus) -> Value {
    let mut json = json!({
        "name": container.name,
        "image": container.image,
        "imageID": container.image_id,
        "ready": container.ready,
        "restartCount": container.restart_count,
        "state": render_state(&container.state),
        "lastState": container.last_state.as_deref().map_or_else(|| json!({}), render_state),
    });
    if let Some(members) = json.as_object_mut() {
        insert_text(members, "containerID", &container.container_id);
        if let Some(started) = container.started {
            members.insert("started".to_owned(), started.into());
        }
    }
    json
}

fn render_state(state: &ContainerState) -> Value {
    let mut members = Map::new();
    let kind = match state {
        ContainerState::Waiting { reason, message } => {
            insert_text(&mut members, "reason", reason);
            insert_text(&mut members, "message", message);
            "waiting"
        }
        ContainerState::Running { started_at_s } => {
            insert_time(&mut members, "startedAt", *started_at_s);
            "running"
        }
        ContainerState::Terminated {
            exit_code,
            signal,
            reason,
            message,
            started_at_s,
            finished_at_s,
            container_id,
        } => {
            members.insert("exitCode".to_owned(), (*exit_code).into());
            if *signal != 0 {
                members.insert("signal".to_owned(), (*signal).into());
            }
            insert_text(&mut members, "reason", reason);
            insert_text(&mut members, "message", message);
            insert_time(&mut members, "startedAt", *started_at_s);
            insert_time(&mut members, "finishedAt", *finished_at_s);
            insert_text(&mut members, "containerID", container_id);
            "terminated"
        }
    };
    json!({ kind: members })
}

fn insert_text(members: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        members.insert(name.to_owned(), text.into());
    }
}

fn insert_time(members: &mut Map<String, Value>, name: &str, time_s: Option<i64>) {
    if let Some(time) = time_s.and_then(rfc3339) {
        members.insert(name.to_owned(), time.into());
    }
}
