//! Claims and volumes.

use super::*;

fn volume(policy: &str) -> Value {
    json!({"metadata": {"name": "v"}, "spec": {
        "accessModes": ["ReadWriteMany"], "capacity": {"storage": "500Gi"},
        "claimRef": {"namespace": "burst", "name": "c"},
        "csi": {"driver": "sfsturbo.csi.everest.io", "volumeHandle": "files-1"},
        "persistentVolumeReclaimPolicy": policy}})
}

fn claim() -> Value {
    json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteMany"], "volumeName": "v"}})
}

impl World {
    fn with_claim(policy: &str) -> World {
        let mut world = World::ready_in(Generation::Two, CloudOptions::default());
        assert_eq!(world.create(Resource::PersistentVolumes, "", &volume(policy)).status, 201);
        assert_eq!(world.create(Resource::PersistentVolumeClaims, "burst", &claim()).status, 201);
        world
    }

    fn the(&mut self, verb: Verb, resource: Resource) -> Reply {
        let (namespace, name) =
            if resource == Resource::PersistentVolumes { ("", "v") } else { ("burst", "c") };
        self.call(&self.request(verb, resource, namespace, name))
    }

    fn phase(&mut self, resource: Resource) -> String {
        let reply = self.the(Verb::Get, resource);
        reply.json()["status"]["phase"].as_str().map_or(reply.status.to_string(), str::to_owned)
    }

    fn phases(&mut self) -> [String; 2] {
        [Resource::PersistentVolumes, Resource::PersistentVolumeClaims].map(|resource| self.phase(resource))
    }
}

#[test]
fn a_claim_is_bound_to_the_volume_that_names_it() {
    let mut world = World::ready_in(Generation::Two, CloudOptions::default());
    world.create(Resource::PersistentVolumeClaims, "burst", &claim());
    assert_eq!(world.phases(), ["404", "Pending"]);
    world.create(Resource::PersistentVolumes, "", &volume("Retain"));
    assert_eq!(world.phases(), ["Bound", "Bound"]);
    let mut other = world.the(Verb::Get, Resource::PersistentVolumes).json();
    other["spec"]["csi"]["volumeHandle"] = "files-2".into();
    let replace = world.request(Verb::Replace, Resource::PersistentVolumes, "", "v").with_body(&other);
    assert_eq!(world.call(&replace).status, 422);
}

#[test]
fn a_claim_that_pods_use_stays_until_they_are_gone() {
    let mut world = World::with_claim("Retain");
    let claims = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]);
    assert_eq!(world.create_pod(&pod_with("a", "/spec/volumes", claims)).status, 201);
    world.pass(5 * SECOND);
    assert_eq!(world.pod("a")["status"]["phase"], "Running");
    for resource in [Resource::PersistentVolumeClaims, Resource::PersistentVolumes] {
        let begun = world.the(Verb::Delete, resource).json();
        assert!(begun["metadata"]["deletionTimestamp"].is_string(), "{begun}");
    }
    assert_eq!(world.phases(), ["Bound", "Bound"]);
    world.delete_pod("a", &json!({"gracePeriodSeconds": 0}));
    world.pass(60 * SECOND);
    assert_eq!(world.phases(), ["404", "404"]);
    assert!(world.cloud.deleted_files().is_empty());
}

#[test]
fn a_volume_without_its_claim_keeps_its_files_or_takes_them_along() {
    let mut world = World::with_claim("Retain");
    world.the(Verb::Delete, Resource::PersistentVolumeClaims);
    assert_eq!(world.phases(), ["Released", "404"]);
    world.create(Resource::PersistentVolumeClaims, "burst", &claim());
    assert_eq!(world.phases(), ["Released", "Pending"], "it is another claim");

    let mut world = World::with_claim("Delete");
    world.the(Verb::Delete, Resource::PersistentVolumeClaims);
    assert_eq!(world.phases(), ["404", "404"]);
    assert_eq!(world.cloud.deleted_files(), ["files-1"]);
}

#[test]
fn a_pod_waits_for_its_claim_to_be_bound() {
    let mut world = World::ready_in(Generation::Two, CloudOptions::default());
    world.create(Resource::PersistentVolumeClaims, "burst", &claim());
    let claims = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]);
    world.create_pod(&pod_with("a", "/spec/volumes", claims));
    world.pass(5 * SECOND);
    assert_eq!(world.pod("a")["status"]["phase"], "Pending");
    world.create(Resource::PersistentVolumes, "", &volume("Retain"));
    world.pass(5 * SECOND);
    assert_eq!(world.pod("a")["status"]["phase"], "Running");
}

fn import(volume_id: &str) -> Value {
    json!({
        "metadata": {"name": "c", "annotations": {"fsType": "nfs", "volumeID": volume_id, "deviceMountPath": "h:/"}},
        "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "efs-standard"},
    })
}

/// CCI 1.0 API, importing and unbinding a storage device.
#[test]
fn imported_files_go_with_their_claim_unless_it_is_unbound() {
    for (query, status, deleted) in [
        ((None, ""), 200, vec!["files-1"]),
        ((Some(true), ""), 200, vec!["files-1"]),
        ((Some(false), ""), 400, vec![]),
        ((Some(false), "efs"), 200, vec![]),
    ] {
        let mut world = World::ready_in(Generation::One, CloudOptions::default());
        let mut request = world.request(Verb::Create, Resource::PersistentVolumeClaims, "burst", "");
        request.imports = true;
        let refused = world.call(&request.clone().with_body(&import("")));
        assert_eq!(refused.status, 400, "{:?}", refused.json());
        assert_eq!(world.call(&request.with_body(&import("files-1"))).status, 201);
        let claim = world.the(Verb::Get, Resource::PersistentVolumeClaims).json();
        assert_eq!(claim["status"]["phase"], "Bound", "{claim}");
        let query = Query { delete_volume: query.0, storage_type: query.1.to_owned(), ..Query::default() };
        let delete = world.request(Verb::Delete, Resource::PersistentVolumeClaims, "burst", "c");
        assert_eq!(world.call(&delete.with_query(query)).status, status);
        assert_eq!(world.cloud.deleted_files(), deleted);
    }
}

#[test]
fn a_pod_waits_for_the_keys_that_it_names() {
    for (optional, data, phase) in [
        (false, json!({"other": "eA=="}), "Pending"),
        (true, json!({"other": "eA=="}), "Running"),
        (false, json!({"key": "eA=="}), "Running"),
    ] {
        let mut world = World::ready_in(Generation::Two, CloudOptions::default());
        let secret = json!({"metadata": {"name": "s"}, "data": data});
        world.create(Resource::Secrets, "burst", &secret);
        let from = json!({"secretKeyRef": {"name": "s", "key": "key", "optional": optional}});
        let env = json!([{"name": "A", "valueFrom": from}]);
        world.create_pod(&pod_with("a", "/spec/containers/0/env", env));
        world.pass(5 * SECOND);
        assert_eq!(world.pod("a")["status"]["phase"], phase, "{optional} {data}");
    }
}
