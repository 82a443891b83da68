//! Digests of data: over the bytes of the stored form, so that they are the same on every machine and
//! under every compiler. They detect change; they are no defence against an attacker.

use alloc::vec::Vec;

use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// Nearly all values are shorter: their bytes are gathered without being moved. To hash bytes that lie together is
/// several times cheaper than to hash them piece by piece, and pieces are what an encoder writes.
const BYTES_MOSTLY: usize = 512;

struct Bytes(Vec<u8>);

impl Writer for Bytes {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        // Most pieces are single bytes, and a call that moves memory costs more than one of them.
        match bytes {
            [byte] => self.0.push(*byte),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }
}

/// The 64-bit digest of a value.
///
/// # Panics
/// Never for the engine's own types: they hold no map whose length is unknown.
#[must_use]
pub fn digest_of<T: Serialize>(value: &T) -> u64 {
    let mut bytes = Bytes(Vec::with_capacity(BYTES_MOSTLY));
    bincode::serde::encode_into_writer(value, &mut bytes, bincode::config::standard())
        .expect("the engine's types always encode");
    xxh3_64(&bytes.0)
}

/// Folds a digest into a rolling one; order matters.
#[must_use]
pub fn fold(rolling: u64, next: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rolling.to_le_bytes());
    bytes[8..].copy_from_slice(&next.to_le_bytes());
    xxh3_64(&bytes)
}
