//! Cuts a byte stream into lines of bounded length.

use std::io::BufRead as _;

use bytes::{Buf, Bytes, BytesMut};

/// Longest line of a watch, in bytes: an object is at most 1.5 MiB in the API server's database, its
/// managed fields and escapes may double it.
pub const LINE_BYTES_MAX: usize = 3 << 20;

/// A line was longer than the bound. What it said is lost, and only a list can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {0} bytes")]
pub struct LineTooLong(pub usize);

/// The bytes that have come and are not yet a line. A line without its end is never given out: a stream that
/// is cut in the middle of one has not said it.
#[derive(Debug)]
pub struct Lines {
    buffer: BytesMut,
    /// Bytes at the front that hold no line end.
    searched: usize,
    bytes_max: usize,
}

impl Lines {
    /// Lines of at most `bytes_max` bytes, their end not counted.
    #[must_use]
    pub fn bounded(bytes_max: usize) -> Lines {
        Lines { buffer: BytesMut::new(), searched: 0, bytes_max }
    }

    /// Adds what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line, without its end; `None` when more must come first. Empty lines are skipped.
    ///
    /// # Errors
    ///
    /// [`LineTooLong`] as soon as it is; nothing sensible follows.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        loop {
            let end = line_end(&self.buffer[self.searched..]);
            let length = end.map_or(self.buffer.len(), |end| self.searched + end);
            if length > self.bytes_max {
                return Err(LineTooLong(self.bytes_max));
            }
            if end.is_none() {
                self.searched = length;
                return Ok(None);
            }
            let line = self.buffer.split_to(length).freeze();
            self.buffer.advance(1);
            self.searched = 0;
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

/// Where the line end is. The library's own search takes many bytes at once; a loop over them costs as much
/// as the parser.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let past = rest.skip_until(b'\n').unwrap_or(0);
    let end = past.checked_sub(1)?;
    (bytes[end] == b'\n').then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(chunks: &[&[u8]], bytes_max: usize) -> Result<Vec<Bytes>, LineTooLong> {
        let mut lines = Lines::bounded(bytes_max);
        let mut seen = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            while let Some(line) = lines.next_line()? {
                seen.push(line);
            }
        }
        Ok(seen)
    }

    #[test]
    fn the_bound_is_on_the_line_without_its_end() {
        assert_eq!(lines_of(&[b"1234\n"], 4), Ok(vec![Bytes::from_static(b"1234")]));
        assert_eq!(lines_of(&[b"123\n"], 4), Ok(vec![Bytes::from_static(b"123")]));
        assert_eq!(lines_of(&[b"12345\n"], 4), Err(LineTooLong(4)));
        assert_eq!(lines_of(&[b"123", b"45"], 4), Err(LineTooLong(4)), "before its end is seen");
    }

    #[test]
    fn half_a_line_is_not_a_line() {
        assert_eq!(lines_of(&[b"whole\n\nha", b"lf"], 10), Ok(vec![Bytes::from_static(b"whole")]));
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_does_not_matter(
            lines in proptest::collection::vec("[a-z]{1,9}", 0..9),
            size in 1usize..7,
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(lines_of(&chunks, 9).expect("all lines fit"), lines);
        }
    }
}
