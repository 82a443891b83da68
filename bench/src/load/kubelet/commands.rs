//! What the agent adds to a message's way to a command and back.

use std::time::Instant;

use bytes::Bytes;
use futures_util::SinkExt;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::scene::Stage;
use super::transport::{failed, output, wrong};
use crate::load::Error;
use crate::load::figures::{Durations, Figures};

/// A line that somebody types, on the channel of standard input.
const LINE: &[u8] = b"\0echo hello, this is a line of text\n";

/// Messages that are not counted: everything is warm by then.
const WARM_UP: u32 = 50;

/// Round trips of a message that a command sends back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExecFigures {
    /// Through the agent.
    pub through: Figures,
    /// From the cloud.
    pub direct: Figures,
    /// By how much the former's middle is longer.
    pub added_p50_ms: Option<f64>,
    /// By how much the former's slowest hundredth is longer.
    pub added_p99_ms: Option<f64>,
}

/// Sends the line so often each way, in turn, so that whatever else this machine does touches both.
pub(super) async fn round_trips(stage: &Stage, count: u32) -> Result<ExecFigures, Error> {
    let pod = stage.pod(0);
    let (mut agent, mut cloud) = (stage.caller.cat(&pod).await?, stage.cloud.cat(&pod).await?);
    let (mut through, mut direct) = (Durations::default(), Durations::default());
    for number in 0..WARM_UP + count {
        for is_through in [true, false] {
            let start = Instant::now();
            if is_through {
                echo(&mut agent).await?
            } else {
                echo(&mut cloud).await?
            }
            if number >= WARM_UP {
                if is_through { &mut through } else { &mut direct }.note(start.elapsed());
            }
        }
    }
    let (through, direct) = (through.figures(), direct.figures());
    let added = |through: Option<f64>, direct: Option<f64>| Some(through? - direct?);
    Ok(ExecFigures {
        added_p50_ms: added(through.p50_ms, direct.p50_ms),
        added_p99_ms: added(through.p99_ms, direct.p99_ms),
        through,
        direct,
    })
}

async fn echo<S>(socket: &mut WebSocketStream<S>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let doing = "have a command repeat a line";
    socket.send(Message::Binary(Bytes::from_static(LINE))).await.map_err(failed(doing))?;
    let mut left = &LINE[1..];
    while !left.is_empty() {
        let came = output(socket).await?;
        left = left.strip_prefix(&came[..]).ok_or_else(|| wrong(doing, "it repeats something else"))?;
    }
    Ok(())
}
