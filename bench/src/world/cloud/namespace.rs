//! Namespaces: the room that pods live in, and that takes them with it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::names;
use super::profile::{Generation, Profile};
use super::reply::{Refusal, Reply};
use super::request::{Request, Resource};
use super::schedule::Target;
use super::time::rfc3339;
use super::{Cloud, fields};

/// How soon a namespace that still holds stuck pods looks again.
const TERMINATING_RETRY_US: u64 = 1_000_000;
/// The flavors of the first generation.
const FLAVORS: [&str; 2] = ["general-computing", "gpu-accelerated"];
/// The annotation that names the flavor, and the form of it that clients which cannot write dots use.
const FLAVOR: &str = "namespace.kubernetes.io/flavor";
const FLAVOR_WITH_HYPHENS: &str = "namespace-kubernetes-io/flavor";

/// The state of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespacePhase {
    /// Not yet usable.
    Pending,
    /// Usable.
    Active,
    /// Its deletion was asked.
    Terminating,
}

impl NamespacePhase {
    fn name(self) -> &'static str {
        match self {
            NamespacePhase::Pending => "Pending",
            NamespacePhase::Active => "Active",
            NamespacePhase::Terminating => "Terminating",
        }
    }
}

/// A namespace.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
    uid: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    created_us: u64,
    deleted_us: Option<u64>,
    pub(super) phase: NamespacePhase,
    revision: u64,
    due_us: Option<u64>,
}

impl Namespace {
    fn object(&self, profile: &Profile) -> Value {
        let mut object = json!({
            "apiVersion": profile.core_version, "kind": "Namespace",
            "metadata": {
                "name": self.name, "uid": self.uid, "resourceVersion": self.revision.to_string(),
                "creationTimestamp": rfc3339(self.created_us), "labels": self.labels,
                "annotations": self.annotations,
            },
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": self.phase.name()},
        });
        if let Some(deleted_us) = self.deleted_us {
            object["metadata"]["deletionTimestamp"] = rfc3339(deleted_us).into();
        }
        object
    }
}

impl Cloud {
    pub(super) fn create_namespace(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let profile = request.generation.profile();
        let body = fields::body(request)?;
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut annotations = names::texts(&body["metadata"], "annotations")?;
        let labels = names::labels(&body["metadata"])?;
        if !names::is_dns_label(&name) {
            return Err(Refusal::new(400, "namespace name is invalid").code("CCI.02.400109"));
        }
        if profile.namespace_flavor {
            check_flavor(&mut annotations)?;
        }
        let key = (request.generation, name.clone());
        let reusable_us = self.ended_namespaces.get(&key).copied().unwrap_or(0);
        if self.namespaces.contains_key(&key) || reusable_us > self.now_us {
            return Err(Refusal::new(409, "namespace name is already exist").code("CCI.02.409101"));
        }
        if self.namespaces.len() >= self.common.options.namespaces_max {
            return Err(Refusal::new(400, "namespace quota exceeded").code("CCI.02.400106"));
        }
        self.insert_namespace(profile, name, labels, annotations);
        if !profile.namespace_pends {
            self.namespace_ready(&key);
        }
        Ok(Reply::of(201, &self.namespaces[&key].object(profile)).applied())
    }

    fn insert_namespace(
        &mut self,
        profile: &Profile,
        name: String,
        mut labels: BTreeMap<String, String>,
        mut annotations: BTreeMap<String, String>,
    ) {
        let now_us = self.now_us;
        for (key, value) in [
            ("domain-id", "D1"),
            ("domain-name", "simulated"),
            ("project-id", "P1"),
            ("project-name", "cn-north-4"),
        ] {
            annotations.insert(format!("tenant.kubernetes.io/{key}"), value.to_owned());
        }
        if profile.generation == Generation::Two {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
            annotations.insert("tenant.cci.io/tenant-id".to_owned(), "P1".to_owned());
        }
        self.common.revision += 1;
        let key = (profile.generation, name.clone());
        let ready_us = now_us + self.common.options.namespace_ready_ms * 1_000;
        let target = Target::Namespace(key.0, key.1.clone());
        let namespace = Namespace {
            name,
            uid: self.common.chance.uid(),
            labels,
            annotations,
            created_us: now_us,
            deleted_us: None,
            phase: NamespacePhase::Pending,
            revision: self.common.revision,
            due_us: self.common.schedule.set(target, None, Some(ready_us)),
        };
        self.namespaces.insert(key, namespace);
    }

    fn namespace_ready(&mut self, key: &(Generation, String)) {
        self.common.revision += 1;
        let Some(namespace) = self.namespaces.get_mut(key) else { return };
        let target = Target::Namespace(key.0, key.1.clone());
        namespace.due_us = self.common.schedule.set(target, namespace.due_us, None);
        namespace.phase = NamespacePhase::Active;
        namespace.revision = self.common.revision;
        self.add_foreign_pods(key.0, &key.1);
        self.start_pods(key.0, &key.1);
    }

