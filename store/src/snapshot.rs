//! States, stored with the position and the hash of the log at which they were taken.
//!
//! A snapshot is a file of its own and not part of a segment: it is written once, whole, replaced by rename
//! and read whole, for which a plain file with one hash is enough; and it outlives the segments that it
//! stands for.

use std::io::{ErrorKind, Read};

use engine::Seq;
use serde::de::DeserializeOwned;

use crate::backend::{Entry, Name, Source};
use crate::codec::{self, Fault, HEADER_BYTES_MAX, Hash, STATE_BYTES_MAX};
use crate::error::Error;

/// How many snapshots are kept for a start: the newest, and one to fall back to.
pub const SNAPSHOTS_KEPT: usize = 2;

/// A snapshot that is whole. Whether it belongs to this log is for the log's hashes to say.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub seq: Seq,
    /// The log's hash at that position.
    pub log: Hash,
    pub state_version: u32,
    pub state: Vec<u8>,
}

/// All whole snapshots, oldest first and with their states left out, and the positions of those that are not
/// whole.
///
/// # Errors
/// [`Error::NewerFormat`], and [`Error::Io`] when one is there and cannot even be opened.
pub(crate) fn take_stock(source: &dyn Source, entries: &[Entry]) -> Result<(Vec<Snapshot>, Vec<Seq>), Error> {
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry.name {
            Name::Snapshot(seq) => match load(source, seq)? {
                Some(snapshot) => whole.push(Snapshot { state: Vec::new(), ..snapshot }),
                None => damaged.push(seq),
            },
            Name::Sealed(_) | Name::Open(_) => {}
        }
    }
    whole.sort_unstable_by_key(|snapshot| snapshot.seq);
    Ok((whole, damaged))
}

/// The snapshot of this name, if it is whole and was not dropped meanwhile.
///
/// # Errors
/// [`Error::NewerFormat`], [`Error::Io`].
fn load(source: &dyn Source, seq: Seq) -> Result<Option<Snapshot>, Error> {
    let name = Name::Snapshot(seq);
    let input = match source.read(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        input => input.map_err(|error| Error::io("read a snapshot", error))?,
    };
    let mut bytes = Vec::new();
    let bytes_max = (STATE_BYTES_MAX + HEADER_BYTES_MAX) as u64;
    if input.take(bytes_max).read_to_end(&mut bytes).is_err() {
        return Ok(None);
    }
    match codec::decode_snapshot(&bytes) {
        Ok((header, _)) if header.seq != seq => Ok(None),
        Ok((header, state)) => {
            let state_at = bytes.len() - state.len();
            let state = bytes.split_off(state_at);
            Ok(Some(Snapshot {
                seq: header.seq,
                log: header.log,
                state_version: header.state_version,
                state,
            }))
        }
        Err(Fault::Short | Fault::Damaged(_)) => Ok(None),
        Err(fault @ Fault::Newer(_)) => Err(Error::fault(&name.to_string(), fault)),
    }
}

/// The state in a snapshot, if it is of this layout.
///
/// # Errors
/// [`Error::NewerFormat`], [`Error::Io`].
pub(crate) fn load_state<T: DeserializeOwned>(
    source: &dyn Source,
    seq: Seq,
    state_version: u32,
) -> Result<Option<T>, Error> {
    let snapshot = load(source, seq)?.filter(|snapshot| snapshot.state_version == state_version);
    Ok(snapshot.and_then(|snapshot| codec::decode_state(&snapshot.state).ok()))
}
