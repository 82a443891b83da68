//! Reads of a pod's JSON only what decisions depend on: several times cheaper than the whole type.
//!
//! Error texts of the parser are never passed on, only the place is.

mod wire;

use std::borrow::Cow;

use engine::{PodFacts, PodRef, PodStatus, Uid};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::objects::ImpliedNeeds;
use crate::place;

pub(crate) use wire::RESOURCE_VERSION_BYTES_MAX;
use wire::identity_fault;
pub(crate) use wire::null_is_default;
use wire::{LeanPod, LeanStatus, NAME_BYTES_MAX, UID_BYTES_MAX};

/// An object that cannot be read as a pod, with what of its identity can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadObject {
    /// Its namespace, or empty.
    pub namespace: String,
    /// Its name, or empty.
    pub name: String,
    /// Its UID, or empty.
    pub uid: Uid,
    /// Its resource version, or empty.
    pub resource_version: String,
    /// What is wrong, without a word of the object's content.
    pub fault: String,
}

impl BadObject {
    /// The pod it is, if all of its identity can be read.
    #[must_use]
    pub fn pod(&self) -> Option<PodRef> {
        let pod = PodRef {
            namespace: self.namespace.as_str().into(),
            name: self.name.as_str().into(),
            uid: self.uid.clone(),
        };
        identity_fault(&pod).is_none().then_some(pod)
    }
}

/// One line of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchLine {
    /// A pod appeared or changed.
    Observed(PodFacts),
    /// A pod is gone.
    Deleted {
        /// Which.
        pod: PodRef,
        /// The resource version of its deletion.
        resource_version: String,
    },
    /// Only the resource version moved.
    Bookmark {
        /// To where.
        resource_version: String,
    },
    /// The watch cannot go on (an ERROR event).
    Error {
        /// Code of the `Status`, 0 if it has none.
        code: u16,
        /// Its message, cut.
        message: String,
    },
    /// Something we cannot read.
    Bad(BadObject),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: LeanPod<'a>,
}

#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Reads one line of a watch; `implied` says what counts among what a pod needs. Never fails: what cannot be read is
/// [`WatchLine::Bad`].
#[must_use]
pub fn parse_line(line: &[u8], implied: ImpliedNeeds) -> WatchLine {
    let Ok(text) = std::str::from_utf8(line) else {
        return WatchLine::Bad(BadObject { fault: "not UTF-8".to_owned(), ..BadObject::default() });
    };
    let line: Line<'_> = match serde_json::from_str(text) {
        Ok(line) => line,
        Err(error) => return parse_odd_line(text, &error),
    };
    match &*line.kind {
        "ADDED" | "MODIFIED" => line.object.facts(implied).map_or_else(WatchLine::Bad, WatchLine::Observed),
        "DELETED" => match line.object.identity() {
            Ok(pod) => WatchLine::Deleted { pod, resource_version: line.object.metadata.resource_version },
            Err(bad) => WatchLine::Bad(bad),
        },
        "BOOKMARK" => WatchLine::Bookmark { resource_version: line.object.metadata.resource_version },
        "ERROR" => parse_error(text),
        _ => WatchLine::Bad(line.object.bad("unknown type of event")),
    }
}

/// The object of a watch line, as it stands there; `None` when the line is not one.
#[must_use]
pub fn object_of(line: &[u8]) -> Option<&RawValue> {
    let line: RawLine<'_> = serde_json::from_slice(line).ok()?;
    Some(line.object)
}

/// Reads one pod.
///
/// # Errors
///
/// [`BadObject`] with what of its identity can be read.
pub fn parse_pod(object: &str, implied: ImpliedNeeds) -> Result<PodFacts, BadObject> {
    match serde_json::from_str::<LeanPod<'_>>(object) {
        Ok(pod) => pod.facts(implied),
        Err(error) => Err(bad_object(object, place(&error))),
    }
}

/// The digest of what the cloud is told about a pod, as in [`PodFacts::spec_digest`]; `None` for what is no pod.
#[must_use]
pub fn spec_digest(object: &str) -> Option<u64> {
    serde_json::from_str::<LeanPod<'_>>(object).ok().map(|pod| pod.spec_digest())
}

/// Reads a pod's `status`.
///
/// # Errors
///
/// [`BadObject`] without an identity.
pub fn parse_status(status: &str) -> Result<PodStatus, BadObject> {
    match serde_json::from_str::<LeanStatus>(status) {
        Ok(status) => Ok(status.into_status()),
        Err(error) => Err(BadObject { fault: place(&error), ..BadObject::default() }),
    }
}

fn parse_odd_line(text: &str, error: &serde_json::Error) -> WatchLine {
    let Ok(line) = serde_json::from_str::<RawLine<'_>>(text) else {
        return WatchLine::Bad(BadObject { fault: place(error), ..BadObject::default() });
    };
    if line.kind == "ERROR" {
        return parse_error(text);
    }
    let bad = bad_object(line.object.get(), place(error));
    match bad.pod() {
        // Its end needs no more than its identity.
        Some(pod) if line.kind == "DELETED" => {
            WatchLine::Deleted { pod, resource_version: bad.resource_version }
        }
        Some(_) | None => WatchLine::Bad(bad),
    }
}

fn parse_error(text: &str) -> WatchLine {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        code: u16,
        message: String,
    }
    #[derive(Deserialize)]
    struct ErrorLine {
        #[serde(default, deserialize_with = "null_is_default")]
        object: Status,
    }
    let status = serde_json::from_str::<ErrorLine>(text).map(|line| line.object).unwrap_or_default();
    WatchLine::Error { code: status.code, message: crate::cut(&status.message) }
}

/// What can be read of the identity of an object that cannot be read.
fn bad_object(object: &str, fault: String) -> BadObject {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Metadata {
        namespace: serde_json::Value,
        name: serde_json::Value,
        uid: serde_json::Value,
        resource_version: serde_json::Value,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Object {
        metadata: Metadata,
    }
    let metadata = serde_json::from_str::<Object>(object).unwrap_or_default().metadata;
    let text = |value: &serde_json::Value, bytes_max: usize| {
        value.as_str().filter(|text| text.len() <= bytes_max).unwrap_or_default().to_owned()
    };
    BadObject {
        namespace: text(&metadata.namespace, NAME_BYTES_MAX),
        name: text(&metadata.name, NAME_BYTES_MAX),
        uid: Uid(text(&metadata.uid, UID_BYTES_MAX).into()),
        resource_version: text(&metadata.resource_version, RESOURCE_VERSION_BYTES_MAX),
        fault,
    }
}
