//! ConfigMaps, Secrets, claims and volumes, and the read-only Events and quotas.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::profile::Generation;
use super::reply::{Refusal, Reply};
use super::request::{Request, Resource, Verb};
use super::time::rfc3339;
use super::{Cloud, PodKey, claims, fields, names};

/// What a namespace's quota is called.
const QUOTA: &str = "default";

/// Where an object is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectKey {
    pub(super) generation: Generation,
    pub(super) namespace: String,
    pub(super) resource: Resource,
    pub(super) name: String,
}

impl ObjectKey {
    fn of(request: &Request, name: &str) -> ObjectKey {
        ObjectKey {
            generation: request.generation,
            namespace: request.namespace.clone(),
            resource: request.resource,
            name: name.to_owned(),
        }
    }
}

impl Cloud {
    /// Carries out a call about a ConfigMap, a Secret, a claim or a volume.
    pub(super) fn object(&mut self, request: &Request) -> Result<Reply, Refusal> {
        if request.resource != Resource::PersistentVolumes {
            self.check_namespace(request, request.verb == Verb::Create)?;
        }
        // What has become of claims and volumes since is seen when somebody looks.
        self.settle_claims();
        match request.verb {
            Verb::Create => self.create_object(request),
            Verb::Get => self.found(request).map(|object| Reply::of(200, object)),
            Verb::List => self.list_objects(request),
            Verb::Replace | Verb::Patch => self.change_object(request),
            Verb::Delete => self.delete_object(request),
        }
    }

    fn found(&self, request: &Request) -> Result<&Value, Refusal> {
        self.objects.get(&ObjectKey::of(request, &request.name)).ok_or_else(|| missing(request))
    }

    fn create_object(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let mut object = fields::body(request)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if !names::is_dns_subdomain(&name) {
            return Err(Refusal::new(422, "metadata.name: Invalid value: must be a DNS subdomain"));
        }
        names::labels(&object["metadata"])?;
        let key = ObjectKey::of(request, &name);
        let profile = request.generation.profile();
        if self.objects.contains_key(&key) {
            return Err(Refusal::exists(profile.core_group, request.resource.plural(), &name));
        }
        object["metadata"]["uid"] = self.common.chance.uid().into();
        object["metadata"]["creationTimestamp"] = rfc3339(self.now_us).into();
        if request.imports {
            self.import(&key, &mut object)?;
        }
        self.store_object(request, key, object, 201)
    }

    fn store_object(
        &mut self,
        request: &Request,
        key: ObjectKey,
        mut object: Value,
        status: u16,
    ) -> Result<Reply, Refusal> {
        self.common.revision += 1;
        object["apiVersion"] = request.generation.profile().core_version.into();
        object["kind"] = request.resource.kind().into();
        if request.resource != Resource::PersistentVolumes {
            object["metadata"]["namespace"] = request.namespace.as_str().into();
        }
        object["metadata"]["resourceVersion"] = self.common.revision.to_string().into();
        self.objects.insert(key.clone(), object);
        self.settle_claims();
        Ok(Reply::of(status, self.objects.get(&key).unwrap_or(&Value::Null)).applied())
    }

    /// A replacement, or a patch of one of the two kinds that mean the same on these flat objects.
    fn change_object(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let before = self.found(request)?.clone();
        let mut object = if request.verb == Verb::Replace {
            fields::body(request)?
        } else {
            let bad = |_| Refusal::new(400, "the patch cannot be applied").code("CCI.01.400101");
            let mut object = before.clone();
            let is = |kind: &str| request.content_type.starts_with(kind);
            if is("application/merge-patch+json") || is("application/strategic-merge-patch+json") {
                let patch = serde_json::from_slice(&request.body).map_err(|_| bad(()))?;
                json_patch::merge(&mut object, &patch);
            } else if is("application/json-patch+json") && request.generation == Generation::Two {
                let patch: json_patch::Patch = serde_json::from_slice(&request.body).map_err(|_| bad(()))?;
                json_patch::patch(&mut object, &patch).map_err(|_| bad(()))?;
            } else {
                return Err(Refusal::new(415, "unsupported content type").code("CCI.02.400103"));
            }
            object
        };
        if !object.is_object() {
            return Err(Refusal::new(400, "the result of the patch is no object").code("CCI.01.400101"));
        }
        let version = &object["metadata"]["resourceVersion"];
        if !version.is_null() && *version != before["metadata"]["resourceVersion"] {
            let message = "the object has been modified; please apply your changes to the latest version";
            return Err(Refusal::new(409, message).about("", request.resource.plural(), &request.name));
        }
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        for field in ["name", "uid", "creationTimestamp", "deletionTimestamp"] {
            object["metadata"][field] = before["metadata"][field].clone();
        }
        claims::check_change(request, &before, &mut object)?;
        self.store_object(request, ObjectKey::of(request, &request.name), object, 200)
    }

