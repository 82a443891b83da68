//! `/portForward/{namespace}/{pod}`: connections to ports of a pod.
//!
//! The cloud offers no port-forward, so the agent dials the pod's address itself: it must reach the pods' network. The
//! address comes from the agent's own state and from nowhere else.
//!
//! The client speaks SPDY, bare or within a WebSocket. For each connection that it forwards it opens an `error` and a
//! `data` stream of one `requestid`; both end with a FIN of ours, and a line on `error` says why there was no connection.

mod dial;
mod pairs;
mod tunnel;

use axum::extract::Request;
use axum::response::Response;
use spdy::{Connection, Limits, Stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, copy, sink, split};
use tokio::net::TcpStream;

use super::lookup::PodView;
use super::places::Places;
use super::upgrade::{Transport, Upgrade};
use super::{Kubelet, Refused, StreamLimits, Target};
use dial::Dial;
use pairs::Pairs;

const SPDY_PROTOCOLS: [&str; 1] = ["portforward.k8s.io"];
const WEBSOCKET_PROTOCOLS: [&str; 1] = ["SPDY/3.1+portforward.k8s.io"];

/// Streams beside the two of each connection, so that one connection too many can be told so.
const SPARE_STREAMS: usize = 16;
/// A client that vanished without a word is noticed by what cannot be written to it.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Answers with an upgrade.
pub(super) async fn port_forward(
    kubelet: &Kubelet,
    target: &Target,
    request: Request,
) -> Result<Response, Refused> {
    start(kubelet.limits, &kubelet.streams.forwards, &target.pod, request)
}

fn start(
    limits: StreamLimits,
    places: &Places,
    pod: &PodView,
    mut request: Request,
) -> Result<Response, Refused> {
    let dial = Arc::new(Dial::to(pod, &limits)?);
    let taking = places.take(&pod.pod)?;
    let Upgrade { answer, pending, .. } = Upgrade::of(&mut request, &SPDY_PROTOCOLS, &WEBSOCKET_PROTOCOLS)?;
    tokio::spawn(async move {
        let _taking = taking;
        // Where it fails, the client went away and there is nobody to tell.
        let Ok(transport) = pending.transport().await else { return };
        let bounds = bounds(&limits);
        let connection = match transport {
            Transport::Spdy(io) => Connection::server(io, bounds),
            Transport::WebSocket(websocket) => Connection::server(tunnel::bytes_of(*websocket), bounds),
        };
        Pairs::new(dial, limits).serve(connection).await;
    });
    Ok(answer)
}

fn bounds(limits: &StreamLimits) -> Limits {
    Limits {
        streams_max: 2 * limits.forwarded_connections_max + SPARE_STREAMS,
        idle: Some(limits.idle),
        ping_every: Some(PING_EVERY),
        ..Limits::default()
    }
}

/// One connection to a port of the pod, until both sides have ended it.
async fn forward(dial: &Dial, port: u16, data: Stream, error: Stream) {
    match dial.connect(port).await {
        Ok(pod) => exchange(pod, data, error).await,
        Err(line) => refuse(&line, error, Some(data)).await,
    }
}

/// Says why there is no connection, and ends the streams.
async fn refuse(line: &str, mut error: Stream, data: Option<Stream>) {
    // Where these fail, the client has gone.
    let _ = error.write_all(line.as_bytes()).await;
    let _ = error.shutdown().await;
    if let Some(mut data) = data {
        let _ = data.shutdown().await;
    }
}

/// Copies both ways. When the pod ends its side, `data` and `error` get their FIN at once: clients wait for both before
/// they end theirs.
///
/// A connection that breaks after it was made says nothing on `error`, since `kubectl` ends the whole port-forward at
/// the first line there: `data` is reset, and that is the client's connection which is lost.
async fn exchange(pod: TcpStream, data: Stream, mut error: Stream) {
    let (mut from_client, mut to_client) = split(data);
    let (mut from_pod, mut to_pod) = pod.into_split();
    let up = async {
        let copied = copy(&mut from_client, &mut to_pod).await;
        // It fails when the pod has ended the connection, which reading from it tells better.
        let _ = to_pod.shutdown().await;
        // When the pod takes no more, what comes must be taken all the same: an unread stream would hold up all others.
        // When the client has reset the stream, this fails at once.
        copied.is_ok() || copy(&mut from_client, &mut sink()).await.is_ok()
    };
    let down = async {
        let copied = copy(&mut from_pod, &mut to_client).await;
        copied.is_ok() && to_client.shutdown().await.is_ok()
    };
    tokio::pin!(up, down);
    tokio::select! {
        in_order = &mut down => {
            let _ = error.shutdown().await;
            if in_order {
                up.await;
            }
        }
        in_order = &mut up => {
            // The client may have ended only its own side.
            if in_order {
                down.await;
            }
            let _ = error.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests;
