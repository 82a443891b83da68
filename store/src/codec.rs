//! Every byte layout of the log, and nothing else. What is written here can be read for ever.
//!
//! All that is stored begins with the same **envelope**, which can be found and checked without knowing
//! what surrounds it:
//!
//! ```text
//!   0        6      7         8              12             28
//!   ┌────────┬──────┬─────────┬──────────────┬──────────────┬──────────┐
//!   │ magic  │ kind │ version │ body length  │ body hash    │ body     │
//!   └────────┴──────┴─────────┴──────────────┴──────────────┴──────────┘
//!    F5 burst  F S H    1       u32 big-endian SHA-256 of kind, version and body, first 16 bytes
//! ```
//!
//! * a **frame** (`F`): the body is a [`Header`], and the payload follows: `count` records, end to end;
//! * a **snapshot** (`S`): the body is a [`SnapshotHeader`], and the state follows;
//! * the **head** (`H`): the body is a [`Head`], and nothing follows.
//!
//! Bodies, records and states are `bincode` 2 (serde, standard configuration: little-endian, variable
//! integers, enum variants by position). It knows no evolution: a change of any stored type is a new
//! version, or a variant at the end of an enum. Every decoder has a limit and consumes every byte.
//!
//! Hashes are cut to 16 bytes: they find accidents, where 128 bits are plenty, and a frame of one record
//! stays small.

use std::fmt;

use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use engine::{Record, Seq};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::frame::{Frame, Header};

/// The layout that this build writes, and the newest that it reads.
pub const VERSION: u8 = 1;

/// Bytes in front of every body.
pub const ENVELOPE_BYTES: usize = 28;

/// The longest frame: sixteen of them, which is what a leaf of sled's tree holds and rewrites at once, stay
/// far below the size from which sled puts values into separate files that it never syncs.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// The longest header of a frame, envelope included: room for a mark of some sixty sections.
pub const HEADER_BYTES_MAX: usize = 4 * 1024;

/// The longest payload of a frame, and so the longest record.
pub const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES_MAX;

/// The longest state in a snapshot: three times what 150,000 pods (the largest cluster) need at 1 KiB each.
pub const STATE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// What decoding a record may claim. bincode counts the memory of collections too, and the shortest container
/// status takes some forty times its bytes: what was encoded must never fail to decode.
const RECORD_LIMIT: usize = 64 * PAYLOAD_BYTES_MAX;

/// 0xF5 occurs in no UTF-8 text, so the search for a frame in foreign bytes rarely stops in vain.
const MAGIC: [u8; 6] = *b"\xF5burst";

/// A SHA-256, cut to 16 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 16]);

impl Hash {
    /// What the first frame of a log gives as the hash of the frame before.
    pub const GENESIS: Hash = Hash([0; 16]);

    pub(crate) fn of(parts: &[&[u8]]) -> Hash {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part));
        let mut hash = [0; 16];
        hash.copy_from_slice(&hasher.finalize()[..16]);
        Hash(hash)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Frame,
    Snapshot,
    Head,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Kind::Frame => b'F',
            Kind::Snapshot => b'S',
            Kind::Head => b'H',
        }
    }
}

/// In front of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    /// The last record applied to the state.
    pub seq: Seq,
    /// The hash of the frame that ends with that record.
    pub log: Hash,
    /// The caller's version of the state's layout.
    pub state_version: u32,
    pub state_bytes: u64,
    pub state_hash: Hash,
}

/// How far the log went when it was last written: what tells that a tail is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub seq: Seq,
    pub hash: Hash,
}

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They end too early.
    Short,
    /// They are not what was written.
    Damaged(&'static str),
    /// They are whole, and from a newer build.
    Newer(u8),
}

/// The lengths and the hash that an envelope gives, before its body was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    version: u8,
    hash: Hash,
    pub body_bytes: usize,
}

struct Append<'a>(&'a mut Vec<u8>);

impl Writer for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends the stored form of a value.
fn encode_value(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), String> {
    bincode::serde::encode_into_writer(value, Append(out), bincode::config::standard())
        .map_err(|error| error.to_string())
}

fn decode_value<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<(T, usize), Fault> {
    bincode::serde::borrow_decode_from_slice(bytes, bincode::config::standard().with_limit::<LIMIT>())
        .map_err(|_| Fault::Damaged("a value does not decode"))
}

fn decode_whole<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<T, Fault> {
    let (value, used) = decode_value::<T, LIMIT>(bytes)?;
    if used == bytes.len() { Ok(value) } else { Err(Fault::Damaged("bytes are left after a value")) }
}

