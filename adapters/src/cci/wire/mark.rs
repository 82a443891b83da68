//! The mark on everything that is ours in the cloud. What does not carry it is never touched.

use std::collections::BTreeMap;

use engine::{PodRef, Uid};
use serde_json::{Map, Value};

/// Label that names the program an object belongs to.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY`] on what is ours.
const MANAGER: &str = "burst-agent";

/// Every key of ours has this domain, or one below it; users cannot set them.
const DOMAIN: &str = "burst-agent.io";

const CLUSTER_ID: &str = "burst-agent.io/cluster-id";
pub(super) const NODE: &str = "burst-agent.io/node";
pub(super) const NAMESPACE: &str = "burst-agent.io/namespace";
pub(super) const NAME: &str = "burst-agent.io/name";
pub(super) const UID: &str = "burst-agent.io/uid";

/// Longest value of a label.
const LABEL_CHARS_MAX: usize = 63;

/// Longest name or UID that is taken for one: that of a DNS subdomain.
pub(in crate::cci) const ID_CHARS_MAX: usize = 253;

/// Annotations as the cloud gives them; a `null` value is tolerated.
pub(in crate::cci) type Annotations = BTreeMap<String, Option<String>>;

/// Whose we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cci) struct Mark {
    pub cluster_id: String,
    pub node: String,
}

/// What an object's annotations say about its owner.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cci) enum Ownership {
    /// Made by this node of this cluster, for this pod.
    Ours(PodRef),
    /// Made by somebody else, and who that seems to be.
    Foreign(String),
    /// Made by this node, but for which pod cannot be told.
    Unreadable,
}

impl Mark {
    /// Puts the mark on a pod made for `owner`. The annotations say whose it is; the labels are there for
    /// people who list by label, and only where a label can hold the value.
    pub(in crate::cci) fn write(
        &self,
        owner: &PodRef,
        labels: &mut Map<String, Value>,
        annotations: &mut Map<String, Value>,
    ) {
        self.write_manager(labels, annotations);
        let owner = [(NAMESPACE, &owner.namespace), (NAME, &owner.name), (UID, &owner.uid.0)];
        annotations.extend(owner.map(|(key, value)| (key.to_owned(), Value::from(&**value))));
    }

    /// Puts the mark on something that is not made for one pod.
    pub(in crate::cci) fn write_manager(
        &self,
        labels: &mut Map<String, Value>,
        annotations: &mut Map<String, Value>,
    ) {
        labels.insert(MANAGED_BY.to_owned(), MANAGER.into());
        for (key, value) in [(CLUSTER_ID, &self.cluster_id), (NODE, &self.node)] {
            if is_label_value(value) {
                labels.insert(key.to_owned(), value.as_str().into());
            }
            annotations.insert(key.to_owned(), value.as_str().into());
        }
    }

    /// Reads the mark.
    pub(in crate::cci) fn read(&self, annotations: &Annotations) -> Ownership {
        let value = |key: &str| annotations.get(key).and_then(Option::as_deref).unwrap_or_default();
        let (cluster_id, node) = (value(CLUSTER_ID), value(NODE));
        if cluster_id.is_empty() {
            return Ownership::Foreign("it has no mark of ours".to_owned());
        }
        if cluster_id != self.cluster_id || node != self.node {
            return Ownership::Foreign(crate::cut(&format!(
                "it belongs to node {node:?} of cluster {cluster_id:?}"
            )));
        }
        let (namespace, name, uid) = (value(NAMESPACE), value(NAME), value(UID));
        if [namespace, name, uid].iter().any(|part| part.is_empty() || part.len() > ID_CHARS_MAX) {
            return Ownership::Unreadable;
        }
        Ownership::Ours(PodRef { namespace: namespace.into(), name: name.into(), uid: Uid(uid.into()) })
    }

    /// The cluster that a marked namespace belongs to, if it is marked and not ours.
    pub(in crate::cci) fn other_cluster<'a>(&self, annotations: &'a Value) -> Option<&'a str> {
        annotations.get(CLUSTER_ID)?.as_str().filter(|cluster_id| *cluster_id != self.cluster_id)
    }
}

/// Whether a label or annotation key is one of ours, which users cannot set.
pub(in crate::cci) fn is_reserved(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    domain == DOMAIN || domain.strip_suffix(DOMAIN).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether a text may be the value of a label (Kubernetes, labels and selectors).
fn is_label_value(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= LABEL_CHARS_MAX
        && bytes.iter().all(|b| inner(*b))
        && edge(bytes.first())
        && edge(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark { cluster_id: "c1".into(), node: "virtual-kubelet".into() }
    }

    fn owner() -> PodRef {
        PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-1".into()) }
    }

    fn annotations(of: &Map<String, Value>) -> Annotations {
        of.iter().map(|(key, value)| (key.clone(), value.as_str().map(str::to_owned))).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let (mut labels, mut written) = (Map::new(), Map::new());
        mark().write(&owner(), &mut labels, &mut written);
        assert_eq!(labels[MANAGED_BY], "burst-agent");
        assert_eq!(labels[NODE], "virtual-kubelet");
        assert_eq!(mark().read(&annotations(&written)), Ownership::Ours(owner()));

        for other in [Mark { cluster_id: "c2".into(), ..mark() }, Mark { node: "n2".into(), ..mark() }] {
            assert!(matches!(other.read(&annotations(&written)), Ownership::Foreign(_)));
        }
        for key in [NAMESPACE, NAME, UID] {
            let mut torn = annotations(&written);
            torn.insert(key.to_owned(), None);
            assert_eq!(mark().read(&torn), Ownership::Unreadable);
        }
        assert!(matches!(mark().read(&Annotations::new()), Ownership::Foreign(_)));
    }

    #[test]
    fn a_label_is_left_out_when_it_cannot_hold_the_value() {
        let long = Mark { cluster_id: "c".repeat(64), node: "-n".into() };
        let (mut labels, mut written) = (Map::new(), Map::new());
        long.write(&owner(), &mut labels, &mut written);
        assert_eq!(labels.len(), 1);
        assert_eq!(long.read(&annotations(&written)), Ownership::Ours(owner()));
    }

    #[test]
    fn our_keys_are_reserved() {
        for (key, reserved) in [
            ("burst-agent.io/uid", true),
            ("simulator.burst-agent.io/changed-at-us", true),
            ("notburst-agent.io/uid", false),
            ("burst-agent.io", false),
            ("app", false),
        ] {
            assert_eq!(is_reserved(key), reserved, "{key}");
        }
    }
}
