//! The variables of Services in a pod: the first source of its environment, so that all that the pod itself says comes
//! after it and counts more, as on any node (virtual-kubelet rule VK-E2).

use engine::{ObjectKind, PodRef};
use serde_json::{Map, Value, json};

use super::objects::copy_name;
use super::parts::{CONTAINER_LISTS, items_mut};
use crate::objects::ServiceVariables;

/// Lets each container of a pod have the variables. A pod starts without those that cannot be had.
pub(super) fn tell(spec: &mut Map<String, Value>, node: &str, owner: &PodRef, manifest: &Value) {
    let which = ServiceVariables::of(manifest.pointer("/spec/enableServiceLinks").and_then(Value::as_bool));
    let name = copy_name(node, owner, ObjectKind::ServiceVariables, which.name());
    let source = json!({"configMapRef": {"name": name, "optional": true}});
    for list in CONTAINER_LISTS {
        for container in items_mut(spec.get_mut(list)).iter_mut().filter_map(Value::as_object_mut) {
            match container.get_mut("envFrom").and_then(Value::as_array_mut) {
                Some(sources) => sources.insert(0, source.clone()),
                None => drop(container.insert("envFrom".to_owned(), json!([source]))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::Uid;

    use super::*;

    #[test]
    fn the_variables_stand_before_what_the_pod_names_itself() {
        let owner = PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-1".into()) };
        let own = json!({"secretRef": {"name": "s"}});
        let told = |manifest: &Value| {
            let mut spec = manifest["spec"].as_object().cloned().unwrap();
            tell(&mut spec, "virtual-kubelet", &owner, manifest);
            spec
        };
        let name = |which: ServiceVariables| {
            copy_name("virtual-kubelet", &owner, ObjectKind::ServiceVariables, which.name())
        };
        let (links, kubernetes) = (name(ServiceVariables::Links), name(ServiceVariables::Kubernetes));
        assert_ne!(links, kubernetes);
        let source = |name: &str| json!({"configMapRef": {"name": name, "optional": true}});

        let spec = json!({"containers": [{"name": "a", "envFrom": [own]}], "initContainers": [{"name": "i", "envFrom": null}]});
        let all = told(&json!({"spec": spec}));
        assert_eq!(all["containers"][0]["envFrom"], json!([source(&links), own]));
        assert_eq!(all["initContainers"][0]["envFrom"], json!([source(&links)]));

        let spec = json!({"enableServiceLinks": false, "containers": [{"name": "a"}]});
        let one = told(&json!({"spec": spec}));
        assert_eq!(one["containers"][0]["envFrom"], json!([source(&kubernetes)]));
    }
}
