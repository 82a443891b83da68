//! ConfigMaps and Secrets that pods need: which they are, and under which names the cloud has its copies. What they
//! say is never in here: it is read when a copy is written, and goes past the log.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{CloudName, Uid};
use crate::shared;

/// What kind of object it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
}

impl ObjectKind {
    /// The `kind` in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap => "ConfigMap",
            ObjectKind::Secret => "Secret",
        }
    }

    /// Its name in paths.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap => "configmaps",
            ObjectKind::Secret => "secrets",
        }
    }
}

/// One object of the cluster, whatever incarnation of it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// What it is.
    pub kind: ObjectKind,
    /// `metadata.namespace`.
    #[serde(deserialize_with = "shared::text")]
    pub namespace: Arc<str>,
    /// `metadata.name`.
    #[serde(deserialize_with = "shared::text")]
    pub name: Arc<str>,
}

impl ObjectRef {
    /// The one name that the copy of this object has in the cloud, for the pods of one node: agents of two nodes can
    /// share a namespace there, and neither may touch what is the other's.
    #[must_use]
    pub fn cloud_name(&self, node: &str) -> CloudName {
        let parts = [node, self.kind.as_str(), &*self.namespace, &*self.name];
        CloudName::from_parts(&self.namespace, &self.name, &parts)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// That a pod names an object of its own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectUse {
    /// What it is.
    pub kind: ObjectKind,
    /// `metadata.name`.
    #[serde(deserialize_with = "shared::text")]
    pub name: Arc<str>,
    /// Whether the pod cannot start without it.
    pub mandatory: bool,
}

impl ObjectUse {
    /// The object, for a pod in this namespace.
    #[must_use]
    pub fn object(&self, namespace: &Arc<str>) -> ObjectRef {
        ObjectRef { kind: self.kind, namespace: namespace.clone(), name: self.name.clone() }
    }
}

/// Which content an object has, without a word of it: both parts are the API server's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectVersion {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`: opaque, compared for equality only.
    pub resource_version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: ObjectKind, namespace: &str, name: &str) -> ObjectRef {
        ObjectRef { kind, namespace: namespace.into(), name: name.into() }
    }

    #[test]
    fn two_objects_never_share_a_copy() {
        let all = [
            object(ObjectKind::Secret, "a", "b-c"),
            object(ObjectKind::Secret, "a-b", "c"),
            object(ObjectKind::ConfigMap, "a", "b-c"),
            object(ObjectKind::Secret, "a", "b.c"),
        ];
        let mut names: alloc::vec::Vec<_> = all.iter().map(|object| object.cloud_name("n1")).collect();
        names.push(all[0].cloud_name("n2"));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len() + 1);
    }

    #[test]
    fn the_name_of_a_copy_never_changes() {
        let name = object(ObjectKind::Secret, "shop", "database.password").cloud_name("virtual-kubelet");
        expect_test::expect!["shop-database-password-mhhzseckz3"].assert_eq(&name.0);
    }
}
