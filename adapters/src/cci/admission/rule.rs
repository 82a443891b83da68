//! The rules by which a pod is admitted.

/// A rule that a pod must keep to be made in the cloud. Each names its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A pod has a spec (Kubernetes API, Pod).
    SpecMissing,
    /// No pod of a DaemonSet: it is meant for real nodes (CCE add-on page, Notes and Constraints).
    DaemonSet,
    /// Not in the node's network (CCE add-on page, Notes and Constraints).
    HostNetwork,
    /// Not among the node's processes (CCI 2.0 API, create pod: the spec has no such field).
    HostPid,
    /// Not in the node's inter-process communication (CCI 2.0 API, create pod).
    HostIpc,
    /// No dynamic resource allocation (CCE add-on bulletin, 1.5.27).
    ResourceClaims,
    /// Resources of containers only, none of the pod as a whole (CCI 2.0 API, create pod): what is billed would not
    /// be what was asked.
    PodResources,
    /// Linux only (CCI 2.0 API, create pod: the spec has no `os`).
    OperatingSystem,
    /// No strict groups (CCI 2.0 user guide, bursting, limits with Kubernetes 1.35): the image's own groups would
    /// be added unseen.
    SupplementalGroupsPolicy,
    /// So many containers at most as a pod may have (CCI 1.0 API, create pod, constraints).
    ContainerCount,
    /// Kinds of volume (CCE add-on page, Notes and Constraints; downwardAPI and projected with add-on 1.3.25).
    VolumeKind,
    /// What a claim may be bound to (CCI 2.0 user guide, bursting, storage; CCI 1.0 API, importing a storage device).
    ClaimStorage,
    /// Kinds of source in a projected volume (CCI 2.0 API, create pod).
    ProjectedSource,
    /// No part of an emptyDir is mounted (CCE add-on page, Notes and Constraints).
    EmptyDirSubPath,
    /// No privileged container (CCI 1.0 product description, constraints).
    Privileged,
    /// No raw block device (CCI 2.0 API, create pod: a container has no such field).
    VolumeDevices,
    /// Ways to probe (CCI 2.0 API, create pod).
    ProbeHandler,
    /// What a lifecycle hook may do (CCI 2.0 API, create pod).
    LifecycleHandler,
    /// Where a variable's value may come from (CCI 2.0 API, create pod).
    EnvSource,
    /// No init container that goes on running (add-on 1.5.80 was the first to have them): it would never end, and
    /// the pod never begin.
    SidecarContainer,
    /// No restart policy of a single container (CCI 2.0 user guide, bursting, limits with Kubernetes 1.35).
    ContainerRestartPolicy,
    /// A pod's own replacements of images are such a list (CCI 1.0 user guide, image replacement).
    ImageReplacement,
    /// Amounts are Kubernetes quantities (Kubernetes API, `resource.Quantity`).
    Quantity,
    /// A rule of the sizing policy.
    Size(engine::size::Rule),
}

impl Rule {
    /// A short name for programs, which does not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rule::SpecMissing => "spec-missing",
            Rule::DaemonSet => "daemon-set",
            Rule::HostNetwork => "host-network",
            Rule::HostPid => "host-pid",
            Rule::HostIpc => "host-ipc",
            Rule::ResourceClaims => "resource-claims",
            Rule::PodResources => "pod-resources",
            Rule::OperatingSystem => "operating-system",
            Rule::SupplementalGroupsPolicy => "supplemental-groups-policy",
            Rule::ContainerCount => "container-count",
            Rule::VolumeKind => "volume-kind",
            Rule::ClaimStorage => "claim-storage",
            Rule::ProjectedSource => "projected-source",
            Rule::EmptyDirSubPath => "empty-dir-sub-path",
            Rule::Privileged => "privileged",
            Rule::VolumeDevices => "volume-devices",
            Rule::ProbeHandler => "probe-handler",
            Rule::LifecycleHandler => "lifecycle-handler",
            Rule::EnvSource => "env-source",
            Rule::SidecarContainer => "sidecar-container",
            Rule::ContainerRestartPolicy => "container-restart-policy",
            Rule::ImageReplacement => "image-replacement",
            Rule::Quantity => "quantity",
            Rule::Size(rule) => rule.name(),
        }
    }
}
