//! The rules of the cloud, on virtual time.

mod claims;
mod faults;
mod identity;
mod lists;
mod namespaces;
mod patches;
mod pods;
mod streams;
mod usage;

use serde_json::{Value, json};

use super::*;

const SECOND: u64 = 1_000_000;
/// Some time; virtual time need not start at the epoch.
const START_US: u64 = 1_767_225_600 * SECOND;

/// A cloud and the time in it.
struct World {
    cloud: Cloud,
    now_us: u64,
    generation: Generation,
}

impl World {
    fn empty(options: CloudOptions) -> World {
        World { cloud: Cloud::new(options, 1), now_us: START_US, generation: Generation::One }
    }

    /// With a namespace `burst` that can run pods.
    fn ready(options: CloudOptions) -> World {
        World::ready_in(Generation::One, options)
    }

    fn ready_in(generation: Generation, options: CloudOptions) -> World {
        let faults = options.faults.clone();
        let mut world = World::empty(CloudOptions { faults: FaultRules::default(), ..options });
        world.generation = generation;
        assert_eq!(world.create_namespace("burst").status, 201);
        assert_eq!(world.create(Resource::Networks, "burst", &network(generation)).status, 201);
        world.pass(SECOND);
        let options = CloudOptions { faults, ..world.cloud.options().clone() };
        world.cloud.set_options(options);
        world
    }

    fn pass(&mut self, us: u64) {
        self.now_us += us;
        self.cloud.advance(self.now_us);
    }

    fn call(&mut self, request: &Request) -> Reply {
        self.cloud.call(self.now_us, request)
    }

    fn request(&self, verb: Verb, resource: Resource, namespace: &str, name: &str) -> Request {
        Request::new(self.generation, verb, resource, namespace, name)
    }

    fn create(&mut self, resource: Resource, namespace: &str, body: &Value) -> Reply {
        self.call(&self.request(Verb::Create, resource, namespace, "").with_body(body))
    }

    fn create_namespace(&mut self, name: &str) -> Reply {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name,
            "annotations": {"namespace.kubernetes.io/flavor": "general-computing"}}});
        self.create(Resource::Namespaces, "", &body)
    }

    fn create_pod(&mut self, pod: &Value) -> Reply {
        self.create(Resource::Pods, "burst", pod)
    }

    fn get_pod(&mut self, name: &str) -> Reply {
        self.call(&self.request(Verb::Get, Resource::Pods, "burst", name))
    }

    fn pod(&mut self, name: &str) -> Value {
        self.get_pod(name).json()
    }

    fn delete_pod(&mut self, name: &str, options: &Value) -> Reply {
        self.call(&self.request(Verb::Delete, Resource::Pods, "burst", name).with_body(options))
    }

    fn list(&mut self, query: Query) -> Reply {
        self.call(&self.request(Verb::List, Resource::Pods, "burst", "").with_query(query))
    }

    fn names(&mut self) -> Vec<String> {
        names(&self.list(Query::default()))
    }

    fn key(&self, name: &str) -> PodKey {
        PodKey::new(self.generation, "burst", name)
    }
}

fn names(list: &Reply) -> Vec<String> {
    let items = list.json()["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

fn network(generation: Generation) -> Value {
    match generation {
        Generation::One => json!({"metadata": {"name": "net", "annotations": {
                "network.alpha.kubernetes.io/default-security-group": "sg",
                "network.alpha.kubernetes.io/project-id": "P1"}},
            "spec": {"networkID": "n", "subnetID": "s", "cidr": "192.168.0.0/16", "securityGroups": ["dropped"]}}),
        Generation::Two => json!({"metadata": {"name": "net"},
            "spec": {"securityGroups": ["sg"], "subnets": [{"subnetID": "s"}]}}),
    }
}

/// A pod of one container that the cloud accepts.
fn pod(name: &str) -> Value {
    let size = json!({"cpu": "500m", "memory": "1Gi"});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [
        {"name": "web", "image": "swr.example/shop/web:1", "resources": {"limits": size, "requests": size}}]}})
}

/// The same with one field changed.
fn pod_with(name: &str, pointer: &str, value: Value) -> Value {
    let mut pod = pod(name);
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    pod.pointer_mut(parent).unwrap()[field] = value;
    pod
}

fn options_with(faults: &str) -> CloudOptions {
    CloudOptions { faults: faults.parse().unwrap(), ..CloudOptions::default() }
}

fn message(reply: &Reply) -> String {
    format!(
        "{} {} {}",
        reply.status,
        reply.json()["errorCode"].as_str().unwrap_or("-"),
        reply.json()["message"].as_str().unwrap_or("-")
    )
}
