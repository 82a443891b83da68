//! Which container of which node a call is about.

use serde_json::Value;

use super::endpoint::Endpoint;
use crate::world::cluster::{Cluster, Kind, Object, Status};

/// What kubectl, too, takes for the container that is meant when none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// A container on its node.
#[derive(Debug)]
pub(super) struct Location {
    /// The node.
    pub endpoint: Endpoint,
    /// `NAMESPACE/POD/CONTAINER`
    pub path: String,
}

fn pod<'c>(cluster: &'c Cluster, namespace: &str, name: &str) -> Result<&'c Object, Status> {
    let kind = Kind::of("pods").expect("pods are in the table of kinds");
    cluster.get(kind, namespace, name).map(|pod| &**pod)
}

fn node_of(pod: &Object) -> &str {
    pod.value.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default()
}

fn unassigned(pod: &Object) -> Status {
    Status::bad_request(format!("pod {} does not have a host assigned", pod.name()))
}

/// Where a container's log is; `None` while the pod has no node, and so no log.
///
/// # Errors
/// 404 for a pod or node that is not there; 400 for a container that is not, or not said; 500 for a node without an
/// address.
pub(super) fn of_log(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    asked: &str,
) -> Result<Option<Location>, Status> {
    let pod = pod(cluster, namespace, name)?;
    let container = container(pod, asked)?;
    let node = node_of(pod);
    if node.is_empty() {
        return Ok(None);
    }
    let endpoint = Endpoint::of(cluster, node)?;
    Ok(Some(Location { endpoint, path: format!("{namespace}/{name}/{container}") }))
}

/// Where something is to run in a container.
///
/// # Errors
/// As [`of_log`]; 400 also while the pod has no node.
pub(super) fn of_stream(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    asked: &str,
) -> Result<Location, Status> {
    let located = of_log(cluster, namespace, name, asked)?;
    located.map_or_else(|| Err(unassigned(pod(cluster, namespace, name)?)), Ok)
}

/// Where a pod's ports are: its path has no container.
///
/// # Errors
/// As [`of_stream`].
pub(super) fn of_ports(cluster: &Cluster, namespace: &str, name: &str) -> Result<Location, Status> {
    let pod = pod(cluster, namespace, name)?;
    let node = node_of(pod);
    if node.is_empty() {
        return Err(unassigned(pod));
    }
    Ok(Location { endpoint: Endpoint::of(cluster, node)?, path: format!("{namespace}/{name}") })
}

/// The containers of one list of a pod's spec, by name.
fn names<'p>(pod: &'p Object, list: &str) -> Vec<&'p str> {
    let containers = pod.value["spec"][list].as_array().map_or(&[][..], Vec::as_slice);
    containers.iter().filter_map(|container| container["name"].as_str()).collect()
}

/// The container that is asked for, or the one that is meant.
fn container(pod: &Object, asked: &str) -> Result<String, Status> {
    let (main, init) = (names(pod, "containers"), names(pod, "initContainers"));
    if !asked.is_empty() {
        let known = main.contains(&asked) || init.contains(&asked);
        if known || names(pod, "ephemeralContainers").contains(&asked) {
            return Ok(asked.to_owned());
        }
        return Err(Status::bad_request(format!("container {asked} is not valid for pod {}", pod.name())));
    }
    if let [only] = main.as_slice() {
        return Ok((*only).to_owned());
    }
    let meant = pod.value["metadata"]["annotations"][DEFAULT_CONTAINER].as_str();
    if let Some(meant) = meant.filter(|meant| main.contains(meant)) {
        return Ok(meant.to_owned());
    }
    let mut why = format!(
        "a container name must be specified for pod {}, choose one of: [{}]",
        pod.name(),
        main.join(" ")
    );
    if !init.is_empty() {
        why.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
    }
    Err(Status::bad_request(why))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(containers: &[&str], annotation: Option<&str>) -> Object {
        let containers: Vec<Value> = containers.iter().map(|name| json!({ "name": name })).collect();
        let annotations = annotation.map_or(json!({}), |name| json!({ DEFAULT_CONTAINER: name }));
        let value = json!({
            "metadata": { "name": "probe", "annotations": annotations },
            "spec": { "containers": containers, "initContainers": [{ "name": "first" }] },
        });
        Object::new(Kind::of("pods").unwrap(), 1, value)
    }

    #[test]
    fn a_container_is_the_one_asked_for_or_the_only_one_or_the_annotated_one() {
        assert_eq!(container(&pod(&["a"], None), "").unwrap(), "a");
        assert_eq!(container(&pod(&["a", "b"], None), "first").unwrap(), "first");
        assert_eq!(container(&pod(&["a", "b"], Some("b")), "").unwrap(), "b");
        let refused = |pod: &Object, asked| container(pod, asked).unwrap_err().message;
        assert_eq!(
            refused(&pod(&["a", "b"], None), ""),
            "a container name must be specified for pod probe, choose one of: [a b] or one of the init containers: \
             [first]"
        );
        assert_eq!(refused(&pod(&["a"], None), "c"), "container c is not valid for pod probe");
    }
}
