//! The lines of a log that came with their times: which of them are given, and up to where.
//!
//! A log is read again after a cut by asking from a little earlier on. Lines that were given are known by their times and
//! how many had each, and a line that was cut in two by how much was given of it.

mod recent;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use recent::Recent;

/// More than the longest time before a line: `2026-01-02T03:04:05.000000001+08:00` has 35 bytes.
const STAMP_BYTES_MAX: usize = 40;
/// Shortest: `2026-01-02T03:04:05Z`.
const STAMP_BYTES_MIN: usize = 20;

/// The time of lines before the first that has one; the others without one have that of the line before.
const NO_TIME: Timestamp = Timestamp::MIN;

/// Up to where a log was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing was given.
    Start,
    /// Lines were, and none had a time.
    NoTime,
    /// The latest time of a line that was given.
    Time(Timestamp),
}

/// A line of which the end was not given yet.
#[derive(Clone, Copy, Debug)]
struct Begun {
    time: Timestamp,
    /// Bytes given, after the time.
    bytes: u64,
}

/// What is to be done with the bytes that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A line begins; its time is being read.
    Head,
    /// They are given, but for so many that were given already.
    Given { again: u64 },
    /// They are dropped up to the line's end.
    Dropped,
}

/// What is to be done with a line that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Drop,
    /// It was begun before a cut, and so many of its bytes were given.
    GoOn {
        again: u64,
    },
    Give,
}

/// Gives lines from bytes, whatever way these were cut. It holds no more than a time between two pieces.
#[derive(Debug)]
pub(super) struct Lines {
    /// Whether times are given with the lines.
    with_stamps: bool,
    /// Earlier lines are dropped.
    since: Option<Timestamp>,
    recent: Recent,
    /// Whether lines come that were given: until the first that was not, since all after that one are new.
    is_again: bool,
    begun: Option<Begun>,
    /// The latest time that was given.
    newest: Timestamp,
    /// The time of the last line that was seen.
    seen: Timestamp,
    part: Part,
    head: Vec<u8>,
    /// How many bytes may still be given.
    left: Option<u64>,
}

impl Lines {
    pub(super) fn new(with_stamps: bool, since: Option<Timestamp>, limit_bytes: Option<u64>) -> Lines {
        Lines {
            with_stamps,
            since,
            recent: Recent::default(),
            is_again: false,
            begun: None,
            newest: NO_TIME,
            seen: NO_TIME,
            part: Part::Head,
            head: Vec::with_capacity(STAMP_BYTES_MAX),
            left: limit_bytes,
        }
    }

    /// Up to where the log was given.
    pub(super) fn place(&self) -> Place {
        if self.recent.is_empty() && self.begun.is_none() {
            Place::Start
        } else if self.newest == NO_TIME {
            Place::NoTime
        } else {
            Place::Time(self.newest)
        }
    }

    /// Whether all was given that may be.
    pub(super) fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// The log is read again, from some line at or before those that were given last.
    pub(super) fn read_again(&mut self) {
        self.head.clear();
        self.part = Part::Head;
        self.seen = NO_TIME;
        self.is_again = true;
        self.recent.read_again();
    }

    /// Drops lines before this time too from now on.
    pub(super) fn drop_before(&mut self, time: Timestamp) {
        self.since = self.since.max(Some(time));
    }

