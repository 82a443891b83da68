//! Networks: without one that works, no pod of the namespace starts.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::names;
use super::profile::{Generation, Profile};
use super::reply::{Refusal, Reply};
use super::request::{Request, Resource};
use super::schedule::Target;
use super::schema::{self, prune};
use super::time::rfc3339;
use super::{Cloud, fields};

/// What a network of the first generation must say in its annotations.
const SECURITY_GROUP: &str = "network.alpha.kubernetes.io/default-security-group";
const PROJECT: &str = "network.alpha.kubernetes.io/project-id";

/// A network.
#[derive(Debug)]
pub(super) struct Network {
    object: Value,
    pub(super) active: bool,
    due_us: Option<u64>,
}

/// Generation, namespace and name.
pub(super) type NetworkKey = (Generation, String, String);

impl Cloud {
    pub(super) fn create_network(&mut self, request: &Request) -> Result<Reply, Refusal> {
        self.check_namespace(request, true)?;
        let profile = request.generation.profile();
        let body = fields::body(request)?;
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if !names::is_dns_subdomain(&name) {
            return Err(Refusal::new(422, "metadata.name: Invalid value: must be a DNS subdomain"));
        }
        let (annotations, labels) =
            (names::texts(&body["metadata"], "annotations")?, names::labels(&body["metadata"])?);
        let mut spec = body["spec"].clone();
        match request.generation {
            Generation::One => {
                check_one(&annotations, &spec)?;
                prune(&mut spec, &schema::NETWORK_SPEC_ONE);
            }
            Generation::Two => {
                check_two(&spec)?;
                prune(&mut spec, &schema::NETWORK_SPEC_TWO);
            }
        }
        let key = (request.generation, request.namespace.clone(), name.clone());
        if self.networks.contains_key(&key) {
            return Err(Refusal::exists(group(profile), "networks", &name));
        }
        self.common.revision += 1;
        let mut object = json!({
            "apiVersion": profile.network_version, "kind": "Network",
            "metadata": {
                "name": name, "namespace": request.namespace, "uid": self.common.chance.uid(),
                "resourceVersion": self.common.revision.to_string(), "creationTimestamp": rfc3339(self.now_us),
                "annotations": annotations, "labels": labels,
            },
            "spec": spec, "status": {},
        });
        match request.generation {
            Generation::One => object["status"] = json!({"state": "Initializing"}),
            Generation::Two => object["metadata"]["finalizers"] = json!(["yangtse.io/network-cleanup"]),
        }
        let reply = Reply::of(201, &object).applied();
        let active_us = self.now_us + self.common.options.network_ready_ms * 1_000;
        let target = Target::Network(key.0, key.1.clone(), key.2.clone());
        let due_us = self.common.schedule.set(target, None, Some(active_us));
        self.networks.insert(key, Network { object, active: false, due_us });
        Ok(reply)
    }

    /// The step that is due: active.
    pub(super) fn step_network(&mut self, key: &NetworkKey) {
        let Some(network) = self.networks.get_mut(key) else { return };
        let profile = key.0.profile();
        self.common.revision += 1;
        network.due_us = None;
        network.active = true;
        network.object["status"][profile.network_state_field] = profile.network_active.into();
        network.object["metadata"]["resourceVersion"] = self.common.revision.to_string().into();
        if key.0 == Generation::Two {
            let kinds = ["NetworkSynced", "NetworkExternalDependenciesSynced"];
            let conditions = kinds.map(|kind| json!({"type": kind, "status": "True"}));
            network.object["status"]["conditions"] = conditions.to_vec().into();
        }
        self.start_pods(key.0, &key.1);
    }

    /// Whether pods of a namespace can start.
    pub(super) fn has_network(&self, generation: Generation, namespace: &str) -> bool {
        self.networks.iter().any(|(key, network)| network.active && key.0 == generation && key.1 == namespace)
    }

    pub(super) fn get_network(&self, request: &Request) -> Result<Reply, Refusal> {
        self.check_namespace(request, false)?;
        let network = self.networks.get(&key(request)).ok_or_else(|| missing(request))?;
        Ok(Reply::of(200, &network.object))
    }

