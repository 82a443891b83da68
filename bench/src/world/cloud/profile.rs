//! The two generations of the service, as data. Their namespaces are separate stores.

use serde::{Deserialize, Serialize};

use super::schema::{self, Shape};

/// A generation of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Generation {
    /// CCI 1.0: `/api/v1`, free sizes within a ratio.
    #[default]
    One,
    /// CCI 2.0: `/apis/cci/v2`, a table of sizes.
    Two,
}

/// What differs between the generations.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) generation: Generation,
    /// In front of `/namespaces`.
    pub(super) core_path: &'static str,
    /// `apiVersion` of everything but networks.
    pub(super) core_version: &'static str,
    /// Group in `details` of errors.
    pub(super) core_group: &'static str,
    /// In front of `/namespaces/{namespace}/networks`.
    pub(super) network_path: &'static str,
    /// `apiVersion` of networks.
    pub(super) network_version: &'static str,
    /// The field of a network's status that tells its state.
    pub(super) network_state_field: &'static str,
    /// The state of a network that works.
    pub(super) network_active: &'static str,
    /// Whether a new namespace is `Pending` first; otherwise it is active in the answer to its creation.
    pub(super) namespace_pends: bool,
    /// Whether a namespace must name its flavor.
    pub(super) namespace_flavor: bool,
    /// The pod spec that is kept; the rest is dropped without a word.
    pub(super) pod_spec: &'static Shape,
    /// The node that pods claim to run on.
    pub(super) node_name: &'static str,
}

static ONE: Profile = Profile {
    generation: Generation::One,
    core_path: "/api/v1",
    core_version: "v1",
    core_group: "",
    network_path: "/apis/networking.cci.io/v1beta1",
    network_version: "networking.cci.io/v1beta1",
    network_state_field: "state",
    network_active: "Active",
    namespace_pends: true,
    namespace_flavor: true,
    pod_spec: &schema::POD_SPEC_ONE,
    node_name: "cci-pool-001",
};

static TWO: Profile = Profile {
    generation: Generation::Two,
    core_path: "/apis/cci/v2",
    core_version: "cci/v2",
    core_group: "cci",
    network_path: "/apis/yangtse/v2",
    network_version: "yangtse/v2",
    network_state_field: "status",
    network_active: "Ready",
    namespace_pends: false,
    namespace_flavor: false,
    pod_spec: &schema::POD_SPEC_TWO,
    node_name: "compute-cell-001",
};

impl Generation {
    /// Both of them.
    pub const ALL: [Generation; 2] = [Generation::One, Generation::Two];

    pub(super) fn profile(self) -> &'static Profile {
        match self {
            Generation::One => &ONE,
            Generation::Two => &TWO,
        }
    }
}
