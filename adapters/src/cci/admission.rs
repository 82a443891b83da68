//! Whether the cloud can run a pod as it is meant. A pod that it cannot is refused before any call, for all the
//! reasons at once. What merely has no meaning there is left out instead (`left_out`).

mod checks;
mod rule;
#[cfg(test)]
mod tests;

use std::fmt;

pub(in crate::cci) use checks::reasons;
pub use rule::Rule;

use crate::TEXT_BYTES_MAX;

/// Why a pod is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule that it breaks.
    pub rule: Rule,
    /// Where, such as `spec.containers[1].securityContext.privileged`.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} ({})", self.field, self.message, self.rule.name())
    }
}

impl From<engine::size::Unfit> for Reason {
    fn from(unfit: engine::size::Unfit) -> Reason {
        Reason { rule: Rule::Size(unfit.rule), field: unfit.field, message: unfit.message }
    }
}

/// All reasons in the words of the pod's status and notice, in at most [`TEXT_BYTES_MAX`] bytes: in full where they
/// fit, else each by its field and rule, and the number of those for which even that is too long.
pub(in crate::cci) fn sentence(reasons: &[Reason]) -> String {
    let full = reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ");
    if full.len() <= TEXT_BYTES_MAX {
        return full;
    }
    let mut short = String::new();
    for (index, reason) in reasons.iter().enumerate() {
        let next = format!("{}{} ({})", if index == 0 { "" } else { "; " }, reason.field, reason.rule.name());
        let rest = format!("; and {} more", reasons.len() - index);
        if short.len() + next.len() + rest.len() > TEXT_BYTES_MAX {
            // A field can be as long as the manifest lets it.
            return if index == 0 { crate::cut(&full) } else { short + &rest };
        }
        short += &next;
    }
    short
}
