//! How people see pods.

use serde_json::{Value, json};

use super::super::object::{integer, items, text};
use super::or_none;

/// The cells of a pod's row.
pub(super) fn cells(pod: &Value, name: &str, age: &str) -> Value {
    let statuses = items(pod, "/status/containerStatuses");
    let ready = statuses.iter().filter(|one| one["ready"] == true).count();
    let restarts: i64 = statuses.iter().filter_map(|one| one["restartCount"].as_i64()).sum();
    let gates = items(pod, "/spec/readinessGates");
    let gates_ready = gates
        .iter()
        .filter(|gate| super::super::defaults::has_condition(pod, text(gate, "/conditionType"), "True"))
        .count();
    let gates = if gates.is_empty() { "<none>".to_owned() } else { format!("{gates_ready}/{}", gates.len()) };
    json!([
        name,
        format!("{ready}/{}", items(pod, "/spec/containers").len()),
        status(pod),
        restarts.to_string(),
        age,
        or_none(text(pod, "/status/podIP")),
        or_none(text(pod, "/spec/nodeName")),
        or_none(text(pod, "/status/nominatedNodeName")),
        gates,
    ])
}

/// The one word for a pod that `kubectl get pods` shows.
fn status(pod: &Value) -> String {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return if text(pod, "/status/reason") == "NodeLost" { "Unknown" } else { "Terminating" }.to_owned();
    }
    let mut word = text(pod, "/status/reason").to_owned();
    if word.is_empty() {
        word = text(pod, "/status/phase").to_owned();
    }
    let inits = items(pod, "/status/initContainerStatuses");
    for (place, init) in inits.iter().enumerate() {
        if integer(init, "/state/terminated/exitCode") == Some(0) || init["started"] == true {
            continue;
        }
        let reason = container_reason(init).filter(|reason| reason != "PodInitializing");
        return match reason {
            Some(reason) => format!("Init:{reason}"),
            None => format!("Init:{place}/{}", items(pod, "/spec/initContainers").len()),
        };
    }
    let statuses = items(pod, "/status/containerStatuses");
    let running = statuses.iter().any(|one| one["ready"] == true && one["state"].get("running").is_some());
    let reason = statuses.iter().find_map(container_reason);
    match reason {
        Some(reason) if reason == "Completed" && running => "Running".to_owned(),
        Some(reason) => reason,
        None => word,
    }
}

fn container_reason(status: &Value) -> Option<String> {
    let waiting = text(status, "/state/waiting/reason");
    if !waiting.is_empty() {
        return Some(waiting.to_owned());
    }
    let ended = status.pointer("/state/terminated")?;
    let reason = text(ended, "/reason");
    if !reason.is_empty() {
        return Some(reason.to_owned());
    }
    let signal = integer(ended, "/signal").unwrap_or(0);
    let code = integer(ended, "/exitCode").unwrap_or(0);
    Some(if signal != 0 { format!("Signal:{signal}") } else { format!("ExitCode:{code}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_called_what_its_containers_do() {
        let pod = |told: Value| status(&json!({ "metadata": {}, "spec": {}, "status": told }));
        assert_eq!(pod(json!({ "phase": "Pending" })), "Pending");
        let waiting = json!([{ "state": { "waiting": { "reason": "ContainerCreating" } } }]);
        assert_eq!(pod(json!({ "phase": "Pending", "containerStatuses": waiting })), "ContainerCreating");
        let ended = json!([{ "state": { "terminated": { "exitCode": 3 } } }]);
        assert_eq!(pod(json!({ "phase": "Failed", "containerStatuses": ended })), "ExitCode:3");
        assert_eq!(pod(json!({ "phase": "Running", "initContainerStatuses": ended })), "Init:ExitCode:3");
    }
}
