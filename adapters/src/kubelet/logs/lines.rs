//! The lines of a log that came with their times: which of them are given, and up to where.
//!
//! A log is read again after a cut by asking from a little earlier on. The place up to which it was given is the time of
//! the last line, how many lines had that time, and how much was given of a line that was cut in two.

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

/// Longest time before a line: `2026-01-02T03:04:05.000000001+08:00` has 35 bytes.
const STAMP_BYTES_MAX: usize = 40;
/// Shortest: `2026-01-02T03:04:05Z`.
const STAMP_BYTES_MIN: usize = 20;

/// Up to where a log was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The time of the last line, as it stood there; empty before the first one. A line without a time has that of the
    /// line before.
    stamp: Vec<u8>,
    /// How many whole lines of that time were given.
    lines: u64,
    /// How many bytes, after the time, of a further line of that time that was begun.
    part: Option<u64>,
}

impl Place {
    /// The time of the last line.
    pub(super) fn time(&self) -> Option<Timestamp> {
        parse(&self.stamp)
    }

    /// Whether anything was given.
    pub(super) fn is_start(&self) -> bool {
        *self == Place::default()
    }
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

/// Gives lines from bytes, whatever way these were cut. It holds no more than a time between two pieces.
#[derive(Debug)]
pub(super) struct Lines {
    /// Whether times are given with the lines.
    with_stamps: bool,
    /// Earlier lines are dropped, until there is one that is not.
    since: Option<Timestamp>,
    /// Where to go on, until it is found.
    resume: Option<Place>,
    /// The time of the last line that was seen.
    seen: Vec<u8>,
    given: Place,
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
            resume: None,
            seen: Vec::new(),
            given: Place::default(),
            part: Part::Head,
            head: Vec::with_capacity(STAMP_BYTES_MAX),
            left: limit_bytes,
        }
    }

    /// Up to where the log was given.
    pub(super) fn place(&self) -> &Place {
        &self.given
    }

    /// Whether all was given that may be.
    pub(super) fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// The log is read again, from some line at or before the place up to which it was given.
    pub(super) fn read_again(&mut self) {
        self.head.clear();
        self.part = Part::Head;
        self.seen.clear();
        if !self.given.is_start() {
            self.resume = Some(Place { lines: 0, ..self.given.clone() });
        }
    }

    /// Drops lines before this time from now on.
    pub(super) fn drop_before(&mut self, time: Option<Timestamp>) {
        self.since = time;
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
        let is_stamped = is_stamp(&head);
        if with_space {
            head.push(b' ');
        }
        if is_stamped {
            self.seen.clear();
            self.seen.extend_from_slice(&head[..head.len() - usize::from(with_space)]);
        }
        self.part = self.decide(out);
        if let Part::Given { again } = self.part {
            if self.given.part.is_none() {
                self.given.part = Some(0);
                if is_stamped && self.with_stamps {
                    self.put(&head, out);
                }
            }
            if !is_stamped {
                self.give(&head, again, out);
            }
        }
        head.clear();
        self.head = head;
    }

    /// Whether the line that begins, of the time last seen, is given.
    fn decide(&mut self, out: &mut BytesMut) -> Part {
        if let Some(resume) = &mut self.resume {
            match order(&self.seen, &resume.stamp) {
                std::cmp::Ordering::Less => return Part::Dropped,
                std::cmp::Ordering::Equal if resume.lines < self.given.lines => {
                    resume.lines += 1;
                    return Part::Dropped;
                }
                std::cmp::Ordering::Equal => {
                    let again = resume.part.unwrap_or(0);
                    self.resume = None;
                    if self.given.part.is_some() {
                        return Part::Given { again };
                    }
                }
                std::cmp::Ordering::Greater => self.resume = None,
            }
            // What was begun is not there any more: it must not run into the next line.
            if self.given.part.take().is_some() {
                self.put(b"\n", out);
                self.given.lines += 1;
            }
        }
        if let Some(since) = self.since {
            if parse(&self.seen).is_some_and(|time| time < since) {
                return Part::Dropped;
            }
            self.since = None;
        }
        if self.given.stamp != self.seen {
            self.given.stamp.clone_from(&self.seen);
            (self.given.lines, self.given.part) = (0, None);
        }
        Part::Given { again: 0 }
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8], again: u64, out: &mut BytesMut) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        self.give(line, again, out);
        if end.is_some() {
            self.part = Part::Head;
            self.given.lines += 1;
            self.given.part = None;
        }
        rest
    }

    /// Gives bytes of a line, but for those that were given already.
    fn give(&mut self, bytes: &[u8], again: u64, out: &mut BytesMut) {
        let skip = again.min(bytes.len() as u64);
        self.part = Part::Given { again: again - skip };
        let bytes = &bytes[skip as usize..];
        self.given.part = self.given.part.map(|part| part + bytes.len() as u64);
        self.put(bytes, out);
    }

    fn put(&mut self, bytes: &[u8], out: &mut BytesMut) {
        let taken =
            self.left.map_or(bytes.len(), |left| bytes.len().min(left.try_into().unwrap_or(usize::MAX)));
        self.left = self.left.map(|left| left - taken as u64);
        out.extend_from_slice(&bytes[..taken]);
    }
}

/// Whether a word is a time of a log. Judged by its form: it stands before every line.
fn is_stamp(word: &[u8]) -> bool {
    let form = |byte: &u8| byte.is_ascii_digit() || b"-:.+TZ".contains(byte);
    (STAMP_BYTES_MIN..=STAMP_BYTES_MAX).contains(&word.len())
        && word[4] == b'-'
        && word[7] == b'-'
        && word[10] == b'T'
        && word[13] == b':'
        && word.iter().all(form)
}

fn parse(stamp: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(stamp).ok()?.parse().ok()
}

/// Which of two times is earlier. What has none is before all that has.
fn order(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
    if one == other {
        return std::cmp::Ordering::Equal;
    }
    parse(one).cmp(&parse(other))
}

#[cfg(test)]
mod tests;
