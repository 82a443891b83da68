//! What is open at the port, for whoever counts.

use std::sync::Arc;

use super::connections::Connections;
use super::places::Streams;

/// How many there are of what is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Connections on which nothing was allowed yet.
    pub strangers: usize,
    /// Connections on which something was allowed.
    pub trusted: usize,
    /// Logs that are followed.
    pub followers: usize,
    /// Logs that are read to their present end.
    pub logs: usize,
    /// Commands and attachments.
    pub sessions: usize,
    /// Port-forwards, whatever goes through each.
    pub forwards: usize,
}

/// Reads what is open, as long as the port is.
#[derive(Clone)]
pub struct OpenCount {
    pub(super) connections: Arc<Connections>,
    pub(super) streams: Streams,
}

impl OpenCount {
    /// What is open now. Each number is right; they are not read at once.
    #[must_use]
    pub fn now(&self) -> Open {
        let (strangers, trusted) = self.connections.counts();
        let Streams { followers, logs, sessions, forwards, reopening: _ } = &self.streams;
        Open {
            strangers,
            trusted,
            followers: followers.taken(),
            logs: logs.taken(),
            sessions: sessions.taken(),
            forwards: forwards.taken(),
        }
    }
}
