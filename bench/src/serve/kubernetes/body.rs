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

/// Takes in a body.
pub(super) async fn read(body: Body) -> Result<Bytes, Status> {
    let limited = http_body_util::Limited::new(body, BODY_BYTES_MAX);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Status::too_large(BODY_BYTES_MAX))
        }
        Err(error) => Err(Status::bad_request(format!("cannot read the body: {error}"))),
    }
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
