//! What is known of pods and objects, on either side.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::facts::{CloudFacts, PodFacts};
use crate::id::{EffectId, Seq, Uid};
use crate::objects::ObjectVersion;
use crate::time::Micros;

/// What is known of a pod's API object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KubernetesView {
    /// Never seen: a cloud pod carries its mark.
    Unseen,
    /// Bound to our node when last seen.
    Bound {
        facts: Arc<PodFacts>,
        /// The record of the last sight.
        seen: Seq,
    },
    /// A complete list or a call lacked it: to be looked up.
    Doubted {
        facts: Arc<PodFacts>,
        /// What the watch will say if it is gone.
        word: Word,
    },
    /// Proven gone.
    Gone {
        /// How often it was looked up and found absent; 0 when the watch said so.
        proofs: u32,
        /// By absence alone, rather than by the watch's word or after we released it.
        by_absence: bool,
        /// What the watch says of it.
        word: Word,
    },
}

/// What the watch, or a list in its place, says of a pod that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// That it is gone: nothing more will be heard of it.
    Said,
    /// Nothing yet: that it is gone will be heard.
    Awaited,
    /// Perhaps nothing: it was never seen, or a list lacked it, which may be of the past.
    Unexpected,
}

/// What is known of a pod in the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CloudView {
    /// Nothing: the pod was there before we were. It was looked up and found absent `proofs` times.
    Unproven { proofs: u32 },
    /// We have not created it, and nobody else can have.
    Never,
    /// We asked for it and do not know what came of that; looked up and found absent `proofs` times since. Once
    /// absent it may be asked for again, as a late one has the same name, but it is not known to be absent.
    Unknown { proofs: u32 },
    /// It is there.
    Present { facts: Arc<CloudFacts>, since: Micros },
    /// It was there, and a list or a look-up lacked it.
    Doubted { facts: Arc<CloudFacts>, since: Micros, proofs: u32 },
    /// The cloud accepted its deletion.
    Ending {
        facts: Arc<CloudFacts>,
        /// The grace period that was asked for.
        grace_s: u32,
        /// A list lacked it: to be looked up.
        missing: bool,
        /// When it takes too long.
        overdue: Micros,
    },
    /// Proven gone after it had been there.
    Gone { last: Option<Arc<CloudFacts>>, at: Micros },
}

impl CloudView {
    /// What was last seen of it.
    pub(crate) fn facts(&self) -> Option<&Arc<CloudFacts>> {
        match self {
            CloudView::Present { facts, .. }
            | CloudView::Doubted { facts, .. }
            | CloudView::Ending { facts, .. } => Some(facts),
            CloudView::Gone { last, .. } => last.as_ref(),
            CloudView::Unproven { .. } | CloudView::Never | CloudView::Unknown { .. } => None,
        }
    }

    /// When it was proven gone; the beginning of time where it was not.
    pub(crate) fn gone_at(&self) -> Micros {
        match self {
            CloudView::Gone { at, .. } => *at,
            CloudView::Unproven { .. }
            | CloudView::Never
            | CloudView::Unknown { .. }
            | CloudView::Present { .. }
            | CloudView::Doubted { .. }
            | CloudView::Ending { .. } => Micros::default(),
        }
    }

    /// A short name for people and metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            CloudView::Unproven { .. } => "unproven",
            CloudView::Never => "never",
            CloudView::Unknown { .. } => "unknown",
            CloudView::Present { .. } => "present",
            CloudView::Doubted { .. } => "doubted",
            CloudView::Ending { .. } => "ending",
            CloudView::Gone { .. } => "gone",
        }
    }
}

/// A ConfigMap, Secret or claim, and its copy in the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    /// The pods that need it.
    pub(crate) users: BTreeSet<Uid>,
    pub(crate) source: ObjectSource,
    pub(crate) copy: ObjectCopy,
    /// What the cloud last said against its copy; `None` once it took one.
    pub(crate) refused: Option<String>,
    /// The sync that has not ended: at most one.
    pub(crate) effect: Option<EffectId>,
    /// The record that last said something new of the object.
    pub(crate) seq: Seq,
}

/// What is known of an object in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ObjectSource {
    /// Nothing since the start.
    #[default]
    Unread,
    /// It is there, as this.
    Present { version: ObjectVersion },
    /// It is not there.
    Absent,
    /// We may not read it, or it cannot be copied.
    Unreadable { message: String },
    /// It is there and of no use yet.
    Unready { message: String },
    /// It is there, and our own rules refuse it as it is.
    NotAdmitted { message: String },
}

/// What is known of an object's copy in the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ObjectCopy {
    /// There can be one, of any version.
    #[default]
    Unknown,
    /// There is one of this version.
    Written { version: ObjectVersion },
    /// There is none.
    Absent,
}