    pub(super) fn list_networks(&self, request: &Request) -> Result<Reply, Refusal> {
        self.check_namespace(request, false)?;
        let selectors = fields::Selectors::of(request)?;
        let shown = self.networks.iter().filter(|((generation, namespace, name), network)| {
            let labels = names::labels(&network.object["metadata"]).unwrap_or_default();
            (*generation, namespace) == (request.generation, &request.namespace)
                && selectors.match_object(namespace, name, &labels)
        });
        let items = shown.map(|(_, network)| network.object.clone()).collect();
        Ok(self.plain_list(Resource::Networks, request.generation.profile().network_version, items))
    }

    pub(super) fn delete_network(&mut self, request: &Request) -> Result<Reply, Refusal> {
        self.check_namespace(request, false)?;
        let key = key(request);
        let network = self.networks.remove(&key).ok_or_else(|| missing(request))?;
        self.common.schedule.set(Target::Network(key.0, key.1, key.2), network.due_us, None);
        let mut object = network.object;
        object["metadata"]["deletionTimestamp"] = rfc3339(self.now_us).into();
        Ok(Reply::of(200, &object).applied())
    }
}

fn key(request: &Request) -> NetworkKey {
    (request.generation, request.namespace.clone(), request.name.clone())
}

fn group(profile: &Profile) -> &'static str {
    profile.network_version.split('/').next().unwrap_or_default()
}

fn missing(request: &Request) -> Refusal {
    Refusal::not_found(group(request.generation.profile()), "networks", &request.name)
}

fn check_one(annotations: &std::collections::BTreeMap<String, String>, spec: &Value) -> Result<(), Refusal> {
    let given = |key: &str| annotations.get(key).is_some_and(|value| !value.is_empty());
    if !given(SECURITY_GROUP) {
        let message = "security-group not found: securitygroup can not be empty";
        return Err(Refusal::new(400, message).code("CCI.01.400101"));
    }
    if !given(PROJECT) {
        return Err(Refusal::new(400, "project id annotation is missing").code("CCI.01.400202"));
    }
    for field in ["networkID", "subnetID"] {
        if spec[field].as_str().unwrap_or_default().is_empty() {
            return Err(Refusal::new(422, format!("spec[{field}]: Required value")));
        }
    }
    let cidr = &spec["cidr"];
    let fits =
        cidr.is_null() || cidr.as_str().and_then(parse_cidr).is_some_and(|cidr| !overlaps(cidr, SERVICES));
    if !fits {
        let message = "subnet cidr is invalid or overlaps 10.247.0.0/16";
        return Err(Refusal::new(400, message).code("CCI.01.400201"));
    }
    Ok(())
}

fn check_two(spec: &Value) -> Result<(), Refusal> {
    let required = |field: &str| Refusal::new(422, format!("spec.{field}: Required value"));
    for field in ["securityGroups", "subnets"] {
        if spec[field].as_array().is_none_or(Vec::is_empty) {
            return Err(required(field));
        }
    }
    if spec["subnets"][0]["subnetID"].as_str().unwrap_or_default().is_empty() {
        return Err(required("subnets[0].subnetID"));
    }
    Ok(())
}

/// An address and the length of its prefix.
type Cidr = (u32, u32);

/// The addresses of Services in a namespace of the first generation: 10.247.0.0/16.
const SERVICES: Cidr = (0x0af7_0000, 16);

fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, length) = text.split_once('/')?;
    let length = length.parse().ok().filter(|length| *length <= u32::BITS)?;
    Some((address.parse::<Ipv4Addr>().ok()?.to_bits(), length))
}

fn overlaps(one: Cidr, other: Cidr) -> bool {
    let length = one.1.min(other.1);
    (one.0 ^ other.0).checked_shr(u32::BITS - length).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_ranges_are_found() {
        let meets = |text| overlaps(parse_cidr(text).unwrap(), SERVICES);
        assert!(meets("10.247.3.0/24") && meets("10.0.0.0/8") && meets("0.0.0.0/0"));
        assert!(!meets("192.168.0.0/24") && !meets("10.246.0.0/16"));
        assert_eq!(parse_cidr("10.0.0.0/40"), None);
    }
}
