//! A caller that speaks SPDY: a stream for each of a command's, by its name.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use spdy::{Connection, Limits, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::bridge::{Driver, Input, Output, PIECE_BYTES_MAX};
use super::query::Asked;
use super::status;
use super::websocket::SIZE_BYTES_MAX;
use crate::kubelet::StreamLimits;

/// How often the caller is asked whether it is there: one whose input waits to be taken is not read, and is not seen to
/// leave otherwise.
const PING: Duration = Duration::from_secs(30);

/// How much longer than a session its connection may be idle: how the session ended is to be said on it.
const AFTER_IDLE: Duration = Duration::from_secs(60);

/// Streams that a session needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    resize: bool,
}

impl Wanted {
    pub(super) fn of(asked: &Asked) -> Wanted {
        Wanted { stdin: asked.input, stdout: asked.output, stderr: asked.error, resize: asked.tty }
    }
}

/// The streams of a session. A caller of ours opens one of each that it asked for.
#[derive(Default)]
struct Streams {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

impl Streams {
    /// Takes a stream that is wanted and was not opened before.
    fn take(&mut self, wanted: Wanted, stream: Stream) -> Result<(), &'static str> {
        let kind = stream.headers().get("streamtype").unwrap_or_default();
        let place = match kind {
            "error" => &mut self.error,
            "stdin" if wanted.stdin => &mut self.stdin,
            "stdout" if wanted.stdout => &mut self.stdout,
            "stderr" if wanted.stderr => &mut self.stderr,
            "resize" if wanted.resize => &mut self.resize,
            _ => return Err("a stream that was not asked for"),
        };
        match place.replace(stream) {
            Some(_) => Err("two streams of one kind"),
            None => Ok(()),
        }
    }

    fn are_all(&self, wanted: Wanted) -> bool {
        self.error.is_some()
            && self.stdin.is_some() == wanted.stdin
            && self.stdout.is_some() == wanted.stdout
            && self.stderr.is_some() == wanted.stderr
            && self.resize.is_some() == wanted.resize
    }
}

/// Drives a connection until its end.
pub(super) async fn drive<T>(io: T, wanted: Wanted, bounds: StreamLimits, driver: Driver)
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let idle = Some(bounds.idle + AFTER_IDLE);
    let limits = Limits { ping_every: Some(PING), idle, ..Limits::default() };
    let mut connection = Connection::server(io, limits);
    let mut streams = Streams::default();
    let Driver { input, output } = driver;
    match timeout(bounds.creation, collect(&mut connection, wanted, &mut streams)).await {
        Ok(Ok(true)) => serve(&mut connection, streams, input, output).await,
        // The caller has left.
        Ok(Ok(false)) => {}
        Ok(Err(wrong)) => refuse(streams, wrong).await,
        Err(_) => refuse(streams, "the streams that were asked for were not opened in time").await,
    }
    connection.close().await;
}

