//! How long and how much a stream to a client of the kubelet API may be.

use std::time::Duration;

/// Bounds of the upgraded streams (exec, attach, port-forward) and of logs that are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// A stream on which nothing moves for this long ends. A kubelet's own default is 4 h.
    pub idle: Duration,
    /// The streams that a client announces (the error stream's data stream, exec's stdin …) must be opened within
    /// this time: 30 s, as API servers themselves wait for an answer to a stream that they open.
    pub creation: Duration,
    /// A pod that does not answer a dialled connection in this time is taken as out of reach. Packets to a foreign
    /// network are dropped without a word, and `kubectl` should not hang for the two minutes that TCP would try.
    pub dial: Duration,
    /// Connections at once through one port-forward. A browser opens six per host; each takes a socket and up to
    /// 128 KiB here.
    pub forwarded_connections_max: usize,
    /// Whether a pod may be at a loopback address, as those of a simulated cloud are. Never with a real one: what it
    /// says of a pod must not lead to the agent's own host.
    pub forward_to_loopback: bool,
}

impl Default for StreamLimits {
    fn default() -> StreamLimits {
        StreamLimits {
            idle: Duration::from_secs(4 * 60 * 60),
            creation: Duration::from_secs(30),
            dial: Duration::from_secs(10),
            forwarded_connections_max: 64,
            forward_to_loopback: false,
        }
    }
}
