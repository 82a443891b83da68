//! What becomes of a request for a pod: refused, or a pod with the server's fields (CCI API, create pod).

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::command::{self, End};
use super::log::LogShape;
use super::needs::needs;
use super::{
    CHANGED_AT, Container, EXIT_CODE, Fate, LOG_BYTES, LOG_EVERY_MS, Pod, PodKey, RUN_SECONDS, Restart, Stage,
};
use crate::world::cloud::Common;
use crate::world::cloud::names;
use crate::world::cloud::profile::{Generation, Profile};
use crate::world::cloud::reply::Refusal;
use crate::world::cloud::schema::prune;
use crate::world::cloud::size::{Unfit, pod_size};

/// Most containers of a pod.
const CONTAINERS_MAX: usize = 5;
/// `terminationGracePeriodSeconds` when the request has none.
const GRACE_S: u32 = 30;
/// The account that all pods belong to.
const TENANT: [(&str, &str); 2] =
    [("tenant.kubernetes.io/domain-id", "D1"), ("tenant.kubernetes.io/project-id", "P1")];

/// What a request for a pod asks for.
struct Wanted {
    key: PodKey,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owner_references: Option<Box<RawValue>>,
    spec: Value,
}

/// Accepts a request for a pod, or says why not. The pod is not started yet.
pub(in crate::world::cloud) fn admit(
    generation: Generation,
    namespace: &str,
    body: &Value,
    now_us: u64,
    common: &mut Common,
) -> Result<Pod, Refusal> {
    let profile = generation.profile();
    let mut wanted = read(profile, namespace, body, common)?;
    check_containers(&wanted.spec)?;
    let specs = wanted.annotations.get("resource.cci.io/pod-size-specs").map(String::as_str);
    let size = pod_size(generation, &wanted.spec, specs)
        .map_err(|unfit| refuse_size(&wanted.key.name, &unfit, common.options.size_refusal_status))?;

    let behaviour = Behaviour::of(&wanted);
    prune(&mut wanted.spec, profile.pod_spec);
    add_defaults(profile, &mut wanted.spec);
    let uid = common.chance.uid();
    wanted.annotations.insert("resource.cci.io/size".into(), size.text());
    wanted.annotations.insert(CHANGED_AT.into(), now_us.to_string());
    add_server_metadata(generation, &mut wanted, &uid);

    let mut pod = Pod {
        containers: containers(&wanted.spec, "containers"),
        init_containers: containers(&wanted.spec, "initContainers"),
        restart: restart_policy(&wanted.spec)?,
        run_us: behaviour.run_us,
        exit_code: behaviour.exit_code,
        grace_s: wanted.spec["terminationGracePeriodSeconds"]
            .as_u64()
            .map_or(GRACE_S, |s| s.min(u32::MAX.into()) as u32),
        fate: if behaviour.sandbox_fails { Fate::FailsLater } else { Fate::Usual },
        needs: needs(&wanted.spec),
        spec: raw(&wanted.spec)?,
        key: wanted.key,
        uid,
        labels: wanted.labels,
        annotations: wanted.annotations,
        owner_references: wanted.owner_references,
        id_seed: common.chance.number(),
        stage: Stage::Accepted,
        created_us: now_us,
        placement: None,
        started_us: 0,
        initialized_us: 0,
        last_run_us: (0, 0),
        run_before_us: (0, 0),
        restarts: 0,
        pulls: 0,
        deletion: None,
        due_us: None,
        status_written: None,
        log_shape: behaviour.log_shape,
        files: None,
        renderings: Default::default(),
    };
    pod.render(now_us, common);
    Ok(pod)
}

fn read(profile: &Profile, namespace: &str, body: &Value, common: &mut Common) -> Result<Wanted, Refusal> {
    let bad = |message: String| Refusal::new(400, message).code("CCI.01.400101");
    let version = body["apiVersion"].as_str().unwrap_or_default();
    if body["kind"] != "Pod" || ![profile.core_version, "v1"].contains(&version) {
        return Err(bad(format!("expected a Pod of {}", profile.core_version)));
    }
    let metadata = &body["metadata"];
    if metadata["namespace"].as_str().is_some_and(|named| named != namespace) {
        return Err(bad("the namespace of the object does not match the namespace of the request".into()));
    }
    let name = match (metadata["name"].as_str(), metadata["generateName"].as_str()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(prefix)) => format!("{prefix}{:05x}", common.chance.below(1 << 20)),
        (None, None) => {
            return Err(Refusal::new(422, "metadata.name: Required value: name or generateName is required"));
        }
    };
    if !names::is_dns_subdomain(&name) {
        return Err(Refusal::new(
            422,
            format!("metadata.name: Invalid value: \"{name}\": must be a DNS subdomain"),
        ));
    }
    let owners = &metadata["ownerReferences"];
    Ok(Wanted {
        key: PodKey::new(profile.generation, namespace, &name),
        labels: names::labels(metadata)?,
        annotations: names::texts(metadata, "annotations")?,
        owner_references: if owners.is_array() { Some(raw(owners)?) } else { None },
        spec: body["spec"].clone(),
    })
}

