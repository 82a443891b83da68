//! Deployments: replica sets of one template each, rolled over from the old ones to the new one.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::object::{integer, map_mut, members, text};
use super::super::{Cluster, DeleteOptions, Kind, Object, Part, Tally, Writer, defaults, letters};
use super::{component, owner_reference, replicas, turn_condition};

/// Which template of a deployment it is: counted up at each rollout.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Why a template was rolled out, in people's words.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

impl Cluster {
    pub(super) fn control_deployment(&mut self, writer: Writer<'_>, deployment: &Arc<Object>) {
        let mut sets = self.replica_sets(deployment);
        if sets.is_empty() {
            self.adopt_replica_sets(writer, deployment);
            sets = self.replica_sets(deployment);
        }
        let hash = template_hash(&deployment.value["spec"]["template"]);
        let name = format!("{}-{hash}", deployment.name());
        if !sets.iter().any(|set| set.name() == name) {
            if deployment.value["spec"]["paused"] == true {
                return;
            }
            self.make_replica_set(writer, deployment, &name, &hash);
            sets = self.replica_sets(deployment);
        }
        let (new, old): (Vec<_>, Vec<_>) = sets.into_iter().partition(|set| set.name() == name);
        let Some(new) = new.first() else { return };
        if self.number_revision(writer, deployment, new, &old) {
            // What was written makes the deployment be looked at again, as it is then.
            return;
        }
        self.roll(writer, deployment, new, &old);
        self.forget_revisions(writer, deployment, &old);
        self.report_deployment(writer, deployment, new, &old);
    }

    fn replica_sets(&self, deployment: &Object) -> Vec<Arc<Object>> {
        let places = self.dependents.get(deployment.uid()).into_iter().flatten();
        let sets = places.filter(|(plural, _)| *plural == "replicasets");
        sets.filter_map(|(plural, key)| self.storages[plural].get(key)).cloned().collect()
    }

