//! `/pods` and `/runningpods/`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use engine::{ContainerState, ContainerStatus, PodStatus};
use futures_util::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::authenticate::busy;
use super::{PodLookup, PodView, Refused};
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
        let permit = self.permit()?;
        let body = self.api.open(&self.path, BEGIN_TIMEOUT).await.map_err(|failure| {
            tracing::warn!(%failure, "the pods of the node cannot be listed");
            Refused::internal("the pods of the node cannot be listed")
        })?;
        let end = Instant::now() + LIST_TIMEOUT;
        let permit = lent(permit, LIST_TIMEOUT);
        let whole = bounded(body.into_data_stream(), LIST_BYTES_MAX, end, permit);
        Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(whole)).into_response())
    }

    /// A `PodList` of the pods of which a container runs, with as much of each as a kubelet says.
    pub(super) async fn running(&self, lookup: &PodLookup) -> Result<Response, Refused> {
        let _permit = self.permit()?;
        let pods = lookup.all().await?;
        let items: Vec<Value> = pods.iter().filter_map(|view| item(view, view.status.as_ref()?)).collect();
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
        Ok(([(CONTENT_TYPE, "application/json")], list.to_string()).into_response())
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, Refused> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| busy())
    }
}

/// Lends a permit until the guard is dropped, for so long at most: a body that its client does not take is not asked for more,
/// so that nothing in it can tell the time.
fn lent(permit: OwnedSemaphorePermit, longest: Duration) -> DropGuard {
    let returned = CancellationToken::new();
    let guard = returned.clone().drop_guard();
    tokio::spawn(async move {
        let _permit = permit;
        let _longest = tokio::time::timeout(longest, returned.cancelled()).await;
    });
    guard
}

/// Passes on what comes until `end`, so many bytes at most. Beyond that it fails, so that a part is not taken for the
/// whole. `held` is let go of with the last of it.
fn bounded<E>(
    stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
    bytes_max: usize,
    end: Instant,
    held: impl Sized,
) -> impl Stream<Item = io::Result<Bytes>> {
    futures_util::stream::unfold(Some((stream, 0, held)), move |state| async move {
        let (mut stream, mut passed, held) = state?;
        let cut = |reason| Some((Err(io::Error::other(reason)), None));
        match timeout_at(end, stream.next()).await {
            Ok(Some(Ok(bytes))) => {
                passed += bytes.len();
                if passed > bytes_max {
                    return cut("the list of pods is too long");
                }
                Some((Ok(bytes), Some((stream, passed, held))))
            }
            Ok(Some(Err(_))) => cut("the list of pods was cut"),
            Ok(None) => None,
            Err(_) => cut("the list of pods takes too long"),
        }
    })
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    async fn passed(chunks: &[&'static str], bytes_max: usize) -> Vec<Result<Bytes, String>> {
        let chunks = chunks.iter().map(|text| Ok::<_, Infallible>(Bytes::from_static(text.as_bytes())));
        // Nothing comes after them, not even the end.
        let stream = stream::iter(chunks.collect::<Vec<_>>()).chain(stream::pending());
        let whole = bounded(Box::pin(stream), bytes_max, Instant::now() + LIST_TIMEOUT, ());
        whole.map(|bytes| bytes.map_err(|error| error.to_string())).collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_cut_is_not_taken_for_a_whole_one() {
        let (a, too_long) = (Ok(Bytes::from_static(b"aa")), Err("the list of pods is too long".to_owned()));
        assert_eq!(passed(&["aa", "aa"], 3).await, [a.clone(), too_long]);
        let too_late = Err("the list of pods takes too long".to_owned());
        assert_eq!(passed(&["aa", "aa"], 4).await, [a.clone(), a, too_late]);
    }
}