/// Waits for the streams; `false` when the caller leaves before they are there.
async fn collect(
    connection: &mut Connection,
    wanted: Wanted,
    streams: &mut Streams,
) -> Result<bool, &'static str> {
    while !streams.are_all(wanted) {
        match connection.accept().await {
            Ok(Some(stream)) => streams.take(wanted, stream)?,
            Ok(None) | Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// Says what is wrong, where there is a stream to say it on.
async fn refuse(streams: Streams, wrong: &str) {
    if let Some(mut error) = streams.error {
        // A caller that is not there does not hear it.
        let _ = error.write_all(&status::failure(wrong)).await;
        let _ = error.shutdown().await;
    }
}

async fn serve(
    connection: &mut Connection,
    streams: Streams,
    input: mpsc::Sender<Input>,
    output: mpsc::Receiver<Output>,
) {
    let Streams { error, mut stdin, stdout, stderr, mut resize } = streams;
    let mut out = Out { error, stdout, stderr };
    let is_over = tokio::select! {
        // Either the last was said, or the caller does not take it.
        written = out.write(output) => written.is_ok(),
        () = read(stdin.as_mut(), resize.as_mut(), input) => false,
        () = left(connection) => false,
    };
    if is_over {
        for stream in [&mut stdin, &mut resize].into_iter().flatten() {
            // Nothing is ever sent on these: the caller is told that they are done with. Dropped without that they would be
            // reset, and a reset overtakes what is still to be written of the others.
            let _ = stream.shutdown().await;
        }
        // The caller closes the connection once it has read all that is still to be written and what waits in the
        // sockets. Closed on a slow one, it would lose that and the status, and what has none is taken for success. It
        // ends when nothing moves for the idle limit.
        left(connection).await;
    }
}

/// Ends when the caller ends the connection. A stream too many is reset.
async fn left(connection: &mut Connection) {
    while let Ok(Some(_)) = connection.accept().await {}
}

/// The streams towards the caller.
struct Out {
    error: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
}

impl Out {
    /// Passes on what the caller is sent, and ends all streams after the status.
    async fn write(&mut self, mut output: mpsc::Receiver<Output>) -> std::io::Result<()> {
        loop {
            let told = output.recv().await.unwrap_or_else(status::missing);
            let (stream, bytes, is_last) = match told {
                Output::Stdout(bytes) => (&mut self.stdout, bytes, false),
                Output::Stderr(bytes) => (&mut self.stderr, bytes, false),
                Output::Status(bytes) => (&mut self.error, bytes, true),
            };
            // What comes of a stream that was not asked for has no place to go to.
            if let Some(stream) = stream {
                stream.write_all(&bytes).await?;
            }
            if is_last {
                break;
            }
        }
        for stream in [&mut self.stdout, &mut self.stderr, &mut self.error].into_iter().flatten() {
            stream.shutdown().await?;
        }
        Ok(())
    }
}

/// Passes on what the caller sends, until that is nothing more for a session that goes on all the same.
async fn read(stdin: Option<&mut Stream>, resize: Option<&mut Stream>, input: mpsc::Sender<Input>) {
    let of_stdin = async {
        match stdin {
            Some(stdin) => read_stdin(stdin, &input).await,
            None => std::future::pending().await,
        }
    };
    let of_resize = async {
        if let Some(resize) = resize {
            read_sizes(resize, &input).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        () = of_stdin => {}
        () = of_resize => {}
    }
}

/// Ends when the caller gives the stream up; not at its end. When the command takes no more, how it ended is still to be
/// said: the rest is read and dropped.
async fn read_stdin(stdin: &mut Stream, input: &mpsc::Sender<Input>) {
    loop {
        let mut bytes = BytesMut::with_capacity(PIECE_BYTES_MAX);
        match stdin.read_buf(&mut bytes).await {
            Ok(0) => break,
            Ok(_) => drop(input.send(Input::Stdin(bytes.freeze())).await),
            Err(_) => return,
        }
    }
    drop(input.send(Input::StdinClosed).await);
    std::future::pending().await
}

/// Ends with the stream, or when it holds no sizes.
async fn read_sizes(resize: &mut Stream, input: &mpsc::Sender<Input>) {
    let mut sizes = Sizes::default();
    while let Ok(1..) = resize.read_buf(&mut sizes.0).await {
        while let Some(size) = sizes.next() {
            drop(input.send(Input::Resize(size)).await);
        }
        if sizes.0.len() > SIZE_BYTES_MAX {
            return;
        }
    }
}

/// JSON objects one after the other, cut anywhere.
#[derive(Default)]
struct Sizes(BytesMut);

impl Sizes {
    /// The last of those that are whole: only how large the terminal is now matters.
    fn next(&mut self) -> Option<Bytes> {
        let end = self.0.iter().rposition(|byte| *byte == b'}')? + 1;
        let whole = self.0.split_to(end).freeze();
        while self.0.first().is_some_and(u8::is_ascii_whitespace) {
            self.0.advance(1);
        }
        let start = whole.iter().rposition(|byte| *byte == b'{')?;
        let size = whole.slice(start..);
        (size.len() <= SIZE_BYTES_MAX).then_some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_sizes_that_came_together_the_last_counts() {
        let mut sizes = Sizes::default();
        sizes.0.extend_from_slice(b"{\"Width\":80,\"Hei");
        assert_eq!(sizes.next(), None);
        sizes.0.extend_from_slice(b"ght\":24}\n{\"Width\":120,\"Height\":40}\n{\"Wi");
        assert_eq!(sizes.next().unwrap(), "{\"Width\":120,\"Height\":40}");
        assert_eq!(sizes.next(), None);
        sizes.0.extend_from_slice(b"dth\":1,\"Height\":2}");
        assert_eq!(sizes.next().unwrap(), "{\"Width\":1,\"Height\":2}");
    }
}
