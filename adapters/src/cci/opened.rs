//! Why the cloud gives no stream.

use std::time::Duration;

use engine::Outcome;

use super::client::POD_KINDS;
use super::error::Intent;
use super::transport::Failure;

/// What the cloud's "no" to a stream is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// What was asked for: it would be refused again.
    Asked,
    /// The pod is not there.
    Absent,
    /// Too many calls at once.
    Throttled,
    /// Anything else: no answer, our credential, the cloud itself.
    Cloud,
}

/// A stream that was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotOpened {
    /// What it is about.
    pub why: Why,
    /// The cloud's words, cut to a bound, or ours; without secrets.
    pub message: String,
    /// How long the cloud asked to be left alone.
    pub wait: Option<Duration>,
}

impl NotOpened {
    pub(super) fn of_the_cloud(message: &str) -> NotOpened {
        NotOpened { why: Why::Cloud, message: crate::cut(message), wait: None }
    }
}

impl From<Failure> for NotOpened {
    fn from(failure: Failure) -> NotOpened {
        let problem = match failure {
            Failure::Problem(problem) => problem,
            Failure::Fault(fault) => return NotOpened::of_the_cloud(&words(fault.outcome(Intent::Read))),
        };
        let why = match problem.status {
            // Whatever was not of the API says nothing about what was asked for.
            400 | 422 if problem.recognised => Why::Asked,
            429 => Why::Throttled,
            _ if problem.is_absence_of(&POD_KINDS) => Why::Absent,
            _ => Why::Cloud,
        };
        let wait = problem.wait_ms.map(|wait_ms| Duration::from_millis(wait_ms.into()));
        // The words alone where they are for the caller, as a kubelet would say them; else with the code.
        let message = if why == Why::Asked && !problem.message.is_empty() {
            problem.message
        } else {
            problem.sentence()
        };
        NotOpened { why, message, wait }
    }
}

fn words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused(refusal) => refusal.message,
        Outcome::Later { message, .. } | Outcome::Unknown { message } => message,
        // No fault is a success.
        Outcome::Done(_) => String::new(),
    }
}
