//! The ConfigMaps, Secrets and claims that a pod cannot start without: like a kubelet, the cloud lets it wait for them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Pod, Stage};
use crate::world::cloud::Common;
use crate::world::cloud::request::Resource;

/// How soon a pod looks again for what it lacks.
const LOOK_AGAIN_US: u64 = 1_000_000;

/// What a spec names that is not optional. Pull secrets are not in it: without one the pull is tried all the same.
pub(super) fn needs(spec: &Value) -> BTreeSet<(Resource, String)> {
    let list = |of: &Value, field: &str| of[field].as_array().cloned().unwrap_or_default();
    let mut needs = BTreeSet::new();
    let mut add = |resource, at: &Value, field: &str| {
        if let Some(name) = at[field].as_str().filter(|_| at["optional"] != true) {
            needs.insert((resource, name.to_owned()));
        }
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

impl Pod {
    /// What it looks for before its containers run; nothing at any other time.
    pub(in crate::world::cloud) fn looks_for(&self) -> impl Iterator<Item = &(Resource, String)> {
        let looks = self.stage == Stage::Creating && self.deletion.is_none();
        self.needs.iter().filter(move |_| looks)
    }

    /// Whether it uses a claim.
    pub(in crate::world::cloud) fn uses_claim(&self, name: &str) -> bool {
        self.needs.contains(&(Resource::PersistentVolumeClaims, name.to_owned()))
    }

    /// Something was not there.
    pub(in crate::world::cloud) fn wait_for_objects(&mut self, at_us: u64, common: &mut Common) {
        self.due_us = None;
        self.set_due(Some(at_us + LOOK_AGAIN_US), common);
    }
}
