//! A pod as JSON (CCI API, create pod and list pods: the samples).

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Container, Pod, Stage};
use crate::world::cloud::chance::mixed;
use crate::world::cloud::profile::Generation;
use crate::world::cloud::time::rfc3339;

/// What keeps a pod until its bill is written.
const FINALIZER: &str = "billing.kubernetes.io/podbilling-finalizer";

#[derive(Serialize)]
struct Object<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: &'a RawValue,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
    resource_version: String,
    creation_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_grace_period_seconds: Option<u32>,
    labels: &'a std::collections::BTreeMap<String, String>,
    annotations: &'a std::collections::BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_references: Option<&'a RawValue>,
    finalizers: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Status<'a> {
    Written(&'a RawValue),
    Derived(Value),
}

/// The whole object.
pub(super) fn body(pod: &Pod, revision: u64) -> Bytes {
    let object = Object {
        api_version: pod.key.generation.profile().core_version,
        kind: "Pod",
        metadata: Metadata {
            name: &pod.key.name,
            namespace: &pod.key.namespace,
            uid: &pod.uid,
            resource_version: revision.to_string(),
            creation_timestamp: rfc3339(pod.created_us),
            deletion_timestamp: pod.deletion.map(|deletion| rfc3339(deletion.at_us)),
            deletion_grace_period_seconds: pod.deletion.map(|deletion| deletion.grace_s),
            labels: &pod.labels,
            annotations: &pod.annotations,
            owner_references: pod.owner_references.as_deref(),
            finalizers: [FINALIZER],
        },
        spec: &pod.spec,
        status: pod.status_written.as_deref().map_or_else(|| Status::Derived(status(pod)), Status::Written),
    };
    serde_json::to_vec(&object).expect("strings, numbers and JSON serialise").into()
}

fn status(pod: &Pod) -> Value {
    let mut status = json!({"phase": pod.phase(), "qosClass": "Guaranteed"});
    let Some(placement) = pod.placement else {
        return status;
    };
    status["startTime"] = rfc3339(placement.at_us).into();
    if pod.key.generation == Generation::One {
        status["hostIP"] = pod.host_ip().into();
    }
    if let Stage::Broken { reason } = &pod.stage {
        status["reason"] = reason.as_str().into();
        status["message"] = "Failed to create pod sandbox in underlay: insufficient resource".into();
    } else if pod.stage != Stage::Creating {
        let ip = pod.ip();
        status["podIPs"] = json!([{"ip": ip}]);
        status["podIP"] = ip.into();
    }
    status["conditions"] = conditions(pod, placement.at_us);
    let statuses = |containers: &[Container], init| -> Value {
        let numbered = containers.iter().enumerate();
        numbered.map(|(index, container)| container_status(pod, container, index as u64, init)).collect()
    };
    status["containerStatuses"] = statuses(&pod.containers, false);
    if !pod.init_containers.is_empty() {
        status["initContainerStatuses"] = statuses(&pod.init_containers, true);
    }
    status
}

fn conditions(pod: &Pod, placed_us: u64) -> Value {
    let (ready, since_us, reason) = match &pod.stage {
        Stage::Running => (true, pod.started_us, ""),
        Stage::Ended if pod.exit_code == 0 => (false, pod.last_run_us.1, "PodCompleted"),
        Stage::Restarting | Stage::Ended | Stage::Broken { .. } => {
            (false, pod.last_run_us.1, "ContainersNotReady")
        }
        Stage::Accepted | Stage::Creating | Stage::PullFailed { .. } => {
            (false, placed_us, "ContainersNotReady")
        }
    };
    let initialized = match &pod.stage {
        Stage::Running | Stage::Restarting | Stage::Ended => true,
        Stage::Accepted | Stage::Creating | Stage::PullFailed { .. } | Stage::Broken { .. } => {
            pod.init_containers.is_empty()
        }
    };
    let condition = |kind: &str, holds: bool, since_us: u64, reason: &str| {
        let mut condition = json!({
            "type": kind, "status": if holds { "True" } else { "False" },
            "lastProbeTime": null, "lastTransitionTime": rfc3339(since_us),
        });
        if !holds {
            condition["reason"] = reason.into();
        }
        condition
    };
    json!([
        condition("Initialized", initialized, placed_us, "ContainersNotInitialized"),
        condition("Ready", ready, since_us, reason),
        condition("ContainersReady", ready, since_us, reason),
        condition("PodScheduled", true, placed_us, ""),
    ])
}

