//! OpenAPI: what kubectl reads before it creates an object, and what `kubectl explain` shows. The schemas are
//! those of the table of fields; the paths are no more than kubectl looks for.

use axum::body::Bytes;
use serde_json::{Map, Value, json};

use super::discovery::{GIT_VERSION, groups, kinds_of};
use crate::world::cluster::schema::{self, Shape, Type};
use crate::world::cluster::{KINDS, Kind, Status};

/// The form of OpenAPI 2 that kubectl asks for.
pub(super) const V2_PROTOBUF_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// What it is called in the answer: with the `@` it would be no media type.
pub(super) const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Where the types are that every group has in its objects.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// `/openapi/v2`: a document about nothing. kubectl reads it for a `kind: List`, whose items it then passes
/// on as they are, and for clients that know no version 3.
pub(super) fn version_2() -> Value {
    json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": GIT_VERSION },
        "paths": {},
    })
}

/// The same as protobuf (`openapi.v2.Document`: 1 is `swagger`, 2 is `info` with 1 `title` and 2 `version`).
pub(super) fn version_2_protobuf() -> Bytes {
    let field = |number: u8, inside: &[u8]| [&[number << 3 | 2, inside.len() as u8], inside].concat();
    let info = [field(1, b"Kubernetes"), field(2, GIT_VERSION.as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info)].concat().into()
}

/// `/openapi/v3`
pub(super) fn index() -> Value {
    let mut paths = Map::new();
    for group in [""].into_iter().chain(groups()) {
        let path = if group.is_empty() { "api/v1".to_owned() } else { format!("apis/{group}/v1") };
        // The address changes with what is served, so that a client may keep the document.
        let address = format!("/openapi/v3/{path}?hash={GIT_VERSION}-{}", env!("CARGO_PKG_VERSION"));
        paths.insert(path, json!({ "serverRelativeURL": address }));
    }
    json!({ "paths": paths })
}

/// `/openapi/v3/apis/GROUP/VERSION`. What kubectl looks for before a create is a `patch` of the object's kind
/// that takes `fieldValidation`; for merges it uses the types it was built with.
pub(super) fn document(group: &str, version: &str) -> Result<Value, Status> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in kinds_of(group).filter(|kind| kind.version == version) {
        paths.insert(path(kind), json!({ "patch": operation(kind) }));
        add_type(kind.kind, &mut schemas);
    }
    if paths.is_empty() {
        return Err(Status::no_such_resource());
    }
    Ok(json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": GIT_VERSION },
        "paths": paths,
        "components": { "schemas": schemas },
    }))
}

fn path(kind: &Kind) -> String {
    let (group, version) = (kind.group, kind.version);
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let inside = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    format!("{root}{inside}/{}/{{name}}", kind.plural)
}

fn operation(kind: &Kind) -> Value {
    let parameter = json!({
        "name": "fieldValidation",
        "in": "query",
        "schema": { "type": "string", "uniqueItems": true },
    });
    json!({
        "parameters": [parameter],
        "responses": {},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": group_version_kind(kind),
    })
}

fn group_version_kind(kind: &Kind) -> Value {
    json!({ "group": kind.group, "version": kind.version, "kind": kind.kind })
}

/// Adds a type and every type in it.
fn add_type(name: &str, schemas: &mut Map<String, Value>) {
    let Some(found) = schema::types().get(name) else { return };
    let key = format!("{}.{}", found.package, found.name);
    if schemas.contains_key(&key) {
        return;
    }
    schemas.insert(key.clone(), Value::Null);
    let schema = type_schema(found, schemas);
    schemas.insert(key, schema);
}

fn type_schema(found: &Type, schemas: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    let kind = KINDS.iter().find(|kind| kind.kind == found.name);
    if kind.is_some() {
        for (name, about) in [
            ("apiVersion", "APIVersion defines the versioned schema of this representation of an object."),
            ("kind", "Kind is a string value representing the REST resource this object represents."),
        ] {
            properties.insert(name.to_owned(), json!({ "type": "string", "description": about }));
        }
    }
    for (name, field) in &found.fields {
        let mut property = shape_schema(&field.shape, schemas);
        property["description"] = json!(field.about);
        properties.insert((*name).to_owned(), property);
    }
    let required: Vec<&str> =
        found.fields.iter().filter(|(_, field)| field.required).map(|(name, _)| *name).collect();
    let mut schema = json!({ "type": "object", "description": found.about, "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if let Some(kind) = kind {
        schema["x-kubernetes-group-version-kind"] = json!([group_version_kind(kind)]);
    }
    schema
}

fn shape_schema(shape: &Shape, schemas: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Int32 => json!({ "type": "integer", "format": "int32" }),
        Shape::Int64 => json!({ "type": "integer", "format": "int64" }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Bytes => json!({ "type": "string", "format": "byte" }),
        Shape::List(item) => json!({ "type": "array", "items": shape_schema(item, schemas) }),
        Shape::Map(item) => json!({ "type": "object", "additionalProperties": shape_schema(item, schemas) }),
        Shape::Quantity => {
            let either = json!([{ "type": "string" }, { "type": "number" }]);
            add_shared("io.k8s.apimachinery.pkg.api.resource.Quantity", json!({ "oneOf": either }), schemas)
        }
        Shape::IntOrString => {
            let either =
                json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] });
            add_shared("io.k8s.apimachinery.pkg.util.intstr.IntOrString", either, schemas)
        }
        Shape::Time => {
            let time = json!({ "type": "string", "format": "date-time" });
            add_shared(&format!("{META}.Time"), time, schemas)
        }
        Shape::MicroTime => {
            let time = json!({ "type": "string", "format": "date-time" });
            add_shared(&format!("{META}.MicroTime"), time, schemas)
        }
        Shape::FieldSet => add_shared(&format!("{META}.FieldsV1"), json!({ "type": "object" }), schemas),
        Shape::Type(name) => {
            add_type(name, schemas);
            let package = schema::types().get(name).map_or("", |found| found.package);
            reference(&format!("{package}.{name}"))
        }
    }
}

fn add_shared(name: &str, schema: Value, schemas: &mut Map<String, Value>) -> Value {
    schemas.insert(name.to_owned(), schema);
    reference(name)
}

/// A reference that may have a description beside it.
fn reference(name: &str) -> Value {
    json!({ "allOf": [{ "$ref": format!("#/components/schemas/{name}") }] })
}
