//! Followed logs and commands at once, all of which wait for slow readers, and the agent's memory meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, Stream, StreamExt};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::memory::{at_rest, most, settled};
use super::scene::Stage;
use super::transport::{Streaming, failed, output, wrong};
use crate::load::Error;

/// What is read of each log before and after its reader rests.
const LOG_PART_BYTES: usize = 128 * 1024;

/// What a command is sent at once.
const PIECE_BYTES: usize = 32 * 1024;

/// What is sent to a command whose output nobody reads, at most.
const PUSHED_BYTES_MAX: usize = 4 << 20;

/// How long a piece may wait before the way is taken as full.
const FULL: Duration = Duration::from_millis(1_000);

/// How many are begun at the same time: each begins with a handshake, which is not what is measured.
const AT_ONCE: usize = 32;

/// Many streams.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ManyFigures {
    /// Logs that were followed.
    pub follows: u32,
    /// Commands that ran.
    pub execs: u32,
    /// The agent's memory before, at rest.
    pub rest_rss_bytes: Option<u64>,
    /// While all were open and moved, at most.
    pub moving_rss_bytes: Option<u64>,
    /// When nobody read any of them on.
    pub stalled_rss_bytes: Option<u64>,
    /// The most at any time of this.
    pub most_rss_bytes: Option<u64>,
    /// What each command was sent, on the average, before the way was full.
    pub pushed_bytes_per_exec: u64,
}

type Command = WebSocketStream<TlsStream<TcpStream>>;

/// Opens all, sees that each gets what is its own, lets them wait, and reads on.
pub(super) async fn streams(stage: &Stage, follows: u32, execs: u32) -> Result<ManyFigures, Error> {
    let rest = at_rest(stage, follows + execs).await?;
    let expected = expected(stage).await?;
    let opening = async {
        let logs = each((0..follows).map(|number| {
            let (caller, pod) = (stage.caller.clone(), stage.pod(number as usize));
            let expected = expected[number as usize % expected.len()].slice(..LOG_PART_BYTES);
            async move {
                let mut log = caller.log(&pod, "follow=true").await?;
                log.expect(&expected).await?;
                Ok((number, log))
            }
        }));
        let logs = logs.await?;
        let commands = each((0..execs).map(|number| {
            let (caller, pod) = (stage.caller.clone(), stage.pod(number as usize));
            async move {
                let mut command = caller.cat(&pod).await?;
                send(&mut command, number, PIECE_BYTES).await?;
                receive(&mut command, number, PIECE_BYTES).await?;
                Ok((number, command))
            }
        }));
        Ok::<_, Error>((logs, commands.await?))
    };
    let (moving, opened) = most(stage, opening).await;
    let (logs, commands) = opened?;
    let (filling, pushed) =
        most(stage, each(commands.into_iter().map(|(number, command)| push(number, command)))).await;
    let pushed = pushed?;
    let stalled = settled(stage).await;
    let sent: usize = pushed.iter().map(|(_, _, sent)| sent).sum();
    let finishing = async {
        each(pushed.into_iter().map(|(number, command, sent)| async move {
            let (mut sink, mut stream) = command.split();
            // The last piece may still be on its way out.
            let (sent, came) = tokio::join!(sink.flush(), receive(&mut stream, number, sent));
            sent.map_err(failed("send to a command"))?;
            came
        }))
        .await?;
        each(logs.into_iter().map(|(number, mut log): (u32, Streaming)| {
            let expected = expected[number as usize % expected.len()].slice(LOG_PART_BYTES..);
            async move { log.expect(&expected).await }
        }))
        .await
    };
    let (finishing, finished) = most(stage, finishing).await;
    finished?;
    Ok(ManyFigures {
        follows,
        execs,
        rest_rss_bytes: rest,
        moving_rss_bytes: moving,
        stalled_rss_bytes: stalled,
        most_rss_bytes: moving.max(filling).max(stalled).max(finishing),
        pushed_bytes_per_exec: sent as u64 / u64::from(execs.max(1)),
    })
}

/// What each pod's log begins with, by the cloud's own word.
async fn expected(stage: &Stage) -> Result<Vec<Bytes>, Error> {
    let mut all = Vec::new();
    for number in 0..super::scene::PODS {
        let query = format!("limitBytes={}", 2 * LOG_PART_BYTES);
        let mut log = stage.cloud.log(&stage.pod(number), &query).await?;
        let mut begin = BytesMut::new();
        while let Some(bytes) = log.next().await? {
            begin.extend_from_slice(&bytes);
        }
        if begin.len() < 2 * LOG_PART_BYTES {
            return Err(wrong("read a log", "it is shorter than what is to be read of it"));
        }
        all.push(begin.freeze());
    }
    Ok(all)
}

/// Does all of these, some at once; the first that fails ends the others.
async fn each<F, T>(all: impl Iterator<Item = F>) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for one in all {
        let permits = Arc::clone(&permits);
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            one.await
        });
    }
    let mut done = Vec::new();
    while let Some(one) = tasks.join_next().await {
        done.push(one.map_err(failed("wait for a stream"))??);
    }
    Ok(done)
}

/// What the command of this number is sent: its own letter, on the channel of standard input.
fn piece(number: u32, bytes: usize) -> Message {
    let mut message = BytesMut::with_capacity(bytes + 1);
    message.put_u8(0);
    message.put_bytes(letter(number), bytes);
    Message::Binary(message.freeze())
}

fn letter(number: u32) -> u8 {
    b'a' + (number % 26) as u8
}

async fn send(command: &mut Command, number: u32, bytes: usize) -> Result<(), Error> {
    command.send(piece(number, bytes)).await.map_err(failed("send to a command"))
}

/// Sees that so many bytes come back, and that they are this command's.
async fn receive<M>(command: &mut M, number: u32, bytes: usize) -> Result<(), Error>
where
    M: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    let mut left = bytes;
    while left > 0 {
        let came = output(command).await?;
        if came.len() > left || came.iter().any(|byte| *byte != letter(number)) {
            return Err(wrong("read a command's output", "it is not what the command was sent"));
        }
        left -= came.len();
    }
    Ok(())
}

/// Sends and does not read, until the way is full both ways.
async fn push(number: u32, mut command: Command) -> Result<(u32, Command, usize), Error> {
    let mut pushed = 0;
    let doing = "send to a command";
    while pushed < PUSHED_BYTES_MAX {
        match timeout(FULL, command.feed(piece(number, PIECE_BYTES))).await {
            Ok(fed) => fed.map_err(failed(doing))?,
            Err(_) => break,
        }
        pushed += PIECE_BYTES;
        match timeout(FULL, command.flush()).await {
            Ok(sent) => sent.map_err(failed(doing))?,
            Err(_) => break,
        }
    }
    Ok((number, command, pushed))
}
