//! `/exec/…`.

mod bridge;
mod query;
mod spdy;
mod status;
mod websocket;

use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;

use bridge::Bounds;
pub(super) use bridge::{Caller, Input, Output, tell_end};
pub(super) use query::Asked;
pub(super) use status::{failure, success};

use super::places::Taking;
use super::upgrade::{Transport, Upgrade};
use super::{Kubelet, Refused, StreamLimits, Target, logs};
use crate::cci::ExecOptions;
use websocket::Protocol;

/// What is spoken with callers. In the older ones the end of a command is a text, from which an exit code cannot be read.
const V5: &str = "v5.channel.k8s.io";
const PROTOCOLS: [&str; 2] = [V5, "v4.channel.k8s.io"];

/// How long a caller that broke the rules may take to answer the end: after it the connection is closed all the same.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Answers with an upgrade, once the cloud has begun the command.
///
/// # Errors
/// 400 when the request is wrong or the cloud says so, 403 when no protocol is spoken on both sides, 429 when there are
/// too many sessions, and 500 for all else that is the cloud's. kubectl shows the text of each.
pub(super) async fn exec(
    kubelet: &Kubelet,
    target: &Target,
    query: &[(String, String)],
    mut request: Request,
) -> Result<Response, Refused> {
    let asked = Asked::read(query)?;
    if asked.command.is_empty() {
        return Err(Refused::bad_request("there is no command"));
    }
    let session = Session::agree(kubelet, &mut request, &asked)?;
    let taking = kubelet.streams.sessions.take(&target.pod.pod)?;
    let notice = silence_notice(&asked);
    let options = ExecOptions {
        container: target.container.clone(),
        stdin: asked.input,
        stdout: asked.output,
        stderr: asked.error,
        tty: asked.tty,
        command: asked.command,
    };
    let cloud = kubelet.cloud.open_exec(&target.pod.cloud_name, &options).await;
    let cloud = cloud.map_err(|refused| logs::refusal(target, refused))?;
    let bounds = Bounds { idle: kubelet.limits.idle, notice, ending: kubelet.ending.clone() };
    Ok(session.serve(taking, move |caller| bridge::bridge(caller, cloud, bounds)))
}

/// What is said of a silent command, and where: not on an output that is for a program.
fn silence_notice(asked: &Asked) -> Option<Output> {
    if asked.tty {
        return Some(Output::Stdout(Bytes::from(format!("{}\r\n", bridge::NOTICE))));
    }
    asked.error.then(|| Output::Stderr(Bytes::from(format!("{}\n", bridge::NOTICE))))
}

/// A session that a caller asks for and that is agreed to, but not begun.
pub(super) struct Session {
    upgrade: Upgrade,
    streams: spdy::Wanted,
    limits: StreamLimits,
}

impl Session {
    /// Agrees to what a request asks to become.
    ///
    /// # Errors
    /// When it asks for nothing that is spoken here.
    pub(super) fn agree(kubelet: &Kubelet, request: &mut Request, asked: &Asked) -> Result<Session, Refused> {
        let upgrade = Upgrade::of(request, &PROTOCOLS, &PROTOCOLS)?;
        Ok(Session { upgrade, streams: spdy::Wanted::of(asked), limits: kubelet.limits })
    }

    /// The answer, after which `run` has the caller until it returns or the caller leaves. The place is taken until the
    /// caller has all that it was sent.
    pub(super) fn serve<F, R>(self, taking: Taking, run: R) -> Response
    where
        F: Future<Output = ()> + Send,
        R: FnOnce(Caller) -> F + Send + 'static,
    {
        let Session { upgrade: Upgrade { protocol, answer, pending }, streams, limits } = self;
        tokio::spawn(async move {
            let _taking = taking;
            // The client may have gone before the answer came.
            let Ok(transport) = pending.transport().await else { return };
            let (caller, driver) = Caller::channel();
            let drive = async {
                match transport {
                    Transport::WebSocket(socket) => {
                        let protocol = if protocol == V5 { Protocol::V5 } else { Protocol::V4 };
                        websocket::drive(*socket, protocol, limits.idle, driver).await;
                    }
                    Transport::Spdy(io) => spdy::drive(io, streams, limits, driver).await,
                }
            };
            // Each ends when the other does: the caller's side when it has passed on the last, the other at once.
            tokio::join!(run(caller), drive);
        });
        answer
    }
}

#[cfg(test)]
mod tests;
