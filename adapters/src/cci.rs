//! The cloud side: Huawei Cloud Container Instance on the wire.
//!
//! What differs between CCI 1.0 and 2.0 is data, in [`profile`]; requests and answers are values that
//! [`wire`], [`sign`] and [`error`] make and read without a socket; [`client`] sends, and turns every answer
//! into exactly one [`engine::Outcome`]. Nothing in here retries on its own account, but for one second try
//! after a refused token or signature: when to try again is the reducer's decision.

mod admission;
mod billed;
mod claims;
mod client;
mod config;
mod credentials;
mod error;
mod events;
pub(crate) mod exec;
mod explain;
#[cfg(test)]
mod fuzz_targets;
mod host_paths;
mod iam;
mod images;
mod listing;
mod logs;
mod namespace;
mod objects;
mod opened;
mod profile;
mod quota;
mod rooms;
mod sign;
mod sizing;
mod transport;
mod update;
pub(crate) mod usage;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

pub use admission::{Reason, Rule};
pub use billed::{PodSize, PodSizes};
pub use client::{Answered, CciClient};
pub use config::{CciConfig, NetworkConfig, PodChoices};
pub use credentials::{AccessKeyFiles, Auth, PasswordFiles};
pub use exec::{Broken, ExecOptions, ExecReader, ExecStream, ExecWriter, FromCloud};
pub use explain::{Explanation, explain};
pub use host_paths::HostPaths;
pub use images::ImageRules;
pub use listing::Listing;
pub use logs::{Cut, LogOptions, LogStream};
pub use opened::{NotOpened, Why};
pub use profile::{ObjectShape, PodShape, Profile, UsageSource};
pub use rooms::{Rooms, ZONE_LABEL};
pub use sizing::Sizing;
pub use wire::claims::ClaimCopy;

use std::path::PathBuf;

/// Why a client cannot be made. Each of these is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting does not make sense.
    #[error("{setting}: {reason}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A credential file cannot be used.
    #[error("credential file {}: {reason}", path.display())]
    Credential {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it; never a part of what is in it.
        reason: String,
    },
    /// The HTTP client cannot be set up.
    #[error("HTTP client")]
    Http(#[source] reqwest::Error),
}
