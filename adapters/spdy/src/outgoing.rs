//! The writing half of a connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::connection::{Activity, Error};
use crate::frame::{Frame, goaway, reset};
use crate::headers::{Headers, Writer};

/// Payloads that wait to be written, over all streams: with the batch that is being written, 96 KiB a connection.
pub(crate) const PAYLOADS_MAX: usize = 4;
/// Frames are gathered up to this many bytes into one write.
const BATCH_BYTES: usize = 32 * 1024;
/// How long the other side may take nothing of the last frames of a connection.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a stream says, in the order in which it says it.
#[derive(Debug)]
pub(crate) enum Payload {
    Data {
        stream: u32,
        payload: Bytes,
        fin: bool,
    },
    /// The stream is wanted no more, after what it has said.
    Cancel {
        stream: u32,
    },
}

/// What is written before any payload.
#[derive(Debug)]
pub(crate) enum Control {
    Open { stream: u32, headers: Headers },
    Taken { stream: u32 },
    Reset { stream: u32, status: u32 },
    Pong { id: u32 },
}

/// Writes frames.
pub(crate) struct Outgoing<W> {
    pub(crate) io: W,
    pub(crate) control: mpsc::Receiver<Control>,
    pub(crate) payloads: mpsc::Receiver<Payload>,
    pub(crate) activity: Activity,
    pub(crate) ping_every: Option<Duration>,
    pub(crate) next_ping: u32,
    pub(crate) headers: Writer,
    pub(crate) batch: BytesMut,
}

enum Next {
    Control(Control),
    Payload(Payload),
    Ping,
    End,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    /// Writes until nobody is left who could use the connection. May be dropped at any time: what is written of a batch
    /// leaves it at once.
    pub(crate) async fn run(&mut self) -> Result<(), Error> {
        let mut pings = self.ping_every.map(pings);
        loop {
            match self.next(pings.as_mut()).await {
                Next::Control(control) => self.control(control)?,
                Next::Payload(payload) => self.payload(payload),
                Next::Ping => self.ping(),
                Next::End => return Ok(()),
            }
            self.gather()?;
            self.write().await?;
        }
    }

    async fn next(&mut self, pings: Option<&mut Interval>) -> Next {
        let ping = async {
            match pings {
                Some(pings) => pings.tick().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(control) = self.control.recv() => Next::Control(control),
            payload = self.payloads.recv() => payload.map_or(Next::End, Next::Payload),
            _ = ping => Next::Ping,
        }
    }

    /// Takes what else is there to be written, up to the size of a batch; true when that was all.
    fn gather(&mut self) -> Result<bool, Error> {
        while self.batch.len() < BATCH_BYTES {
            if let Ok(control) = self.control.try_recv() {
                self.control(control)?;
                continue;
            }
            match self.payloads.try_recv() {
                Ok(payload) => self.payload(payload),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn write(&mut self) -> Result<(), Error> {
        self.io.write_all_buf(&mut self.batch).await?;
        Ok(self.io.flush().await?)
    }

    /// Writes what was taken from streams, GOAWAY, and the end of the bytes, if the other side lets it: it may be slow, but
    /// has to go on.
    pub(crate) async fn finish(&mut self, last_stream: u32, status: u32) -> Result<(), Error> {
        if status == goaway::OK {
            self.payloads.close();
            while !self.gather()? {
                self.write_slowly().await?;
            }
        }
        Frame::GoAway { last_stream, status }.encode(&mut self.batch);
        self.write_slowly().await?;
        let end = async {
            self.io.flush().await?;
            self.io.shutdown().await
        };
        Ok(timeout(LAST_WORDS, end).await.map_err(|_| Error::Lost)??)
    }

    async fn write_slowly(&mut self) -> Result<(), Error> {
        while !self.batch.is_empty() {
            match timeout(LAST_WORDS, self.io.write_buf(&mut self.batch)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) | Err(_) => return Err(Error::Lost),
                Ok(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), Error> {
        let frame = match control {
            Control::Open { stream, headers } => {
                self.activity.note();
                let block = self.headers.write(&headers)?;
                Frame::SynStream { stream, fin: false, unidirectional: false, block }
            }
            Control::Taken { stream } => {
                let block = self.headers.write(&Headers::default())?;
                Frame::SynReply { stream, fin: false, block }
            }
            Control::Reset { stream, status } => Frame::RstStream { stream, status },
            Control::Pong { id } => Frame::Ping { id },
        };
        frame.encode(&mut self.batch);
        Ok(())
    }

    fn payload(&mut self, payload: Payload) {
        self.activity.note();
        let frame = match payload {
            Payload::Data { stream, payload, fin } => Frame::Data { stream, fin, payload },
            Payload::Cancel { stream } => Frame::RstStream { stream, status: reset::CANCEL },
        };
        frame.encode(&mut self.batch);
    }

    fn ping(&mut self) {
        Frame::Ping { id: self.next_ping }.encode(&mut self.batch);
        self.next_ping = self.next_ping.wrapping_add(2);
    }
}

fn pings(every: Duration) -> Interval {
    let mut pings = interval(every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}
