//! Between a caller and a command: two directions that wait for their own other end only.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::status;
use crate::cci::exec::KEEP_ALIVE;
use crate::cci::{Broken, ExecReader, ExecStream, ExecWriter, FromCloud};

/// Messages that wait between two ends: enough that neither waits for the other's every step.
const WAITING_MAX: usize = 4;

/// Most that is sent at once: what runtimes write at a time.
pub(super) const PIECE_BYTES_MAX: usize = 32 * 1024;

/// How long a command may be silent after its standard input has ended: CCI cannot be told of that end, so a command
/// that waits for it would wait for ever.
const SILENCE_MAX: Duration = Duration::from_secs(30);

const NO_STATUS: &str = "the cloud closed the stream without saying how the command ended";
const NO_END_OF_INPUT: &str = "the standard input has ended and nothing came for 30 s: CCI's exec cannot pass on the end of \
    standard input, so a command that waits for it never ends; use one that ends by itself, such as `head -c BYTES`, \
    or copy a file with `kubectl cp`";
const IDLE: &str = "nothing was sent either way for longer than a stream may be idle";

/// What a caller sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kubelet) enum Input {
    /// Of the standard input.
    Stdin(Bytes),
    /// The standard input has ended.
    StdinClosed,
    /// The size of the terminal, JSON.
    Resize(Bytes),
}

/// What a caller is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kubelet) enum Output {
    /// Of the standard output.
    Stdout(Bytes),
    /// Of the standard error.
    Stderr(Bytes),
    /// How it ended: a `Status`, JSON. The last thing that is sent.
    Status(Bytes),
}

/// A caller: what reads from its connection sends to `input`, and what writes to it takes from `output`. The caller has
/// left when `input` ends.
pub(in crate::kubelet) struct Caller {
    pub(in crate::kubelet) input: mpsc::Receiver<Input>,
    pub(in crate::kubelet) output: mpsc::Sender<Output>,
}

/// The other end of a [`Caller`]: what its connection is driven by.
pub(in crate::kubelet) struct Driver {
    pub(in crate::kubelet) input: mpsc::Sender<Input>,
    pub(in crate::kubelet) output: mpsc::Receiver<Output>,
}

impl Caller {
    pub(in crate::kubelet) fn channel() -> (Caller, Driver) {
        let (send_input, input) = mpsc::channel(WAITING_MAX);
        let (output, take_output) = mpsc::channel(WAITING_MAX);
        (Caller { input, output }, Driver { input: send_input, output: take_output })
    }
}

/// What the two directions and who watches over them know of each other.
pub(super) struct Heard {
    /// When something last passed.
    last: Instant,
    /// When the standard input ended.
    input_ended: Option<Instant>,
}

impl Heard {
    pub(super) fn new() -> Heard {
        Heard { last: Instant::now(), input_ended: None }
    }

    pub(super) fn end_input(&mut self) {
        self.input_ended.get_or_insert_with(Instant::now);
    }
}

/// Carries a command's streams until it ends, the caller leaves, or nothing passes for so long. Returning ends the connection to the cloud.
pub(in crate::kubelet) async fn bridge(caller: Caller, cloud: ExecStream, idle: Duration) {
    let Caller { input, output } = caller;
    let heard = Mutex::new(Heard::new());
    let ended = tokio::select! {
        ended = down(cloud.reader, &output, &heard) => ended,
        ended = up(input, cloud.writer, &heard) => ended,
        message = silence(&heard, idle) => Some(status::failure(message)),
    };
    if let Some(status) = ended {
        // A caller that does not take it has left.
        let _ = output.send(Output::Status(status)).await;
    }
}

/// From the command to the caller; its status, or `None` when the caller has left.
async fn down(mut cloud: ExecReader, output: &mpsc::Sender<Output>, heard: &Mutex<Heard>) -> Option<Bytes> {
    loop {
        let told = match cloud.next().await {
            Ok(Some(FromCloud::Status(told))) => return Some(status::of_the_cloud(told)),
            Ok(Some(FromCloud::Stdout(bytes))) => Output::Stdout(bytes),
            Ok(Some(FromCloud::Stderr(bytes))) => Output::Stderr(bytes),
            Ok(None) => return Some(status::failure(NO_STATUS)),
            Err(broken) => return Some(status::failure(&format!("{NO_STATUS} ({broken})"))),
        };
        heard.lock().last = Instant::now();
        output.send(told).await.ok()?;
        // Also when the caller took it: a slow caller is no silent command.
        heard.lock().last = Instant::now();
    }
}

/// From the caller to the command, and what keeps the connection alive; ends when the caller leaves. That the cloud takes
/// no more is told by the other direction, which may still have something to read.
async fn up(mut input: mpsc::Receiver<Input>, mut cloud: ExecWriter, heard: &Mutex<Heard>) -> Option<Bytes> {
    let mut is_open = true;
    loop {
        let sent = match timeout_at(Instant::now() + KEEP_ALIVE, input.recv()).await {
            Ok(None) => return None,
            Ok(Some(_)) | Err(_) if !is_open => Ok(()),
            Ok(Some(Input::StdinClosed)) => {
                heard.lock().end_input();
                Ok(())
            }
            Ok(Some(Input::Stdin(bytes))) => {
                heard.lock().last = Instant::now();
                in_pieces(&mut cloud, &bytes).await
            }
            Ok(Some(Input::Resize(size))) => cloud.resize(&size).await,
            Err(_) => cloud.keep_alive().await,
        };
        is_open &= sent.is_ok();
    }
}

/// A caller may send 1 MiB at once; whether the cloud and what is before it take that is not known.
async fn in_pieces(cloud: &mut ExecWriter, bytes: &[u8]) -> Result<(), Broken> {
    for piece in bytes.chunks(PIECE_BYTES_MAX) {
        cloud.stdin(piece).await?;
    }
    Ok(())
}

/// Ends when there was no traffic for too long, with what is to be said of it.
pub(super) async fn silence(heard: &Mutex<Heard>, idle: Duration) -> &'static str {
    loop {
        let (until, message) = {
            let heard = heard.lock();
            let last = heard.last;
            match heard.input_ended {
                Some(ended) => (ended.max(last) + SILENCE_MAX, NO_END_OF_INPUT),
                None => (last + idle, IDLE),
            }
        };
        if until <= Instant::now() {
            return message;
        }
        // The end of the input brings the end nearer: it is looked for before that could be missed.
        sleep_until(until.min(Instant::now() + SILENCE_MAX)).await;
    }
}
