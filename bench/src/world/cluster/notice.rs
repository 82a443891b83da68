//! Kubernetes Events of the scheduler and the controllers: what `kubectl describe` shows below an object.

use serde_json::json;

use super::write::time;
use super::{Cluster, Kind, Object, Writer};

/// The reasons that somebody should look at.
const WARNINGS: [&str; 2] = ["BackoffLimitExceeded", "FailedScheduling"];

impl Cluster {
    /// Says something about an object. `component` is who says it.
    pub(super) fn say(
        &mut self,
        writer: Writer<'_>,
        component: &str,
        about: &Object,
        reason: &str,
        message: &str,
    ) {
        let events = Kind::of("events").expect("events are in the table of kinds");
        let now = time(writer.now);
        let body = json!({
            "metadata": { "name": format!("{}.{:016x}", about.name(), self.draw()) },
            "involvedObject": {
                "kind": about.kind.kind,
                "namespace": about.namespace(),
                "name": about.name(),
                "uid": about.uid(),
                "apiVersion": about.kind.api_version(),
                "resourceVersion": about.revision.to_string(),
            },
            "reason": reason,
            "message": message,
            "source": { "component": component },
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": if WARNINGS.contains(&reason) { "Warning" } else { "Normal" },
            "reportingComponent": component,
            "reportingInstance": "",
        });
        // Refused only while the namespace ends, and then nobody is left to read it.
        let _said = self.make(writer, events, about.namespace(), body);
    }
}
