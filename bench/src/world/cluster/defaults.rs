//! What the API server and its admission plugins add to an object.

mod workload;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::object::{base64, items, map_mut, members, text};
use super::{Cluster, Kind, Writer};

/// The taint of a node that is not ready.
pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The taint of a node that nobody hears of.
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Where the token of a pod's service account is mounted.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The first service address is 10.96.0.1.
const SERVICE_NETWORK: [u8; 2] = [10, 96];

/// The first of the ports of nodes, and how many there are.
const NODE_PORTS: [u64; 2] = [30_000, 2_768];

impl Cluster {
    /// Fills in what the writer left out. `first` when the object is being made.
    pub(super) fn fill(&mut self, kind: &Kind, value: &mut Value, first: bool) {
        super::write::drop_empty(&mut value["metadata"]);
        match kind.plural {
            "pods" => {
                fill_pod_spec(map_mut(value, "spec"));
                if first {
                    self.admit_pod(value);
                    let qos = qos_class(&value["spec"]);
                    value["status"] = json!({ "phase": "Pending", "qosClass": qos });
                }
            }
            "namespaces" => {
                let name = text(value, "/metadata/name").to_owned();
                map_mut(&mut value["metadata"], "labels")
                    .insert("kubernetes.io/metadata.name".into(), json!(name));
                if first {
                    value["spec"] = json!({ "finalizers": ["kubernetes"] });
                    value["status"] = json!({ "phase": "Active" });
                }
            }
            "deployments" | "replicasets" | "statefulsets" | "jobs" => {
                if first && kind.plural == "jobs" {
                    workload::label_job(value);
                }
                workload::fill(kind, value, first);
            }
            "persistentvolumeclaims" | "persistentvolumes" => {
                let spec = map_mut(value, "spec");
                set(spec, "volumeMode", json!("Filesystem"));
                if kind.plural == "persistentvolumes" {
                    set(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
                }
                if first {
                    value["status"] = json!({ "phase": "Pending" });
                }
            }
            "services" => self.fill_service(value, first),
            // Nobody approves a request by making it.
            "certificatesigningrequests" if first => value["status"] = json!({}),
            "secrets" => fill_secret(value),
            "nodes" => {
                let spec = map_mut(value, "spec");
                if first && self.options.controllers {
                    // The controller takes it away once the node is ready.
                    let taints = spec.entry("taints").or_insert_with(|| json!([]));
                    if let Some(taints) = taints.as_array_mut() {
                        taints.push(json!({ "key": NOT_READY, "effect": "NoSchedule" }));
                    }
                }
                let status = map_mut(value, "status");
                if first {
                    status
                        .entry("daemonEndpoints")
                        .or_insert_with(|| json!({ "kubeletEndpoint": { "Port": 0 } }));
                    status.entry("nodeInfo").or_insert_with(empty_node_info);
                }
            }
            _ => {}
        }
    }

    /// What admission adds to a pod: its service account's volume and the tolerations of ill nodes.
    fn admit_pod(&mut self, value: &mut Value) {
        let suffix = self.draw_suffix();
        let mounts = self.options.service_account_volumes
            && value.pointer("/spec/automountServiceAccountToken") != Some(&json!(false));
        let spec = map_mut(value, "spec");
        set(spec, "serviceAccountName", json!("default"));
        let account = spec["serviceAccountName"].clone();
        set(spec, "serviceAccount", account);
        set(spec, "priority", json!(0));
        set(spec, "enableServiceLinks", json!(true));
        set(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
        for key in [NOT_READY, UNREACHABLE] {
            tolerate(spec, key);
        }
        if mounts {
            mount_token(spec, &format!("kube-api-access-{suffix}"));
        }
    }

    fn fill_service(&mut self, value: &mut Value, first: bool) {
        let spec = map_mut(value, "spec");
        set(spec, "type", json!("ClusterIP"));
        set(spec, "sessionAffinity", json!("None"));
        set(spec, "internalTrafficPolicy", json!("Cluster"));
        set(spec, "ipFamilies", json!(["IPv4"]));
        set(spec, "ipFamilyPolicy", json!("SingleStack"));
        let on_nodes = matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"));
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let number = port["port"].clone();
            if let Some(port) = port.as_object_mut() {
                set(port, "protocol", json!("TCP"));
                set(port, "targetPort", number);
                if on_nodes {
                    let [first, count] = NODE_PORTS;
                    set(port, "nodePort", json!(first + self.draw() % count));
                }
            }
        }
        if !first {
            return;
        }
        if spec["type"] != "ExternalName" && !spec.contains_key("clusterIP") {
            let [a, b] = SERVICE_NETWORK;
            let place = self.draw();
            spec.insert(
                "clusterIP".into(),
                json!(format!("{a}.{b}.{}.{}", place % 256, place / 256 % 254 + 1)),
            );
        }
        if let Some(address) = spec.get("clusterIP").cloned() {
            set(spec, "clusterIPs", json!([address]));
        }
        value["status"] = json!({ "loadBalancer": {} });
    }

    pub(super) fn seed_namespace(&mut self, name: &str, now: Timestamp) {
        let namespaces = Kind::of("namespaces").expect("namespaces are in the table of kinds");
        let writer = Writer { now, manager: "kube-apiserver" };
        self.make(writer, namespaces, "", json!({ "metadata": { "name": name } }))
            .expect("the first namespaces have valid, different names");
    }

    /// Makes what every namespace holds, as far as it is not there: a service account and the cluster's
    /// certificate authority.
    pub(super) fn furnish_namespace(&mut self, name: &str, now: Timestamp) {
        let writer = Writer { now, manager: "kube-controller-manager" };
        let certificate = json!({
            "metadata": { "name": "kube-root-ca.crt" },
            "data": { "ca.crt": "" },
        });
        for (plural, body) in
            [("serviceaccounts", json!({ "metadata": { "name": "default" } })), ("configmaps", certificate)]
        {
            let kind = Kind::of(plural).expect("the kind is in the table");
            if self.storage(kind).get(&super::key(name, text(&body, "/metadata/name"))).is_none() {
                self.make(writer, kind, name, body)
                    .expect("the namespace is there and has none of that name");
            }
        }
    }
}

fn set(map: &mut Map<String, Value>, name: &str, value: Value) {
    let slot = map.entry(name).or_insert(Value::Null);
    if slot.is_null() || slot.as_str() == Some("") {
        *slot = value;
    }
}

/// The defaults of a pod's spec, and of a template's (Kubernetes API, `SetDefaults_PodSpec`).
fn fill_pod_spec(spec: &mut Map<String, Value>) {
    spec.retain(|_, value| !value.is_null());
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", json!("default-scheduler"));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set(spec, "serviceAccount", account);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                fill_container(container);
            }
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        for source in ["secret", "configMap", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(source).and_then(Value::as_object_mut) {
                set(source, "defaultMode", json!(0o644));
            }
        }
        let sources = volume.pointer_mut("/projected/sources").and_then(Value::as_array_mut);
        for source in sources.into_iter().flatten() {
            if let Some(token) = source.get_mut("serviceAccountToken").and_then(Value::as_object_mut) {
                set(token, "expirationSeconds", json!(3_600));
            }
        }
    }
}

