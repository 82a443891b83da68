//! What a request is about.

use super::lookup::PodView;

/// A pod of ours, and one of its containers where the path names one. The path was checked, and the pod found in the
/// agent's state, before a handler sees it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) pod: PodView,
    /// The container; empty where the path names none (port-forward).
    pub(crate) container: String,
}