    /// The step that is due: active, or gone.
    pub(super) fn step_namespace(&mut self, generation: Generation, name: String) {
        let key = (generation, name);
        let Some(namespace) = self.namespaces.get_mut(&key) else { return };
        namespace.due_us = None;
        match namespace.phase {
            NamespacePhase::Pending => self.namespace_ready(&key),
            NamespacePhase::Active => {}
            NamespacePhase::Terminating => self.end_namespace(&key),
        }
    }

    /// Removes a namespace with all it holds, unless a stuck pod keeps it.
    fn end_namespace(&mut self, key: &(Generation, String)) {
        for pod in self.pod_keys_in(key.0, &key.1) {
            if self.pods.get(&pod).is_some_and(|pod| !pod.is_stuck()) {
                self.pod_gone(&pod);
            }
        }
        if !self.pod_keys_in(key.0, &key.1).is_empty() {
            let target = Target::Namespace(key.0, key.1.clone());
            let due_us = self.common.schedule.set(target, None, Some(self.now_us + TERMINATING_RETRY_US));
            if let Some(namespace) = self.namespaces.get_mut(key) {
                namespace.due_us = due_us;
            }
            return;
        }
        self.objects.retain(|object, _| (object.generation, &object.namespace) != (key.0, &key.1));
        self.networks.retain(|network, _| (network.0, &network.1) != (key.0, &key.1));
        self.namespaces.remove(key);
    }

    pub(super) fn get_namespace(&self, request: &Request) -> Result<Reply, Refusal> {
        let profile = request.generation.profile();
        let key = (request.generation, request.name.clone());
        let namespace = self.namespaces.get(&key).ok_or_else(|| missing(profile, &request.name))?;
        Ok(Reply::of(200, &namespace.object(profile)))
    }

    pub(super) fn list_namespaces(&self, request: &Request) -> Result<Reply, Refusal> {
        let selectors = fields::Selectors::of(request)?;
        if self.common.options.namespace_list_needs_name && selectors.name().is_none() {
            return Err(Refusal::new(400, "must use fieldSelector metadata.name").code("CCI.01.400105"));
        }
        let profile = request.generation.profile();
        let shown = self.namespaces.iter().filter(|((generation, name), namespace)| {
            *generation == request.generation && selectors.match_object("", name, &namespace.labels)
        });
        let items = shown.map(|(_, namespace)| namespace.object(profile)).collect();
        Ok(self.plain_list(Resource::Namespaces, profile.core_version, items))
    }

    pub(super) fn delete_namespace(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let profile = request.generation.profile();
        let key = (request.generation, request.name.clone());
        let now_us = self.now_us;
        let namespace = self.namespaces.get_mut(&key).ok_or_else(|| missing(profile, &request.name))?;
        if namespace.phase != NamespacePhase::Terminating {
            self.common.revision += 1;
            namespace.phase = NamespacePhase::Terminating;
            namespace.deleted_us = Some(now_us);
            namespace.revision = self.common.revision;
            let gone_us = now_us + self.common.options.namespace_stop_ms * 1_000;
            let target = Target::Namespace(key.0, key.1.clone());
            namespace.due_us = self.common.schedule.set(target, namespace.due_us, Some(gone_us));
            let reusable_us = now_us + self.common.options.namespace_reuse_ms * 1_000;
            self.ended_namespaces.retain(|_, reusable_us| *reusable_us > now_us);
            self.ended_namespaces.insert(key.clone(), reusable_us);
            for pod in self.pod_keys_in(key.0, &key.1) {
                if let Some(pod) = self.pods.get_mut(&pod) {
                    pod.delete(now_us, None, false, &mut self.common);
                }
            }
        }
        Ok(Reply::of(200, &self.namespaces[&key].object(profile)).applied())
    }

    /// That a namespace is there, and for a write that it is not ending.
    pub(super) fn check_namespace(&self, request: &Request, writes: bool) -> Result<(), Refusal> {
        let profile = request.generation.profile();
        let namespace = self
            .namespaces
            .get(&(request.generation, request.namespace.clone()))
            .ok_or_else(|| missing(profile, &request.namespace))?;
        if writes && namespace.phase == NamespacePhase::Terminating {
            let message = format!(
                "unable to create new content in namespace {} because it is being terminated",
                request.namespace
            );
            return Err(Refusal::new(403, message));
        }
        Ok(())
    }
}

fn missing(profile: &Profile, name: &str) -> Refusal {
    Refusal::not_found(profile.core_group, "namespaces", name)
}

fn check_flavor(annotations: &mut BTreeMap<String, String>) -> Result<(), Refusal> {
    if let Some(flavor) = annotations.remove(FLAVOR_WITH_HYPHENS) {
        annotations.entry(FLAVOR.to_owned()).or_insert(flavor);
    }
    let flavor = annotations.get(FLAVOR).map(String::as_str).unwrap_or_default();
    if flavor.is_empty() {
        return Err(Refusal::new(400, "namespace flavor is required").code("CCI.02.400111"));
    }
    if !FLAVORS.contains(&flavor) {
        return Err(Refusal::new(400, "namespace flavor is invalid").code("CCI.02.400110"));
    }
    Ok(())
}
