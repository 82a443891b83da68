//! Stateful sets: pods with names that stay, made in their order and ended in the reverse one, each with claims of its own
//! that outlive it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::object::{integer, items, map_mut, text};
use super::super::{Cluster, DeleteOptions, Kind, Object, Writer, defaults, key};
use super::deployment::template_hash;
use super::{CHANGES_A_STEP_MAX, component, owner_reference, replicas};

/// Which template a pod was made from.
const REVISION: &str = "controller-revision-hash";

/// Its pods by their numbers.
type Pods = BTreeMap<i64, Arc<Object>>;

/// What a set asks for.
struct Plan {
    numbers: std::ops::Range<i64>,
    revision: String,
    /// Whether none waits for another.
    is_parallel: bool,
    /// From which number on pods are replaced whose template is an old one; `None` when people delete them.
    replaced_from: Option<i64>,
}

impl Plan {
    fn of(set: &Object) -> Plan {
        let value = &set.value;
        let first = integer(value, "/spec/ordinals/start").unwrap_or(0);
        let partition = integer(value, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
        Plan {
            numbers: first..first + replicas(set),
            revision: format!("{}-{}", set.name(), template_hash(&value["spec"]["template"])),
            is_parallel: text(value, "/spec/podManagementPolicy") == "Parallel",
            replaced_from: (text(value, "/spec/updateStrategy/type") != "OnDelete")
                .then_some(first + partition),
        }
    }
}

impl Cluster {
    pub(super) fn control_stateful_set(&mut self, writer: Writer<'_>, set: &Arc<Object>) {
        let plan = Plan::of(set);
        let pods = self.numbered_pods(set);
        if self.fill_up(writer, set, &plan, &pods)
            && self.shorten(writer, set, &plan, &pods)
            && let Some(from) = plan.replaced_from
        {
            self.replace_old(writer, set, from, &plan, &pods);
        }
        self.report_stateful_set(writer, set, &plan.revision);
    }

    fn numbered_pods(&self, set: &Object) -> Pods {
        let places = self.dependents.get(set.uid()).into_iter().flatten();
        let pods = places.filter(|(plural, _)| *plural == "pods");
        let pods = pods.filter_map(|(plural, key)| self.storages[plural].get(key));
        pods.filter_map(|pod| Some((pod.name().rsplit_once('-')?.1.parse().ok()?, pod.clone()))).collect()
    }

    /// Makes what is missing and ends what cannot run any more; true when none that is wanted is waited for.
    fn fill_up(&mut self, writer: Writer<'_>, set: &Arc<Object>, plan: &Plan, pods: &Pods) -> bool {
        let mut is_whole = true;
        let mut changes = 0;
        for number in plan.numbers.clone() {
            match pods.get(&number) {
                Some(pod) if is_ready(pod) => continue,
                Some(pod) if defaults::is_terminal(&pod.value) && !pod.is_deleting() => {
                    self.end_numbered(writer, set, pod);
                }
                // Being made, or being ended.
                Some(_) => {}
                None => {
                    self.make_numbered(writer, set, number, &plan.revision);
                    changes += 1;
                }
            }
            is_whole = false;
            if !plan.is_parallel || changes >= CHANGES_A_STEP_MAX {
                return false;
            }
        }
        is_whole || plan.is_parallel
    }

    /// Ends what is too much, the highest number first; true when nothing is.
    fn shorten(&mut self, writer: Writer<'_>, set: &Arc<Object>, plan: &Plan, pods: &Pods) -> bool {
        let mut is_short = true;
        for (_, pod) in pods.iter().rev().filter(|(number, _)| !plan.numbers.contains(number)) {
            is_short = false;
            if !pod.is_deleting() {
                self.end_numbered(writer, set, pod);
            }
            if !plan.is_parallel {
                break;
            }
        }
        is_short
    }

    /// Ends the highest pod of an old template, once all above it are ready.
    fn replace_old(&mut self, writer: Writer<'_>, set: &Arc<Object>, from: i64, plan: &Plan, pods: &Pods) {
        for number in plan.numbers.clone().rev().take_while(|number| *number >= from) {
            let Some(pod) = pods.get(&number) else { return };
            if text(&pod.value, &format!("/metadata/labels/{REVISION}")) != plan.revision {
                if !pod.is_deleting() {
                    self.end_numbered(writer, set, pod);
                }
                return;
            }
            if !is_ready(pod) {
                return;
            }
        }
    }

    fn end_numbered(&mut self, writer: Writer<'_>, set: &Arc<Object>, pod: &Arc<Object>) {
        self.end(writer, pod, &DeleteOptions::default());
        let message = format!("Delete Pod {} in StatefulSet {} successful", pod.name(), set.name());
        self.say(writer, component(set), set, "SuccessfulDelete", &message);
    }

