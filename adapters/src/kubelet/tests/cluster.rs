//! An API server that reviews, signs and lists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// What it does with reviews.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    Failing,
    Silent,
}

#[derive(Default)]
pub(crate) struct World {
    /// Users by token, and the groups that they are in.
    pub(crate) tokens: BTreeMap<String, (String, Vec<String>)>,
    /// As `USER VERB SUBRESOURCE`.
    pub(crate) rights: BTreeSet<String>,
    pub(crate) token_mood: Mood,
    pub(crate) access_mood: Mood,
    /// The tokens that were reviewed.
    pub(crate) reviewed: Vec<String>,
    /// What it was asked whether it is allowed, as `USER VERB SUBRESOURCE`.
    pub(crate) asked: Vec<String>,
    /// The whole of the last question.
    pub(crate) last_access: Value,
    /// Requests for certificates, and the status of each.
    pub(crate) requests: Vec<(Value, Value)>,
    /// Lists of pods that were asked for.
    pub(crate) lists: Vec<String>,
}

#[derive(Clone, Default)]
pub(crate) struct Cluster(pub(crate) Arc<Mutex<World>>);

impl Cluster {
    /// Starts one; a client of it.
    pub(crate) async fn start() -> (Cluster, kube::Client) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Cluster::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().fallback(answer).with_state(cluster.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (cluster, kube::Client::try_from(kube::Config::new(uri)).unwrap())
    }

    pub(crate) fn allow(&self, right: &str) {
        self.0.lock().rights.insert(right.to_owned());
    }

    pub(crate) fn token(&self, token: &str, user: &str) {
        self.0.lock().tokens.insert(token.to_owned(), (user.to_owned(), vec!["testers".to_owned()]));
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().asked.clone()
    }
}

async fn answer(State(cluster): State<Cluster>, method: Method, uri: Uri, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let (mood, said) = {
        let mut world = cluster.0.lock();
        match (method, &*path) {
            (Method::POST, "tokenreviews") => (world.token_mood, world.review(&body)),
            (Method::POST, "subjectaccessreviews") => (world.access_mood, world.access(&body)),
            (Method::POST, "certificatesigningrequests") => {
                world.requests.push((body, json!({})));
                (Mood::Well, json!({"metadata": {"name": format!("csr-{}", world.requests.len())}}))
            }
            (Method::GET, "pods") => {
                world.lists.push(uri.query().unwrap_or_default().to_owned());
                (
                    Mood::Well,
                    json!({"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "web-0"}}]}),
                )
            }
            (Method::GET, name) if name.starts_with("csr-") => {
                let number: usize = name.trim_start_matches("csr-").parse().unwrap();
                (Mood::Well, json!({"metadata": {"name": name}, "status": world.requests[number - 1].1}))
            }
            other => panic!("nobody asks for {other:?}"),
        }
    };
    match mood {
        Mood::Well => axum::Json(said).into_response(),
        Mood::Failing => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Silent => std::future::pending().await,
    }
}

impl World {
    fn review(&mut self, body: &Value) -> Value {
        let token = body["spec"]["token"].as_str().unwrap().to_owned();
        let status = match self.tokens.get(&token) {
            Some((user, groups)) => json!({"authenticated": true, "user": {
                "username": user, "uid": "uid-of-user", "groups": groups, "extra": {"scope": ["a"]}
            }}),
            None => json!({"authenticated": false, "error": "invalid bearer token"}),
        };
        self.reviewed.push(token);
        json!({"status": status})
    }

    fn access(&mut self, body: &Value) -> Value {
        let (spec, attributes) = (&body["spec"], &body["spec"]["resourceAttributes"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        assert_eq!(
            (text(&attributes["resource"]), text(&attributes["name"])),
            ("nodes".into(), "node-1".into())
        );
        let verb = text(&attributes["verb"]);
        let right = format!("{} {verb} {}", text(&spec["user"]), text(&attributes["subresource"]));
        let allowed = self.rights.contains(&right);
        self.asked.push(right);
        self.last_access = body.clone();
        json!({"status": {"allowed": allowed}})
    }
}
