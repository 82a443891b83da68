//! What is in the body of a request: an object, or a patch.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde_json::Value;

use super::protobuf;
use crate::world::cluster::{Patch, Status};

/// kube-apiserver reads 3 MiB at most of a request.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What is read and dropped of a body that is too large: a client that is still sending would not hear why.
const DROPPED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Takes in a body.
pub(super) async fn read(mut body: Body) -> Result<Bytes, Status> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::bad_request(format!("cannot read the body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len();
        if bytes <= BODY_BYTES_MAX {
            taken.extend_from_slice(&data);
        } else if bytes > DROPPED_BYTES_MAX {
            break;
        }
    }
    if bytes > BODY_BYTES_MAX {
        return Err(Status::too_large(BODY_BYTES_MAX));
    }
    Ok(taken.into())
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Reads an object.
pub(super) fn object(headers: &HeaderMap, body: &Bytes) -> Result<Value, Status> {
    match content_type(headers) {
        "" | "application/json" | "*/*" => serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("the object provided is unrecognized: {error}"))),
        "application/vnd.kubernetes.protobuf" => protobuf::read(body),
        "application/yaml" => serde_yaml_ng::from_slice(body)
            .map_err(|error| Status::bad_request(format!("the object provided is unrecognized: {error}"))),
        _ => Err(Status::unsupported_media_type()),
    }
}

/// Reads a patch.
pub(super) fn patch(
    headers: &HeaderMap,
    body: &Bytes,
    query: &BTreeMap<String, String>,
) -> Result<Patch, Status> {
    let bad = |error: &dyn std::fmt::Display| Status::bad_request(format!("error decoding patch: {error}"));
    let json = || serde_json::from_slice::<Value>(body).map_err(|error| bad(&error));
    match content_type(headers) {
        "application/merge-patch+json" => Ok(Patch::Merge(json()?)),
        "application/strategic-merge-patch+json" => Ok(Patch::Strategic(json()?)),
        "application/json-patch+json" => {
            serde_json::from_slice(body).map(Patch::Json).map_err(|error| bad(&error))
        }
        "application/apply-patch+yaml" => {
            if !query.contains_key("fieldManager") {
                return Err(Status::bad_request("fieldManager: Required value: is required for apply patch"));
            }
            // Clients send JSON, which is YAML; the JSON parser is the quicker one.
            let intent = json().or_else(|_| serde_yaml_ng::from_slice(body).map_err(|error| bad(&error)))?;
            Ok(Patch::Apply { intent, force: is_set(query, "force") })
        }
        _ => Err(Status::unsupported_media_type()),
    }
}

/// Whether a parameter of the query is set.
pub(super) fn is_set(query: &BTreeMap<String, String>, name: &str) -> bool {
    query.get(name).is_some_and(|value| matches!(value.as_str(), "" | "1" | "true" | "True"))
}
