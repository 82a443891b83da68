//! Claims and volumes: how they find each other, and how they go. As in any cluster a claim that pods use, and a volume
//! that serves a claim, only begin to go; a volume whose claim is gone is kept or takes its files with it, as it says. In CCI
//! 1.0 the cloud makes the volume of a claim that imports files, and whoever takes the claim away says what becomes of them.

use serde_json::{Value, json};

use super::Cloud;
use super::object::ObjectKey;
use super::profile::Generation;
use super::reply::Refusal;
use super::request::{Request, Resource};

/// What can be imported by a class (CCI 1.0 API, importing a storage device).
const IMPORTED_CLASSES: [&str; 7] =
    ["sata", "sas", "ssd", "nfs-rw", "efs-performance", "efs-standard", "obs"];

/// What stays when its claim goes.
const RETAIN: &str = "Retain";

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn volume_key(claim: &ObjectKey, name: String) -> ObjectKey {
    ObjectKey { namespace: String::new(), resource: Resource::PersistentVolumes, name, ..claim.clone() }
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Whether a pod that needs it can start: a claim is bound first.
pub(super) fn is_usable(resource: Resource, object: &Value) -> bool {
    resource != Resource::PersistentVolumeClaims || text(object, "/status/phase") == "Bound"
}

/// What of claims and volumes stays as it was made; their status is the cloud's own.
pub(super) fn check_change(request: &Request, before: &Value, object: &mut Value) -> Result<(), Refusal> {
    let fixed: &[&str] = match request.resource {
        Resource::PersistentVolumeClaims => &["accessModes", "storageClassName", "volumeMode", "volumeName"],
        Resource::PersistentVolumes => &["csi"],
        Resource::Namespaces
        | Resource::Networks
        | Resource::Pods
        | Resource::PodLog
        | Resource::PodExec
        | Resource::ConfigMaps
        | Resource::Secrets
        | Resource::Events
        | Resource::ResourceQuotas
        | Resource::PodMetrics => return Ok(()),
    };
    if let Some(field) = fixed.iter().find(|field| object["spec"][**field] != before["spec"][**field]) {
        let message = format!("spec.{field}: Forbidden: is immutable after creation");
        return Err(Refusal::new(422, message).about("", request.resource.plural(), &request.name));
    }
    object["status"] = before["status"].clone();
    Ok(())
}

impl Cloud {
    /// The file systems that are gone because a volume was not to be kept.
    #[must_use]
    pub fn deleted_files(&self) -> &[String] {
        &self.deleted_files
    }

    /// Makes the volume of a claim that is about to be stored, for the files that it names.
    pub(super) fn import(&mut self, key: &ObjectKey, claim: &mut Value) -> Result<(), Refusal> {
        let annotations = &claim["metadata"]["annotations"];
        let named = ["fsType", "volumeID"].map(|key| annotations[key].as_str().unwrap_or_default());
        let class = text(claim, "/spec/storageClassName");
        if named.contains(&"") || !IMPORTED_CLASSES.contains(&class) {
            let message = "an import names fsType and volumeID, and a storage class of the cloud's";
            return Err(Refusal::new(400, message).code("CCI.01.400101"));
        }
        let name = format!("pvc-{}", text(claim, "/metadata/uid"));
        let mut options = json!({"fsType": named[0], "volumeID": named[1]});
        if let Some(path) = annotations["deviceMountPath"].as_str() {
            options["deviceMountPath"] = path.into();
        }
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": name, "annotations": {"kubernetes.io/createdby": "cci-apiserver"}},
            "spec": {
                "claimRef": {"namespace": key.namespace, "name": key.name},
                "flexVolume": {"driver": "huawei.com/fuxivol", "fsType": named[0], "options": options},
                "persistentVolumeReclaimPolicy": "Delete", "storageClassName": class,
            },
        });
        claim["spec"]["volumeName"] = name.as_str().into();
        self.objects.insert(volume_key(key, name), volume);
        Ok(())
    }

    /// Before a claim of CCI 1.0 is deleted: its files stay if that is said, and where they are.
    pub(super) fn unbind(&mut self, request: &Request, key: &ObjectKey) -> Result<(), Refusal> {
        let is_claim = key.resource == Resource::PersistentVolumeClaims && key.generation == Generation::One;
        if !is_claim || request.query.delete_volume != Some(false) {
            return Ok(());
        }
        if !matches!(&*request.query.storage_type, "bs" | "nfs" | "efs") {
            return Err(Refusal::new(400, "storageType is mandatory when deleteVolume is false"));
        }
        let volume = self.objects.get(key).map(|claim| text(claim, "/spec/volumeName").to_owned());
        if let Some(volume) = self.objects.get_mut(&volume_key(key, volume.unwrap_or_default())) {
            volume["spec"]["persistentVolumeReclaimPolicy"] = RETAIN.into();
        }
        Ok(())
    }

    fn keys(&self, resource: Resource) -> Vec<ObjectKey> {
        self.objects.keys().filter(|key| key.resource == resource).cloned().collect()
    }

    fn set_phase(&mut self, key: &ObjectKey, phase: &str, volume_claim: Option<Value>) {
        let Some(object) = self.objects.get_mut(key) else { return };
        if text(object, "/status/phase") == phase && volume_claim.is_none() {
            return;
        }
        self.common.revision += 1;
        object["status"] = json!({"phase": phase});
        if let Some(uid) = volume_claim {
            object["spec"]["claimRef"]["uid"] = uid;
        }
        object["metadata"]["resourceVersion"] = self.common.revision.to_string().into();
    }

    /// Binds what belongs together, and lets go what nothing uses any more.
    pub(super) fn settle_claims(&mut self) {
        for key in self.keys(Resource::PersistentVolumeClaims) {
            if is_going(&self.objects[&key]) && !self.is_in_use(&key) {
                self.objects.remove(&key);
            } else {
                self.bind(&key);
            }
        }
        for key in self.keys(Resource::PersistentVolumes) {
            self.settle_volume(&key);
        }
    }

    fn bind(&mut self, key: &ObjectKey) {
        let claim = &self.objects[key];
        let volume = volume_key(key, text(claim, "/spec/volumeName").to_owned());
        let uid = claim["metadata"]["uid"].clone();
        let is_theirs = |volume: &Value| {
            let to = &volume["spec"]["claimRef"];
            text(to, "/namespace") == key.namespace
                && text(to, "/name") == key.name
                && (to["uid"].is_null() || to["uid"] == uid)
        };
        let phase = match self.objects.get(&volume) {
            Some(found) if is_theirs(found) => "Bound",
            None if text(claim, "/status/phase") == "Bound" => "Lost",
            Some(_) | None => "Pending",
        };
        self.set_phase(key, phase, None);
        if phase == "Bound" && self.objects[&volume]["spec"]["claimRef"]["uid"].is_null() {
            self.set_phase(&volume, "Bound", Some(uid));
        }
    }

    fn settle_volume(&mut self, key: &ObjectKey) {
        let volume = &self.objects[key];
        let is_bound = !volume["spec"]["claimRef"]["uid"].is_null();
        if self.is_in_use(key) {
            return;
        }
        let deletes = is_bound && text(volume, "/spec/persistentVolumeReclaimPolicy") != RETAIN;
        if deletes {
            let files = ["/spec/csi/volumeHandle", "/spec/flexVolume/options/volumeID"];
            self.deleted_files.extend(
                files.iter().filter_map(|pointer| volume.pointer(pointer)?.as_str()).map(str::to_owned),
            );
        }
        let goes = deletes || is_bound && key.generation == Generation::One;
        if goes || is_going(volume) {
            self.objects.remove(key);
        } else {
            self.set_phase(key, if is_bound { "Released" } else { "Available" }, None);
        }
    }

    /// Whether something needs it to stay for as long as it does.
    pub(super) fn is_in_use(&self, key: &ObjectKey) -> bool {
        match key.resource {
            Resource::PersistentVolumeClaims => self.pods.iter().any(|(pod_key, pod)| {
                (pod_key.generation, &pod_key.namespace) == (key.generation, &key.namespace)
                    && pod.uses_claim(&key.name)
            }),
            Resource::PersistentVolumes => {
                let to = &self.objects[key]["spec"]["claimRef"]["uid"];
                let claims =
                    self.objects.iter().filter(|(key, _)| key.resource == Resource::PersistentVolumeClaims);
                !to.is_null() && claims.into_iter().any(|(_, claim)| claim["metadata"]["uid"] == *to)
            }
            Resource::Namespaces
            | Resource::Networks
            | Resource::Pods
            | Resource::PodLog
            | Resource::PodExec
            | Resource::ConfigMaps
            | Resource::Secrets
            | Resource::Events
            | Resource::ResourceQuotas
            | Resource::PodMetrics => false,
        }
    }
}
