//! How the simulated cloud behaves, as data.

use serde::{Deserialize, Serialize};

use super::capacity::Capacities;
use super::faults::FaultRules;
use super::profile::Generation;

/// How the cloud behaves. The default is a quick, healthy cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudOptions {
    /// The only generation that is served; both when none is named.
    pub only: Option<Generation>,
    /// Whether calls over HTTP must carry a token or a signature.
    pub authentication: bool,
    /// How long an issued token is valid, in seconds.
    pub token_valid_s: u32,
    /// How long the answer to a call that makes or changes something takes.
    pub create_latency_ms: u64,
    /// How long the answer to a call that reads takes.
    pub read_latency_ms: u64,
    /// How long the answer to a call that ends something takes.
    pub delete_latency_ms: u64,
    /// From the creation of a pod to its running; a quarter of it passes before the pod has a node.
    pub start_latency_ms: u64,
    /// Up to how much longer a start takes, different for each pod.
    pub start_jitter_ms: u64,
    /// From the deletion of a pod to its absence, when its grace period is not shorter.
    pub stop_latency_ms: u64,
    /// From the creation of a namespace to `Active` (CCI 1.0).
    pub namespace_ready_ms: u64,
    /// How long a namespace is `Terminating`.
    pub namespace_stop_ms: u64,
    /// For how long after its deletion the name of a namespace is refused.
    pub namespace_reuse_ms: u64,
    /// From the creation of a network to `Active` or `Ready`.
    pub network_ready_ms: u64,
    /// Limits of calls.
    pub rate_limits: RateLimits,
    /// Who answers a call above the limit.
    pub throttle_shape: ThrottleShape,
    /// The `Retry-After` of a throttled answer, in seconds. With [`ThrottleShape::Mixed`] every other such
    /// answer has none.
    pub retry_after_s: Option<u32>,
    /// By how much lists run behind creations and changes.
    pub list_create_lag_ms: u64,
    /// By how much lists run behind deletions: a pod that is gone is still listed so long.
    pub list_delete_lag_ms: u64,
    /// Most pods on one page of a list, whatever `limit` asks; 0 for a server that ignores `limit`.
    pub page_size_max: usize,
    /// How long a `continue` token is valid.
    pub continue_valid_ms: u64,
    /// Whether lists carry a resource version and a kind of their own (`PodList`), rather than `List` and an
    /// empty one as documented.
    pub list_resource_version: bool,
    /// Whether the list of namespaces is refused without a field selector (`CCI.01.400105`).
    pub namespace_list_needs_name: bool,
    /// Most namespaces of an account.
    pub namespaces_max: usize,
    /// Most pods of a namespace; 0 for no limit.
    pub pods_max: usize,
    /// For how many pods of some sizes there is room.
    pub capacities: Capacities,
    /// Status of the refusal of an unfit size: the documentation gives none.
    pub size_refusal_status: u16,
    /// How many `cci-imagesnapshot-*` pods, which are not the caller's, appear in each namespace.
    pub foreign_pods: usize,
    /// How long a call that times out is held.
    pub timeout_ms: u64,
    /// The longest time after which a call applied late takes effect.
    pub late_apply_ms_max: u64,
    /// Where the addresses of pods are from.
    pub pod_network: PodNetwork,
    /// After how long without data in either direction an exec stream is cut; 0 for never.
    pub exec_idle_ms: u64,
    /// The longest time after which a fault strikes a stream that is open.
    pub stream_fault_ms_max: u64,
    /// What goes wrong.
    pub faults: FaultRules,
}

impl Default for CloudOptions {
    fn default() -> CloudOptions {
        CloudOptions {
            only: None,
            authentication: true,
            token_valid_s: 24 * 3_600,
            create_latency_ms: 0,
            read_latency_ms: 0,
            delete_latency_ms: 0,
            start_latency_ms: 1_000,
            start_jitter_ms: 0,
            stop_latency_ms: 1_000,
            namespace_ready_ms: 500,
            namespace_stop_ms: 2_000,
            namespace_reuse_ms: 30_000,
            network_ready_ms: 500,
            rate_limits: RateLimits::default(),
            throttle_shape: ThrottleShape::Mixed,
            retry_after_s: Some(1),
            list_create_lag_ms: 0,
            list_delete_lag_ms: 0,
            page_size_max: 500,
            continue_valid_ms: 300_000,
            list_resource_version: false,
            namespace_list_needs_name: false,
            namespaces_max: 5,
            pods_max: 0,
            capacities: Capacities::default(),
            size_refusal_status: 403,
            foreign_pods: 0,
            timeout_ms: 2_000,
            late_apply_ms_max: 600_000,
            pod_network: PodNetwork::Private,
            exec_idle_ms: 300_000,
            stream_fault_ms_max: 10_000,
            faults: FaultRules::default(),
        }
    }
}

/// Calls per second that are let through, with bursts of one second's worth; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// Of all calls together.
    pub all_per_s: u32,
    /// Of calls that make or change something.
    pub create_per_s: u32,
    /// Of calls that read.
    pub read_per_s: u32,
    /// Of calls that end something.
    pub delete_per_s: u32,
}

/// Where the addresses of pods are from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodNetwork {
    /// 192.168.0.0/16, as in the service: nothing is there on this machine.
    #[default]
    Private,
    /// A part of 127.64.0.0/10, which is this machine: pods can be made to answer (see [`crate::serve::cci::serve_pods`]).
    Loopback,
}

/// Who answers a throttled call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottleShape {
    /// The API gateway (`APIGW.0308`).
    Gateway,
    /// The service, with a Kubernetes `Status`.
    Kubernetes,
    /// Now one, now the other, with and without `Retry-After`.
    #[default]
    Mixed,
}
