//! What a pod takes up in the cloud: of what size it is billed, and in which zone it is to run.

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::shared;

/// A size in a zone: what the cloud can have no room for while it has room for others. Its parts are the border's words,
/// compared and never read.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Room {
    /// What is billed, such as `cpu=2,memory=4Gi`.
    #[serde(deserialize_with = "shared::text")]
    pub size: Arc<str>,
    /// The zone, such as `cn-north-4a`; empty when any will do.
    #[serde(deserialize_with = "shared::text")]
    pub zone: Arc<str>,
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.zone.is_empty() {
            write!(f, "{}", self.size)
        } else {
            write!(f, "{} in zone {}", self.size, self.zone)
        }
    }
}
