//! Why a replay cannot go on.

use std::io;
use std::path::PathBuf;

use engine::Seq;
use reqwest::Url;
use store::MachineError;

use crate::replay::check::Difference;
use crate::replay::gap::Gap;

/// Why a replay ends before the log does.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log is damaged, or cannot be decided on by this build.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The log is empty, or there is none.
    #[error("no record is in {}: is it the directory of a log?", .0.display())]
    NoRecords(PathBuf),
    /// The agent has nothing in its log, or does not send it.
    #[error("{0} sent no record")]
    NoRecordsSent(Url),
    /// Records at the beginning are not there, and no snapshot stands for them.
    #[error(
        "{}the log begins at {first}, and no snapshot of this build's format says how things stood there: \
         nothing of it can be told",
        gap.as_ref().map(|gap| format!("{gap}; ")).unwrap_or_default()
    )]
    NoStart {
        /// The first record that is left.
        first: Seq,
        /// What is known to be missing before it.
        gap: Option<Gap>,
    },
    /// Records were there and are not told.
    #[error("{0}")]
    Gap(Gap),
    /// An agent sends no snapshot to start from.
    #[error(
        "the agent's log begins at {first} and needs a snapshot: give its directory rather than the agent"
    )]
    NoStartSent {
        /// The first record that is left.
        first: Seq,
    },
    /// What was asked for was dropped.
    #[error("the log can be replayed from {first} on, --until lies before that")]
    TooEarly {
        /// The first record that can be replayed.
        first: Seq,
    },
    /// The agent does not send its log.
    #[error("cannot read the log from {url}: {reason}")]
    Agent {
        /// What was asked.
        url: Url,
        /// What went wrong.
        reason: String,
    },
    /// This build goes another way than the log's writer.
    #[error("{difference}{}", if *.sections { "" } else { "; --verify says more" })]
    Differs {
        /// Where.
        difference: Difference,
        /// Whether the state was compared as well.
        sections: bool,
    },
    /// Nobody takes what is told.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        Error::Machine(MachineError::Log(error))
    }
}
