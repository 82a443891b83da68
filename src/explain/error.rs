//! Why something cannot be read. Each is one line that follows the name of the file; it may quote the file, which is
//! the caller's own.

use crate::explain::read::INPUT_BYTES_MAX;

/// What cannot be read, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than a file of manifests can be.
    #[error(": longer than {} MiB: is it the right one?", INPUT_BYTES_MAX >> 20)]
    TooLong,
    /// Not text.
    #[error(": not text in UTF-8")]
    NotText,
    /// Not YAML.
    #[error(", line {line}: not YAML: {problem}")]
    Yaml {
        /// Where the parser gave up.
        line: usize,
        /// What it says.
        problem: String,
    },
    /// Not an object of Kubernetes, or not as its fields are.
    #[error(", line {line}: {what}: {field}: {problem}")]
    Field {
        /// Where its document begins.
        line: usize,
        /// Which object.
        what: String,
        /// Which field of it.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing in it makes pods.
    #[error(
        ": no pod in it: give a Pod, Deployment, StatefulSet, Job, CronJob, ReplicaSet or a List of them{}",
        if found.is_empty() { String::new() } else { format!("; found {found}") }
    )]
    NoPod {
        /// What is in it.
        found: String,
    },
}
