//! Digests of data: over the bytes of the stored form, so that they are the same on every machine and
//! under every compiler. They detect change; they are no defence against an attacker.

use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3Default;

struct HashWriter(Xxh3Default);

impl Writer for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.update(bytes);
        Ok(())
    }
}

/// The 64-bit digest of a value.
///
/// # Panics
/// Never for the engine's own types: they hold no map whose length is unknown.
#[must_use]
pub fn digest_of<T: Serialize>(value: &T) -> u64 {
    let mut writer = HashWriter(Xxh3Default::new());
    bincode::serde::encode_into_writer(value, &mut writer, bincode::config::standard())
        .expect("the engine's types always encode");
    writer.0.digest()
}

/// Folds a digest into a rolling one; order matters.
#[must_use]
pub fn fold(rolling: u64, next: u64) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(&rolling.to_le_bytes());
    hasher.update(&next.to_le_bytes());
    hasher.digest()
}
