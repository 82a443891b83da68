//! The reading half of a connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::codec::{self, FramedRead};

use crate::connection::{Activity, Error};
use crate::frame::{Decoder, Frame, reset};
use crate::headers::{Headers, Reader};
use crate::limits::Limits;
use crate::outgoing::{Control, Payload};
use crate::stream::{Parts, Shared, Stream};

/// What is read at once from the transport.
const READ_BYTES: usize = 32 * 1024;

/// A stream that is to be opened.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) headers: Headers,
    pub(crate) answer: oneshot::Sender<Result<Stream, Error>>,
}

/// What the reading side keeps of a stream until both sides have let go of it.
struct Entry {
    /// Where its payload goes; none after the other side's FIN.
    pipe: Option<DuplexStream>,
    shared: Arc<Shared>,
    /// A stream of ours that has not been answered yet.
    opening: Option<(Stream, oneshot::Sender<Result<Stream, Error>>)>,
}

type Ends = (
    mpsc::Receiver<Opening>,
    mpsc::Sender<Result<Stream, Error>>,
    mpsc::Sender<Control>,
    mpsc::WeakSender<Payload>,
);

/// Reads frames and hands them to their streams.
pub(crate) struct Incoming<R> {
    frames: FramedRead<R, Codec>,
    headers: Reader,
    limits: Limits,
    flood: Flood,
    activity: Activity,
    streams: HashMap<u32, Entry>,
    open: Arc<Semaphore>,
    next_ours: u32,
    last_theirs: u32,
    openings: mpsc::Receiver<Opening>,
    /// None after the other side's GOAWAY.
    accepted: Option<mpsc::Sender<Result<Stream, Error>>>,
    control: mpsc::Sender<Control>,
    payloads: mpsc::WeakSender<Payload>,
}

impl<T: AsyncRead + tokio::io::AsyncWrite> Incoming<ReadHalf<T>> {
    /// Reads and drops what comes until the other side ends the connection.
    pub(crate) async fn discard(&mut self) {
        let mut bytes = [0; 1024];
        while self.frames.get_mut().read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    }
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(crate) fn new(
        io: R,
        limits: Limits,
        next_ours: u32,
        activity: Activity,
        (openings, accepted, control, payloads): Ends,
    ) -> Incoming<R> {
        Incoming {
            frames: FramedRead::with_capacity(io, Codec::default(), READ_BYTES),
            headers: Reader::default(),
            limits,
            flood: Flood { since: Instant::now(), frames: 0, frames_max: limits.control_frames_per_s_max },
            activity,
            streams: HashMap::new(),
            open: Arc::new(Semaphore::new(limits.streams_max)),
            next_ours,
            last_theirs: 0,
            openings,
            accepted: Some(accepted),
            control,
            payloads,
        }
    }

    pub(crate) fn last_theirs(&self) -> u32 {
        self.last_theirs
    }

    /// Lets go of all streams, which see that the connection is lost, and of those that wait to open one.
    pub(crate) fn cut_off(&mut self) {
        self.streams.clear();
        self.openings.close();
        while self.openings.try_recv().is_ok() {}
    }

    /// Tells the one who accepts streams why no more come, if he can still be told.
    pub(crate) fn tell(&mut self, error: Error) {
        if let Some(accepted) = self.accepted.take() {
            // There is a place for it beside the streams; it fails only when nobody listens.
            let _ = accepted.try_send(Err(error));
        }
    }

