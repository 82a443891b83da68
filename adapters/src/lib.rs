//! Everything that talks to the world. Adapters turn what they see into small facts at the border and
//! carry out effects; they take no decision and never read the log.

pub mod cci;
pub mod clock;
pub mod execute;
pub mod kubelet;
pub mod kubernetes;
pub mod objects;
pub mod pace;
mod pod_address;
pub mod world;

pub use clock::Clock;

use engine::{Event, Micros};

/// Something an adapter saw, on its way into the log.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub at: Micros,
    /// What.
    pub event: Event,
}

/// Where adapters report to. Bounded: a full queue makes its producer wait, and the watch with it.
pub type Reports = tokio::sync::mpsc::Sender<Seen>;

/// Longest text of the other side's that we pass on, in bytes: enough for an image pull error with its
/// registry address, short enough for a hundred of them in one frame of the log.
pub const TEXT_BYTES_MAX: usize = 512;

/// Cuts a text to [`TEXT_BYTES_MAX`] at a character boundary.
#[must_use]
pub fn cut(text: &str) -> String {
    let mut text = text.to_owned();
    shorten(&mut text, TEXT_BYTES_MAX);
    text
}

/// Shortens a text to so many bytes, at a character boundary, and shows that it did.
fn shorten(text: &mut String, bytes_max: usize) {
    const MARK: char = '…';
    if text.len() <= bytes_max {
        return;
    }
    let end = bytes_max.saturating_sub(MARK.len_utf8());
    text.truncate((0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0));
    text.push(MARK);
}

/// Where a parser of JSON gave up. Its own words quote the value at fault, which may be a secret.
fn place(error: &serde_json::Error) -> String {
    format!("{:?} error at column {}", error.classify(), error.column())
}
