//! What of a manifest is left out of the cloud pod, because it has no meaning there.

use serde_json::Value;

use super::manifest::Recipe;
use super::parts::{fields, items};
use crate::cci::profile::PodShape;
use crate::objects::{ServiceAccountTokens, is_token_volume, with_bound_token};

/// What nearly every pod says and CCI has no use for: it speaks of the cluster's nodes and scheduler, or the API server has
/// put it there.
const EVERYDAY: [&str; 21] = [
    "affinity",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "imagePullPolicy",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resizePolicy",
    "schedulerName",
    "schedulingGates",
    "serviceAccount",
    "serviceAccountName",
    "tolerations",
    "topologySpreadConstraints",
];

/// Of [`left_out`], what somebody may miss.
pub(in crate::cci) fn missed(recipe: &Recipe<'_>, manifest: &Value) -> Vec<String> {
    let is_everyday = |path: &String| {
        let last = path.rsplit('.').next().unwrap_or_default();
        EVERYDAY.contains(&last) || last.ends_with(']')
    };
    let mut paths = left_out(recipe, manifest);
    paths.retain(|path| !is_everyday(path));
    paths
}

/// The paths of the fields that an admitted manifest sets and its cloud pod lacks.
pub(in crate::cci) fn left_out(recipe: &Recipe<'_>, manifest: &Value) -> Vec<String> {
    let shape = recipe.shape;
    let manifest = &*with_bound_token(manifest);
    let spec = manifest.get("spec");
    let mut paths = Vec::new();
    lacking(&mut paths, "spec", spec, shape.spec);
    if recipe.choices.implied.service_variables {
        // It has said which variables the pod has.
        paths.retain(|path| path != "spec.enableServiceLinks");
    }
    let security_context = spec.and_then(|spec| spec.get("securityContext"));
    lacking(&mut paths, "spec.securityContext", security_context, shape.security_context);
    for (index, volume) in items(spec.and_then(|spec| spec.get("volumes"))).iter().enumerate() {
        if recipe.choices.implied.tokens == ServiceAccountTokens::Explicit && is_token_volume(volume) {
            paths.push(format!("spec.volumes[{index}]"));
        }
    }
    for list in ["initContainers", "containers"] {
        for (index, container) in items(spec.and_then(|spec| spec.get(list))).iter().enumerate() {
            of_container(&mut paths, &format!("spec.{list}[{index}]"), container, shape);
        }
    }
    paths
}

fn of_container(paths: &mut Vec<String>, path: &str, container: &Value, shape: &PodShape) {
    lacking(paths, path, Some(container), shape.container);
    let security_context = container.get("securityContext");
    lacking(paths, &format!("{path}.securityContext"), security_context, shape.container_security_context);
    for (list, kept) in [("ports", shape.port), ("volumeMounts", shape.volume_mount)] {
        for (index, item) in items(container.get(list)).iter().enumerate() {
            lacking(paths, &format!("{path}.{list}[{index}]"), Some(item), kept);
        }
    }
}

fn lacking(paths: &mut Vec<String>, path: &str, object: Option<&Value>, kept: &[&str]) {
    let left_out = fields(object).map(|(key, _)| key).filter(|key| !kept.contains(key));
    paths.extend(left_out.map(|key| format!("{path}.{key}")));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cci::PodChoices;
    use crate::cci::profile::Profile;
    use crate::cci::wire::Mark;
    use crate::objects::ImpliedNeeds;

    #[test]
    fn what_is_left_out_is_told_by_its_path() {
        let manifest = json!({"spec": {
            "nodeSelector": {"a": "b"}, "restartPolicy": "Never",
            "securityContext": {"seccompProfile": {}, "runAsUser": 7},
            "initContainers": [{"name": "i", "resizePolicy": []}],
            "containers": [{
                "name": "a", "securityContext": {"allowPrivilegeEscalation": false, "runAsUser": 1},
                "ports": [{"containerPort": 80, "hostPort": 80}],
                "volumeMounts": [{"name": "d", "mountPath": "/d", "mountPropagation": "None"}]
            }],
            "volumes": [
                {"name": "d", "emptyDir": {}},
                {"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {}}]}}
            ]
        }});
        let mark = Mark { cluster_id: "c".into(), node: "n".into() };
        let told = |service_variables| {
            let implied = ImpliedNeeds { service_variables, ..ImpliedNeeds::default() };
            let choices = PodChoices { implied, ..PodChoices::sized(Profile::CCI_1_0.size_policy()) };
            let recipe = Recipe { shape: &Profile::CCI_1_0.pod, choices: &choices, mark: &mark };
            left_out(&recipe, &json!({"spec": {"enableServiceLinks": false}}))
        };
        let choices = PodChoices::sized(Profile::CCI_1_0.size_policy());
        let recipe = Recipe { shape: &Profile::CCI_1_0.pod, choices: &choices, mark: &mark };
        assert_eq!(
            left_out(&recipe, &manifest),
            [
                "spec.nodeSelector",
                "spec.securityContext.seccompProfile",
                "spec.volumes[1]",
                "spec.initContainers[0].resizePolicy",
                "spec.containers[0].securityContext.allowPrivilegeEscalation",
                "spec.containers[0].ports[0].hostPort",
                "spec.containers[0].volumeMounts[0].mountPropagation",
            ]
        );
        assert_eq!(
            missed(&recipe, &manifest),
            [
                "spec.securityContext.seccompProfile",
                "spec.containers[0].securityContext.allowPrivilegeEscalation",
                "spec.containers[0].ports[0].hostPort",
                "spec.containers[0].volumeMounts[0].mountPropagation",
            ]
        );
        assert_eq!(told(false), ["spec.enableServiceLinks"]);
        assert!(told(true).is_empty(), "it is heeded");
    }
}