    /// What is given of the next bytes; nothing of none.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(bytes.len());
        while !bytes.is_empty() && !self.is_full() {
            bytes = match self.part {
                Part::Head => self.read_head(bytes, &mut out),
                Part::Given { again } => self.read_line(bytes, again, &mut out),
                Part::Dropped => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    if end.is_some() {
                        self.part = Part::Head;
                    }
                    &bytes[end.map_or(bytes.len(), |end| end + 1)..]
                }
            };
        }
        out.freeze()
    }

    /// What the log ends with: the head of a line that never became one.
    pub(super) fn finish(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        if self.part == Part::Head && !self.head.is_empty() && !self.is_full() {
            self.begin(false, &mut out);
        }
        out.freeze()
    }

    fn read_head<'a>(&mut self, bytes: &'a [u8], out: &mut BytesMut) -> &'a [u8] {
        let room = STAMP_BYTES_MAX - self.head.len();
        let look = &bytes[..room.min(bytes.len())];
        match look.iter().position(|byte| matches!(byte, b' ' | b'\n')) {
            Some(end) => {
                self.head.extend_from_slice(&look[..end]);
                let is_space = look[end] == b' ';
                self.begin(is_space, out);
                // The end of a line is read as part of it.
                &bytes[end + usize::from(is_space)..]
            }
            None => {
                self.head.extend_from_slice(look);
                if self.head.len() == STAMP_BYTES_MAX {
                    self.begin(false, out);
                }
                &bytes[look.len()..]
            }
        }
    }

    /// A line begins, whose first word has been read.
    fn begin(&mut self, with_space: bool, out: &mut BytesMut) {
        let mut head = std::mem::take(&mut self.head);
        let stamp = stamp(&head);
        if with_space {
            head.push(b' ');
        }
        self.seen = stamp.unwrap_or(self.seen);
        let choice = self.choose();
        self.part = match choice {
            Choice::Drop => Part::Dropped,
            Choice::GoOn { again } => Part::Given { again },
            Choice::Give => Part::Given { again: 0 },
        };
        if choice == Choice::Give {
            self.leave_begun(out);
            self.begun = Some(Begun { time: self.seen, bytes: 0 });
            self.newest = self.newest.max(self.seen);
            if stamp.is_some() && self.with_stamps {
                self.put(&head, out);
            }
        }
        if let (None, Part::Given { again }) = (stamp, self.part) {
            self.give(&head, again, out);
        }
        head.clear();
        self.head = head;
    }

    /// What is done with the line that begins, of the time last seen.
    fn choose(&mut self) -> Choice {
        let time = self.seen;
        if self.is_again {
            if self.recent.take(time) {
                return Choice::Drop;
            }
            if let Some(begun) = self.begun.filter(|begun| begun.time == time) {
                self.is_again = false;
                return Choice::GoOn { again: begun.bytes };
            }
            if self.recent.is_beyond(time) {
                return Choice::Drop;
            }
        }
        if time != NO_TIME && self.since.is_some_and(|since| time < since) {
            return Choice::Drop;
        }
        self.is_again = false;
        Choice::Give
    }

    /// What was begun before a cut is not there any more: it must not run into the next line.
    fn leave_begun(&mut self, out: &mut BytesMut) {
        if let Some(begun) = self.begun.take() {
            self.put(b"\n", out);
            self.recent.add(begun.time);
        }
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8], again: u64, out: &mut BytesMut) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.give(line, again, out);
        if end.is_some() {
            self.part = Part::Head;
            if let Some(begun) = self.begun.take() {
                self.recent.add(begun.time);
            }
        }
        rest
    }

    /// Gives bytes of a line, but for those that were given already.
    fn give(&mut self, bytes: &[u8], again: u64, out: &mut BytesMut) {
        let skip = again.min(bytes.len() as u64);
        self.part = Part::Given { again: again - skip };
        let bytes = &bytes[skip as usize..];
        if let Some(begun) = &mut self.begun {
            begun.bytes += bytes.len() as u64;
        }
        self.put(bytes, out);
    }

    fn put(&mut self, bytes: &[u8], out: &mut BytesMut) {
        let taken =
            self.left.map_or(bytes.len(), |left| bytes.len().min(left.try_into().unwrap_or(usize::MAX)));
        self.left = self.left.map(|left| left - taken as u64);
        out.extend_from_slice(&bytes[..taken]);
    }
}

/// A word as a time of a log, when it is one. Judged by its form first: it stands before every line.
fn stamp(word: &[u8]) -> Option<Timestamp> {
    let form = |byte: &u8| byte.is_ascii_digit() || b"-:.+TZ".contains(byte);
    let has_form = (STAMP_BYTES_MIN..STAMP_BYTES_MAX).contains(&word.len())
        && word[4] == b'-'
        && word[7] == b'-'
        && word[10] == b'T'
        && word[13] == b':'
        && word.iter().all(form);
    std::str::from_utf8(word).ok().filter(|_| has_form)?.parse().ok()
}

#[cfg(test)]
mod tests;
