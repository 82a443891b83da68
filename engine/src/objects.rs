//! ConfigMaps, Secrets, tokens, claims and variables of Services that pods need: which they are, and under which names the
//! cloud has its copies. What they say is never in here: it is read when a copy is written, and goes past the log.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{CloudName, PodRef, Uid};
use crate::shared;

/// What kind of object it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
    /// The tokens of the service account that one pod asks for, bound to that pod. They are no object of the cluster:
    /// each is asked for (TokenRequest API), and asked for again before it ends. The cloud has them as a Secret.
    ServiceAccountToken,
    /// The variables that tell the pods of one namespace where its Services are. They are no object of the cluster: they
    /// follow from all its Services (virtual-kubelet rule VK-E11). The cloud has them as a ConfigMap.
    ServiceVariables,
    /// A PersistentVolumeClaim that is bound to a file system. Its copy in the cloud is a claim and a volume of the cloud's
    /// own, which name the same file system.
    PersistentVolumeClaim,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [ObjectKind; 5] = [
        ObjectKind::ConfigMap,
        ObjectKind::Secret,
        ObjectKind::ServiceAccountToken,
        ObjectKind::ServiceVariables,
        ObjectKind::PersistentVolumeClaim,
    ];

    /// The `kind` in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap => "ConfigMap",
            ObjectKind::Secret => "Secret",
            ObjectKind::ServiceAccountToken => "ServiceAccountToken",
            ObjectKind::ServiceVariables => "ServiceVariables",
            ObjectKind::PersistentVolumeClaim => "PersistentVolumeClaim",
        }
    }

    /// The `kind` of its copy.
    #[must_use]
    pub fn copy_kind(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap | ObjectKind::ServiceVariables => "ConfigMap",
            ObjectKind::Secret | ObjectKind::ServiceAccountToken => "Secret",
            ObjectKind::PersistentVolumeClaim => "PersistentVolumeClaim",
        }
    }

    /// The name in paths of its copy, which is that of the object where there is one.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            ObjectKind::ConfigMap | ObjectKind::ServiceVariables => "configmaps",
            ObjectKind::Secret | ObjectKind::ServiceAccountToken => "secrets",
            ObjectKind::PersistentVolumeClaim => "persistentvolumeclaims",
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
    /// `metadata.name`; of tokens the name and the UID of their pod, and of variables which Services they are of.
    #[serde(deserialize_with = "shared::text")]
    pub name: Arc<str>,
}

/// Between the name and the UID of a pod whose tokens are named: no name has it.
const TOKEN_OF: char = '/';

impl ObjectRef {
    /// The tokens of a pod.
    #[must_use]
    pub fn tokens_of(pod: &PodRef) -> ObjectRef {
        let name = format!("{}{TOKEN_OF}{}", pod.name, pod.uid).into();
        ObjectRef { kind: ObjectKind::ServiceAccountToken, namespace: pod.namespace.clone(), name }
    }

    /// Whose tokens these are; `None` for what are none.
    #[must_use]
    pub fn pod_of_tokens(&self) -> Option<PodRef> {
        let (name, uid) =
            self.name.rsplit_once(TOKEN_OF).filter(|_| self.kind == ObjectKind::ServiceAccountToken)?;
        Some(PodRef { namespace: self.namespace.clone(), name: name.into(), uid: Uid(uid.into()) })
    }

    /// The one name that the copy of this object has in the cloud, for the pods of one node: agents of two nodes can
    /// share a namespace there, and neither may touch what is the other's.
    #[must_use]
    pub fn cloud_name(&self, node: &str) -> CloudName {
        let parts = [node, self.kind.as_str(), &*self.namespace, &*self.name];
        CloudName::from_parts(&self.namespace, &self.name, &parts)
    }

    /// The name of the volume that belongs to the copy of a claim. Volumes are in no namespace, so that those of all
    /// clusters whose pods run in one account lie side by side.
    #[must_use]
    pub fn cloud_volume_name(&self, cluster_id: &str, node: &str) -> CloudName {
        let parts = [cluster_id, node, "PersistentVolume", &*self.namespace, &*self.name];
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
    /// As [`ObjectRef::name`].
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
    use alloc::string::ToString;

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
            object(ObjectKind::PersistentVolumeClaim, "a", "b-c"),
        ];
        let mut names: alloc::vec::Vec<_> = all.iter().map(|object| object.cloud_name("n1")).collect();
        names.push(all[0].cloud_name("n2"));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len() + 1);
    }

    #[test]
    fn tokens_name_their_pod() {
        let pod = PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("u-1".into()) };
        let tokens = ObjectRef::tokens_of(&pod);
        assert_eq!(tokens.to_string(), "ServiceAccountToken shop/web-0/u-1");
        assert_eq!(tokens.pod_of_tokens(), Some(pod));
        assert_eq!(object(ObjectKind::Secret, "shop", "web-0/u-1").pod_of_tokens(), None);
    }

    #[test]
    fn the_name_of_a_copy_never_changes() {
        let name = object(ObjectKind::Secret, "shop", "database.password").cloud_name("virtual-kubelet");
        expect_test::expect!["shop-database-password-mhhzseckz3"].assert_eq(&name.0);
    }

    #[test]
    fn volumes_of_two_clusters_never_share_a_name() {
        let claim = object(ObjectKind::PersistentVolumeClaim, "shop", "data");
        let name = claim.cloud_volume_name("c1", "n1");
        let others = [
            claim.cloud_volume_name("c2", "n1"),
            claim.cloud_volume_name("c1", "n2"),
            claim.cloud_name("n1"),
        ];
        assert!(!others.contains(&name));
    }
}
