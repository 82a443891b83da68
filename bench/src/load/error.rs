//! Why a load test failed.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::load::Options;
use crate::load::tracker::Tracker;

/// Why a load test failed. None of them is worth a retry without a change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine does not do what we need.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What we were about to do.
        doing: String,
        /// What went wrong.
        source: io::Error,
    },
    /// A child process ended before it should have, or badly.
    #[error("the {name} ended ({status}); its last words:\n{last_words}")]
    ChildEnded {
        /// Which.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// The end of its standard error.
        last_words: String,
    },
    /// A child process did not become ready.
    #[error("the {name} is not ready after {waited_s} s: {reason}; its last words:\n{last_words}")]
    ChildNotReady {
        /// Which.
        name: &'static str,
        /// For how long we waited.
        waited_s: u64,
        /// What it says, or what is wrong with what it says.
        reason: String,
        /// The end of its standard error.
        last_words: String,
    },
    /// The cluster refuses what we need.
    #[error("cannot {doing}: {}", words(source))]
    Kubernetes {
        /// What we were about to do.
        doing: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The kubeconfig cannot be used.
    #[error("--kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster took none of the pods.
    #[error("the cluster took none of the pods: {0}")]
    NoPodCreated(String),
    /// Something that takes its time took too long.
    #[error("{what} is not done after {waited_s} s")]
    TooSlow {
        /// What.
        what: String,
        /// For how long we waited.
        waited_s: u64,
    },
    /// The pods did not all come, or go, in time.
    #[error(
        "after {waited_s} s (--timeout-s), of {pods} pods {progress}; the agent's last words:\n{last_words}"
    )]
    Incomplete {
        /// For how long we waited.
        waited_s: u32,
        /// How many there were to be.
        pods: u32,
        /// How many got how far.
        progress: String,
        /// The end of the agent's standard error.
        last_words: String,
    },
    /// The directory for the log is not empty.
    #[error("--log-dir {}: not empty: give another one, so that only this run is measured", .0.display())]
    LogDirectoryInUse(PathBuf),
    /// The directory for the log cannot be used.
    #[error("--log-dir {}: {source}", path.display())]
    LogDirectory {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The agent's log cannot be read.
    #[error("the agent's log: {0}")]
    Log(#[from] store::Error),
    /// The agent's log cannot be replayed.
    #[error("the agent's log: {0}")]
    Replay(#[from] engine::Violation),
    /// Somebody wants an end.
    #[error("interrupted")]
    Interrupted,
}

/// The exit code of a program that was called wrongly.
const EXIT_USAGE: i32 = 2;

/// What the cluster said, or why it could not be asked. An API error in full would be a page of its structure.
pub(crate) fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error { status.message.clone() } else { error.to_string() }
}

impl Error {
    /// Whether an option is wrong, rather than the world: ours, or one of those that are for the agent.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Error::Kubeconfig { .. } | Error::LogDirectoryInUse(_) | Error::LogDirectory { .. } => true,
            Error::ChildEnded { status, .. } => status.code() == Some(EXIT_USAGE),
            Error::Io { .. }
            | Error::ChildNotReady { .. }
            | Error::Kubernetes { .. }
            | Error::NoPodCreated(_)
            | Error::TooSlow { .. }
            | Error::Incomplete { .. }
            | Error::Log(_)
            | Error::Replay(_)
            | Error::Interrupted => false,
        }
    }

    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Error {
        Error::Io { doing: doing.into(), source }
    }

    pub(crate) fn kubernetes(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
        let doing = doing.into();
        |source| Error::Kubernetes { doing, source: Box::new(source) }
    }

    pub(crate) fn incomplete(options: &Options, tracker: &Tracker) -> Error {
        Error::Incomplete {
            waited_s: options.timeout_s,
            pods: options.pods,
            progress: match tracker.complaint() {
                Some(words) => format!("{} (one says {words})", tracker.counts()),
                None => tracker.counts().to_string(),
            },
            last_words: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn a_child_that_was_called_wrongly_was_called_so_by_the_user() {
        let ended = |code: i32| Error::ChildEnded {
            name: "agent",
            status: ExitStatus::from_raw(code << 8),
            last_words: String::new(),
        };
        assert!(ended(2).is_usage());
        assert!(!ended(1).is_usage());
        assert!(Error::LogDirectoryInUse("log".into()).is_usage());
        assert!(!Error::Interrupted.is_usage());
    }
}
