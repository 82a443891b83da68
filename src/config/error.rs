//! What can be wrong with the configuration, in words that say where, what and what to do.

use std::fmt;
use std::path::PathBuf;

/// Longest part of a wrong value that is shown: enough to recognise it, short enough for one line.
const SHOWN_CHARS_MAX: usize = 60;

/// Where an option was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In the configuration file.
    File(PathBuf),
    /// Nowhere: the default counts.
    Default,
}

/// An option as the operator wrote it: `--node-name`, `BURST_AGENT_NODE_NAME`, or `node-name` in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The option's key.
    pub key: String,
    /// Where it was set.
    pub source: Source,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key that is no option can hold anything, and a line of a log is one line.
        let key = self.key.escape_debug();
        match &self.source {
            Source::Flag => write!(f, "--{key}"),
            Source::Environment => write!(f, "{}", variable(&self.key).escape_debug()),
            Source::File(path) => write!(f, "{key} in {}", path.display()),
            Source::Default => write!(f, "--{key} (default)"),
        }
    }
}

/// The environment variable of an option: `node-name` is `BURST_AGENT_NODE_NAME`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('-', "_"))
}

/// What the names of our environment variables begin with.
pub const PREFIX: &str = "BURST_AGENT_";

/// One thing that is wrong with the configuration. Its text is one line: where, what, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value cannot be.
    #[error("{place}: {} is not accepted: {remedy}", shown(value))]
    Value {
        /// Which option, and where it was set.
        place: Place,
        /// What it was set to.
        value: String,
        /// What to do.
        remedy: String,
    },
    /// A value contradicts another one, or lacks one.
    #[error("{place}: {remedy}")]
    Conflict {
        /// Which option, and where it was set.
        place: Place,
        /// What is wrong with it, and what to do.
        remedy: String,
    },
    /// An option has no default and was set nowhere.
    #[error("{key} is not set: give --{key}, {} or {key} in the configuration file{hint}", variable(key))]
    Missing {
        /// The option's key.
        key: String,
        /// What else would do, or nothing.
        hint: String,
    },
    /// The file has a key that is no option.
    #[error("{place}: no such option{}", nearest.as_ref().map_or(String::new(), |key| format!(": did you mean {key}?")))]
    UnknownKey {
        /// The key, and in which file.
        place: Place,
        /// The option that looks most like it.
        nearest: Option<String>,
    },
    /// Somebody tried to pass a credential as an option. Its value is not kept.
    #[error(
        "{place}: credentials are not options: put them as files into a directory and name that with \
         --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR"
    )]
    Credential {
        /// Under which name it was given.
        place: Place,
    },
    /// The configuration file cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why, and what to do.
        problem: String,
    },
}

/// A wrong value for a message: quoted, on one line, cut to a bound. A value with an `@` may hold a password,
/// as `https://user:password@host` does, and is not shown.
fn shown(value: &str) -> String {
    if value.contains('@') {
        return "the value (not shown, because it may hold a password)".to_owned();
    }
    let mut cut: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < value.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}
