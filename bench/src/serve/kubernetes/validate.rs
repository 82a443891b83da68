//! Whether a body has only fields that its kind has (`fieldValidation`), and values of their types.

use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::Value;

use super::request::Ask;
use crate::world::cluster::{Patch, Status, schema};

/// What a body is to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Whole,
    Patch,
    Intent,
}

/// What the client is to be told besides its answer.
#[derive(Debug, Default)]
pub(super) struct Warnings(Vec<String>);

impl Warnings {
    /// The answer with the warnings in its headers.
    pub fn on(self, mut response: Response) -> Response {
        for warning in self.0 {
            let quoted = warning.replace('\\', r"\\").replace('"', r#"\""#);
            // A name that no header can hold is not worth failing for.
            if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }
}

impl Ask<'_> {
    /// The object in the body without what its kind does not have.
    pub fn checked_object(&self) -> Result<(Value, Warnings), Status> {
        let mut object = self.object()?;
        let warnings = self.check_fields(Body::Whole, &mut object)?;
        Ok((object, warnings))
    }

    /// Takes from a patch what the kind does not have. A JSON patch names paths and is taken as it is.
    pub fn check_patch(&self, patch: &mut Patch) -> Result<Warnings, Status> {
        match patch {
            Patch::Merge(body) | Patch::Strategic(body) => self.check_fields(Body::Patch, body),
            Patch::Apply { intent, .. } => self.check_fields(Body::Intent, intent),
            Patch::Json(_) => Ok(Warnings::default()),
        }
    }

    fn check_fields(&self, body: Body, value: &mut Value) -> Result<Warnings, Status> {
        // A binding, an eviction and a scale are not of the resource's own kind.
        if matches!(self.at.subresource, "binding" | "eviction" | "scale" | "token") {
            return Ok(Warnings::default());
        }
        let sent = (body == Body::Patch).then(|| value.to_string());
        let unknown = schema::conform(self.at.kind, value).map_err(|why| self.cannot_handle(&why))?;
        let directive = self.query.get("fieldValidation").map(String::as_str);
        if unknown.is_empty() || directive == Some("Ignore") {
            return Ok(Warnings::default());
        }
        let named: Vec<String> = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
        match (body, directive) {
            (Body::Intent, _) => Err(self.undeclared(&unknown[0])),
            (Body::Whole, Some("Strict")) => {
                Err(self.cannot_handle(&format!("strict decoding error: {}", named.join(", "))))
            }
            (Body::Patch, Some("Strict")) => Err(Status::invalid_patch(
                &sent.unwrap_or_default(),
                &format!("strict decoding error: {}", named.join(", ")),
            )),
            (Body::Whole | Body::Patch, _) => Ok(Warnings(named)),
        }
    }

    fn cannot_handle(&self, why: &str) -> Status {
        let kind = self.at.kind;
        Status::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: {why}",
            kind.kind, kind.version, kind.kind
        ))
    }

    fn undeclared(&self, path: &str) -> Status {
        let (kind, place) = (self.at.kind, self.at.namespace.map(|namespace| format!("{namespace}/")));
        Status::internal(format!(
            "failed to create typed patch object ({}{}; {}, Kind={}): .{path}: field not declared in schema",
            place.unwrap_or_default(),
            self.at.name.unwrap_or_default(),
            if kind.group.is_empty() { "/v1".to_owned() } else { kind.api_version() },
            kind.kind
        ))
    }
}