fn raw(value: &Value) -> Result<Box<RawValue>, Refusal> {
    to_raw_value(value).map_err(|error| Refusal::new(400, error.to_string()).code("CCI.01.400101"))
}

fn list<'a>(spec: &'a Value, field: &str) -> &'a [Value] {
    spec[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn check_containers(spec: &Value) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(422, message));
    let containers = list(spec, "containers");
    if containers.is_empty() {
        return invalid("spec.containers: Required value");
    }
    if containers.len() > CONTAINERS_MAX {
        return invalid("spec.containers: Too many: must have at most 5 items");
    }
    let mut seen = Vec::new();
    for container in list(spec, "initContainers").iter().chain(containers) {
        let name = container["name"].as_str().unwrap_or_default();
        if !names::is_dns_label(name) {
            return invalid("spec.containers.name: Invalid value: must be a DNS label");
        }
        if seen.contains(&name) {
            return invalid("spec.containers.name: Duplicate value");
        }
        if container["image"].as_str().unwrap_or_default().is_empty() {
            return invalid("spec.containers.image: Required value");
        }
        seen.push(name);
    }
    Ok(())
}

fn refuse_size(name: &str, unfit: &Unfit, status: u16) -> Refusal {
    let (status, why) = match unfit {
        Unfit::Missing => (403, "pod without specifying resource requirement"),
        Unfit::Unequal => (403, "limit and request doesn't equal"),
        Unfit::NotOffered(why) => (status, why.as_str()),
    };
    Refusal::new(status, format!("pods \"{name}\" is forbidden: {why}")).about("", "pods", name)
}

/// What the request tells the simulation to do with it.
struct Behaviour {
    run_us: Option<u64>,
    exit_code: i32,
    sandbox_fails: bool,
    log_shape: LogShape,
}

impl Behaviour {
    fn of(wanted: &Wanted) -> Behaviour {
        let told = |key: &str| {
            let environment =
                list(&wanted.spec, "containers").iter().flat_map(|container| list(container, "env"));
            let variable = environment
                .filter(|variable| variable["name"] == key)
                .find_map(|variable| variable["value"].as_str());
            wanted.annotations.get(key).map(String::as_str).or(variable)
        };
        let seconds = |text: &str| text.parse::<f64>().ok().filter(|s| (0.0..1e9).contains(s));
        let is_told = told(RUN_SECONDS).or(told(EXIT_CODE)).is_some();
        let ends = list(&wanted.spec, "containers").iter().map(command::end_of);
        let end = End::of_all(ends).filter(|_| !is_told);
        let run_us = told(RUN_SECONDS).and_then(seconds).map(|s| (s * 1e6) as u64);
        let exit_code = told(EXIT_CODE).and_then(|code| code.parse().ok());
        Behaviour {
            log_shape: LogShape::read(told(LOG_EVERY_MS), told(LOG_BYTES)),
            run_us: run_us.or(end.map(|end| end.after_us)),
            exit_code: exit_code.or(end.map(|end| end.exit_code)).unwrap_or(0),
            sandbox_fails: list(&wanted.spec, "containers")
                .iter()
                .any(|container| container["image"].as_str().unwrap_or_default().contains("sandbox-error")),
        }
    }
}

pub(super) fn containers(spec: &Value, field: &str) -> Vec<Container> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let container = |container: &Value| {
        let image = text(&container["image"]);
        let digest = Sha256::digest(image.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let repository =
            image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(&*image, |(name, _)| name);
        Container {
            name: text(&container["name"]),
            image_id: format!("{repository}@sha256:{digest}"),
            pull_fails: image.contains("pull-error"),
            ports: ports(container),
            image,
        }
    };
    list(spec, field).iter().map(container).collect()
}

