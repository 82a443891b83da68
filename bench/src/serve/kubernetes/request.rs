//! One request: read it, do it to the model, answer.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request, State};
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{Form, refuse, respond};
use super::fault::FaultKind;
use super::route::{ResourcePath, Route};
use super::{Service, discovery, protobuf, stream};
use crate::world::cluster::{
    DeleteOptions, Deleted, ListOptions, Part, Patch, ScaleChange, Selector, Status, Target, Writer,
};

/// kube-apiserver reads 3 MiB at most of a request.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// A request, read.
#[derive(Debug)]
pub(super) struct Ask<'r> {
    /// GET, POST, …
    pub method: &'r Method,
    /// What it is about.
    pub at: ResourcePath<'r>,
    /// Its query.
    pub query: BTreeMap<String, String>,
    /// Its headers.
    pub headers: &'r HeaderMap,
    body: Bytes,
    manager: String,
}

/// Answers any request.
pub(super) async fn handle(State(service): State<Service>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let route = Route::of(parts.uri.path());
    let fault = match &route {
        Route::Resource(at) => service.kubernetes.fault_for(&parts.method, at.kind.plural, at.subresource),
        Route::Document(_) | Route::AccessReview | Route::Unknown => None,
    };
    let mut latency = service.kubernetes.options.latency;
    match fault {
        Some(FaultKind::Refuse { code, retry_after_s }) => {
            return refuse(&Status::fault(code, retry_after_s));
        }
        Some(FaultKind::Delay(delay)) => latency += delay,
        Some(FaultKind::LoseAnswer) | None => {}
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let answered = answer(&service, &parts.method, &parts.uri, &parts.headers, route, body).await;
    let response = answered.unwrap_or_else(|status| refuse(&status));
    if fault == Some(FaultKind::LoseAnswer) { lose(response) } else { response }
}

/// The answer's head, and a connection that breaks where its body should be.
fn lose(response: Response) -> Response {
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("lost by a fault"))]);
    response.map(|_| Body::from_stream(broken))
}

async fn answer(
    service: &Service,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    route: Route<'_>,
    body: Body,
) -> Result<Response, Status> {
    match route {
        Route::Document(document) => {
            let accept =
                headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let (content_type, text) = discovery::document(&document, accept, service.address)?;
            Ok(respond(StatusCode::OK, content_type, text))
        }
        Route::AccessReview => Ok(review()),
        Route::Unknown => Err(Status::no_such_resource()),
        Route::Resource(at) => {
            let query = Query::<BTreeMap<String, String>>::try_from_uri(uri)
                .map_err(|error| Status::bad_request(error.to_string()))?
                .0;
            if query.contains_key("dryRun") {
                return Err(Status::bad_request("the simulated cluster does not serve dryRun"));
            }
            let manager = query.get("fieldManager").cloned().unwrap_or_else(|| client_name(headers));
            let body = read_body(body).await?;
            let ask = Ask { method, at, query, headers, body, manager };
            ask.answer(service)
        }
    }
}

async fn read_body(body: Body) -> Result<Bytes, Status> {
    let limited = http_body_util::Limited::new(body, BODY_BYTES_MAX);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Status::too_large(BODY_BYTES_MAX))
        }
        Err(error) => Err(Status::bad_request(format!("cannot read the body: {error}"))),
    }
}

/// The part of `User-Agent` that names the program, as it stands for a missing field manager.
fn client_name(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("unknown");
    agent.split('/').next().unwrap_or(agent).to_owned()
}

/// Everybody may do everything, so the question need not be read: kubectl asks it in protobuf.
fn review() -> Response {
    let review = json!({
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {},
        "status": { "allowed": true },
    });
    respond(StatusCode::CREATED, "application/json", review.to_string())
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn read_object(headers: &HeaderMap, body: &Bytes) -> Result<Value, Status> {
    match content_type(headers) {
        "" | "application/json" | "*/*" => serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("the object provided is unrecognized: {error}"))),
        "application/vnd.kubernetes.protobuf" => protobuf::read(body),
        "application/yaml" => serde_yaml_ng::from_slice(body)
            .map_err(|error| Status::bad_request(format!("the object provided is unrecognized: {error}"))),
        _ => Err(Status::unsupported_media_type()),
    }
}

