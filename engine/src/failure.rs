//! What is remembered of the refusal of one pod.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::time::Micros;

/// A refusal of the cloud that the pod's status tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) kind: FailureKind,
    pub(crate) at: Micros,
}

/// What a refusal means for the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailureKind {
    /// Another try can help.
    Passing,
    /// Another try cannot help, as far as the cloud says: a pod that runs only once has then failed.
    Permanent,
    /// Nor is there one, before the manifest or the agent has changed.
    NotAdmitted,
    /// A person has to act first, and then it is tried at once.
    OperatorAction,
    /// What it needs is not there (virtual-kubelet rules VK-E7 and VK-C10).
    ObjectsMissing,
    /// Our own rules refuse an object that it names. Only another object of that name changes it, which a pod that runs
    /// once does not wait for.
    ObjectNotAdmitted,
}

impl FailureKind {
    /// Whether a pod that runs only once has failed.
    pub(crate) fn ends(self) -> bool {
        match self {
            FailureKind::Permanent | FailureKind::NotAdmitted | FailureKind::ObjectNotAdmitted => true,
            FailureKind::Passing | FailureKind::OperatorAction | FailureKind::ObjectsMissing => false,
        }
    }

    /// Whether it is about an object that the pod names.
    pub(crate) fn is_of_objects(self) -> bool {
        match self {
            FailureKind::ObjectsMissing | FailureKind::ObjectNotAdmitted => true,
            FailureKind::Passing
            | FailureKind::Permanent
            | FailureKind::NotAdmitted
            | FailureKind::OperatorAction => false,
        }
    }

    /// The reason that the pod's status gives.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            FailureKind::Passing
            | FailureKind::Permanent
            | FailureKind::NotAdmitted
            | FailureKind::OperatorAction
            | FailureKind::ObjectNotAdmitted => "ProviderFailed",
            FailureKind::ObjectsMissing => "CreateContainerConfigError",
        }
    }
}
