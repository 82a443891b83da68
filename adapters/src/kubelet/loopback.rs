//! For tests: a cloud and the handlers, each behind a port of this machine.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use engine::{ContainerState, ContainerStatus, PodStatus};
use futures_util::future::BoxFuture;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

use super::{Kubelet, PodLookup, PodQuestion, PodView, StreamLimits, Streams, Target};
use crate::cci::Profile;
use crate::cci::tests::{client_for, cloud_pod, name, owner};

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;
type LogScript = dyn Fn(usize, &str) -> Response + Send + Sync;
type ExecScript = dyn Fn(Socket) -> BoxFuture<'static, ()> + Send + Sync;

/// A request as the cloud saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
}

/// A cloud that plays by scripts.
pub(super) struct Cloud {
    /// Answers to calls for the log: how many there were before, and the query.
    pub(super) log: Box<LogScript>,
    /// What a command does.
    pub(super) exec: Box<ExecScript>,
    /// The pod, as it is looked up.
    pub(super) pod: Mutex<Value>,
    seen: Mutex<Vec<Seen>>,
}

impl Cloud {
    pub(super) fn new() -> Cloud {
        Cloud {
            log: Box::new(|_, _| Response::default()),
            exec: Box::new(|_| Box::pin(async {})),
            pod: Mutex::new(pod_with(&json!({"running": {}}))),
            seen: Mutex::default(),
        }
    }

    pub(super) fn with_log(log: impl Fn(usize, &str) -> Response + Send + Sync + 'static) -> Cloud {
        Cloud { log: Box::new(log), ..Cloud::new() }
    }

    pub(super) fn with_exec<F>(exec: impl Fn(Socket) -> F + Send + Sync + 'static) -> Cloud
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Cloud { exec: Box::new(move |socket| Box::pin(exec(socket))), ..Cloud::new() }
    }

    pub(super) fn seen(&self, end: &str) -> Vec<Seen> {
        self.seen.lock().iter().filter(|seen| seen.path.ends_with(end)).cloned().collect()
    }
}

/// The pod of the tests with its container in a state.
pub(super) fn pod_with(state: &Value) -> Value {
    let mut pod = cloud_pod();
    pod["status"] = json!({"phase": "Running", "containerStatuses": [{
        "name": "main", "image": "shop:1", "imageID": "", "ready": true, "restartCount": 0, "state": state
    }]});
    pod
}

/// The same as the agent's state has it, with a container that runs and was never restarted.
fn running() -> PodStatus {
    let main = ContainerStatus {
        name: "main".to_owned(),
        image: "shop:1".to_owned(),
        image_id: String::new(),
        container_id: String::new(),
        ready: true,
        started: None,
        restart_count: 0,
        state: ContainerState::Running { started_at_s: None },
        last_state: None,
    };
    PodStatus { containers: vec![main], ..PodStatus::default() }
}

/// The handlers, the cloud behind them, and where they are.
pub(super) struct World {
    pub(super) kubelet: Arc<Kubelet>,
    pub(super) target: Target,
    pub(super) cloud: Arc<Cloud>,
    pub(super) address: SocketAddr,
    /// Ends the handlers.
    pub(super) ending: CancellationToken,
}

impl World {
    pub(super) async fn of(cloud: Cloud) -> World {
        World::with(&Profile::CCI_1_0, cloud, Streams::default()).await
    }

    pub(super) async fn with(profile: &Profile, cloud: Cloud, streams: Streams) -> World {
        World::bounded(profile, cloud, streams, StreamLimits::default()).await
    }

    pub(super) async fn bounded(
        profile: &Profile,
        cloud: Cloud,
        streams: Streams,
        limits: StreamLimits,
    ) -> World {
        let cloud = Arc::new(cloud);
        let cloud_address = serve(Router::new().fallback(in_cloud).with_state(cloud.clone())).await;
        let client = client_for(profile, &format!("http://{cloud_address}"));
        let view = PodView { pod: owner(), cloud_name: name(), status: Some(running()) };
        let (lookup, mut questions) = PodLookup::channel();
        let found = view.clone();
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                match question {
                    PodQuestion::Find { answer, .. } => drop(answer.send(Some(found.clone()))),
                    PodQuestion::All { answer } => drop(answer.send(vec![found.clone()])),
                }
            }
        });
        let kubelet = Kubelet { streams, ..Kubelet::new(lookup, Arc::new(client), limits) };
        let ending = kubelet.ending.clone();
        let kubelet = Arc::new(kubelet);
        let target = Target { pod: view, container: "main".to_owned() };
        let address =
            serve(Router::new().fallback(on_node).with_state((kubelet.clone(), target.clone()))).await;
        World { kubelet, target, cloud, address, ending }
    }

    pub(super) async fn get(&self, path_and_query: &str) -> reqwest::Response {
        reqwest::get(format!("http://{}/{path_and_query}", self.address)).await.unwrap()
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn on_node(State((kubelet, target)): State<(Arc<Kubelet>, Target)>, request: Request) -> Response {
    let query = super::query::parse(request.uri().query().unwrap_or_default()).unwrap();
    let path = request.uri().path().to_owned();
    let answer = match path.split('/').nth(1) {
        Some("containerLogs") => super::logs::container_logs(&kubelet, &target, &query).await,
        Some("exec") => super::exec::exec(&kubelet, &target, &query, request).await,
        Some("attach") => super::attach::attach(&kubelet, &target, &query, request).await,
        other => panic!("{other:?}"),
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

async fn in_cloud(State(cloud): State<Arc<Cloud>>, mut request: Request) -> Response {
    let seen = Seen {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: request.headers().clone(),
    };
    let before = cloud.seen("/log").len();
    cloud.seen.lock().push(seen.clone());
    match seen.path.rsplit('/').next() {
        Some("log") => (cloud.log)(before, &seen.query),
        Some("exec") => {
            let mut answer = create_response_with_body(&request, Body::empty).unwrap();
            let protocol = HeaderValue::from_static("v4.channel.k8s.io");
            answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let io = TokioIo::new(upgrade.await.unwrap());
                (cloud.exec)(WebSocketStream::from_raw_socket(io, Role::Server, None).await).await;
            });
            answer
        }
        _ => axum::Json(cloud.pod.lock().clone()).into_response(),
    }
}