/// Appends an envelope with its body, and returns the body's hash.
fn encode_envelope(kind: Kind, body: &impl Serialize, out: &mut Vec<u8>) -> Hash {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind.byte(), VERSION]);
    out.extend_from_slice(&[0; ENVELOPE_BYTES - 8]);
    encode_value(body, out).expect("our own headers hold nothing that bincode cannot write");
    let body_bytes = u32::try_from(out.len() - start - ENVELOPE_BYTES).expect("headers are small");
    let hash = Hash::of(&[&[kind.byte(), VERSION], &out[start + ENVELOPE_BYTES..]]);
    out[start + 8..start + 12].copy_from_slice(&body_bytes.to_be_bytes());
    out[start + 12..start + 28].copy_from_slice(&hash.0);
    hash
}

/// Reads an envelope's first [`ENVELOPE_BYTES`].
pub(crate) fn decode_envelope(kind: Kind, bytes: &[u8]) -> Result<Envelope, Fault> {
    let bytes = bytes.get(..ENVELOPE_BYTES).ok_or(Fault::Short)?;
    if bytes[..6] != MAGIC || bytes[6] != kind.byte() {
        return Err(Fault::Damaged("something else stands where an envelope should"));
    }
    let mut length = [0; 4];
    length.copy_from_slice(&bytes[8..12]);
    let body_bytes = u32::from_be_bytes(length) as usize;
    if body_bytes > HEADER_BYTES_MAX - ENVELOPE_BYTES {
        return Err(Fault::Damaged("a header is longer than any"));
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&bytes[12..28]);
    Ok(Envelope { version: bytes[7], hash: Hash(hash), body_bytes })
}

/// Checks and decodes the body of an envelope. The version counts only once the hash has vouched for it: a
/// flipped bit is no newer build.
fn decode_body<T: DeserializeOwned>(kind: Kind, envelope: Envelope, body: &[u8]) -> Result<T, Fault> {
    if Hash::of(&[&[kind.byte(), envelope.version], body]) != envelope.hash {
        return Err(Fault::Damaged("a header differs from its hash"));
    }
    match envelope.version {
        VERSION => decode_whole::<T, HEADER_BYTES_MAX>(body),
        version if version > VERSION => Err(Fault::Newer(version)),
        _ => Err(Fault::Damaged("a version that never was")),
    }
}

/// Writes a frame into `out`, which is emptied first, and returns the frame's hash.
pub(crate) fn encode_frame(header: &Header, payload: &[u8], out: &mut Vec<u8>) -> Hash {
    out.clear();
    let hash = encode_envelope(Kind::Frame, header, out);
    out.extend_from_slice(payload);
    hash
}

/// Checks and decodes the header of a frame whose envelope was read.
pub(crate) fn decode_header(envelope: Envelope, body: &[u8]) -> Result<(Header, Hash), Fault> {
    let header: Header = decode_body(Kind::Frame, envelope, body)?;
    let last = header.first.0.checked_add(u64::from(header.count));
    if header.count == 0 || header.first.0 == 0 || last.is_none() {
        return Err(Fault::Damaged("a frame of no records"));
    }
    if header.payload_bytes as usize > PAYLOAD_BYTES_MAX {
        return Err(Fault::Damaged("a payload is longer than any"));
    }
    Ok((header, envelope.hash))
}

/// Decodes the frame at the start of `bytes`; more may follow it.
pub(crate) fn decode_frame(bytes: &[u8]) -> Result<Frame, Fault> {
    let envelope = decode_envelope(Kind::Frame, bytes)?;
    let body_end = ENVELOPE_BYTES + envelope.body_bytes;
    let body = bytes.get(ENVELOPE_BYTES..body_end).ok_or(Fault::Short)?;
    let (header, hash) = decode_header(envelope, body)?;
    let end = body_end + header.payload_bytes as usize;
    let payload = bytes.get(body_end..end).ok_or(Fault::Short)?;
    check_payload(&header, payload)?;
    Ok(Frame { header, hash, bytes: bytes[..end].to_vec(), payload_at: body_end })
}

/// Checks a payload against its header.
pub(crate) fn check_payload(header: &Header, payload: &[u8]) -> Result<(), Fault> {
    let sound = Hash::of(&[payload]) == header.payload_hash;
    sound.then_some(()).ok_or(Fault::Damaged("a payload differs from its hash"))
}

/// Appends a record to a payload.
pub(crate) fn encode_record(record: &Record, payload: &mut Vec<u8>) {
    encode_value(record, payload).expect("records hold nothing that bincode cannot write");
}

