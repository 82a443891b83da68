//! The downward API: what a pod asks to be told of itself. The cloud would answer for its own pod, which has another name,
//! another namespace and another UID; so what only the cluster knows is told here, and the rest is left to the cloud.
//!
//! Resource fields are left to it as well: it reads them from the adjusted sizes, which are what the containers have
//! (virtual-kubelet rule VK-E10, fixed).

use engine::PodRef;
use serde_json::{Map, Value, json};

use super::mark::{NAME, NAMESPACE, NODE, UID};
use super::parts::{CONTAINER_LISTS, items_mut};

/// Where a field of the pod stands on its cloud pod: in an annotation of the mark, which a volume can name.
const IN_ANNOTATIONS: [(&str, &str); 4] = [
    ("metadata.name", NAME),
    ("metadata.namespace", NAMESPACE),
    ("metadata.uid", UID),
    ("spec.nodeName", NODE),
];

/// Fields that the API server lets a pod have, when it says nothing of them.
const SERVICE_ACCOUNT: &str = "default";

/// Makes `spec`, the part of `manifest` that is sent, say of the pod what the cluster says (virtual-kubelet rules VK-E8
/// and VK-E9). `status.podIP` and its like stay for the cloud to fill, and so do labels and annotations, which it has.
pub(super) fn tell(spec: &mut Map<String, Value>, owner: &PodRef, node: &str, manifest: &Value) {
    let account =
        manifest.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or(SERVICE_ACCOUNT);
    let value = |path: &str| match path {
        "metadata.name" => Some(&*owner.name),
        "metadata.namespace" => Some(&*owner.namespace),
        "metadata.uid" => Some(&*owner.uid.0),
        "spec.nodeName" => Some(node),
        "spec.serviceAccountName" => Some(account),
        _ => None,
    };
    for list in CONTAINER_LISTS {
        for container in items_mut(spec.get_mut(list)) {
            for variable in items_mut(container.get_mut("env")) {
                let path = variable.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str);
                if let Some(value) = path.and_then(value) {
                    *variable = json!({"name": variable["name"], "value": value});
                }
            }
        }
    }
    for volume in items_mut(spec.get_mut("volumes")) {
        tell_files(volume.get_mut("downwardAPI"));
        for source in items_mut(volume.pointer_mut("/projected/sources")) {
            tell_files(source.get_mut("downwardAPI"));
        }
    }
}

/// A file cannot be given as a text, and can be given as an annotation.
fn tell_files(source: Option<&mut Value>) {
    for item in items_mut(source.and_then(|source| source.get_mut("items"))) {
        let Some(path) = item.pointer_mut("/fieldRef/fieldPath") else { continue };
        if let Some((_, key)) = IN_ANNOTATIONS.iter().find(|(field, _)| path == field) {
            *path = format!("metadata.annotations['{key}']").into();
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::Uid;

    use super::*;

    fn told(spec: Value) -> Value {
        let owner = PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-1".into()) };
        let manifest = json!({"spec": spec});
        let mut spec = manifest["spec"].as_object().cloned().unwrap();
        tell(&mut spec, &owner, "virtual-kubelet", &manifest);
        spec.into()
    }

    fn variable(path: &str) -> Value {
        json!({"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
    }

    #[test]
    fn a_variable_says_of_the_pod_what_the_cluster_says() {
        let cases = [
            ("metadata.name", "web-0"),
            ("metadata.namespace", "shop"),
            ("metadata.uid", "uid-1"),
            ("spec.nodeName", "virtual-kubelet"),
            ("spec.serviceAccountName", "robot"),
        ];
        for list in CONTAINER_LISTS {
            let env: Vec<Value> = cases.iter().map(|(path, _)| variable(path)).collect();
            let expected: Vec<Value> =
                cases.iter().map(|(_, value)| json!({"name": "A", "value": value})).collect();
            let spec = told(json!({"serviceAccountName": "robot", list: [{"name": "a", "env": env}]}));
            assert_eq!(spec[list][0]["env"], Value::from(expected), "{list}");
        }
        let spec = told(json!({"containers": [{"env": [variable("spec.serviceAccountName")]}]}));
        assert_eq!(spec["containers"][0]["env"][0]["value"], "default");
    }

    #[test]
    fn what_the_cloud_knows_is_left_to_the_cloud() {
        let resource = json!({"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}});
        let mut env: Vec<Value> = [
            "status.podIP",
            "status.podIPs",
            "status.hostIP",
            "metadata.labels['app']",
            "metadata.annotations['a']",
        ]
        .map(variable)
        .into();
        env.extend([resource, json!({"name": "V", "value": "v"}), json!("no variable"), Value::Null]);
        let spec = json!({"containers": [{"name": "a", "env": env}]});
        assert_eq!(told(spec.clone()), spec);
    }

    #[test]
    fn a_file_says_of_the_pod_what_its_annotations_in_the_cloud_say() {
        let items = json!([
            {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
            {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
            {"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}},
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "a", "resource": "limits.cpu"}},
        ]);
        let expected = json!([
            {"path": "name", "fieldRef": {"fieldPath": "metadata.annotations['burst-agent.io/name']"}},
            {"path": "namespace", "fieldRef": {"fieldPath": "metadata.annotations['burst-agent.io/namespace']"}},
            {"path": "uid", "fieldRef": {"fieldPath": "metadata.annotations['burst-agent.io/uid']"}},
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "a", "resource": "limits.cpu"}},
        ]);
        let spec = told(json!({"volumes": [
            {"name": "a", "downwardAPI": {"items": items}},
            {"name": "b", "projected": {"sources": [{"downwardAPI": {"items": items}}]}},
        ]}));
        assert_eq!(spec["volumes"][0]["downwardAPI"]["items"], expected);
        assert_eq!(spec["volumes"][1]["projected"]["sources"][0]["downwardAPI"]["items"], expected);
    }
}
