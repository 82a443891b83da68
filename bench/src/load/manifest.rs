//! The pods of a load test, as they are created.

use serde_json::{Value, json};

/// The label by which the pods of one run are known.
pub(crate) const RUN_LABEL: &str = "burst-agent.io/bench-run";

/// A pod that is bound to `node` from the start: the scheduler is not what is measured.
pub(crate) fn pod(name: &str, run: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {RUN_LABEL: run}},
        "spec": {
            "nodeName": node,
            "tolerations": [{"operator": "Exists"}],
            // A deletion is over as soon as both sides have let go of the pod. 0 would take it from the API
            // server at once, and the agent would have nothing to release.
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // The smallest size that both generations of the cloud take as it is.
            "containers": [{
                "name": "main",
                "image": "registry.example/bench:1",
                "resources": {
                    "requests": {"cpu": "250m", "memory": "1Gi"},
                    "limits": {"cpu": "250m", "memory": "1Gi"},
                },
            }],
        },
    })
}

/// The name of the pod at a place of the plan.
pub(crate) fn pod_name(run: &str, place: u32) -> String {
    format!("bench-{run}-{place}")
}

/// The place of a pod in the plan, by its name.
pub(crate) fn place_of(name: &str) -> Option<u32> {
    name.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_place() {
        assert_eq!(place_of(&pod_name("0f3c", 199_999)), Some(199_999));
        assert_eq!(place_of("web"), None);
    }
}
