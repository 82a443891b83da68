//! Between a caller and a command: two directions that wait for their own other end only.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::status;
use crate::cci::exec::KEEP_ALIVE;
use crate::cci::{Broken, ExecReader, ExecStream, ExecWriter, FromCloud};

/// Messages that wait between two ends: enough that neither waits for the other's every step.
const WAITING_MAX: usize = 4;

/// Most that is sent at once: what runtimes write at a time.
pub(super) const PIECE_BYTES_MAX: usize = 32 * 1024;

/// How long a command is silent after its standard input has ended before it is said what may be the reason: CCI cannot be
/// told of that end, so a command that waits for it waits for ever.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a caller may take to make room for the last word when it is no command that has ended.
const LAST_WORD_MAX: Duration = Duration::from_secs(5);

/// Said beside the output, since a command that does not read its input is silent for as long as it likes.
pub(super) const NOTICE: &str = "burst-agent: the standard input has ended and nothing came for 30 s. CCI's exec cannot pass on \
    the end of standard input: a command that waits for it will not end. If this one does, press Ctrl-C and use one that \
    ends by itself, such as `head -c BYTES`, or copy a file with `kubectl cp`.";

const NO_STATUS: &str = "the cloud closed the stream without saying how the command ended";
const IDLE: &str = "nothing was sent either way for longer than a stream may be idle";
const IDLE_AFTER_INPUT: &str = "the standard input has ended and nothing came for longer than a stream may be idle: CCI's exec \
    cannot pass on the end of standard input, so a command that waits for it never ends";
const ENDING: &str = "the agent is ending: how the command ends is not known";

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

/// Within what a command's streams are carried.
pub(super) struct Bounds {
    /// How long nothing may pass.
    pub(super) idle: Duration,
    /// What is sent when the command is silent after the end of its input; `None` where there is no place to say it.
    pub(super) notice: Option<Output>,
    /// The agent ends.
    pub(super) ending: CancellationToken,
}

/// What the two directions and who watches over them know of each other.
pub(super) struct Heard {
    /// When something last passed.
    last: Instant,
    /// Whether the standard input has had a byte.
    had_input: bool,
    /// When the standard input ended.
    input_ended: Option<Instant>,
}

impl Heard {
    pub(super) fn new() -> Heard {
        Heard { last: Instant::now(), had_input: false, input_ended: None }
    }

    pub(super) fn input(&mut self) {
        self.last = Instant::now();
        self.had_input = true;
    }

    pub(super) fn end_input(&mut self) {
        self.input_ended.get_or_insert_with(Instant::now);
    }
}

/// Carries a command's streams until it ends, the caller leaves, the agent ends, or nothing passes for so long. Returning
/// ends the connection to the cloud.
pub(super) async fn bridge(caller: Caller, cloud: ExecStream, bounds: Bounds) {
    let Caller { input, output } = caller;
    let Bounds { idle, notice, ending } = bounds;
    let heard = Mutex::new(Heard::new());
    let cut_short = |why: &str| Some((status::failure(why), LAST_WORD_MAX));
    let ended = tokio::select! {
        // A caller that is slow to read has as long as on a stream that goes on.
        ended = down(cloud.reader, &output, &heard) => ended.map(|status| (status, idle)),
        () = up(input, cloud.writer, &heard) => None,
        // What it sent may fill all there is on the way to a command that does not read: then nothing else tells.
        () = output.closed() => None,
        why = silence(&heard, &output, notice, idle) => cut_short(why),
        () = ending.cancelled() => cut_short(ENDING),
    };
    if let Some((status, within)) = ended {
        tell_end(&output, status, within).await;
    }
}

/// The last word to a caller. One that does not take it in time, or has left, is not waited for.
pub(in crate::kubelet) async fn tell_end(output: &mpsc::Sender<Output>, status: Bytes, within: Duration) {
    let _ = timeout(within, output.send(Output::Status(status))).await;
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
async fn up(mut input: mpsc::Receiver<Input>, mut cloud: ExecWriter, heard: &Mutex<Heard>) {
    let mut is_open = true;
    loop {
        let sent = match timeout_at(Instant::now() + KEEP_ALIVE, input.recv()).await {
            Ok(None) => return,
            Ok(Some(_)) | Err(_) if !is_open => Ok(()),
            Ok(Some(Input::StdinClosed)) => {
                heard.lock().end_input();
                Ok(())
            }
            Ok(Some(Input::Stdin(bytes))) => {
                heard.lock().input();
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

/// Ends when there was no traffic for too long, with what is to be said of it. Says `notice` once in between when it is
/// the command that is silent, and not the caller that is slow to read.
pub(super) async fn silence(
    heard: &Mutex<Heard>,
    output: &mpsc::Sender<Output>,
    mut notice: Option<Output>,
    idle: Duration,
) -> &'static str {
    loop {
        let (end, notice_at) = {
            let heard = heard.lock();
            (heard.last + idle, heard.input_ended.map(|ended| ended.max(heard.last) + SILENCE))
        };
        let now = Instant::now();
        if end <= now {
            let heard = heard.lock();
            let may_wait = heard.had_input && heard.input_ended.is_some();
            return if may_wait { IDLE_AFTER_INPUT } else { IDLE };
        }
        let is_read = output.capacity() == output.max_capacity();
        if notice_at.is_some_and(|at| at <= now)
            && is_read
            && let Some(notice) = notice.take()
        {
            // There is room; it fails when the caller has left.
            let _ = output.try_send(notice);
        }
        // The end of the input brings the notice nearer: it is looked for before that could be missed.
        let next = notice_at.filter(|at| *at > now).unwrap_or(now + SILENCE);
        sleep_until(end.min(next).min(now + SILENCE)).await;
    }
}
