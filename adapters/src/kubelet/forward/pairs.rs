//! Which `error` stream belongs to which `data` stream.

use std::collections::HashMap;
use std::sync::Arc;

use spdy::{Connection, Stream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::dial::Dial;
use super::{forward, refuse};
use crate::kubelet::StreamLimits;

/// A client counts from 0; longer is none that we serve.
const REQUEST_ID_BYTES_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Error,
    Data,
}

/// What the headers of a stream say.
#[derive(Debug, PartialEq, Eq)]
struct Half {
    kind: Kind,
    port: u16,
    request: String,
}

impl Half {
    fn of(stream: &Stream) -> Option<Half> {
        let headers = stream.headers();
        let kind = match headers.get("streamtype")? {
            "error" => Kind::Error,
            "data" => Kind::Data,
            _ => return None,
        };
        let port = headers.get("port")?.parse().ok().filter(|port| *port > 0)?;
        let request = headers.get("requestid")?;
        if request.len() > REQUEST_ID_BYTES_MAX {
            return None;
        }
        Some(Half { kind, port, request: request.to_owned() })
    }
}

/// A stream whose fellow has not come, as the one who accepts streams knows it.
struct Waiting {
    kind: Kind,
    port: u16,
    fellow: oneshot::Sender<Stream>,
}

/// The connections of one port-forward.
pub(super) struct Pairs {
    dial: Arc<Dial>,
    limits: StreamLimits,
    waiting: HashMap<String, Waiting>,
    /// One for each connection, paired or not.
    tasks: JoinSet<()>,
}

impl Pairs {
    pub(super) fn new(dial: Arc<Dial>, limits: StreamLimits) -> Pairs {
        Pairs { dial, limits, waiting: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Serves streams until the client ends the connection, and with it all that is forwarded.
    pub(super) async fn serve(mut self, mut connection: Connection) {
        loop {
            tokio::select! {
                accepted = connection.accept() => match accepted {
                    Ok(Some(stream)) => self.take(stream),
                    Ok(None) => break,
                    Err(error) => {
                        debug!(%error, "a port-forward ended");
                        break;
                    }
                },
                Some(_) = self.tasks.join_next() => self.waiting.retain(|_, waiting| !waiting.fellow.is_closed()),
            }
        }
        self.tasks.shutdown().await;
        connection.close().await;
    }

    /// A stream that is not taken is dropped, and so reset.
    fn take(&mut self, stream: Stream) {
        let Some(half) = Half::of(&stream) else { return };
        let fellow = self.waiting.get(&half.request);
        match fellow.map(|fellow| fellow.kind != half.kind && fellow.port == half.port) {
            Some(true) => {
                if let Some(fellow) = self.waiting.remove(&half.request) {
                    // It fails when the time for it is up.
                    let _ = fellow.fellow.send(stream);
                }
            }
            Some(false) => {}
            None => self.first(half, stream),
        }
    }

    fn first(&mut self, half: Half, stream: Stream) {
        let Half { kind, port, request } = half;
        let connections_max = self.limits.forwarded_connections_max;
        if self.tasks.len() >= connections_max {
            if kind == Kind::Error {
                let line =
                    format!("error forwarding port {port}: {connections_max} connections are open already");
                self.tasks.spawn(async move { refuse(&line, stream, None).await });
            }
            return;
        }
        let (fellow, came) = oneshot::channel();
        self.waiting.insert(request, Waiting { kind, port, fellow });
        let (dial, within) = (Arc::clone(&self.dial), self.limits.creation);
        self.tasks.spawn(async move {
            match (timeout(within, came).await, kind) {
                (Ok(Ok(error)), Kind::Data) => forward(&dial, port, stream, error).await,
                (Ok(Ok(data)), Kind::Error) => forward(&dial, port, data, stream).await,
                (Ok(Err(_)) | Err(_), Kind::Error) => {
                    let seconds = within.as_secs();
                    let line =
                        format!("error forwarding port {port}: no data stream came within {seconds} s");
                    refuse(&line, stream, None).await;
                }
                (Ok(Err(_)) | Err(_), Kind::Data) => {}
            }
        });
    }
}
