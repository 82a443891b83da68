//! What is remembered of refusals: for one pod, and for all of them.

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
}

impl FailureKind {
    /// Whether a pod that runs only once has failed.
    pub(crate) fn ends(self) -> bool {
        match self {
            FailureKind::Permanent | FailureKind::NotAdmitted => true,
            FailureKind::Passing | FailureKind::OperatorAction | FailureKind::ObjectsMissing => false,
        }
    }

    /// The reason that the pod's status gives.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            FailureKind::Passing
            | FailureKind::Permanent
            | FailureKind::NotAdmitted
            | FailureKind::OperatorAction => "ProviderFailed",
            FailureKind::ObjectsMissing => "CreateContainerConfigError",
        }
    }
}

/// Why no pods are made in the cloud, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CreateHold {
    /// What the cloud said, with its code and what is to be done, as people were told it.
    pub(crate) message: String,
    /// Its code: the same is not told again.
    pub(crate) code: String,
    /// When it was last heard: what was sent before says nothing against it.
    pub(crate) since: Micros,
    /// Then one pod is tried.
    pub(crate) until: Micros,
}
