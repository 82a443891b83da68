//! What we wrote on the node, remembered on the node itself: so that what is not configured any more can go, and
//! nothing that others put there. The node outlives our log, and others may write to it at any time.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::MARK;
use super::settings::NodeSettings;

/// The annotation that remembers.
pub(super) const APPLIED: &str = "burst-agent.io/applied";

/// Labels and taints, whole: one whose value somebody changed since is not the one that we wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Applied {
    pub labels: BTreeMap<String, String>,
    /// As kubectl writes them.
    pub taints: BTreeSet<String>,
}

impl Applied {
    /// All that the settings want.
    pub(super) fn wanted(settings: &NodeSettings) -> Applied {
        let mut labels = settings.labels.clone();
        // The mark wins over a label of the same key: without it the node would not be taken for ours again.
        labels.insert(MARK.0.to_owned(), MARK.1.to_owned());
        Applied { labels, taints: settings.taints.iter().map(ToString::to_string).collect() }
    }

    /// What an annotation says; nothing, when somebody wrote something else there: then nothing is removed.
    pub(super) fn parse(annotation: &str) -> Applied {
        serde_json::from_str(annotation).unwrap_or_default()
    }

    pub(super) fn render(&self) -> String {
        serde_json::to_string(self).expect("a map of texts encodes")
    }

    /// What is remembered once `written` was written: of what was remembered, only what is still wanted.
    pub(super) fn after(mut self, wanted: &Applied, written: Applied) -> Applied {
        self.labels.retain(|key, value| wanted.labels.get(key) == Some(value));
        self.taints.retain(|taint| wanted.taints.contains(taint));
        self.labels.extend(written.labels);
        self.taints.extend(written.taints);
        self
    }
}

/// A taint of the API as kubectl writes it.
pub(super) fn taint_text(taint: &Map<String, Value>) -> String {
    let part = |name: &str| taint.get(name).and_then(Value::as_str).unwrap_or_default();
    let equals = if part("value").is_empty() { "" } else { "=" };
    format!("{}{equals}{}:{}", part("key"), part("value"), part("effect"))
}
