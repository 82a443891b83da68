//! Answers in the form that the client asked for: objects, tables, or metadata alone.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::cluster::{Columns, Kind, List, Object, Status};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The objects.
    Json,
    /// Rows for people, with each object as the query's `includeObject` says.
    Table(Include),
    /// `PartialObjectMetadata`
    Partial,
}

/// What a row of a table holds of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Form {
    /// The first form that the `Accept` header names and we speak.
    ///
    /// # Errors
    /// 406 when there is none: we do not speak protobuf.
    pub fn of(headers: &HeaderMap, include: Option<&str>) -> Result<Form, Status> {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accept.trim().is_empty() {
            return Ok(Form::Json);
        }
        let include = match include {
            Some("None") => Include::None,
            Some("Object") => Include::Object,
            Some(_) | None => Include::Metadata,
        };
        let spoken = accept.split(',').find_map(|choice| {
            let mut parts = choice.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if !matches!(media, "application/json" | "*/*" | "application/*") {
                return None;
            }
            let parameters: Vec<&str> = parts.collect();
            let is_v1 = parameters.iter().all(|one| !one.starts_with("v=") || *one == "v=v1");
            match parameters.iter().find_map(|one| one.strip_prefix("as=")) {
                None => Some(Form::Json),
                Some("Table") if is_v1 => Some(Form::Table(include)),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") if is_v1 => Some(Form::Partial),
                Some(_) => None,
            }
        });
        spoken.ok_or_else(|| {
            let mut status = Status::bad_request(
                "only the following media types are accepted: application/json, and application/json;as=Table \
                 or as=PartialObjectMetadata with v=v1;g=meta.k8s.io",
            );
            status.code = 406;
            status.reason = "NotAcceptable";
            status
        })
    }

    /// Appends one object in this form; a table has its column definitions only when `with_columns`.
    pub fn write(self, object: &Object, now: Timestamp, with_columns: bool, out: &mut Vec<u8>) {
        match self {
            Form::Json => object.write_json(out),
            Form::Partial => out.extend_from_slice(object.partial().to_string().as_bytes()),
            Form::Table(include) => {
                let rows = vec![row(object, include, now)];
                let metadata = json!({ "resourceVersion": object.revision.to_string() });
                let table = table(object.kind, rows, metadata, with_columns);
                out.extend_from_slice(table.to_string().as_bytes());
            }
        }
    }

    /// A page of a list in this form.
    pub fn list(self, kind: &'static Kind, list: &List, now: Timestamp) -> Vec<u8> {
        let mut metadata = json!({ "resourceVersion": list.revision.to_string() });
        if let Some(continuation) = &list.continuation {
            metadata["continue"] = json!(continuation);
        }
        match self {
            Form::Json => {
                let body_bytes: usize = list.objects.iter().map(|object| object.body().len() + 1).sum();
                let mut out = Vec::with_capacity(body_bytes + 256);
                let (name, version) = (kind.kind, kind.api_version());
                let head = format!(
                    r#"{{"kind":"{name}List","apiVersion":"{version}","metadata":{metadata},"items":["#
                );
                out.extend_from_slice(head.as_bytes());
                for (place, object) in list.objects.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(object.body());
                }
                out.extend_from_slice(b"]}");
                out
            }
            Form::Partial => {
                let items: Vec<Value> = list.objects.iter().map(|object| object.partial()).collect();
                let whole = json!({
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata,
                    "items": items,
                });
                whole.to_string().into_bytes()
            }
            Form::Table(include) => {
                let rows = list.objects.iter().map(|object| row(object, include, now)).collect();
                table(kind, rows, metadata, true).to_string().into_bytes()
            }
        }
    }

    /// Appends the object of a bookmark.
    pub fn bookmark(self, kind: &'static Kind, revision: u64, ends_initial: bool, out: &mut Vec<u8>) {
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if ends_initial {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let text = match self {
            Form::Json => format!(r#"{},"metadata":{metadata}{}}}"#, kind.head(), kind.bookmark),
            Form::Partial => {
                json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
                    .to_string()
            }
            Form::Table(_) => table(kind, Vec::new(), metadata, false).to_string(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

fn row(object: &Object, include: Include, now: Timestamp) -> Value {
    let mut row = Columns::of(object.kind).row(object, now);
    match include {
        Include::Metadata => {}
        Include::None => row["object"] = Value::Null,
        Include::Object => row["object"] = object.whole(),
    }
    row
}

fn table(kind: &'static Kind, rows: Vec<Value>, metadata: Value, with_columns: bool) -> Value {
    let columns = if with_columns { Columns::of(kind).definitions() } else { Value::Null };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

/// A JSON answer.
pub(super) fn respond(code: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    response
}

/// A refusal.
pub(super) fn refuse(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(code, "application/json", status.whole().to_string());
    if let Some(wait_s) = status.retry_after_s() {
        response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from(wait_s));
    }
    response
}