fn container_status(pod: &Pod, container: &Container, index: u64, init: bool) -> Value {
    let running = pod.stage == Stage::Running && !init;
    let restarts = if init { 0 } else { pod.restarts };
    let position = index << 1 | u64::from(init);
    let mut status = json!({
        "name": container.name, "image": container.image, "imageID": "", "ready": running,
        "started": running, "restartCount": restarts, "lastState": {}, "state": {},
    });
    let waiting = |reason: &str, message: &str| {
        let mut state = json!({"waiting": {"reason": reason}});
        if !message.is_empty() {
            state["waiting"]["message"] = message.into();
        }
        state
    };
    let ended = |restarts| terminated(pod, &container_id(pod, position, restarts), init);
    status["state"] = match &pod.stage {
        Stage::Accepted | Stage::Creating | Stage::Broken { .. } => waiting("ContainerCreating", ""),
        Stage::PullFailed { backing_off: true } if container.pull_fails => {
            waiting("ImagePullBackOff", &format!("Back-off pulling image \"{}\"", container.image))
        }
        Stage::PullFailed { .. } if container.pull_fails => waiting("ErrImagePull", &pull_message(container)),
        Stage::PullFailed { .. } => waiting("ContainerCreating", ""),
        Stage::Running | Stage::Restarting | Stage::Ended if init => {
            status["ready"] = true.into();
            ended(0)
        }
        Stage::Running => json!({"running": {"startedAt": rfc3339(pod.started_us)}}),
        Stage::Restarting => {
            let wait_s = pod.restart_wait_us() / 1_000_000;
            waiting("CrashLoopBackOff", &format!("back-off {wait_s}s restarting failed container"))
        }
        Stage::Ended => ended(restarts),
    };
    if matches!(pod.stage, Stage::Running | Stage::Restarting | Stage::Ended) {
        status["containerID"] = container_id(pod, position, restarts).into();
        status["imageID"] = container.image_id.as_str().into();
    }
    if pod.stage == Stage::Restarting && !init {
        status["lastState"] = ended(restarts);
    } else if restarts > 0 {
        status["lastState"] = ended(restarts - 1);
    }
    status
}

fn pull_message(container: &Container) -> String {
    format!(
        "rpc error: code = Unknown desc = failed to pull and unpack image \"{}\": dial tcp 100.125.0.1:443: i/o timeout",
        container.image
    )
}

/// A run that is over. Of runs before the last one only the last end is known, so its time stands for all.
fn terminated(pod: &Pod, container_id: &str, init: bool) -> Value {
    let (exit_code, started_us, ended_us) = if init {
        (0, pod.placement.map_or(0, |placement| placement.at_us), pod.initialized_us)
    } else {
        (pod.exit_code, pod.last_run_us.0, pod.last_run_us.1)
    };
    json!({"terminated": {
        "exitCode": exit_code,
        "reason": if exit_code == 0 { "Completed" } else { "Error" },
        "startedAt": rfc3339(started_us),
        "finishedAt": rfc3339(ended_us),
        "containerID": container_id,
    }})
}

fn container_id(pod: &Pod, position: u64, restarts: u32) -> String {
    let seed = mixed(pod.id_seed, position << 32 | u64::from(restarts));
    (0..4).fold("containerd://".to_owned(), |id, part| format!("{id}{:016x}", mixed(seed, part)))
}