fn ports(container: &Value) -> Vec<u16> {
    let tcp = list(container, "ports")
        .iter()
        .filter(|port| matches!(port["protocol"].as_str(), None | Some("TCP")));
    tcp.filter_map(|port| u16::try_from(port["containerPort"].as_u64()?).ok()).collect()
}

fn restart_policy(spec: &Value) -> Result<Restart, Refusal> {
    match spec["restartPolicy"].as_str() {
        Some("Always") => Ok(Restart::Always),
        Some("OnFailure") => Ok(Restart::OnFailure),
        Some("Never") => Ok(Restart::Never),
        Some(_) | None => Err(Refusal::new(422, "spec.restartPolicy: Unsupported value")),
    }
}

fn add_defaults(profile: &Profile, spec: &mut Value) {
    let mut defaults = json!({
        "restartPolicy": "Always", "terminationGracePeriodSeconds": GRACE_S, "dnsPolicy": "ClusterFirst",
        "securityContext": {}, "schedulerName": "volcano",
    });
    match profile.generation {
        Generation::One => {
            defaults["enableServiceLinks"] = false.into();
            defaults["runtimeClassName"] = "kata".into();
            defaults["nodeSelector"] =
                json!({"node.cci.io/flavor": "general-computing", "node.cci.io/default-cpu-choice": "true"});
            defaults["tolerations"] = ["not-ready", "unreachable"]
                .map(|what| {
                    json!({"key": format!("node.kubernetes.io/{what}"), "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": 300})
                })
                .to_vec()
                .into();
        }
        Generation::Two => {}
    }
    fill(spec, defaults);
    for field in ["containers", "initContainers"] {
        for container in spec[field].as_array_mut().into_iter().flatten() {
            fill(
                container,
                json!({"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}),
            );
        }
    }
}

/// Sets the fields that are not there.
fn fill(object: &mut Value, defaults: Value) {
    if let (Value::Object(object), Value::Object(defaults)) = (object, defaults) {
        for (key, value) in defaults {
            object.entry(key).or_insert(value);
        }
    }
}

fn add_server_metadata(generation: Generation, wanted: &mut Wanted, uid: &str) {
    let mut annotate = |key: &str, value: &str| wanted.annotations.insert(key.to_owned(), value.to_owned());
    match generation {
        Generation::One => {
            annotate("cri.cci.io/container-type", "secure-container");
        }
        Generation::Two => {
            annotate("openvessel.io/monitoring-aominfo", &format!("P1:{uid}"));
            annotate("tenant.cci.io/tenant-id", "P1");
            wanted.labels.insert("tenant.cci.io/tenant-id".into(), "P1".into());
            for (key, value) in TENANT {
                wanted.labels.insert(key.into(), value.into());
            }
        }
    }
    wanted.labels.insert("sys_enterprise_project_id".into(), "0".into());
}

impl Pod {
    /// Adds what the server writes once a pod has its place.
    pub(super) fn add_placement_fields(&mut self) {
        let profile = self.key.generation.profile();
        let mut fields = vec![];
        match profile.generation {
            Generation::One => {
                fields.push(("kubernetes.io/availablezone", "cn-north-4a".to_owned()));
                let network = json!([{"name": "network", "ip": self.ip()}]);
                fields.push(("network.alpha.kubernetes.io/network", network.to_string()));
            }
            Generation::Two => {
                let network = json!([{"name": "eth0", "ips": [self.ip()], "vlanID": "100"}]);
                fields.push(("cni.yangtse.io/network-status", network.to_string()));
                fields.push(("scheduling.k8s.io/group-name", format!("podgroup-{}", self.uid)));
                fields.push(("topology.kubernetes.io/region", "cn-north-4".to_owned()));
                fields.push(("topology.kubernetes.io/zone", "cn-north-4a".to_owned()));
                self.labels.insert("scheduling.cci.io/vmid".to_owned(), format!("{:016x}", self.id_seed));
            }
        }
        self.annotations.extend(fields.into_iter().map(|(key, value)| (key.to_owned(), value)));
        let placed = serde_json::from_str(self.spec.get()).and_then(|mut spec: Value| {
            spec["nodeName"] = profile.node_name.into();
            to_raw_value(&spec)
        });
        self.spec = placed.expect("the spec was an object when it was admitted");
    }
}