    /// Reads until the other side ends the connection.
    pub(crate) async fn run(&mut self) -> Result<(), Error> {
        loop {
            tokio::select! {
                frame = self.frames.next() => match frame {
                    Some(frame) => self.frame(frame?).await?,
                    None => return Ok(()),
                },
                Some(opening) = self.openings.recv() => self.open(opening).await?,
            }
        }
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Error> {
        if !matches!(&frame, Frame::Data { payload, .. } if !payload.is_empty()) {
            self.flood.note()?;
        }
        match frame {
            Frame::Data { stream, fin, payload } => self.data(stream, fin, payload).await,
            Frame::SynStream { stream, fin, unidirectional, block } => {
                self.activity.note();
                let headers = self.headers.read(&block)?;
                self.take(stream, headers, (fin, unidirectional)).await
            }
            Frame::SynReply { stream, fin, block } => {
                self.headers.read(&block)?;
                self.answered(stream, fin);
                Ok(())
            }
            Frame::Headers { stream, fin, block } => {
                self.headers.read(&block)?;
                self.data(stream, fin, Bytes::new()).await
            }
            Frame::RstStream { stream, status } => {
                self.activity.note();
                self.was_reset(stream, status);
                Ok(())
            }
            // A PING of ours that comes back has done its work by having been written.
            Frame::Ping { id } if self.is_ours(id) => Ok(()),
            Frame::Ping { id } => self.say(Control::Pong { id }).await,
            Frame::GoAway { .. } => {
                self.accepted = None;
                Ok(())
            }
            Frame::Ignored => Ok(()),
        }
    }

    fn is_ours(&self, id: u32) -> bool {
        id % 2 == self.next_ours % 2
    }

    /// Waits while too much of it has not been written: who does not read our answers is not read either.
    async fn say(&mut self, control: Control) -> Result<(), Error> {
        self.control.send(control).await.map_err(|_| Error::Lost)
    }

    /// Forgets the streams that neither side will say anything about.
    fn sweep(&mut self) {
        self.streams.retain(|_, entry| {
            let over = entry.pipe.is_none() && Arc::strong_count(&entry.shared) == 1;
            !entry.shared.given_up() && !over
        });
    }

    /// A stream that the other side opens.
    async fn take(&mut self, id: u32, headers: Headers, (fin, one_way): (bool, bool)) -> Result<(), Error> {
        if self.is_ours(id) || id <= self.last_theirs {
            return Err(Error::Protocol("a stream was opened with a number that is not the next"));
        }
        self.last_theirs = id;
        self.sweep();
        let listening = self.accepted.as_ref().is_some_and(|accepted| !accepted.is_closed());
        let (true, Ok(open), Some(payloads)) =
            (listening, Arc::clone(&self.open).try_acquire_owned(), self.payloads.upgrade())
        else {
            return self.say(Control::Reset { stream: id, status: reset::REFUSED_STREAM }).await;
        };
        let stream = self.stream(id, headers, (open, payloads), one_way).await?;
        if fin {
            self.finish(id);
        }
        self.say(Control::Taken { stream: id }).await?;
        if let Some(accepted) = &self.accepted {
            // There is a place for every open stream; it fails only when nobody listens, and then resets the stream.
            let _ = accepted.try_send(Ok(stream));
        }
        Ok(())
    }

    /// A stream that we open.
    async fn open(&mut self, opening: Opening) -> Result<(), Error> {
        let Opening { headers, answer } = opening;
        self.sweep();
        // Who waits for an answer may have gone.
        let refuse = |answer: oneshot::Sender<_>, error| drop(answer.send(Err(error)));
        if self.accepted.is_none() {
            refuse(answer, Error::Lost);
            return Ok(());
        }
        let (Ok(open), Some(payloads)) =
            (Arc::clone(&self.open).try_acquire_owned(), self.payloads.upgrade())
        else {
            refuse(answer, Error::TooManyStreams(self.limits.streams_max));
            return Ok(());
        };
        let id = self.next_ours;
        self.next_ours = id.checked_add(2).ok_or(Error::Protocol("no numbers are left for streams"))?;
        let stream = self.stream(id, headers.clone(), (open, payloads), false).await?;
        if let Some(entry) = self.streams.get_mut(&id) {
            entry.opening = Some((stream, answer));
        }
        self.say(Control::Open { stream: id, headers }).await
    }

    async fn stream(
        &mut self,
        id: u32,
        headers: Headers,
        (open, outgoing): (OwnedSemaphorePermit, mpsc::Sender<Payload>),
        finished: bool,
    ) -> Result<Stream, Error> {
        let last_word = self.control.clone().reserve_owned().await.map_err(|_| Error::Lost)?;
        let (pipe, incoming) = tokio::io::duplex(self.limits.unread_bytes);
        let shared = Arc::new(Shared::new(open));
        self.streams.insert(id, Entry { pipe: Some(pipe), shared: Arc::clone(&shared), opening: None });
        Ok(Stream::new(Parts { id, headers, incoming, outgoing, last_word, shared }, finished))
    }

    fn answered(&mut self, id: u32, fin: bool) {
        if let Some((stream, answer)) = self.streams.get_mut(&id).and_then(|entry| entry.opening.take()) {
            // When nobody waits for it any more, the stream is dropped and so reset.
            let _ = answer.send(Ok(stream));
        }
        if fin {
            self.finish(id);
        }
    }

    fn finish(&mut self, id: u32) {
        if let Some(entry) = self.streams.get_mut(&id) {
            entry.shared.finish();
            entry.pipe = None;
        }
    }

    fn was_reset(&mut self, id: u32, status: u32) {
        let Some(entry) = self.streams.remove(&id) else { return };
        entry.shared.reset(status);
        if let Some((_, answer)) = entry.opening {
            // Who waited for it may have gone.
            let _ = answer.send(Err(Error::Refused(status)));
        }
    }

    async fn data(&mut self, id: u32, fin: bool, payload: Bytes) -> Result<(), Error> {
        self.activity.note();
        let known = if self.is_ours(id) { id < self.next_ours } else { id <= self.last_theirs };
        if !known {
            return Err(Error::Protocol("payload of a stream that was not opened"));
        }
        // What comes for a stream after our reset of it was sent before the other side knew.
        let Some(entry) = self.streams.get_mut(&id) else { return Ok(()) };
        if let Some(pipe) = &mut entry.pipe
            && !payload.is_empty()
            && pipe.write_all(&payload).await.is_err()
        {
            // Its user has dropped it.
            let told = entry.shared.given_up();
            self.streams.remove(&id);
            if !told
                && !fin
                && let Some(payloads) = self.payloads.upgrade()
            {
                // After what it has said, which may still wait to be written.
                payloads.send(Payload::Cancel { stream: id }).await.map_err(|_| Error::Lost)?;
            }
            return Ok(());
        }
        if fin {
            self.finish(id);
        }
        Ok(())
    }
}

/// Counts frames that cost work and bring nothing.
struct Flood {
    since: Instant,
    frames: u32,
    frames_max: u32,
}

impl Flood {
    fn note(&mut self) -> Result<(), Error> {
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.since, self.frames) = (Instant::now(), 0);
        }
        self.frames += 1;
        if self.frames > self.frames_max { Err(Error::Flood(self.frames_max)) } else { Ok(()) }
    }
}

/// [`Decoder`] for tokio.
#[derive(Default)]
struct Codec(Decoder);

impl codec::Decoder for Codec {
    type Item = Frame;
    type Error = Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Error> {
        Ok(self.0.decode(bytes)?)
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Error> {
        match self.decode(bytes)? {
            Some(frame) => Ok(Some(frame)),
            None => Ok(self.0.finish(bytes).map(|()| None)?),
        }
    }
}
