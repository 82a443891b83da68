//! Jobs: pods that run until enough of them have succeeded. A finalizer keeps each pod until it is counted, so
//! that none that ended is forgotten, and none counted twice.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::object::{integer, text};
use super::super::write::time;
use super::super::{Cluster, Object, Part, Writer, defaults};
use super::{component, turn_condition};

/// What keeps a pod until its job has counted it.
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";

impl Cluster {
    pub(super) fn control_job(&mut self, writer: Writer<'_>, job: &Arc<Object>) {
        let counted = self.count_ended(writer, job);
        let had = |name: &str| integer(&job.value["status"], &format!("/{name}")).unwrap_or(0);
        let (succeeded, failures) = (had("succeeded") + counted.0, had("failed") + counted.1);
        let spec = &job.value["spec"];
        let count = |name: &str| spec[name].as_i64().unwrap_or(1);
        let complete = succeeded >= count("completions");
        let failed = failures > count("backoffLimit");
        let ended = defaults::has_condition(&job.value, "Complete", "True")
            || defaults::has_condition(&job.value, "Failed", "True");
        if !ended && !complete && !failed && spec["suspend"] != true {
            let wanted = count("parallelism").min(count("completions") - succeeded);
            self.make_pods(writer, job, wanted - self.tally_of(job).active);
        }
        let tally = self.tally_of(job);
        let mut whole = json!({ "status": job.value["status"] });
        let status = &mut whole["status"];
        status["active"] = json!(tally.active);
        status["ready"] = json!(tally.ready);
        status["succeeded"] = json!(succeeded);
        status["failed"] = json!(failures);
        if status.get("startTime").is_none() {
            status["startTime"] = time(writer.now);
        }
        if complete && !ended {
            status["completionTime"] = time(writer.now);
            turn_condition(&mut whole, writer, "Complete", true, "CompletionsReached");
            self.say(writer, component(job), job, "Completed", "Job completed");
        } else if failed && !ended {
            turn_condition(&mut whole, writer, "Failed", true, "BackoffLimitExceeded");
            let message = "Job has reached the specified backoff limit";
            self.say(writer, component(job), job, "BackoffLimitExceeded", message);
            self.end_pods(writer, job, tally.active);
        }
        self.write_status(writer, job, whole["status"].take());
    }

    /// How many pods have succeeded and failed since it was last asked. One that is being deleted has failed.
    fn count_ended(&mut self, writer: Writer<'_>, job: &Object) -> (i64, i64) {
        let places = self.dependents.get(job.uid()).into_iter().flatten();
        let tracked =
            places.filter_map(|(plural, key)| self.storages[plural].get(key)).filter(|pod| is_tracked(pod));
        let ended = tracked.filter(|pod| defaults::is_terminal(&pod.value) || pod.is_deleting());
        let ended: Vec<Arc<Object>> = ended.cloned().collect();
        let succeeded = ended.iter().filter(|pod| text(&pod.value, "/status/phase") == "Succeeded").count();
        for pod in &ended {
            self.untrack(writer, pod.kind.plural, &pod.key());
        }
        (succeeded as i64, (ended.len() - succeeded) as i64)
    }

    /// Takes the job's finalizer from a pod that has one, which may have been the last thing that kept it.
    pub(super) fn untrack(&mut self, writer: Writer<'_>, plural: &str, key: &str) {
        let Some(pod) = self.storages[plural].get(key).filter(|pod| is_tracked(pod)).cloned() else { return };
        let mut value = pod.value.clone();
        if let Some(finalizers) = value.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|finalizer| finalizer != TRACKING);
        }
        self.replace(writer, &pod, Part::Main, value).expect("only a finalizer is taken away");
    }
}

fn is_tracked(pod: &Object) -> bool {
    super::items(&pod.value, "/metadata/finalizers").iter().any(|finalizer| finalizer == TRACKING)
}
