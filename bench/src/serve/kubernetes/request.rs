//! One request: read it, do it to the model, answer.

use std::collections::BTreeMap;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;

use super::answer::{Form, refuse, respond};
use super::fault::FaultKind;
use super::node::Call;
use super::route::{ResourcePath, Route};
use super::{Service, body, discovery, stream};
use crate::world::cluster::{ListOptions, Object, Selector, Status, Target};

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
    /// Its body.
    pub body: Bytes,
    /// The field manager: `fieldManager` of the query, or the client's name.
    pub manager: String,
}

/// Answers any request.
pub(super) async fn handle(State(service): State<Service>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let route = Route::of(&path);
    let fault = match &route {
        Route::Resource(at) => service.kubernetes.fault_for(&parts.method, at.kind.plural, at.subresource),
        Route::Node(..) => service.kubernetes.fault_for(&parts.method, "nodes", "proxy"),
        Route::Document(_) | Route::Review(_) | Route::Metrics(_) | Route::Unknown => None,
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
    let answered = answer(&service, parts, route, body).await;
    let response = answered.unwrap_or_else(|status| refuse(&status));
    if fault == Some(FaultKind::LoseAnswer) { lose(response) } else { response }
}

/// The answer's head, and a connection that breaks where its body should be.
fn lose(response: Response) -> Response {
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("lost by a fault"))]);
    response.map(|_| Body::from_stream(broken))
}

async fn answer(service: &Service, parts: Parts, route: Route<'_>, body: Body) -> Result<Response, Status> {
    let (method, headers) = (&parts.method, &parts.headers);
    match route {
        Route::Document(document) => {
            let accept =
                headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let (content_type, text) = discovery::document(&document, accept, service.address)?;
            Ok(respond(StatusCode::OK, content_type, text))
        }
        Route::Review(review) if *method == Method::POST && review.is_about_others() => {
            let question = body::object(headers, &body::read(body).await?)?;
            let answer = review.about_others(&service.kubernetes, &question)?;
            Ok(respond(StatusCode::CREATED, "application/json", answer.to_string()))
        }
        Route::Review(review) if *method == Method::POST => {
            Ok(respond(StatusCode::CREATED, "application/json", review.answer().to_string()))
        }
        Route::Review(_) => Err(Status::method_not_allowed()),
        Route::Unknown => Err(Status::no_such_resource()),
        Route::Metrics(path) if *method == Method::GET => {
            let query = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri)
                .map_err(|error| Status::bad_request(error.to_string()))?;
            let labels = query.get("labelSelector").map_or("", String::as_str);
            let answer = service.kubernetes.used(&path, labels)?;
            Ok(respond(StatusCode::OK, "application/json", answer.to_string()))
        }
        Route::Metrics(_) => Err(Status::method_not_allowed()),
        Route::Node(id, inside) => call(service, parts, body).node(&service.kubernetes, id, inside).await,
        Route::Resource(at) if matches!(at.subresource, "log" | "exec" | "attach" | "portforward") => {
            let (Some(namespace), Some(name)) = (at.namespace, at.name) else {
                return Err(Status::method_not_allowed());
            };
            let (call, kubernetes) = (call(service, parts, body), &service.kubernetes);
            match (call.method.as_str(), at.subresource) {
                ("GET", "log") => call.log(kubernetes, namespace, name).await,
                ("GET" | "POST", "portforward") => call.forward(kubernetes, namespace, name).await,
                ("GET" | "POST", what @ ("exec" | "attach")) => {
                    call.run(kubernetes, what, namespace, name).await
                }
                _ => Err(Status::method_not_allowed()),
            }
        }
        Route::Resource(at) => {
            let query = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri)
                .map_err(|error| Status::bad_request(error.to_string()))?
                .0;
            let manager = query.get("fieldManager").cloned().unwrap_or_else(|| client_name(headers));
            let body = body::read(body).await?;
            let ask = Ask { method, at, query, headers, body, manager };
            ask.answer(service)
        }
    }
}

/// What a node is to answer.
fn call(service: &Service, mut parts: Parts, body: Body) -> Call {
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    Call {
        upgrade: parts.extensions.remove(),
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body,
        from: from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        cancel: service.cancel.clone(),
    }
}

/// The part of `User-Agent` that names the program, as it stands for a missing field manager.
fn client_name(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("unknown");
    agent.split('/').next().unwrap_or(agent).to_owned()
}

impl<'r> Ask<'r> {
    fn answer(&self, service: &Service) -> Result<Response, Status> {
        let form = Form::of(self.headers, self.query.get("includeObject").map(String::as_str))?;
        match (self.method.as_str(), self.at.name, self.at.subresource) {
            ("GET", _, "") if self.flag("watch") => stream::open(self, service, form),
            ("GET", None, _) => self.list(service, form),
            ("GET", Some(_), "" | "status" | "approval" | "scale") => self.get(service, form),
            ("POST", None, _) => self.create(service, form),
            ("POST", Some(_), "binding" | "eviction" | "token") => self.create_subresource(service),
            ("PUT", Some(_), _) => self.update(service, form),
            ("PATCH", Some(_), _) => self.patch(service, form),
            ("DELETE", Some(_), "") => self.delete(service, form),
            ("DELETE", None, _) => self.delete_collection(service, form),
            _ => Err(Status::method_not_allowed()),
        }
    }

    /// Whether a parameter of the query is set.
    pub fn flag(&self, name: &str) -> bool {
        body::is_set(&self.query, name)
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

    /// The object that its path names.
    pub fn target(&self) -> Result<Target<'r>, Status> {
        let name = self.at.name.ok_or_else(Status::method_not_allowed)?;
        Ok(Target { kind: self.at.kind, namespace: self.at.namespace.unwrap_or_default(), name })
    }

    /// The object in its body.
    pub fn object(&self) -> Result<Value, Status> {
        body::object(self.headers, &self.body)
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
}

/// An answer that is one object.
pub(super) fn one(code: StatusCode, form: Form, object: &Object) -> Response {
    let mut out = Vec::with_capacity(object.body().len() + 64);
    form.write(object, Timestamp::now(), true, &mut out);
    respond(code, "application/json", out)
}
