//! `/attach/…`.
//!
//! CCI has no call for it. The container's log is what its output becomes, so the log is followed from now on; its
//! standard input cannot be reached, and that is said rather than swallowed.

use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exec::{Asked, Caller, Input, Output, Session, failure, success, tell_end};
use super::logs::{self, Follow};
use super::{Kubelet, Refused, Target};

const NO_INPUT: &str = "CCI cannot attach to a running container: this is its log from now on, and what is typed does not reach it.";
const ENDING: &str = "the agent is ending: the container runs on";
const LEAVE: &str = " Press Ctrl-C to leave.";

/// What a terminal in raw mode sends for Ctrl-C and Ctrl-D.
const KEYS_TO_LEAVE: [u8; 2] = [3, 4];

/// Answers with an upgrade, once the cloud has given the log.
///
/// # Errors
/// As of exec; 501 when only the standard input is wanted, which CCI cannot give.
pub(super) async fn attach(
    kubelet: &Kubelet,
    target: &Target,
    query: &[(String, String)],
    mut request: Request,
) -> Result<Response, Refused> {
    let asked = Asked::read(query)?;
    if !asked.output && !asked.error {
        return Err(Refused::new(StatusCode::NOT_IMPLEMENTED, NO_INPUT));
    }
    let session = Session::agree(kubelet, &mut request, &asked)?;
    let taking = kubelet.streams.sessions.take(&target.pod.pod)?;
    let from_now = logs::Asked { follow: true, tail_lines: Some(0), ..logs::Asked::default() };
    let following = kubelet.streams.followers.take(&target.pod.pod)?;
    let follow = Follow::open(kubelet, target, &from_now, following).await;
    let follow = follow.map_err(|refused| logs::refusal(target, refused))?;
    let (idle, ending) = (kubelet.limits.idle, kubelet.ending.clone());
    Ok(session.serve(taking, move |caller| run(caller, follow, asked, idle, ending)))
}

/// Passes the log on until the container ends, the caller leaves or the agent ends.
async fn run(caller: Caller, follow: Follow, asked: Asked, idle: Duration, ending: CancellationToken) {
    let Caller { input, output } = caller;
    let ended = tokio::select! {
        ended = pass_on(follow, &output, &asked) => ended,
        ended = listen(input, asked.tty) => ended,
        () = output.closed() => None,
        () = ending.cancelled() => Some(failure(ENDING)),
    };
    if let Some(status) = ended {
        tell_end(&output, status, idle).await;
    }
}

async fn pass_on(mut follow: Follow, output: &mpsc::Sender<Output>, asked: &Asked) -> Option<Bytes> {
    if asked.input {
        let notice = match asked.tty {
            true => format!("{NO_INPUT}{LEAVE}\r\n"),
            false => format!("{NO_INPUT}\n"),
        };
        let on_stderr = asked.error && !asked.tty;
        let notice = Bytes::from(notice);
        let notice = if on_stderr { Output::Stderr(notice) } else { Output::Stdout(notice) };
        output.send(notice).await.ok()?;
    }
    let mut last = b'\n';
    loop {
        match follow.next().await {
            // The log holds both outputs together.
            Ok(Some(bytes)) => {
                let bytes = if asked.tty { for_terminal(&bytes, &mut last) } else { bytes };
                let told = if asked.output { Output::Stdout(bytes) } else { Output::Stderr(bytes) };
                output.send(told).await.ok()?;
            }
            Ok(None) => return Some(success()),
            Err(cut) => return Some(failure(&cut.to_string())),
        }
    }
}

/// Hears what the caller sends; ends when it leaves.
async fn listen(mut input: mpsc::Receiver<Input>, tty: bool) -> Option<Bytes> {
    loop {
        match input.recv().await? {
            // Raw mode has the terminal's own keys sent here, where nothing else would hear them.
            Input::Stdin(keys) if tty && keys.iter().any(|key| KEYS_TO_LEAVE.contains(key)) => {
                return Some(success());
            }
            Input::Stdin(_) | Input::StdinClosed | Input::Resize(_) => {}
        }
    }
}

/// A terminal in raw mode begins a line at the left only when it is told to. `last` is the byte before.
fn for_terminal(bytes: &[u8], last: &mut u8) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + bytes.len() / 16);
    for byte in bytes {
        if *byte == b'\n' && *last != b'\r' {
            out.put_u8(b'\r');
        }
        out.put_u8(*byte);
        *last = *byte;
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_terminal_is_told_to_return() {
        let mut last = b'\n';
        assert_eq!(for_terminal(b"a\nb\r", &mut last), "a\r\nb\r");
        assert_eq!(for_terminal(b"\n\nc", &mut last), "\n\r\nc");
    }
}
