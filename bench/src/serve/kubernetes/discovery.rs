//! The documents by which clients learn what is served: aggregated and legacy discovery, and the version.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use axum::body::Bytes;
use serde_json::{Value, json};

use super::openapi;
use super::route::Document;
use super::served::{self, Served};
use crate::world::cluster::{KINDS, Kind, Status};

/// The content type by which a client knows that discovery is aggregated.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The version we say we are: that of the API server the model was held against.
pub(super) const GIT_VERSION: &str = "v1.36.2";

/// A document and its content type.
pub(super) fn document(
    document: &Document<'_>,
    accept: &str,
    address: SocketAddr,
) -> Result<(&'static str, Bytes), Status> {
    let aggregated = accept.contains(AGGREGATED);
    let value = match document {
        Document::Health => return Ok(("text/plain; charset=utf-8", "ok".into())),
        Document::Version => version(),
        Document::Core if aggregated => return Ok((AGGREGATED, aggregate(&[""]).to_string().into())),
        Document::Groups if aggregated => {
            return Ok((AGGREGATED, aggregate(&served::groups()).to_string().into()));
        }
        Document::Core => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": address.to_string() }],
        }),
        Document::Groups => {
            let list: Vec<Value> = served::groups().into_iter().map(group).collect();
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": list })
        }
        Document::Group(name) => {
            let mut group = group(known(name)?);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }
        Document::Resources(group, version) => resources(group, version)?,
        Document::OpenApiV2 if accept.contains(openapi::V2_PROTOBUF_ASKED) => {
            return Ok((openapi::V2_PROTOBUF, openapi::version_2_protobuf()));
        }
        Document::OpenApiV2 => openapi::version_2(),
        Document::OpenApiIndex => openapi::index(),
        Document::OpenApi(group, version) => openapi::document(group, version)?,
        Document::Paths => json!({ "paths": paths() }),
    };
    Ok(("application/json", value.to_string().into()))
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "simulated",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

/// Where there is something to read.
fn paths() -> Vec<String> {
    let fixed = [
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    let named = served::groups()
        .into_iter()
        .flat_map(|group| [format!("/apis/{group}"), format!("/apis/{group}/{}", served::version(group))]);
    let mut paths: Vec<String> = fixed.into_iter().map(str::to_owned).chain(named).collect();
    paths.sort();
    paths
}

/// The named groups of what is stored, in order.
pub(super) fn groups() -> Vec<&'static str> {
    let named = KINDS.iter().map(|kind| kind.group).filter(|group| !group.is_empty());
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

fn known(name: &str) -> Result<&'static str, Status> {
    served::groups().into_iter().find(|group| *group == name).ok_or_else(Status::no_such_resource)
}

fn group(name: &'static str) -> Value {
    let version = served::version(name);
    let version = json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    json!({ "name": name, "versions": [version], "preferredVersion": version })
}

/// The kinds of a group that are stored.
pub(super) fn kinds_of(group: &str) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| kind.group == group)
}

fn aggregate(groups: &[&str]) -> Value {
    let one = |group: &&str| {
        let resources: Vec<Value> = served::of_group(group).map(aggregate_resource).collect();
        let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
        let version = served::version(group);
        let version = json!({ "version": version, "resources": resources, "freshness": "Current" });
        json!({ "metadata": metadata, "versions": [version] })
    };
    let items: Vec<Value> = groups.iter().map(one).collect();
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items })
}

fn aggregate_resource(served: Served) -> Value {
    let kind = served.kind;
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": { "group": "", "version": "", "kind": kind.kind },
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": served.verbs(),
    });
    add_names(&mut resource, kind);
    let subresource = |name: &&str| {
        let (group, version, response, verbs) = subresource(kind, name);
        json!({
            "subresource": name,
            "responseKind": { "group": group, "version": version, "kind": response },
            "verbs": verbs,
        })
    };
    if !kind.subresources.is_empty() {
        resource["subresources"] = kind.subresources.iter().map(subresource).collect();
    }
    resource
}

fn add_names(resource: &mut Value, kind: &Kind) {
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if kind.in_all {
        resource["categories"] = json!(["all"]);
    }
}

/// Group, version, kind and verbs of a subresource.
fn subresource(
    kind: &Kind,
    name: &str,
) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
    match name {
        "scale" => ("autoscaling", "v1", "Scale", &["get", "patch", "update"]),
        "eviction" => ("policy", "v1", "Eviction", &["create"]),
        "binding" => ("", "", "Binding", &["create"]),
        "token" => ("authentication.k8s.io", "v1", "TokenRequest", &["create"]),
        "exec" => ("", "", "PodExecOptions", &["create", "get"]),
        "attach" => ("", "", "PodAttachOptions", &["create", "get"]),
        "portforward" => ("", "", "PodPortForwardOptions", &["create", "get"]),
        "log" => ("", "", "Pod", &["get"]),
        "proxy" => ("", "", "NodeProxyOptions", &["create", "delete", "get", "patch", "update"]),
        "finalize" => ("", "", "Namespace", &["update"]),
        _ => ("", "", Kind::of(kind.plural).map_or("", |kind| kind.kind), &["get", "patch", "update"]),
    }
}

fn resources(group: &str, version: &str) -> Result<Value, Status> {
    let mut list = Vec::new();
    for served in served::of_group(group).filter(|served| served.kind.version == version) {
        let kind = served.kind;
        let mut resource = json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": served.verbs(),
        });
        add_names(&mut resource, kind);
        list.push(resource);
        for name in kind.subresources {
            let (group, version, response, verbs) = subresource(kind, name);
            let mut resource = json!({
                "name": format!("{}/{name}", kind.plural),
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": response,
                "verbs": verbs,
            });
            if !group.is_empty() {
                resource["group"] = json!(group);
                resource["version"] = json!(version);
            }
            list.push(resource);
        }
    }
    if list.is_empty() {
        return Err(Status::no_such_resource());
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": list,
    }))
}
