//! What the fuzz targets share: inputs that are made from real ones, and a count of the memory that reading one
//! takes.
//!
//! A target lives beside the decoder that it attacks, in the tests of that crate, and is a plain test: [`target!`]
//! with a corpus of real inputs and a function that checks one input. In `cargo test` each runs for a second on
//! random edits of the corpus; `.ci/fuzz` runs one for as long as it is told, under libFuzzer, which keeps the
//! edits that reach new code.

mod edit;
mod memory;

pub use bolero;
pub use edit::{SCRIPT_BYTES_MAX, edited};
pub use memory::peak_bytes;

/// Planted where a secret may stand: what is read of an input must not hold it.
pub const CANARY: &str = "c4n4ry-0f-4-s3cr3t";

/// Checks a function on edits of a corpus: `fuzz::target!(&[&[u8]], fn(&[u8]))`, as the whole of a test.
#[macro_export]
macro_rules! target {
    ($corpus:expr, $check:expr) => {{
        let corpus: &[&[u8]] = $corpus;
        $crate::bolero::check!()
            .with_max_len($crate::SCRIPT_BYTES_MAX)
            .for_each(|script: &[u8]| $check(&$crate::edited(corpus, script)))
    }};
}
