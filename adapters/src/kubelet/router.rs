//! Lets a request in, finds its pod, and hands it to what answers it.
//!
//! The order is the point: who asks, whether that one may, and only then what is there. Somebody without a right
//! learns nothing, not even which paths there are.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use engine::ContainerState;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use super::authenticate::{Authenticator, busy, strip};
use super::authorize::Authorizer;
use super::pods::Pods;
use super::route::{Page, Route};
use super::server::{Answer, Peer, has_body};
use super::{Kubelet, OwnPages, PodView, Refused, Target, attach, exec, forward, logs, query, stats};

/// Text of Prometheus, as its own format is called.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a container waits for before anything is known of it.
const CREATING: &str = "ContainerCreating";

/// Answers all requests.
pub(super) struct Router {
    pub(super) kubelet: Arc<Kubelet>,
    pub(super) authenticator: Authenticator,
    pub(super) authorizer: Authorizer,
    pub(super) pods: Pods,
    pub(super) own: OwnPages,
}

impl Answer for Arc<Router> {
    async fn answer(&self, peer: Arc<Peer>, request: Request) -> Response {
        let page = Route::of(request.uri().path()).page.name();
        let answer = self.answer_or_refuse(&peer, request).await;
        let answer = answer.unwrap_or_else(IntoResponse::into_response);
        (self.own.answered)(page, answer.status());
        answer
    }
}

impl Router {
    async fn answer_or_refuse(&self, peer: &Peer, mut request: Request) -> Result<Response, Refused> {
        let user = self.authenticator.user(peer, request.headers()).await?;
        strip(request.headers_mut());
        let path = request.uri().path().to_owned();
        let route = Route::of(&path);
        let Some(verb) = route.verb(request.method()) else {
            return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed"));
        };
        self.authorizer.check(&user, verb, route.subresources()).await?;
        if !peer.admitted.trust() {
            return Err(busy());
        }
        tracing::debug!(user = ?user.name, verb, page = ?route.page, "a request to the kubelet API is allowed");
        let methods = route.methods();
        if methods.is_empty() {
            return Err(Refused::not_found("404 page not found"));
        }
        if !methods.contains(request.method()) {
            return Ok(wrong_method(methods));
        }
        // Nothing here has a body; what follows an upgrade is none.
        if has_body(&request) {
            return Err(Refused::bad_request("a request to this path has no body"));
        }
        self.page(&route, request).await
    }

    async fn page(&self, route: &Route<'_>, request: Request) -> Result<Response, Refused> {
        let kubelet = &*self.kubelet;
        // Read here for all, so that what is beyond its bounds asks nothing of anybody.
        let query = query::parse(request.uri().query().unwrap_or_default())?;
        match route.page {
            Page::ContainerLogs => logs::container_logs(kubelet, &self.target(route).await?, &query).await,
            Page::Exec => exec::exec(kubelet, &self.target(route).await?, &query, request).await,
            Page::Attach => attach::attach(kubelet, &self.target(route).await?, &query, request).await,
            Page::PortForward => forward::port_forward(kubelet, &self.target(route).await?, request).await,
            Page::Pods => self.pods.list().await,
            Page::RunningPods => self.pods.running(&kubelet.lookup).await,
            Page::StatsSummary => stats::summary(kubelet).await,
            Page::ResourceMetrics => stats::resource_metrics(kubelet).await,
            Page::Metrics => Ok(([(CONTENT_TYPE, PROMETHEUS)], (self.own.metrics)()).into_response()),
            Page::Healthz => match (self.own.healthz)() {
                Ok(()) => Ok("ok".into_response()),
                Err(reason) => Err(Refused::internal(reason)),
            },
            Page::Nothing => Err(Refused::not_found("404 page not found")),
        }
    }

    /// The pod that a path names, and that its container has begun.
    async fn target(&self, route: &Route<'_>) -> Result<Target, Refused> {
        let names = route.names()?;
        let absent = || Refused::not_found("pod does not exist");
        let pod = self.kubelet.lookup.find(&names.namespace, &names.pod).await?.ok_or_else(absent)?;
        // One that was made anew under its name is another pod.
        if names.uid.is_some_and(|uid| *uid != *pod.pod.uid.0) {
            return Err(absent());
        }
        if route.page == Page::PortForward {
            if pod.status.is_none() {
                return Err(Refused::bad_request(format!(
                    "pod \"{}\" is waiting to start: {CREATING}",
                    names.pod
                )));
            }
        } else {
            begun(&pod, &names.container, route.page)?;
        }
        Ok(Target { pod, container: names.container })
    }
}

fn wrong_method(methods: &[http::Method]) -> Response {
    let mut response = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed").into_response();
    let methods: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// Refuses a container that there is not, or that has not started (texts: kubelet, `validateContainerLogStatus`).
fn begun(pod: &PodView, container: &str, page: Page) -> Result<(), Refused> {
    let name = &*pod.pod.name;
    let waits = |reason: &str| {
        Refused::bad_request(format!(
            "container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"
        ))
    };
    // A pod of which no container is told of has none yet: which ones it will have is not known here.
    let status = pod.status.as_ref().filter(|status| !status.containers.is_empty());
    let Some(status) = status else { return Err(waits(CREATING)) };
    let Some(found) = logs::container(status, container) else {
        return Err(Refused::not_found(format!("container {container} not found in pod {name}")));
    };
    match (&found.state, page, &found.last_state) {
        // It ran before, and its last log is there.
        (ContainerState::Waiting { .. }, Page::ContainerLogs, Some(_)) => Ok(()),
        (ContainerState::Waiting { reason, .. }, _, _) => Err(waits(match &**reason {
            "" => CREATING,
            "ErrImagePull" => "image can't be pulled",
            "ImagePullBackOff" => "trying and failing to pull image",
            reason => reason,
        })),
        (ContainerState::Running { .. } | ContainerState::Terminated { .. }, _, _) => Ok(()),
    }
}
