//! The ConfigMaps, Secrets and claims that a pod cannot start without: like a kubelet, the cloud lets it wait for them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Pod, Stage};
use crate::world::cloud::Common;
use crate::world::cloud::request::Resource;

/// How soon a pod looks again for what it lacks.
const LOOK_AGAIN_US: u64 = 1_000_000;

/// Something that a pod cannot start without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::world::cloud) struct Need {
    /// Of which kind.
    pub resource: Resource,
    /// Its name.
    pub name: String,
    /// A key that it has to have.
    pub key: Option<String>,
}

/// What a spec names that is not optional. Pull secrets are not in it: without one the pull is tried all the same.
pub(super) fn needs(spec: &Value) -> BTreeSet<Need> {
    let list = |of: &Value, field: &str| of[field].as_array().cloned().unwrap_or_default();
    let mut needs = BTreeSet::new();
    let mut add = |resource, at: &Value, field: &str| {
        let Some(name) = at[field].as_str().filter(|_| at["optional"] != true) else { return };
        let items = list(at, "items");
        let named = items.iter().map(|item| &item["key"]).chain([&at["key"]]);
        let keys = named.filter_map(Value::as_str).map(|key| Some(key.to_owned()));
        needs.extend(keys.chain([None]).map(|key| Need { resource, name: name.to_owned(), key }));
    };
    for volume in list(spec, "volumes") {
        add(Resource::ConfigMaps, &volume["configMap"], "name");
        add(Resource::Secrets, &volume["secret"], "secretName");
        add(Resource::PersistentVolumeClaims, &volume["persistentVolumeClaim"], "claimName");
        for source in list(&volume["projected"], "sources") {
            add(Resource::ConfigMaps, &source["configMap"], "name");
            add(Resource::Secrets, &source["secret"], "name");
        }
    }
    for container in list(spec, "initContainers").into_iter().chain(list(spec, "containers")) {
        for source in list(&container, "envFrom") {
            add(Resource::ConfigMaps, &source["configMapRef"], "name");
            add(Resource::Secrets, &source["secretRef"], "name");
        }
        for variable in list(&container, "env") {
            add(Resource::ConfigMaps, &variable["valueFrom"]["configMapKeyRef"], "name");
            add(Resource::Secrets, &variable["valueFrom"]["secretKeyRef"], "name");
        }
    }
    needs
}

impl Need {
    /// Whether an object has what is needed of it.
    pub(in crate::world::cloud) fn has_key(&self, object: &Value) -> bool {
        let has = |key| ["data", "stringData", "binaryData"].iter().any(|of| object[of].get(key).is_some());
        self.key.as_deref().is_none_or(has)
    }
}

impl Pod {
    /// What it looks for before its containers run; nothing at any other time.
    pub(in crate::world::cloud) fn looks_for(&self) -> impl Iterator<Item = &Need> {
        let looks = self.stage == Stage::Creating && self.deletion.is_none();
        self.needs.iter().filter(move |_| looks)
    }

    /// Whether it uses a claim.
    pub(in crate::world::cloud) fn uses_claim(&self, name: &str) -> bool {
        let is_it = |need: &Need| need.resource == Resource::PersistentVolumeClaims && need.name == name;
        self.needs.iter().any(is_it)
    }

    /// Something was not there.
    pub(in crate::world::cloud) fn wait_for_objects(&mut self, at_us: u64, common: &mut Common) {
        self.due_us = None;
        self.set_due(Some(at_us + LOOK_AGAIN_US), common);
    }
}
