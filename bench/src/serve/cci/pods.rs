//! Pods that answer at their addresses, when these are on this machine ([`PodNetwork::Loopback`]).
//!
//! A running pod answers at each TCP port that its containers declare, with its name; in CCI 2.0 also its exporter
//! does. All of it opens and closes with the pod.
//!
//! [`PodNetwork::Loopback`]: crate::world::cloud::PodNetwork::Loopback

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::CloudHandle;
use crate::world::cloud::{Cloud, Generation, PodKey, exporter_text};

/// How often it is looked at which pods run.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Where a pod's exporter listens unless its annotation says otherwise.
const EXPORTER_PORT: u16 = 19_100;
/// Most connections to all pods together.
const CONNECTIONS_MAX: usize = 512;
/// How long a connection may last.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(30);
/// How long a listener waits when it cannot accept, for want of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Writes what the exporter of a pod shows at a time (microseconds since the epoch); `None` when there is no such pod.
pub type Exporter = Arc<dyn Fn(&mut Cloud, u64, &PodKey) -> Option<String> + Send + Sync>;

/// How pods answer.
#[derive(Clone)]
pub struct PodListeners {
    /// Most ports that are open at once, of all pods together. Those above it stay closed.
    pub listeners_max: usize,
    /// What exporters show; without it there are none.
    pub exporter: Option<Exporter>,
}

impl Default for PodListeners {
    fn default() -> PodListeners {
        let exporter: Exporter = Arc::new(|cloud, now_us, key| {
            cloud.advance(now_us);
            exporter_text(cloud, key)
        });
        PodListeners { listeners_max: 512, exporter: Some(exporter) }
    }
}

impl fmt::Debug for PodListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodListeners")
            .field("listeners_max", &self.listeners_max)
            .field("exporter", &self.exporter.is_some())
            .finish()
    }
}

/// What is behind a port.
#[derive(Clone)]
struct Behind {
    key: PodKey,
    port: u16,
    exporter: Option<Exporter>,
    cloud: CloudHandle,
}

/// A port of one pod; the identity makes that of its successor another one.
type Place = (Ipv4Addr, u16, String);

/// Lets the pods of a cloud answer, until `cancel`. Pods whose addresses are not on this machine do not.
pub async fn serve_pods(cloud: CloudHandle, options: PodListeners, cancel: CancellationToken) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open: BTreeMap<Place, CancellationToken> = BTreeMap::new();
    loop {
        let wanted = wanted(&cloud, &options);
        open.retain(|place, stop| {
            let stays = wanted.contains_key(place);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for (place, behind) in wanted {
            if open.contains_key(&place) {
                continue;
            }
            let address = SocketAddr::from((place.0, place.1));
            // One that was refused stays in the map, so that it is not tried again and again.
            let stop = cancel.child_token();
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    tokio::spawn(listen(listener, behind, Arc::clone(&connections), stop.clone()));
                }
                Err(error) => tracing::warn!(%address, %error, "the port of a pod stays closed"),
            }
            open.insert(place, stop);
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// The ports that should be open now, the first so many of them.
fn wanted(handle: &CloudHandle, options: &PodListeners) -> BTreeMap<Place, Behind> {
    handle.with(|cloud, now_us| {
        cloud.advance(now_us);
        let mut wanted = BTreeMap::new();
        for (key, pod) in cloud.running_pods() {
            let Some(address) = pod.address().filter(Ipv4Addr::is_loopback) else { continue };
            let told = |name: &str| pod.annotations().get(&format!("monitoring.cci.io/{name}"));
            let shows = key.generation == Generation::Two
                && told("enable-pod-metrics").is_none_or(|value| value != "false");
            let exporter = options.exporter.clone().filter(|_| shows);
            let port = told("metrics-port").and_then(|port| port.parse().ok()).unwrap_or(EXPORTER_PORT);
            let exporter = exporter.map(|exporter| (port, Some(exporter)));
            for (port, exporter) in pod.ports().map(|port| (port, None)).chain(exporter) {
                if wanted.len() >= options.listeners_max {
                    return wanted;
                }
                let behind = Behind { key: key.clone(), port, exporter, cloud: handle.clone() };
                wanted.insert((address, port, pod.uid().to_owned()), behind);
            }
        }
        wanted
    })
}

async fn listen(listener: TcpListener, behind: Behind, connections: Arc<Semaphore>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // One too many is closed at once.
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
        let (behind, stop) = (behind.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(CONNECTION_PATIENCE) => {}
                () = serve(stream, behind) => {}
            }
            drop(permit);
        });
    }
}

/// Answers one request.
async fn serve(stream: TcpStream, behind: Behind) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = behind.answer(request.uri().path());
        async { Ok::<_, Infallible>(response) }
    });
    let served =
        http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, pod = %behind.key.name, "a connection to a pod failed");
    }
}

impl Behind {
    fn answer(&self, path: &str) -> Response<Body> {
        let text = match &self.exporter {
            None => Some(format!("pod {}, port {}\n", self.key.name, self.port)),
            Some(_) if path != "/metrics" => None,
            Some(exporter) => self.cloud.with(|cloud, now_us| exporter(cloud, now_us, &self.key)),
        };
        let found = text.is_some();
        let mut response = Response::new(Body::from(Bytes::from(text.unwrap_or_default())));
        if !found {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response
    }
}
