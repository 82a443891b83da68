//! Logs as bodies that go on.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::CloudHandle;
use crate::world::cloud::{LogCursor, LogPiece};

/// How often a log that is followed is looked at although no line is due: its container may have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long the last bytes before a cut have to get on their way.
const CUT_DELAY: Duration = Duration::from_millis(20);

/// A log that is being read.
struct Reading {
    cursor: LogCursor,
    cloud: CloudHandle,
    cancel: CancellationToken,
}

/// The body of a log. Only the piece that is being sent is in memory; the next is made when it is taken.
pub(super) fn body(cursor: LogCursor, cloud: CloudHandle, cancel: CancellationToken) -> Body {
    let reading = Reading { cursor, cloud, cancel };
    Body::from_stream(stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        let piece = reading.next().await?;
        let on = piece.is_ok().then_some(reading);
        Some((piece, on))
    }))
}

impl Reading {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let cursor = &mut self.cursor;
            let piece = self.cloud.with(|cloud, now_us| {
                cloud.advance(now_us);
                cloud.read_log(now_us, cursor)
            });
            let cut = piece == LogPiece::Cut;
            let wait = match piece {
                LogPiece::Bytes(bytes) if bytes.is_empty() => Duration::ZERO,
                LogPiece::Bytes(bytes) => return Some(Ok(bytes)),
                LogPiece::WaitUs(us) => Duration::from_micros(us).min(LOOK_AGAIN),
                LogPiece::End => return None,
                LogPiece::Cut => CUT_DELAY,
            };
            tokio::select! {
                () = self.cancel.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
            if cut {
                return Some(Err(io::Error::new(io::ErrorKind::ConnectionReset, "the log is cut off")));
            }
        }
    }
}