impl<'r> Ask<'r> {
    fn answer(&self, service: &Service) -> Result<Response, Status> {
        let form = Form::of(self.headers, self.query.get("includeObject").map(String::as_str))?;
        match (self.method.as_str(), self.at.name, self.at.subresource) {
            ("GET", _, "") if self.flag("watch") => stream::open(self, service, form),
            ("GET", None, _) => self.list(service, form),
            ("GET", Some(_), "" | "status" | "scale") => self.get(service, form),
            ("GET" | "POST", Some(name), "log" | "exec" | "attach" | "portforward") => {
                service.kubernetes.read(|cluster| {
                    cluster.get(self.at.kind, self.at.namespace.unwrap_or_default(), name).map(|_| ())
                })?;
                Err(Status::not_implemented(self.at.subresource))
            }
            ("POST", None, _) => self.create(service, form),
            ("POST", Some(_), "binding" | "eviction") => self.create_subresource(service),
            ("PUT", Some(_), _) => self.update(service, form),
            ("PATCH", Some(_), _) => self.patch(service, form),
            ("DELETE", Some(_), "") => self.delete(service, form),
            ("DELETE", None, _) => self.delete_collection(service, form),
            _ => Err(Status::method_not_allowed()),
        }
    }

    /// Whether a parameter of the query is set.
    pub fn flag(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|value| matches!(value.as_str(), "" | "1" | "true" | "True"))
    }

    /// The `resourceVersion` of the query; `None` when it is unset.
    pub fn revision(&self) -> Result<Option<u64>, Status> {
        match self.query.get("resourceVersion").map(String::as_str) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| Status::bad_version(text)),
        }
    }

    /// Which objects the query selects.
    pub fn selector(&self) -> Result<Selector, Status> {
        let text = |name: &str| self.query.get(name).cloned().unwrap_or_default();
        let mut fields = text("fieldSelector");
        if let Some(name) = self.at.name {
            fields = format!("metadata.name={name}");
        }
        Selector::parse(self.at.kind, self.at.namespace, &text("labelSelector"), &fields)
    }

    fn target(&self) -> Result<Target<'r>, Status> {
        let name = self.at.name.ok_or_else(Status::method_not_allowed)?;
        Ok(Target { kind: self.at.kind, namespace: self.at.namespace.unwrap_or_default(), name })
    }

    fn part(&self) -> Part {
        if self.at.subresource == "status" { Part::Status } else { Part::Main }
    }

    fn writer(&self, now: Timestamp) -> Writer<'_> {
        Writer { now, manager: &self.manager }
    }

    fn object(&self) -> Result<Value, Status> {
        read_object(self.headers, &self.body)
    }

    fn get(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let target = self.target()?;
        if self.at.subresource == "scale" {
            let scale = service.kubernetes.read(|cluster| cluster.scale(target))?;
            return Ok(respond(StatusCode::OK, "application/json", scale.to_string()));
        }
        let object = service
            .kubernetes
            .read(|cluster| cluster.get(target.kind, target.namespace, target.name).cloned())?;
        Ok(one(StatusCode::OK, form, &object))
    }

    fn list(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let selector = self.selector()?;
        let limit = self.query.get("limit").map_or(Ok(0), |text| text.parse());
        let exact = match self.query.get("resourceVersionMatch").map(String::as_str) {
            None | Some("") => None,
            Some("Exact") => Some(true),
            Some("NotOlderThan") => Some(false),
            Some(other) => {
                let why = format!("Unsupported value: \"{other}\"");
                return Err(Status::invalid_options("resourceVersionMatch", &why));
            }
        };
        let options = ListOptions {
            limit: limit.map_err(|_| Status::bad_request("limit is not a number"))?,
            continuation: self.query.get("continue").filter(|text| !text.is_empty()).cloned(),
            revision: self.revision()?,
            exact,
        };
        let list = service.kubernetes.read(|cluster| cluster.list(self.at.kind, &selector, &options))?;
        Ok(respond(StatusCode::OK, "application/json", form.list(self.at.kind, &list, Timestamp::now())))
    }

    fn create(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let body = self.object()?;
        if self.at.kind.namespaced && self.at.namespace.is_none() {
            return Err(Status::method_not_allowed());
        }
        let namespace = self.at.namespace.unwrap_or_default();
        let made = service
            .kubernetes
            .with(|cluster, now| cluster.create(self.writer(now), self.at.kind, namespace, body));
        Ok(one(StatusCode::CREATED, form, &*made?))
    }

    fn create_subresource(&self, service: &Service) -> Result<Response, Status> {
        let (target, body) = (self.target()?, self.object()?);
        service.kubernetes.with(|cluster, now| {
            if self.at.subresource == "binding" {
                cluster.bind(self.writer(now), target, &body)
            } else {
                cluster.evict(self.writer(now), target, &body).map(|_| ())
            }
        })?;
        Ok(respond(StatusCode::CREATED, "application/json", Status::created().to_string()))
    }

    fn update(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let (target, body) = (self.target()?, self.object()?);
        if self.at.subresource == "scale" {
            let change = ScaleChange::Replace(body);
            let scale =
                service.kubernetes.with(|cluster, now| cluster.rescale(self.writer(now), target, change))?;
            return Ok(respond(StatusCode::OK, "application/json", scale.to_string()));
        }
        let object = service
            .kubernetes
            .with(|cluster, now| cluster.update(self.writer(now), target, self.part(), body))?;
        Ok(one(StatusCode::OK, form, &object))
    }

    fn patch(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let (target, patch) = (self.target()?, self.read_patch()?);
        if self.at.subresource == "scale" {
            let change = ScaleChange::Patch(patch);
            let scale =
                service.kubernetes.with(|cluster, now| cluster.rescale(self.writer(now), target, change))?;
            return Ok(respond(StatusCode::OK, "application/json", scale.to_string()));
        }
        let (object, made) = service
            .kubernetes
            .with(|cluster, now| cluster.patch(self.writer(now), target, self.part(), &patch))?;
        Ok(one(if made { StatusCode::CREATED } else { StatusCode::OK }, form, &object))
    }

    fn read_patch(&self) -> Result<Patch, Status> {
        let bad =
            |error: &dyn std::fmt::Display| Status::bad_request(format!("error decoding patch: {error}"));
        let json = || serde_json::from_slice::<Value>(&self.body).map_err(|error| bad(&error));
        match content_type(self.headers) {
            "application/merge-patch+json" => Ok(Patch::Merge(json()?)),
            "application/strategic-merge-patch+json" => Ok(Patch::Strategic(json()?)),
            "application/json-patch+json" => {
                serde_json::from_slice(&self.body).map(Patch::Json).map_err(|error| bad(&error))
            }
            "application/apply-patch+yaml" => {
                if !self.query.contains_key("fieldManager") {
                    return Err(Status::bad_request(
                        "fieldManager: Required value: is required for apply patch",
                    ));
                }
                // Clients send JSON, which is YAML; the JSON parser is the quicker one.
                let intent =
                    json().or_else(|_| serde_yaml_ng::from_slice(&self.body).map_err(|error| bad(&error)))?;
                Ok(Patch::Apply { intent, force: self.flag("force") })
            }
            _ => Err(Status::unsupported_media_type()),
        }
    }

    fn delete_options(&self) -> Result<DeleteOptions, Status> {
        let body = if self.body.is_empty() { Value::Null } else { self.object()? };
        let mut options = DeleteOptions::parse(&body);
        if let Some(text) = self.query.get("gracePeriodSeconds") {
            let grace_s =
                text.parse().map_err(|_| Status::bad_request("gracePeriodSeconds is not a number"))?;
            options.grace_s = Some(grace_s);
        }
        options.orphan |= self.query.get("propagationPolicy").is_some_and(|policy| policy == "Orphan");
        Ok(options)
    }

    fn delete(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let (target, options) = (self.target()?, self.delete_options()?);
        let deleted =
            service.kubernetes.with(|cluster, now| cluster.delete(self.writer(now), target, &options))?;
        // Only resources that are deleted with grace send what was deleted; the others say that it was.
        Ok(match deleted {
            Deleted::Gone(object) if !object.kind.is_graceful() => {
                let success = Status::success(object.kind, object.name(), object.uid());
                respond(StatusCode::OK, "application/json", success.to_string())
            }
            Deleted::Gone(object) | Deleted::Going(object) => one(StatusCode::OK, form, &object),
        })
    }

    fn delete_collection(&self, service: &Service, form: Form) -> Result<Response, Status> {
        let (selector, options) = (self.selector()?, self.delete_options()?);
        let (objects, revision) = service.kubernetes.with(|cluster, now| {
            let objects = cluster.delete_collection(self.writer(now), self.at.kind, &selector, &options);
            (objects, cluster.revision())
        });
        let list = crate::world::cluster::List { objects, revision, continuation: None };
        Ok(respond(StatusCode::OK, "application/json", form.list(self.at.kind, &list, Timestamp::now())))
    }
}

fn one(code: StatusCode, form: Form, object: &crate::world::cluster::Object) -> Response {
    let mut out = Vec::with_capacity(object.body().len() + 64);
    form.write(object, Timestamp::now(), true, &mut out);
    respond(code, "application/json", out)
}