    fn make_numbered(&mut self, writer: Writer<'_>, set: &Arc<Object>, number: i64, revision: &str) {
        let pods = Kind::of("pods").expect("pods are in the table of kinds");
        let name = format!("{}-{number}", set.name());
        let template = &set.value["spec"]["template"];
        let (mut metadata, mut spec) = (template["metadata"].clone(), template["spec"].clone());
        metadata["name"] = json!(name);
        metadata["generateName"] = json!(format!("{}-", set.name()));
        metadata["ownerReferences"] = json!([owner_reference(set)]);
        let labels = map_mut(&mut metadata, "labels");
        labels.insert("apps.kubernetes.io/pod-index".to_owned(), json!(number.to_string()));
        labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), json!(name));
        labels.insert(REVISION.to_owned(), json!(revision));
        spec["hostname"] = json!(name);
        if let Some(service) = set.value["spec"].get("serviceName").filter(|service| *service != "") {
            spec["subdomain"] = service.clone();
        }
        let claims: Vec<Value> = items(&set.value, "/spec/volumeClaimTemplates").to_vec();
        let volumes = self.claims_of(writer, set, &name, &claims);
        let others = items(&spec, "/volumes").iter();
        let kept =
            others.filter(|volume| claims.iter().all(|claim| claim["metadata"]["name"] != volume["name"]));
        let volumes: Vec<Value> = volumes.into_iter().chain(kept.cloned()).collect();
        if !volumes.is_empty() {
            spec["volumes"] = json!(volumes);
        }
        // A namespace that is ending: the next step looks again.
        if self.make(writer, pods, set.namespace(), json!({ "metadata": metadata, "spec": spec })).is_ok() {
            let message = format!("Create Pod {name} in StatefulSet {} successful", set.name());
            self.say(writer, component(set), set, "SuccessfulCreate", &message);
        }
    }

    /// Makes the claims of a pod that are not there from an earlier one of its name; its volumes.
    fn claims_of(
        &mut self,
        writer: Writer<'_>,
        set: &Arc<Object>,
        pod: &str,
        templates: &[Value],
    ) -> Vec<Value> {
        let kind = Kind::of("persistentvolumeclaims").expect("claims are in the table of kinds");
        let mut volumes = Vec::new();
        for template in templates {
            let volume = text(template, "/metadata/name");
            let name = format!("{volume}-{pod}");
            volumes.push(json!({ "name": volume, "persistentVolumeClaim": { "claimName": name } }));
            if self.storage(kind).get(&key(set.namespace(), &name)).is_some() {
                continue;
            }
            let mut metadata = template["metadata"].clone();
            metadata["name"] = json!(name);
            metadata["labels"] = set.value["spec"]["selector"]["matchLabels"].clone();
            let body = json!({ "metadata": metadata, "spec": template["spec"] });
            if self.make(writer, kind, set.namespace(), body).is_ok() {
                let message = format!("Create Claim {name} Pod {pod} in StatefulSet {} success", set.name());
                self.say(writer, component(set), set, "SuccessfulCreate", &message);
            }
        }
        volumes
    }

    fn report_stateful_set(&mut self, writer: Writer<'_>, set: &Arc<Object>, revision: &str) {
        let pods = self.numbered_pods(set);
        let living: Vec<&Arc<Object>> =
            pods.values().filter(|pod| !pod.is_deleting() && !defaults::is_terminal(&pod.value)).collect();
        let of = |revision: &str| {
            let label = format!("/metadata/labels/{REVISION}");
            living.iter().filter(|pod| text(&pod.value, &label) == revision).count()
        };
        let ready = living.iter().filter(|pod| is_ready(pod)).count();
        let (updated, before) = (of(revision), text(&set.value, "/status/currentRevision"));
        // The old template is the current one until no pod of it is left and all of the new one are ready.
        let is_over = updated == pods.len() && ready as i64 == replicas(set) && ready == updated;
        let current = if before.is_empty() || is_over { revision } else { before };
        let mut status = json!({
            "observedGeneration": set.value["metadata"]["generation"],
            "replicas": living.len(),
            "currentRevision": current,
            "updateRevision": revision,
            "collisionCount": 0,
            "availableReplicas": ready,
        });
        let counts =
            [("readyReplicas", ready), ("currentReplicas", of(current)), ("updatedReplicas", updated)];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            status[name] = json!(count);
        }
        self.write_status(writer, set, status);
    }
}

fn is_ready(pod: &Object) -> bool {
    !pod.is_deleting()
        && !defaults::is_terminal(&pod.value)
        && defaults::has_condition(&pod.value, "Ready", "True")
}
