//! What the cloud says of a pod in Events of its own.

use alloc::string::String;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::shared;

/// Most events that are taken over at once: what a pod in trouble has in an hour, and short enough for one record.
pub const CLOUD_EVENTS_MAX: usize = 10;

/// One event of the cloud about a cloud pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CloudEvent {
    /// The cloud's identity of it: the same one again is the same event, seen once more.
    #[serde(deserialize_with = "shared::text")]
    pub id: Arc<str>,
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// The reason, such as `FailedScheduling`, cut to a bound.
    pub reason: String,
    /// The cloud's words, cut to a bound and free of secrets.
    pub message: String,
    /// Which part of the cloud says so, such as `kubelet`; empty when it does not say.
    pub source: String,
    /// How often it was seen there.
    pub count: u32,
    /// When it was first seen, seconds since the epoch; 0 when the cloud does not say.
    pub first_s: i64,
    /// When it was last seen, likewise.
    pub last_s: i64,
}
