//! `/pods` and `/runningpods/`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use engine::{ContainerState, ContainerStatus, PodStatus};
use futures_util::StreamExt;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::authenticate::busy;
use super::{PodView, Refused};
use crate::kubernetes::transport::{ApiServer, escape};

/// Lists that may be on their way at once: each is a full list of the node's pods in the API server.
const LISTS_MAX: usize = 4;

/// How long the API server may take to begin, and the list to be sent: it gives up by itself after a minute.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest list: ten thousand pods of 25 KiB.
const LIST_BYTES_MAX: usize = 256 << 20;

/// The pods of our node, as the API server has them.
pub(super) struct Pods {
    api: ApiServer,
    path: String,
    permits: Arc<Semaphore>,
}

impl Pods {
    pub(super) fn new(api: ApiServer, node: &str) -> Pods {
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}", escape(node));
        Pods { api, path, permits: Arc::new(Semaphore::new(LISTS_MAX)) }
    }

    /// A `PodList`, passed through as it comes.
    pub(super) async fn list(&self) -> Result<Response, Refused> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| busy())?;
        let body = self.api.open(&self.path, BEGIN_TIMEOUT).await.map_err(|failure| {
            tracing::warn!(%failure, "the pods of the node cannot be listed");
            Refused::internal("the pods of the node cannot be listed")
        })?;
        let end = Instant::now() + LIST_TIMEOUT;
        let stream = body.into_data_stream();
        let whole = futures_util::stream::unfold(Some((stream, 0, permit)), move |state| async move {
            let (mut stream, mut passed, permit) = state?;
            let cut = |reason| Some((Err(io::Error::other(reason)), None));
            match timeout_at(end, stream.next()).await {
                Ok(Some(Ok(bytes))) => {
                    passed += bytes.len();
                    if passed > LIST_BYTES_MAX {
                        return cut("the list of pods is too long");
                    }
                    Some((Ok::<Bytes, io::Error>(bytes), Some((stream, passed, permit))))
                }
                Ok(Some(Err(_))) => cut("the list of pods was cut"),
                Ok(None) => None,
                Err(_) => cut("the list of pods takes too long"),
            }
        });
        Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(whole)).into_response())
    }
}

/// A `PodList` of the pods of which a container runs, with as much of each as a kubelet says.
pub(super) fn running(pods: &[PodView]) -> Response {
    let items: Vec<Value> = pods.iter().filter_map(|view| item(view, view.status.as_ref()?)).collect();
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    ([(CONTENT_TYPE, "application/json")], list.to_string()).into_response()
}

fn item(view: &PodView, status: &PodStatus) -> Option<Value> {
    let is_running = |container: &&ContainerStatus| matches!(container.state, ContainerState::Running { .. });
    let all = status.init_containers.iter().chain(&status.containers).chain(&status.ephemeral_containers);
    let containers: Vec<Value> = all
        .filter(is_running)
        .map(|container| json!({"name": container.name, "image": container.image, "resources": {}}))
        .collect();
    (!containers.is_empty()).then(|| {
        let pod = &view.pod;
        json!({
            "metadata": {"name": &*pod.name, "namespace": &*pod.namespace, "uid": &*pod.uid.0},
            "spec": {"containers": containers},
            "status": {},
        })
    })
}