    /// Whether a pod that is about to run cannot, because an object that it needs is not there.
    pub(super) fn lacks_objects(&self, key: &PodKey) -> bool {
        let Some(pod) = self.pods.get(key) else { return false };
        pod.looks_for().any(|need| {
            let object = ObjectKey {
                generation: key.generation,
                namespace: key.namespace.clone(),
                resource: need.resource,
                name: need.name.clone(),
            };
            let has_it = |object: &Value| claims::is_usable(need.resource, object) && need.has_key(object);
            !self.objects.get(&object).is_some_and(has_it)
        })
    }

    /// All objects of a kind in a namespace, as they are.
    pub fn objects(&self, generation: Generation, namespace: &str, resource: Resource) -> Vec<&Value> {
        let here = |key: &&ObjectKey| {
            key.generation == generation && key.namespace == namespace && key.resource == resource
        };
        self.objects.iter().filter(|(key, _)| here(key)).map(|(_, object)| object).collect()
    }

    fn delete_object(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let key = ObjectKey::of(request, &request.name);
        let options: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let metadata = &self.found(request)?["metadata"];
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != metadata[field] {
                let message = format!("Precondition failed: {field} in precondition: {wanted}");
                return Err(Refusal::new(409, message).about("", request.resource.plural(), &request.name));
            }
        }
        self.unbind(request, &key)?;
        if self.is_in_use(&key) {
            let deleted_at = rfc3339(self.now_us);
            let object = self.objects.get_mut(&key).ok_or_else(|| missing(request))?;
            object["metadata"]["deletionTimestamp"] = deleted_at.into();
            return Ok(Reply::of(200, object).applied());
        }
        let object = self.objects.remove(&key).ok_or_else(|| missing(request))?;
        self.settle_claims();
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {
                "group": request.generation.profile().core_group, "kind": request.resource.plural(),
                "name": request.name, "uid": object["metadata"]["uid"],
            },
        });
        Ok(Reply::of(200, &status).applied())
    }

    fn list_objects(&self, request: &Request) -> Result<Reply, Refusal> {
        let selectors = fields::Selectors::of(request)?;
        let shown = self.objects.iter().filter(|(key, object)| {
            let labels: BTreeMap<_, _> = names::labels(&object["metadata"]).unwrap_or_default();
            (key.generation, &key.namespace, key.resource)
                == (request.generation, &request.namespace, request.resource)
                && selectors.match_object(&key.namespace, &key.name, &labels)
        });
        let items = shown.map(|(_, object)| object.clone()).collect();
        Ok(self.plain_list(request.resource, request.generation.profile().core_version, items))
    }

    pub(super) fn events(&self, request: &Request) -> Result<Reply, Refusal> {
        self.check_namespace(request, false)?;
        let profile = request.generation.profile();
        let selectors = fields::Selectors::of(request)?;
        let involved = (selectors.required("involvedObject.name"), selectors.required("involvedObject.uid"));
        let items = self.common.notices.of(self.now_us, profile, &request.namespace, involved);
        match request.verb {
            Verb::List => Ok(self.plain_list(Resource::Events, profile.core_version, items)),
            Verb::Get => items
                .iter()
                .find(|item| item["metadata"]["name"] == request.name.as_str())
                .map(|item| Reply::of(200, item))
                .ok_or_else(|| missing(request)),
            Verb::Create | Verb::Replace | Verb::Patch | Verb::Delete => Err(not_served(request)),
        }
    }

    pub(super) fn quotas(&self, request: &Request) -> Result<Reply, Refusal> {
        self.check_namespace(request, false)?;
        let pods = self.pod_keys_in(request.generation, &request.namespace).len();
        let mut quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": QUOTA, "namespace": request.namespace},
            "spec": {"hard": {}}, "status": {"hard": {}, "used": {"pods": pods.to_string()}},
        });
        if self.common.options.pods_max > 0 {
            let hard = json!({"pods": self.common.options.pods_max.to_string()});
            quota["spec"]["hard"] = hard.clone();
            quota["status"]["hard"] = hard;
        }
        match request.verb {
            Verb::List => Ok(self.plain_list(Resource::ResourceQuotas, "v1", vec![quota])),
            Verb::Get if request.name == QUOTA => Ok(Reply::of(200, &quota)),
            Verb::Get => Err(missing(request)),
            Verb::Create | Verb::Replace | Verb::Patch | Verb::Delete => Err(not_served(request)),
        }
    }
}

fn missing(request: &Request) -> Refusal {
    Refusal::not_found(request.generation.profile().core_group, request.resource.plural(), &request.name)
}

/// The simulation does not serve this call.
pub(super) fn not_served(request: &Request) -> Refusal {
    Refusal::new(405, format!("{:?} of {} is not simulated", request.verb, request.resource.plural()))
}
