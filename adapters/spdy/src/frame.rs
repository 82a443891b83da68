//! Frames: bytes to values and back, without any I/O.
//!
//! A control frame is taken whole and is small. A DATA frame may be as long as 16 MiB, since a client writes what it is
//! given as one frame, so its payload is handed on in pieces as it comes and is never gathered.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest control frame that is read. A block of headers of Kubernetes takes less than 100 bytes.
pub const CONTROL_BYTES_MAX: usize = 16 * 1024;
/// The longest payload of a DATA frame that is written, and the largest piece of one that is handed on.
pub const DATA_BYTES_MAX: usize = 16 * 1024;

const VERSION: u16 = 3;
const HEAD_BYTES: usize = 8;
const CONTROL_BIT: u32 = 0x8000_0000;
const ID_BITS: u32 = 0x7fff_ffff;
const FLAG_FIN: u8 = 0x01;
const FLAG_UNIDIRECTIONAL: u8 = 0x02;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// Why a stream was reset.
pub mod reset {
    /// What was sent is against the protocol.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// The stream is not wanted; nothing of it was handled.
    pub const REFUSED_STREAM: u32 = 3;
    /// The stream is no longer wanted.
    pub const CANCEL: u32 = 5;
}

/// Why a connection ends.
pub mod goaway {
    /// Nothing is wrong.
    pub const OK: u32 = 0;
    /// The other side broke the protocol.
    pub const PROTOCOL_ERROR: u32 = 1;
}

/// One frame, or a piece of a DATA frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Number of the stream; odd from a client.
        stream: u32,
        /// The opener sends nothing on it.
        fin: bool,
        /// Only the opener sends on it.
        unidirectional: bool,
        /// Compressed headers.
        block: Bytes,
    },
    /// The stream was taken.
    SynReply {
        /// Which.
        stream: u32,
        /// The replier sends nothing on it.
        fin: bool,
        /// Compressed headers.
        block: Bytes,
    },
    /// More headers. Nobody sends them, but they are part of the compressor's state.
    Headers {
        /// Of which stream.
        stream: u32,
        /// The sender sends no more on the stream.
        fin: bool,
        /// Compressed headers.
        block: Bytes,
    },
    /// The stream is over in both directions.
    RstStream {
        /// Which.
        stream: u32,
        /// See [`reset`].
        status: u32,
    },
    /// To be answered with the same number if it is one of the other side's.
    Ping {
        /// Odd from a client, even from a server.
        id: u32,
    },
    /// The sender takes no more streams.
    GoAway {
        /// The last stream of ours that the sender handled.
        last_stream: u32,
        /// See [`goaway`].
        status: u32,
    },
    /// SETTINGS, WINDOW_UPDATE and kinds that the specification does not know, which are to be passed over: Kubernetes
    /// has no flow control on these connections. Never written.
    Ignored,
    /// Payload.
    Data {
        /// Of which stream.
        stream: u32,
        /// The sender sends no more on the stream.
        fin: bool,
        /// At most [`DATA_BYTES_MAX`] when it was read.
        payload: Bytes,
    },
}

/// What no frame can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A control frame of another version of the protocol, or no SPDY at all.
    #[error("a control frame of version {0}, not 3")]
    Version(u16),
    /// A control frame longer than [`CONTROL_BYTES_MAX`].
    #[error("a control frame of {0} bytes, more than {CONTROL_BYTES_MAX}")]
    TooLong(usize),
    /// A control frame whose length does not fit its kind.
    #[error("a control frame of kind {kind} with a length of {length} bytes")]
    Length {
        /// The kind's number.
        kind: u16,
        /// The length it says.
        length: usize,
    },
    /// A stream of the number 0.
    #[error("a frame of stream 0")]
    StreamZero,
    /// The connection ended within a frame.
    #[error("the connection ended within a frame")]
    CutOff,
}

/// The part of a DATA frame that has not come yet.
#[derive(Debug)]
struct Rest {
    stream: u32,
    fin: bool,
    bytes: usize,
}

/// Reads frames.
#[derive(Debug, Default)]
pub struct Decoder {
    rest: Option<Rest>,
}

