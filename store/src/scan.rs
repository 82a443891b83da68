//! Finds frames in the raw bytes of a segment's database.
//!
//! sled cannot be asked: opening a damaged database panics or silently drops its tail, and overwrites the
//! evidence. But a frame is a value that sled (0.34, without compression) stores in one piece, it carries its
//! own hashes, and a database is written by one process only. So each frame is either here and whole, once
//! or twice, or it is lost, whatever became of sled's own pages around it.

use std::collections::BTreeMap;
use std::io::Read;

use engine::Seq;

use crate::backend::Name;
use crate::codec::{self, FRAME_BYTES_MAX, Fault};
use crate::error::Error;
use crate::frame::Frame;

/// How much is searched at a time.
const WINDOW_BYTES: usize = 16 * FRAME_BYTES_MAX;

/// What a scan found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// All whole frames, by their first record. At most what a segment holds.
    pub frames: BTreeMap<Seq, Frame>,
    /// Whether the disk refused to be read to the end.
    pub unreadable: bool,
}

/// Scans all of `input`, which is what is stored under `name`.
///
/// # Errors
/// [`Error::NewerFormat`] at the first whole frame of a newer build.
pub(crate) fn scan(name: Name, mut input: impl Read) -> Result<Scan, Error> {
    let mut found = Scan::default();
    let mut window = Vec::new();
    loop {
        let room_bytes = (WINDOW_BYTES - window.len()) as u64;
        found.unreadable = (&mut input).take(room_bytes).read_to_end(&mut window).is_err();
        let ended = window.len() < WINDOW_BYTES || found.unreadable;
        let searched = search(&window, ended, &mut found.frames);
        let kept_from = searched.map_err(|fault| Error::fault(&name.to_string(), fault))?;
        if ended {
            return Ok(found);
        }
        window.drain(..kept_from);
    }
}

/// Searches one window, and returns the place from which it must be searched again with more behind it.
fn search(window: &[u8], ended: bool, frames: &mut BTreeMap<Seq, Frame>) -> Result<usize, Fault> {
    let mut at = 0;
    loop {
        at = match codec::find_frame(window, at) {
            Ok(at) => at,
            Err(from) => return Ok(from),
        };
        if !ended && window.len() - at < FRAME_BYTES_MAX {
            return Ok(at);
        }
        match codec::decode_frame(&window[at..]) {
            Ok(frame) => {
                at += frame.bytes.len();
                frames.entry(frame.header.first).or_insert(frame);
            }
            Err(newer @ Fault::Newer(_)) => return Err(newer),
            Err(Fault::Short | Fault::Damaged(_)) => at += 1,
        }
    }
}
