//! The Kubernetes side against an API server that answers from a script, and against recorded bodies; and where
//! an effect concerns both sides, with a cloud of the same kind.

mod bounds;
mod node;
mod notices;
mod recorded;
mod rendered;
mod server;
mod services;
mod sides;
mod tokens;
mod watch;
mod writes;

use engine::{PodRef, Uid};
use serde_json::{Value, json};

/// A recorded body.
macro_rules! recording {
    ($name:literal) => {
        include_str!(concat!("../recordings/kubernetes/", $name))
    };
}
pub(crate) use recording;

/// A pod of namespace `shop`, as the API server has it before anybody wrote its status.
fn pod(name: &str, uid: &str, resource_version: &str) -> Value {
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": uid,
            "resourceVersion": resource_version,
        },
        "spec": { "nodeName": "burst", "containers": [{ "name": "app", "image": "busybox", "resources": { "limits": { "cpu": "1" } } }] },
        "status": { "phase": "Pending", "qosClass": "BestEffort" },
    })
}

fn pod_ref(name: &str, uid: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: Uid(uid.into()) }
}
