//! Frames: one group commit each, chained by their hashes.

use std::io::{ErrorKind, Read};

use engine::{Record, Seq};
use serde::{Deserialize, Serialize};

use crate::codec::{self, ENVELOPE_BYTES, Fault, Hash, Kind, PAYLOAD_BYTES_MAX};
use crate::error::Error;

/// Digests of the sections of the reducer's state, by name: what a replay compares with to say where it
/// went another way. The log does not look inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMark {
    /// Name and digest of each section.
    pub sections: Vec<(String, u64)>,
}

impl<'a> FromIterator<(&'a str, u64)> for StateMark {
    fn from_iter<I: IntoIterator<Item = (&'a str, u64)>>(sections: I) -> StateMark {
        StateMark { sections: sections.into_iter().map(|(name, digest)| (name.to_owned(), digest)).collect() }
    }
}

/// What a frame says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its first record.
    pub first: Seq,
    /// How many records it holds; at least one.
    pub count: u32,
    /// The hash of the frame before, or [`Hash::GENESIS`].
    pub previous: Hash,
    /// Rolling digest of all decisions that the records up to the end of this frame gave rise to.
    pub decisions: u64,
    /// The state after this frame's last record, where the writer took the trouble.
    pub state: Option<StateMark>,
    /// Length of the payload.
    pub payload_bytes: u32,
    /// Hash of the payload.
    pub payload_hash: Hash,
}

impl Header {
    /// Its last record.
    #[must_use]
    pub fn last(&self) -> Seq {
        Seq(self.first.0 + u64::from(self.count) - 1)
    }
}

/// A frame whose hashes were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it says of itself.
    pub header: Header,
    /// Its hash: over the header, and through the payload's hash over the payload.
    pub hash: Hash,
    pub(crate) bytes: Vec<u8>,
    pub(crate) payload_at: usize,
}

impl Frame {
    /// Its last record.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.header.last()
    }

    /// The frame as it is stored and sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its records.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the payload is sound but this build cannot read a record in it: an event that
    /// it does not know.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        codec::decode_records(&self.header, &self.bytes[self.payload_at..])
            .map_err(|fault| Error::fault(&format!("frame {}", self.header.first), fault))
    }
}

/// Whether a record went into a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a record that did not fit belongs into the next batch"]
pub enum Pushed {
    /// It is in.
    Added,
    /// It is not: append this batch first.
    Full,
}

/// The records of the next frame, gathered until it is appended or full.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) first: Seq,
    pub(crate) count: u32,
    pub(crate) payload: Vec<u8>,
}

impl Batch {
    /// An empty batch. [`crate::Log::append`] empties it again, so one is enough.
    #[must_use]
    pub fn new() -> Batch {
        Batch { first: Seq(0), count: 0, payload: Vec::with_capacity(PAYLOAD_BYTES_MAX) }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`] when it fits into no frame at all, [`Error::OutOfOrder`] when it does not
    /// follow the one before. The batch is as it was.
    pub fn push(&mut self, record: &Record) -> Result<Pushed, Error> {
        let expected = Seq(self.first.0 + u64::from(self.count));
        if self.count > 0 && record.seq != expected {
            return Err(Error::OutOfOrder { expected, found: record.seq });
        }
        let before = self.payload.len();
        codec::encode_record(record, &mut self.payload);
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            let bytes = self.payload.len() - before;
            self.payload.truncate(before);
            if bytes > PAYLOAD_BYTES_MAX {
                let event = record.event.name();
                return Err(Error::RecordTooLarge { event, bytes, bytes_max: PAYLOAD_BYTES_MAX });
            }
            return Ok(Pushed::Full);
        }
        if self.count == 0 {
            self.first = record.seq;
        }
        self.count += 1;
        Ok(Pushed::Added)
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets its records and keeps its memory.
    pub fn clear(&mut self) {
        self.count = 0;
        self.payload.clear();
    }
}

/// Frames of a few records are the most, and are read without their bytes being moved.
const PAYLOAD_BYTES_MOSTLY: usize = 512;

/// Decodes a stream of frames (a sealed segment, or what a running agent sends) and checks that each follows
/// the one before. Never holds more than one frame. Ends after the first error.
#[derive(Debug)]
pub struct FrameDecoder<R> {
    input: R,
    tail: Option<(Seq, Hash)>,
    done: bool,
}

impl<R: Read> FrameDecoder<R> {
    /// Decodes from `input`, which should be buffered.
    pub fn new(input: R) -> FrameDecoder<R> {
        FrameDecoder { input, tail: None, done: false }
    }

    fn decode(&mut self) -> Result<Option<Frame>, Error> {
        let mut front = [0; ENVELOPE_BYTES];
        let found = read_up_to(&mut self.input, &mut front)?;
        if found == 0 {
            return Ok(None);
        }
        let damaged = |fault| Error::fault(&self.place(), fault);
        let envelope = codec::decode_envelope(Kind::Frame, &front[..found]).map_err(damaged)?;
        let payload_at = ENVELOPE_BYTES + envelope.body_bytes;
        let mut bytes = Vec::with_capacity(payload_at + PAYLOAD_BYTES_MOSTLY);
        bytes.extend_from_slice(&front);
        bytes.resize(payload_at, 0);
        read_whole(&mut self.input, &mut bytes[ENVELOPE_BYTES..])?;
        let damaged = |fault| Error::fault(&self.place(), fault);
        let (header, hash) = codec::decode_header(envelope, &bytes[ENVELOPE_BYTES..]).map_err(damaged)?;
        bytes.resize(payload_at + header.payload_bytes as usize, 0);
        read_whole(&mut self.input, &mut bytes[payload_at..])?;
        let damaged = |fault| Error::fault(&self.place(), fault);
        codec::check_payload(&header, &bytes[payload_at..]).map_err(damaged)?;
        let frame = Frame { header, hash, bytes, payload_at };
        follow(&mut self.tail, &frame)?;
        Ok(Some(frame))
    }

    fn place(&self) -> String {
        match self.tail {
            Some((seq, _)) => format!("the frame after {seq}"),
            None => "the first frame".to_owned(),
        }
    }
}

impl<R: Read> Iterator for FrameDecoder<R> {
    type Item = Result<Frame, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.decode().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Moves a chain's tail on to `frame`, which must follow it. Without a tail, any frame begins the chain.
pub(crate) fn follow(tail: &mut Option<(Seq, Hash)>, frame: &Frame) -> Result<(), Error> {
    if let Some((seq, hash)) = *tail
        && (frame.header.first != seq.next() || frame.header.previous != hash)
    {
        let place = format!("the frame after {seq}");
        return Err(Error::Damaged { place, reason: "it does not follow the frame before".to_owned() });
    }
    *tail = Some((frame.last(), frame.hash));
    Ok(())
}

/// Reads until `bytes` is full or the input ends, and says how much came.
pub(crate) fn read_up_to(input: &mut impl Read, bytes: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read frames", error)),
        }
    }
    Ok(filled)
}

fn read_whole(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), Error> {
    let wanted = bytes.len();
    let found = read_up_to(input, bytes)?;
    if found == wanted { Ok(()) } else { Err(Error::fault("the last frame", Fault::Short)) }
}