impl Decoder {
    /// The next frame of `bytes`, which it takes from there; `None` while more bytes are needed.
    ///
    /// # Errors
    /// What comes is no frame: the connection cannot go on.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some(rest) = self.rest.take() {
            return Ok(self.payload(rest, bytes));
        }
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let (mut first, mut second) = (&head[..4], &head[4..]);
        let (first, second) = (first.get_u32(), second.get_u32());
        let [flags, length @ ..] = second.to_be_bytes();
        let length =
            usize::try_from(u32::from_be_bytes([0, length[0], length[1], length[2]])).unwrap_or(usize::MAX);
        if first & CONTROL_BIT == 0 {
            let stream = known(first)?;
            bytes.advance(HEAD_BYTES);
            let rest = Rest { stream, fin: flags & FLAG_FIN != 0, bytes: length };
            return Ok(self.payload(rest, bytes));
        }
        let [_, _, kind @ ..] = first.to_be_bytes();
        let (version, kind) = (((first & ID_BITS) >> 16) as u16, u16::from_be_bytes(kind));
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if length > CONTROL_BYTES_MAX {
            return Err(FrameError::TooLong(length));
        }
        if bytes.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        bytes.advance(HEAD_BYTES);
        control(kind, flags, bytes.split_to(length).freeze()).map(Some)
    }

    /// Whether the bytes so far end with a whole frame, none of which is left in `bytes`.
    ///
    /// # Errors
    /// [`FrameError::CutOff`].
    pub fn finish(&self, bytes: &[u8]) -> Result<(), FrameError> {
        if self.rest.is_some() || !bytes.is_empty() { Err(FrameError::CutOff) } else { Ok(()) }
    }

    fn payload(&mut self, rest: Rest, bytes: &mut BytesMut) -> Option<Frame> {
        let Rest { stream, fin, bytes: left } = rest;
        let taken = left.min(bytes.len()).min(DATA_BYTES_MAX);
        if taken == 0 && left > 0 {
            self.rest = Some(rest);
            return None;
        }
        let payload = bytes.split_to(taken).freeze();
        if taken == left {
            return Some(Frame::Data { stream, fin, payload });
        }
        self.rest = Some(Rest { stream, fin, bytes: left - taken });
        Some(Frame::Data { stream, fin: false, payload })
    }
}

fn known(id: u32) -> Result<u32, FrameError> {
    match id & ID_BITS {
        0 => Err(FrameError::StreamZero),
        stream => Ok(stream),
    }
}

fn control(kind: u16, flags: u8, mut body: Bytes) -> Result<Frame, FrameError> {
    let length = body.len();
    let wrong = FrameError::Length { kind, length };
    let fin = flags & FLAG_FIN != 0;
    let fits = match kind {
        SYN_STREAM => length >= 10,
        SYN_REPLY | HEADERS => length >= 4,
        RST_STREAM | GOAWAY => length == 8,
        PING => length == 4,
        _ => true,
    };
    if !fits {
        return Err(wrong);
    }
    Ok(match kind {
        SYN_STREAM => {
            let stream = known(body.get_u32())?;
            // The associated stream, the priority and the slot mean nothing here.
            body.advance(6);
            Frame::SynStream { stream, fin, unidirectional: flags & FLAG_UNIDIRECTIONAL != 0, block: body }
        }
        SYN_REPLY => Frame::SynReply { stream: known(body.get_u32())?, fin, block: body },
        HEADERS => Frame::Headers { stream: known(body.get_u32())?, fin, block: body },
        RST_STREAM => Frame::RstStream { stream: known(body.get_u32())?, status: body.get_u32() },
        PING => Frame::Ping { id: body.get_u32() },
        GOAWAY => Frame::GoAway { last_stream: body.get_u32() & ID_BITS, status: body.get_u32() },
        // SETTINGS, WINDOW_UPDATE, and what there is not.
        _ => Frame::Ignored,
    })
}

impl Frame {
    /// Appends the frame to `out`. A payload or block must be shorter than 16 MiB, as all that this crate makes are.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Frame::SynStream { stream, fin, unidirectional, block } => {
                let one_way = if *unidirectional { FLAG_UNIDIRECTIONAL } else { 0 };
                let flags = one_way | fin_flag(*fin);
                head(out, SYN_STREAM, flags, 10 + block.len());
                out.put_u32(*stream);
                out.put_bytes(0, 6);
                out.put_slice(block);
            }
            Frame::SynReply { stream, fin, block } => with_block(out, SYN_REPLY, (*stream, *fin), block),
            Frame::Headers { stream, fin, block } => with_block(out, HEADERS, (*stream, *fin), block),
            Frame::RstStream { stream, status } => {
                head(out, RST_STREAM, 0, 8);
                out.put_u32(*stream);
                out.put_u32(*status);
            }
            Frame::Ping { id } => {
                head(out, PING, 0, 4);
                out.put_u32(*id);
            }
            Frame::GoAway { last_stream, status } => {
                head(out, GOAWAY, 0, 8);
                out.put_u32(*last_stream);
                out.put_u32(*status);
            }
            Frame::Ignored => {}
            Frame::Data { stream, fin, payload } => {
                out.put_u32(*stream);
                flags_and_length(out, fin_flag(*fin), payload.len());
                out.put_slice(payload);
            }
        }
    }
}

fn fin_flag(fin: bool) -> u8 {
    if fin { FLAG_FIN } else { 0 }
}

fn with_block(out: &mut BytesMut, kind: u16, (stream, fin): (u32, bool), block: &[u8]) {
    head(out, kind, fin_flag(fin), 4 + block.len());
    out.put_u32(stream);
    out.put_slice(block);
}

fn head(out: &mut BytesMut, kind: u16, flags: u8, length: usize) {
    out.put_u32(CONTROL_BIT | (u32::from(VERSION) << 16) | u32::from(kind));
    flags_and_length(out, flags, length);
}

fn flags_and_length(out: &mut BytesMut, flags: u8, length: usize) {
    assert!(length < 1 << 24, "a frame's length has 24 bits");
    out.put_u8(flags);
    out.put_uint(length as u64, 3);
}

#[cfg(test)]
mod tests;