    fn make_replica_set(&mut self, writer: Writer<'_>, deployment: &Arc<Object>, name: &str, hash: &str) {
        let kind = Kind::of("replicasets").expect("replica sets are in the table of kinds");
        let mut template = deployment.value["spec"]["template"].clone();
        template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
        let mut selector = deployment.value["spec"]["selector"].clone();
        selector["matchLabels"]["pod-template-hash"] = json!(hash);
        let body = json!({
            "metadata": {
                "name": name,
                "labels": template["metadata"]["labels"],
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": { "replicas": 0, "selector": selector, "template": template },
        });
        // Refused only while the namespace ends, and then there is nothing to roll out.
        let _made = self.make(writer, kind, deployment.namespace(), body);
    }

    /// Takes over what a deployment of the same selector has left behind.
    fn adopt_replica_sets(&mut self, writer: Writer<'_>, deployment: &Arc<Object>) {
        let kind = Kind::of("replicasets").expect("replica sets are in the table of kinds");
        let prefix = format!("{}/", deployment.namespace());
        let selected = |set: &Object| {
            members(&deployment.value, "/spec/selector/matchLabels")
                .all(|(label, wanted)| set.value["metadata"]["labels"].get(label) == Some(wanted))
        };
        let sets = self.storage(kind).from(&prefix).take_while(|(key, _)| key.starts_with(&prefix));
        let orphans: Vec<Arc<Object>> = sets
            .map(|(_, set)| set)
            .filter(|set| {
                defaults::controller_uid(&set.value).is_none() && selected(set) && !set.is_deleting()
            })
            .cloned()
            .collect();
        for set in orphans {
            let mut value = set.value.clone();
            value["metadata"]["ownerReferences"] = json!([owner_reference(deployment)]);
            self.replace(writer, &set, Part::Main, value).expect("only the owner changes");
        }
    }

    /// Counts the template up when it is rolled out, also when an old one comes back. True when something was
    /// written.
    fn number_revision(
        &mut self,
        writer: Writer<'_>,
        deployment: &Arc<Object>,
        new: &Arc<Object>,
        old: &[Arc<Object>],
    ) -> bool {
        let last = old.iter().map(|set| revision(set)).max().unwrap_or(0);
        let number = revision(new).max(last + 1).to_string();
        let cause = annotation(deployment, CHANGE_CAUSE).to_owned();
        let before = self.revision();
        self.annotate(writer, new, &[(REVISION, &number), (CHANGE_CAUSE, &cause)]);
        self.annotate(writer, deployment, &[(REVISION, &number)]);
        self.revision() != before
    }

    fn annotate(&mut self, writer: Writer<'_>, object: &Arc<Object>, annotations: &[(&str, &str)]) {
        let mut value = object.value.clone();
        let stored = map_mut(&mut value["metadata"], "annotations");
        for (name, text) in annotations.iter().filter(|(_, text)| !text.is_empty()) {
            stored.insert((*name).to_owned(), json!(text));
        }
        self.replace(writer, object, Part::Main, value).expect("only annotations change");
    }

    /// Deletes the oldest of the sets that are empty, beyond as many as a deployment keeps to go back to.
    fn forget_revisions(&mut self, writer: Writer<'_>, deployment: &Arc<Object>, old: &[Arc<Object>]) {
        let kept = integer(&deployment.value, "/spec/revisionHistoryLimit").unwrap_or(10).max(0);
        let mut empty: Vec<&Arc<Object>> =
            old.iter().filter(|set| replicas(set) == 0 && self.tally_of(set).active == 0).collect();
        empty.sort_by_key(|set| revision(set));
        let surplus = empty.len().saturating_sub(kept as usize);
        for set in empty.into_iter().take(surplus) {
            self.end(writer, set, &DeleteOptions::default());
        }
    }

    /// One step of a rollout: the new set grows within the surge, the old ones shrink as it gets ready.
    fn roll(&mut self, writer: Writer<'_>, deployment: &Arc<Object>, new: &Arc<Object>, old: &[Arc<Object>]) {
        let wanted = replicas(deployment);
        let old_total: i64 = old.iter().map(|set| replicas(set)).sum();
        let recreate = text(&deployment.value, "/spec/strategy/type") == "Recreate";
        let (surge, unavailable) = if recreate {
            (0, wanted)
        } else {
            let share = |name: &str, up: bool| {
                let pointer = format!("/spec/strategy/rollingUpdate/{name}");
                portion(deployment.value.pointer(&pointer), wanted, up)
            };
            let (surge, unavailable) = (share("maxSurge", true), share("maxUnavailable", false));
            (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
        };
        let old_present: i64 = old.iter().map(|set| self.tally_of(set).present).sum();
        let room =
            if recreate { if old_present > 0 { 0 } else { wanted } } else { wanted + surge - old_total };
        let new_count = if replicas(new) > wanted { wanted } else { room.clamp(replicas(new), wanted) };
        self.rescale_set(writer, deployment, new, new_count);
        let mut kept = (wanted - unavailable - self.tally_of(new).ready).max(0).min(old_total);
        if recreate {
            kept = 0;
        }
        let mut surplus = old_total - kept;
        for set in old {
            let count = (replicas(set) - surplus).max(0);
            surplus -= replicas(set) - count;
            self.rescale_set(writer, deployment, set, count);
        }
    }

    fn rescale_set(&mut self, writer: Writer<'_>, deployment: &Object, set: &Arc<Object>, count: i64) {
        let before = replicas(set);
        if before == count {
            return;
        }
        let way = if count > before { "up" } else { "down" };
        let message = format!("Scaled {way} replica set {} from {before} to {count}", set.name());
        self.say(writer, component(deployment), deployment, "ScalingReplicaSet", &message);
        let mut value = set.value.clone();
        value["spec"]["replicas"] = json!(count);
        self.replace(writer, set, Part::Main, value).expect("only the number of replicas changes");
    }

    fn report_deployment(
        &mut self,
        writer: Writer<'_>,
        deployment: &Arc<Object>,
        new: &Arc<Object>,
        old: &[Arc<Object>],
    ) {
        let updated = self.tally_of(new);
        let all = old.iter().map(|set| self.tally_of(set)).fold(updated, |sum, tally| Tally {
            active: sum.active + tally.active,
            ready: sum.ready + tally.ready,
            ..sum
        });
        let wanted = replicas(deployment);
        let mut status = json!({
            "observedGeneration": deployment.value["metadata"]["generation"],
            "replicas": all.active,
            "updatedReplicas": updated.active,
            "readyReplicas": all.ready,
            "availableReplicas": all.ready,
            "conditions": deployment.value["status"].get("conditions").cloned().unwrap_or_else(|| json!([])),
        });
        if all.ready < wanted {
            status["unavailableReplicas"] = json!(wanted - all.ready);
        }
        let mut whole = json!({ "status": status });
        let available = all.ready >= wanted;
        turn_condition(&mut whole, writer, "Available", available, "MinimumReplicasAvailable");
        turn_condition(&mut whole, writer, "Progressing", true, "NewReplicaSetAvailable");
        self.write_status(writer, deployment, whole["status"].take());
    }
}

fn annotation<'o>(object: &'o Object, name: &str) -> &'o str {
    object.value["metadata"]["annotations"]
        .get(name)
        .map(|text| text.as_str().unwrap_or_default())
        .unwrap_or_default()
}

fn revision(set: &Object) -> u64 {
    annotation(set, REVISION).parse().unwrap_or(0)
}

/// A number, or a percentage of `whole`.
fn portion(value: Option<&Value>, whole: i64, up: bool) -> i64 {
    match value {
        Some(Value::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(25);
            if up { (whole * percent + 99) / 100 } else { whole * percent / 100 }
        }
        Some(value) => value.as_i64().unwrap_or(1),
        None => 1,
    }
}

/// Ten characters that change with the template (FNV-1a over its JSON, whose members are in order).
pub(super) fn template_hash(template: &Value) -> String {
    let bytes = template.to_string();
    let hash = bytes.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    letters(hash, 10)
}
