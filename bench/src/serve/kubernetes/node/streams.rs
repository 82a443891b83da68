//! `pods/NAME/exec`, `attach` and `portforward`: where they lead, and in which protocol.

use std::sync::Arc;

use axum::response::Response;

use super::location::{Location, of_ports, of_stream};
use super::{Call, head, proxy};
use crate::serve::kubernetes::Kubernetes;
use crate::world::cluster::Status;

/// The protocol of WebSocket clients that the API server translates for a node that takes none. Older ones it passes on as
/// they are, to every node, as recorded.
pub(super) const TRANSLATED: &str = "v5.channel.k8s.io";

/// SPDY for port-forward inside a WebSocket.
pub(super) const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";

/// What is asked for of exec and attach, by the API's name and the node's.
const WANTS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

impl Call {
    /// Answers exec and attach.
    pub async fn run(
        self,
        kubernetes: &Arc<Kubernetes>,
        what: &str,
        namespace: &str,
        pod: &str,
    ) -> Result<Response, Status> {
        let asked = head::decode(self.uri.query().unwrap_or_default());
        let one =
            |name: &str| asked.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let container = one("container").unwrap_or_default();
        let located = kubernetes.read(|cluster| of_stream(cluster, namespace, pod, container))?;
        if !head::asks_upgrade(&self.headers) {
            return Err(proxy::upgrade_required());
        }
        let wants = |name: &str| one(name).is_some_and(|value| !matches!(value, "false" | "0"));
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        if what == "exec" {
            let words = asked.iter().filter(|(name, _)| name == "command");
            pairs.extend(words.map(|(_, word)| ("command", word.as_str())));
        }
        pairs.extend(WANTS.iter().filter(|(name, _)| wants(name)).map(|(_, node)| (*node, "1")));
        let path = format!("/{what}/{}", with_query(&located, &head::encode(pairs)));
        let translated = head::asks_web_socket(&self.headers)
            && (kubernetes.options.translates_always || !located.endpoint.web_sockets)
            && head::offered(&self.headers).contains(&TRANSLATED);
        if translated {
            return self.translated(kubernetes, located.endpoint, path, wants).await;
        }
        self.upgraded(kubernetes, &located.endpoint, &path).await
    }

    /// Answers port-forward.
    pub async fn forward(
        self,
        kubernetes: &Kubernetes,
        namespace: &str,
        pod: &str,
    ) -> Result<Response, Status> {
        let located = kubernetes.read(|cluster| of_ports(cluster, namespace, pod))?;
        if !head::asks_upgrade(&self.headers) {
            return Err(proxy::upgrade_required());
        }
        // Old WebSocket clients name the ports here.
        let asked = head::decode(self.uri.query().unwrap_or_default());
        let ports = asked.iter().filter(|(name, _)| name == "ports").map(|(_, port)| ("port", port.as_str()));
        let path = format!("/portForward/{}", with_query(&located, &head::encode(ports)));
        let tunnelled = head::asks_web_socket(&self.headers)
            && (kubernetes.options.translates_always || !located.endpoint.web_sockets)
            && head::offered(&self.headers).contains(&TUNNELLED);
        if tunnelled {
            return self.tunnelled(kubernetes, &located.endpoint, &path).await;
        }
        self.upgraded(kubernetes, &located.endpoint, &path).await
    }
}

fn with_query(located: &Location, query: &str) -> String {
    if query.is_empty() { located.path.clone() } else { format!("{}?{query}", located.path) }
}