fn fill_container(container: &mut Map<String, Value>) {
    container.retain(|_, value| !value.is_null());
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let floats = !last.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    set(container, "imagePullPolicy", json!(if floats { "Always" } else { "IfNotPresent" }));
    set(container, "terminationMessagePath", json!("/dev/termination-log"));
    set(container, "terminationMessagePolicy", json!("File"));
    set(container, "resources", json!({}));
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            set(port, "protocol", json!("TCP"));
        }
    }
    for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef").and_then(Value::as_object_mut) {
            set(field, "apiVersion", json!("v1"));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) {
            set(probe, "timeoutSeconds", json!(1));
            set(probe, "periodSeconds", json!(10));
            set(probe, "successThreshold", json!(1));
            set(probe, "failureThreshold", json!(3));
            if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
                set(get, "scheme", json!("HTTP"));
            }
        }
    }
    fill_requests(container);
}

/// What is limited and not requested is requested as limited.
fn fill_requests(container: &mut Map<String, Value>) {
    let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Some(requests) = requests.as_object_mut() {
        for (resource, quantity) in limits {
            set(requests, &resource, quantity);
        }
    }
}

fn tolerate(spec: &mut Map<String, Value>, key: &str) {
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(tolerations) = tolerations.as_array_mut() else { return };
    let taint = json!({ "key": key, "effect": "NoExecute" });
    if !tolerations.iter().any(|toleration| tolerates(toleration, &taint)) {
        tolerations.push(
            json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }),
        );
    }
}

