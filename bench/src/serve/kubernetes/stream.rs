//! A watch as a stream of lines.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{Form, respond};
use super::request::Ask;
use super::{Cut, Kubernetes, Service};
use crate::world::cluster::{ListOptions, Object, Sight, Status, Watch};

/// How long a watch lasts that does not say: kube-apiserver draws between 30 and 60 minutes.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30 * 60);

/// The last bookmark comes this long before a watch times out.
const LAST_BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

/// Size at which a chunk of the stream is sent on, so that memory a watch stays bounded.
const CHUNK_BYTES: usize = 256 * 1024;

/// Opens a watch.
pub(super) fn open(ask: &Ask<'_>, service: &Service, form: Form) -> Result<Response, Status> {
    let revision = ask.revision()?;
    let version_match = ask.query.get("resourceVersionMatch").map(String::as_str).unwrap_or_default();
    let asks_initial = ask.flag("sendInitialEvents");
    if asks_initial && version_match != "NotOlderThan" {
        return Err(Status::invalid_options(
            "resourceVersionMatch",
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ));
    }
    let selector = ask.selector()?;
    let kubernetes = service.kubernetes.clone();
    let timeout = match ask.query.get("timeoutSeconds").map(|text| text.parse::<u64>()) {
        Some(Ok(0)) | None => TIMEOUT_DEFAULT,
        Some(Ok(seconds)) => Duration::from_secs(seconds),
        Some(Err(_)) => return Err(Status::bad_request("timeoutSeconds is not a number")),
    };
    let kind = ask.at.kind;
    let buffer = kubernetes.options.watch_buffer.filter(|_| selector.field("spec.nodeName").is_some());
    let newest = kubernetes.newest[kind.plural].subscribe();
    let bookmarks = ask.flag("allowWatchBookmarks");
    let begins = revision.unwrap_or(0) == 0 || asks_initial;
    let (place, initial) = kubernetes.read(|cluster| {
        if !begins {
            return Ok((revision.unwrap_or(0), None));
        }
        let options = ListOptions {
            revision: revision.filter(|_| asks_initial),
            exact: None,
            ..ListOptions::default()
        };
        let list = cluster.list(kind, &selector, &options)?;
        Ok((list.revision, Some(list.objects)))
    })?;
    let place = Watch { kind, selector, revision: place };
    if kubernetes.options.expired_as_http && initial.is_none() {
        kubernetes.read(|cluster| place.clone().advance(cluster, None).map(|_| ()))?;
    }
    let now = Instant::now();
    let stream = Stream {
        cuts: kubernetes.cuts.subscribe(),
        cancel: service.cancel.clone(),
        newest,
        form,
        buffer,
        bookmarks,
        deadline: now + timeout,
        next_bookmark: now
            + kubernetes.options.bookmark_period.min(timeout.saturating_sub(LAST_BOOKMARK_BEFORE_END)),
        initial: initial.map(|objects| objects.into_iter()),
        with_columns: true,
        ended: false,
        place,
        kubernetes,
    };
    let body = futures_util::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((chunk, stream))
    });
    Ok(respond(StatusCode::OK, "application/json", Body::from_stream(body)))
}

struct Stream {
    kubernetes: Arc<Kubernetes>,
    place: Watch,
    form: Form,
    buffer: Option<usize>,
    bookmarks: bool,
    deadline: Instant,
    next_bookmark: Instant,
    newest: watch::Receiver<u64>,
    cuts: watch::Receiver<Cut>,
    cancel: CancellationToken,
    /// What was there when the watch began and has not been sent.
    initial: Option<std::vec::IntoIter<Arc<Object>>>,
    /// Whether the next table has its column definitions: only the first one of a stream has.
    with_columns: bool,
    ended: bool,
}

impl Stream {
    /// The next chunk of lines; `None` is a clean end of the stream, an error breaks the connection.
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        let mut out = Vec::new();
        while !self.ended {
            if self.write_initial(&mut out) {
                return Some(Ok(out.into()));
            }
            self.newest.borrow_and_update();
            self.write_changes(&mut out);
            if !out.is_empty() {
                return Some(Ok(out.into()));
            }
            if self.ended {
                break;
            }
            let wake = if self.bookmarks { self.next_bookmark.min(self.deadline) } else { self.deadline };
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Some(Err(std::io::Error::other("the server is going down"))),
                _ = self.cuts.changed() => {
                    if *self.cuts.borrow_and_update() == Cut::Broken {
                        self.ended = true;
                        return Some(Err(std::io::Error::other("the connection was cut")));
                    }
                    self.write_changes(&mut out);
                    self.ended = true;
                }
                _ = self.newest.changed() => {}
                () = tokio::time::sleep_until(wake) => self.pass(wake, &mut out),
            }
            if !out.is_empty() {
                return Some(Ok(out.into()));
            }
        }
        None
    }

    /// A deadline passed: the watch ends, or it is time for a bookmark.
    fn pass(&mut self, wake: Instant, out: &mut Vec<u8>) {
        if wake >= self.deadline {
            self.ended = true;
            return;
        }
        let last = self.deadline - LAST_BOOKMARK_BEFORE_END;
        let regular = wake + self.kubernetes.options.bookmark_period;
        self.next_bookmark = if wake < last { regular.min(last) } else { self.deadline };
        // A bookmark speaks for everything before it, so what is there goes first.
        self.write_changes(out);
        // A watch from a revision that is still to come has nothing to speak for.
        let reached = self.kubernetes.read(|cluster| self.place.revision <= cluster.revision());
        if !self.ended && reached {
            self.write_bookmark(false, out);
        }
    }

    /// Writes what was there at the start; true when the stream has something to send.
    fn write_initial(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(mut initial) = self.initial.take() else { return false };
        let now = Timestamp::now();
        while out.len() < CHUNK_BYTES {
            let Some(object) = initial.next() else {
                if self.bookmarks {
                    self.write_bookmark(true, out);
                }
                return !out.is_empty();
            };
            self.write_event(Sight::Added, &object, now, out);
        }
        self.initial = Some(initial);
        true
    }

    fn write_changes(&mut self, out: &mut Vec<u8>) {
        let advanced = self.kubernetes.read(|cluster| self.place.advance(cluster, self.buffer));
        match advanced {
            Ok(sights) => {
                let now = Timestamp::now();
                for (sight, object) in &sights.events {
                    self.write_event(*sight, object, now, out);
                }
                self.ended = sights.overrun;
            }
            Err(status) => {
                let line = serde_json::json!({ "type": "ERROR", "object": status.whole() });
                out.extend_from_slice(line.to_string().as_bytes());
                out.push(b'\n');
                self.ended = true;
            }
        }
    }

    fn write_event(&mut self, sight: Sight, object: &Object, now: Timestamp, out: &mut Vec<u8>) {
        open_event(sight.as_str(), out);
        self.form.write(object, now, std::mem::take(&mut self.with_columns), out);
        out.extend_from_slice(b"}\n");
    }

    fn write_bookmark(&mut self, ends_initial: bool, out: &mut Vec<u8>) {
        open_event("BOOKMARK", out);
        self.form.bookmark(self.place.kind, self.place.revision, ends_initial, out);
        out.extend_from_slice(b"}\n");
    }
}

fn open_event(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}
