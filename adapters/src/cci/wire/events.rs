//! The cloud's own events as JSON, read into facts.

use engine::{CLOUD_EVENTS_MAX, CloudEvent};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::facts::{Time, or_default, seconds};
use super::mark::ID_CHARS_MAX;
use crate::cci::error::redact;
use crate::shorten;

/// Longest reason: Kubernetes takes no longer one (`events.k8s.io`, event validation).
const REASON_BYTES_MAX: usize = 128;

/// Longest name of a part of the cloud: a DNS label.
const SOURCE_BYTES_MAX: usize = 63;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEvent {
    #[serde(default, deserialize_with = "or_default")]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    involved_object: Involved,
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    reason: String,
    #[serde(default, deserialize_with = "or_default")]
    message: String,
    #[serde(default, deserialize_with = "or_default")]
    source: Source,
    #[serde(default, deserialize_with = "or_default")]
    reporting_component: String,
    count: Option<i64>,
    series: Option<Series>,
    first_timestamp: Option<Time>,
    last_timestamp: Option<Time>,
    event_time: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    uid: String,
    creation_timestamp: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Involved {
    #[serde(deserialize_with = "or_default")]
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    #[serde(deserialize_with = "or_default")]
    component: String,
}

/// How a newer kind of event counts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    count: Option<i64>,
    last_observed_time: Option<Time>,
}

/// The event in `json`, if it is about the object of this identity. One that cannot be read is left out: it is for people,
/// and proves nothing.
pub(in crate::cci) fn read_event(cloud_uid: &str, json: &RawValue) -> Option<CloudEvent> {
    let raw: RawEvent = serde_json::from_str(json.get()).ok()?;
    if raw.involved_object.uid != cloud_uid {
        return None;
    }
    let id = if raw.metadata.uid.is_empty() { raw.metadata.name } else { raw.metadata.uid };
    if id.is_empty() || id.len() > ID_CHARS_MAX {
        return None;
    }
    let series = raw.series.unwrap_or(Series { count: None, last_observed_time: None });
    let count = raw.count.max(series.count).unwrap_or(1).clamp(1, i64::from(u32::MAX)) as u32;
    let made_s = seconds(&raw.event_time).or(seconds(&raw.metadata.creation_timestamp));
    let first_s = seconds(&raw.first_timestamp).or(made_s).unwrap_or(0);
    let last_s = seconds(&raw.last_timestamp).or(seconds(&series.last_observed_time)).or(made_s);
    let source = if raw.source.component.is_empty() { raw.reporting_component } else { raw.source.component };
    Some(CloudEvent {
        id: id.into(),
        warning: raw.kind == "Warning",
        reason: words(&raw.reason, REASON_BYTES_MAX),
        message: redact(&raw.message, &[]),
        source: words(&source, SOURCE_BYTES_MAX),
        count,
        first_s,
        last_s: last_s.unwrap_or(first_s).max(first_s),
    })
}

fn words(text: &str, bytes_max: usize) -> String {
    let mut text = redact(text, &[]);
    shorten(&mut text, bytes_max);
    text
}

/// Of more events than are taken over, those that matter: the warnings, then what was seen last. In the order in which
/// they were seen.
pub(in crate::cci) fn most_telling(mut events: Vec<CloudEvent>) -> Vec<CloudEvent> {
    events.sort_by(|a, b| (b.warning, b.last_s, &b.id).cmp(&(a.warning, a.last_s, &a.id)));
    events.truncate(CLOUD_EVENTS_MAX);
    events.sort_by(|a, b| (a.last_s, a.first_s, &a.id).cmp(&(b.last_s, b.first_s, &b.id)));
    events
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