/// Decodes the records of a payload.
pub(crate) fn decode_records(header: &Header, payload: &[u8]) -> Result<Vec<Record>, Fault> {
    let mut rest = payload;
    // No record is shorter than four bytes: a false count reserves no memory.
    let mut records = Vec::with_capacity((header.count as usize).min(payload.len() / 4));
    for position in 0..u64::from(header.count) {
        let (record, used) = decode_value::<Record, RECORD_LIMIT>(rest)?;
        if record.seq != Seq(header.first.0 + position) {
            return Err(Fault::Damaged("a record stands in the wrong place"));
        }
        records.push(record);
        rest = &rest[used..];
    }
    if rest.is_empty() { Ok(records) } else { Err(Fault::Damaged("bytes are left after the records")) }
}

/// Writes a snapshot in two parts: the envelope with its header, and the state.
pub(crate) fn encode_snapshot(
    seq: Seq,
    log: Hash,
    state_version: u32,
    state: &impl Serialize,
) -> Result<[Vec<u8>; 2], String> {
    let mut body = Vec::new();
    encode_value(state, &mut body)?;
    if body.len() > STATE_BYTES_MAX {
        return Err(format!("a state of {} bytes cannot be stored, {STATE_BYTES_MAX} at most", body.len()));
    }
    let state_hash = Hash::of(&[&body]);
    let header = SnapshotHeader { seq, log, state_version, state_bytes: body.len() as u64, state_hash };
    let mut envelope = Vec::new();
    encode_envelope(Kind::Snapshot, &header, &mut envelope);
    Ok([envelope, body])
}

/// Checks a whole snapshot and returns its header and the bytes of its state.
pub(crate) fn decode_snapshot(bytes: &[u8]) -> Result<(SnapshotHeader, &[u8]), Fault> {
    let envelope = decode_envelope(Kind::Snapshot, bytes)?;
    let body_end = ENVELOPE_BYTES + envelope.body_bytes;
    let body = bytes.get(ENVELOPE_BYTES..body_end).ok_or(Fault::Short)?;
    let header: SnapshotHeader = decode_body(Kind::Snapshot, envelope, body)?;
    let state = &bytes[body_end..];
    if state.len() as u64 != header.state_bytes || Hash::of(&[state]) != header.state_hash {
        return Err(Fault::Damaged("a state differs from its hash"));
    }
    Ok((header, state))
}

/// Decodes a state. What it may claim is more than what it takes on disk, because collections reserve memory, but goes
/// with its length: seven bytes that say that a gigabyte of text follows are not believed.
pub(crate) fn decode_state<T: DeserializeOwned>(state: &[u8]) -> Result<T, Fault> {
    const SMALL: usize = 64 * 1024;
    const MIDDLE: usize = 16 * SMALL;
    const LARGE: usize = 16 * MIDDLE;
    match state.len() {
        length if length <= SMALL => decode_whole::<T, { 64 * SMALL }>(state),
        length if length <= MIDDLE => decode_whole::<T, { 64 * MIDDLE }>(state),
        length if length <= LARGE => decode_whole::<T, { 64 * LARGE }>(state),
        _ => decode_whole::<T, { 4 * STATE_BYTES_MAX }>(state),
    }
}

/// Writes the head.
pub(crate) fn encode_head(head: &Head, out: &mut Vec<u8>) {
    out.clear();
    encode_envelope(Kind::Head, head, out);
}

/// Decodes the head. Bytes after it are what an older, longer one left behind.
pub(crate) fn decode_head(bytes: &[u8]) -> Result<Head, Fault> {
    let envelope = decode_envelope(Kind::Head, bytes)?;
    let body = bytes.get(ENVELOPE_BYTES..ENVELOPE_BYTES + envelope.body_bytes).ok_or(Fault::Short)?;
    decode_body(Kind::Head, envelope, body)
}

/// The next place in `bytes`, at or after `from`, where an envelope of a frame may begin; else the place
/// from which more bytes are needed to tell.
pub(crate) fn find_frame(bytes: &[u8], from: usize) -> Result<usize, usize> {
    let mut at = from;
    while let Some(step) = bytes[at..].iter().position(|byte| *byte == MAGIC[0]) {
        at += step;
        let Some(found) = bytes.get(at..at + 7) else { return Err(at) };
        if found[..6] == MAGIC && found[6] == Kind::Frame.byte() {
            return Ok(at);
        }
        at += 1;
    }
    Err(bytes.len())
}
