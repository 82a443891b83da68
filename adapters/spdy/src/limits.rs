//! How much a connection may be.

use std::time::Duration;

/// Bounds of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams that are open at once; one more is refused with a reset. Exec needs 5.
    pub streams_max: usize,
    /// What a stream holds that its reader has not taken. While a stream is full, nothing of the connection is read.
    pub unread_bytes: usize,
    /// Control frames and empty DATA frames that are read in one second. More is a flood and ends the connection: a busy
    /// port-forward takes about six for each connection that passes through it.
    pub control_frames_per_s_max: u32,
    /// The connection ends when no stream was opened and no byte of a stream moved for this long; `None` for never.
    /// PINGs do not count: API servers send them every five seconds.
    pub idle: Option<Duration>,
    /// A PING is sent this often, so that writing fails when the other side is gone; `None` for never.
    pub ping_every: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            streams_max: 16,
            unread_bytes: 64 * 1024,
            control_frames_per_s_max: 10_000,
            idle: None,
            ping_every: None,
        }
    }
}
