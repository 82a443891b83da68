//! Identities. A pod is its UID; two incarnations of one name are two pods.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::shared;

/// A record's place in the log: from 1, without gaps, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl Seq {
    /// The next place in the log.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Names an effect: the record that caused it and the effect's place among that record's effects.
///
/// Stable under replay, the same at every attempt, and the idempotency key sent to the cloud.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId {
    /// The record that gave rise to the effect.
    pub seq: Seq,
    /// The effect's position among those of the same record, from 0.
    pub position: u32,
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seq.0, self.position)
    }
}

/// The `metadata.uid` of a Kubernetes object: one incarnation of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Uid(#[serde(deserialize_with = "shared::text")] pub Arc<str>);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One incarnation of a Kubernetes pod, and where to find it. Cheap to clone: it stands in every effect, every
/// decision and every row about the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodRef {
    /// `metadata.namespace`.
    #[serde(deserialize_with = "shared::text")]
    pub namespace: Arc<str>,
    /// `metadata.name`.
    #[serde(deserialize_with = "shared::text")]
    pub name: Arc<str>,
    /// `metadata.uid`: every write names it.
    pub uid: Uid,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The name of a pod, or of a copy of an object, in the cloud namespace: a DNS label of at most 63 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CloudName(#[serde(deserialize_with = "shared::text")] pub Arc<str>);

/// The longest DNS label, and so the longest cloud name.
pub const CLOUD_NAME_CHARS_MAX: usize = 63;

/// Characters of the hash at the end of a cloud name: 50 bits of SHA-256, so that two of a million
/// pods share a name with a chance below one in two thousand, and an ownership mark settles that case.
const CLOUD_NAME_HASH_CHARS: usize = 10;

impl CloudName {
    /// The one name a pod has in the cloud, whoever asks and however often: readable in front, unique at
    /// the end. A second create of the same pod meets the first one under this name.
    #[must_use]
    pub fn of(pod: &PodRef) -> CloudName {
        let parts = [&*pod.namespace, &*pod.name, &*pod.uid.0];
        CloudName::from_parts(&pod.namespace, &pod.name, &parts)
    }

    /// A name that begins with a namespace and a name, as far as there is room, and ends with a hash of all parts.
    pub(crate) fn from_parts(namespace: &str, name: &str, parts: &[&str]) -> CloudName {
        use sha2::{Digest, Sha256};
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        let hash = hasher.finalize();

        let mut made = String::with_capacity(CLOUD_NAME_CHARS_MAX);
        let readable = CLOUD_NAME_CHARS_MAX - CLOUD_NAME_HASH_CHARS - 1;
        let shown = namespace.chars().chain(core::iter::once('-')).chain(name.chars());
        // A name may be a DNS subdomain; a cloud name is a label, so dots become dashes.
        made.extend(shown.take(readable).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }));
        made.push('-');
        const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let bits = hash.iter().take(8).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        made.extend((0..CLOUD_NAME_HASH_CHARS).map(|i| BASE32[(bits >> (5 * i) & 31) as usize] as char));
        CloudName(made.into())
    }
}

impl fmt::Display for CloudName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str, uid: &str) -> PodRef {
        PodRef { namespace: namespace.into(), name: name.into(), uid: Uid(uid.into()) }
    }

    #[test]
    fn a_cloud_name_is_a_dns_label_that_depends_on_the_uid() {
        let long = "a".repeat(200);
        for (namespace, name) in [("shop", "web-0"), ("shop", "web.v2.example"), ("n", &long)] {
            let first = CloudName::of(&pod(namespace, name, "uid-1"));
            let second = CloudName::of(&pod(namespace, name, "uid-2"));
            assert_ne!(first, second);
            assert!(first.0.len() <= CLOUD_NAME_CHARS_MAX, "{first}");
            assert!(
                first.0.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{first}"
            );
            assert!(first.0.starts_with(|c: char| c.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn the_cloud_name_never_changes() {
        let pod = pod("shop", "web-0", "6f1c0c7e-7f8e-4bb9-a4ba-6b5c7f0b8a11");
        expect_test::expect!["shop-web-0-r2w0nfsbh1"].assert_eq(&CloudName::of(&pod).0);
    }
}