/// Whether a toleration is for a taint.
pub(super) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (key, operator) = (text(toleration, "/key"), text(toleration, "/operator"));
    let effect = text(toleration, "/effect");
    (effect.is_empty() || effect == text(taint, "/effect"))
        && (key == text(taint, "/key") || (key.is_empty() && operator == "Exists"))
        && (operator == "Exists" || text(toleration, "/value") == text(taint, "/value"))
}

fn mount_token(spec: &mut Map<String, Value>, volume: &str) {
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if !mounts.iter().any(|mount| mount["mountPath"] == TOKEN_PATH) {
                mounts.push(json!({ "name": volume, "readOnly": true, "mountPath": TOKEN_PATH }));
            }
        }
    }
    let namespace =
        json!({ "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } });
    let sources = json!([
        { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
        { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
        { "downwardAPI": { "items": [namespace] } },
    ]);
    let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
    if let Some(volumes) = volumes.as_array_mut() {
        volumes.push(json!({ "name": volume, "projected": { "sources": sources, "defaultMode": 0o644 } }));
    }
}

fn fill_secret(value: &mut Value) {
    let plain: Vec<(String, String)> = members(value, "/stringData")
        .map(|(name, text)| (name.clone(), base64(text.as_str().unwrap_or_default().as_bytes())))
        .collect();
    let Some(secret) = value.as_object_mut() else { return };
    set(secret, "type", json!("Opaque"));
    if secret.remove("stringData").is_some() {
        let data = map_mut(value, "data");
        data.extend(plain.into_iter().map(|(name, encoded)| (name, json!(encoded))));
    }
}

fn empty_node_info() -> Value {
    let names = [
        "machineID",
        "systemUUID",
        "bootID",
        "kernelVersion",
        "osImage",
        "containerRuntimeVersion",
        "kubeletVersion",
        "kubeProxyVersion",
        "operatingSystem",
        "architecture",
    ];
    Value::Object(names.into_iter().map(|name| (name.to_owned(), json!(""))).collect())
}

/// `status.qosClass`, from the requests and limits of CPU and memory.
fn qos_class(spec: &Value) -> &'static str {
    let mut requested = false;
    let mut guaranteed = true;
    for container in items(spec, "/containers").iter().chain(items(spec, "/initContainers")) {
        for resource in ["cpu", "memory"] {
            let limit = container.pointer(&format!("/resources/limits/{resource}"));
            let request = container.pointer(&format!("/resources/requests/{resource}"));
            requested |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (requested, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// The API shows when a condition of a pod was last probed, also when it never was.
pub(super) fn fill_conditions(pod: &mut Value) {
    for condition in pod.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten()
    {
        if let Some(condition) = condition.as_object_mut() {
            condition.entry("lastProbeTime").or_insert(Value::Null);
        }
    }
}

/// Whether a pod has ended.
pub(super) fn is_terminal(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether an object's status has a condition.
pub(super) fn has_condition(value: &Value, kind: &str, status: &str) -> bool {
    items(value, "/status/conditions").iter().any(|one| one["type"] == kind && one["status"] == status)
}

/// The UID of the controller that owns an object.
pub(super) fn controller_uid(value: &Value) -> Option<&str> {
    let owners = items(value, "/metadata/ownerReferences");
    owners.iter().find(|owner| owner["controller"] == true).map(|owner| text(owner, "/uid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quality_of_service_follows_from_requests_and_limits() {
        let class = |resources: Value| qos_class(&json!({ "containers": [{ "resources": resources }] }));
        assert_eq!(class(json!({})), "BestEffort");
        assert_eq!(class(json!({ "requests": { "cpu": "1" } })), "Burstable");
        let both = json!({ "cpu": "1", "memory": "1Gi" });
        assert_eq!(class(json!({ "limits": both, "requests": both })), "Guaranteed");
    }
}
