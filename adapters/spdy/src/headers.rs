//! Header blocks: names and values, compressed by one zlib stream over the whole connection.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The dictionary of SPDY/3 (draft-mbelshe-httpbis-spdy-00, 2.6.10.1).
const DICTIONARY: &[u8] = include_bytes!("dictionary.bin");

/// The longest block after decompression: what is sent on this leg is under 100 bytes, and 16 KiB of zeros would
/// otherwise become 16 MiB.
pub const BLOCK_BYTES_MAX: usize = 16 * 1024;
/// Headers in one block.
pub const HEADERS_MAX: usize = 64;
/// The dictionary of 1.4 KiB fits in a window of 2 KiB, which spares 60 KiB a connection.
const WINDOW_BITS: u8 = 11;
const PIECE_BYTES: usize = 1024;

/// The headers of a stream: lower-case names, each once, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Headers of these names and values. Names are made lower case, as the protocol wants them.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Headers {
        Headers(
            pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        )
    }

    /// The value of this (lower-case) name; of several values, which NUL divides, all.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A header block that cannot be read. The state of the compressor is lost with it, and so the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadersError {
    /// No zlib, or of another dictionary.
    #[error("a header block that does not decompress")]
    Compression,
    /// More than [`BLOCK_BYTES_MAX`].
    #[error("a header block of more than {BLOCK_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`HEADERS_MAX`].
    #[error("a header block of {0} headers, more than {HEADERS_MAX}")]
    TooMany(u32),
    /// Lengths that do not fit, an empty or doubled name, or what is no text.
    #[error("a malformed header block")]
    Malformed,
}

/// Reads the header blocks of one direction, all of them and in order.
#[derive(Debug)]
pub struct Reader(Decompress);

impl Default for Reader {
    fn default() -> Reader {
        Reader(Decompress::new(true))
    }
}

impl Reader {
    /// The headers of one block.
    ///
    /// # Errors
    /// See [`HeadersError`]; the reader is of no use after one.
    pub fn read(&mut self, block: &[u8]) -> Result<Headers, HeadersError> {
        // A frame may say that it has no headers by having no block.
        if block.is_empty() {
            return Ok(Headers::default());
        }
        parse(self.decompress(block)?)
    }

    fn decompress(&mut self, mut block: &[u8]) -> Result<Bytes, HeadersError> {
        let mut out = BytesMut::new();
        let mut piece = [0; PIECE_BYTES];
        loop {
            let (read, written) = (self.0.total_in(), self.0.total_out());
            let status = self.0.decompress(block, &mut piece, FlushDecompress::Sync);
            block.advance(moved(read, self.0.total_in()).min(block.len()));
            let written = moved(written, self.0.total_out()).min(PIECE_BYTES);
            out.put_slice(&piece[..written]);
            if out.len() > BLOCK_BYTES_MAX {
                return Err(HeadersError::TooLong);
            }
            match status {
                Ok(Status::Ok | Status::BufError) if written == PIECE_BYTES => {}
                Ok(Status::Ok | Status::BufError) if block.is_empty() => return Ok(out.freeze()),
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(DICTIONARY).map_err(|_| HeadersError::Compression)?;
                }
                // The zlib stream is the connection's and has no end.
                Ok(Status::Ok | Status::BufError | Status::StreamEnd) | Err(_) => {
                    return Err(HeadersError::Compression);
                }
            }
        }
    }
}

fn moved(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

fn parse(mut block: Bytes) -> Result<Headers, HeadersError> {
    let count = block.try_get_u32().map_err(|_| HeadersError::Malformed)?;
    if usize::try_from(count).map_or(true, |count| count > HEADERS_MAX) {
        return Err(HeadersError::TooMany(count));
    }
    let mut headers = Headers::default();
    for _ in 0..count {
        let name = text(&mut block)?.to_ascii_lowercase();
        let value = text(&mut block)?;
        if name.is_empty() || headers.get(&name).is_some() {
            return Err(HeadersError::Malformed);
        }
        headers.0.push((name, value));
    }
    if block.is_empty() { Ok(headers) } else { Err(HeadersError::Malformed) }
}

fn text(block: &mut Bytes) -> Result<String, HeadersError> {
    let length = block.try_get_u32().map_err(|_| HeadersError::Malformed)?;
    let length = usize::try_from(length).map_err(|_| HeadersError::Malformed)?;
    if length > block.len() {
        return Err(HeadersError::Malformed);
    }
    String::from_utf8(block.split_to(length).to_vec()).map_err(|_| HeadersError::Malformed)
}

/// Writes the header blocks of one direction, all of them and in order.
#[derive(Debug)]
pub struct Writer(Compress);

impl Default for Writer {
    fn default() -> Writer {
        let mut compress = Compress::new_with_window_bits(Compression::fast(), true, WINDOW_BITS);
        // It can only fail on a compressor that has been used.
        let set = compress.set_dictionary(DICTIONARY);
        debug_assert!(set.is_ok());
        Writer(compress)
    }
}

impl Writer {
    /// The next block.
    ///
    /// # Errors
    /// More or longer headers than a [`Reader`] takes.
    pub fn write(&mut self, headers: &Headers) -> Result<Bytes, HeadersError> {
        let plain = plain(headers)?;
        let mut rest = &plain[..];
        let mut out = BytesMut::new();
        let mut piece = [0; PIECE_BYTES];
        loop {
            let (read, written) = (self.0.total_in(), self.0.total_out());
            let status = self.0.compress(rest, &mut piece, FlushCompress::Sync);
            rest.advance(moved(read, self.0.total_in()).min(rest.len()));
            let written = moved(written, self.0.total_out()).min(PIECE_BYTES);
            out.put_slice(&piece[..written]);
            match status {
                Ok(Status::Ok | Status::BufError) if written == PIECE_BYTES => {}
                Ok(Status::Ok | Status::BufError) if rest.is_empty() => return Ok(out.freeze()),
                Ok(Status::Ok | Status::BufError | Status::StreamEnd) | Err(_) => {
                    return Err(HeadersError::Compression);
                }
            }
        }
    }
}

fn plain(headers: &Headers) -> Result<BytesMut, HeadersError> {
    let count = u32::try_from(headers.0.len()).map_err(|_| HeadersError::TooLong)?;
    if headers.0.len() > HEADERS_MAX {
        return Err(HeadersError::TooMany(count));
    }
    let mut plain = BytesMut::new();
    plain.put_u32(count);
    for part in headers.iter().flat_map(|(name, value)| [name, value]) {
        let length = u32::try_from(part.len()).map_err(|_| HeadersError::TooLong)?;
        plain.put_u32(length);
        plain.put_slice(part.as_bytes());
    }
    if plain.len() > BLOCK_BYTES_MAX { Err(HeadersError::TooLong) } else { Ok(plain) }
}

#[cfg(test)]
mod tests;
