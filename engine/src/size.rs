//! What a pod asks for, and what it is given and billed for: pure policies, each named after the version whose rules
//! it keeps, in whole milli-CPUs and bytes.

mod flavor;
pub mod quantity;
mod ratio;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub use flavor::parse as flavor_size;
pub use quantity::{Malformed, Quantity, cpu_text, memory_text};

/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;

/// CPU and memory, of a container or a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Thousandths of a CPU.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

impl Size {
    fn plus(self, other: Size) -> Size {
        Size {
            cpu_milli: self.cpu_milli.saturating_add(other.cpu_milli),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    fn max(self, other: Size) -> Size {
        Size {
            cpu_milli: self.cpu_milli.max(other.cpu_milli),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }

    /// Whether there is neither CPU nor memory: a container of class BestEffort.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Size::default()
    }
}

/// CPU and memory as one of a container's two lists names them; nothing and zero mean the same, as in Kubernetes'
/// classes of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a CPU.
    pub cpu_milli: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
}

/// What one container asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its `resources.requests`.
    pub requests: Amounts,
    /// Its `resources.limits`.
    pub limits: Amounts,
}

/// What a pod asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedPod {
    /// Its containers, in their order.
    pub containers: Vec<Asked>,
    /// Its init containers, in their order.
    pub init_containers: Vec<Asked>,
    /// The annotation `resource.cci.io/pod-size-specs`, which only CCI 2.0 knows.
    pub pod_size_specs: Option<String>,
}

impl AskedPod {
    /// What the pod comes to before any rule: the sum of its containers, which run together, or its largest init
    /// container, whichever is more (CCI API, pod specifications).
    #[must_use]
    pub fn size(&self) -> Size {
        effective(&sizes(&self.containers), &sizes(&self.init_containers))
    }
}

/// How a pod is sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizePolicy {
    /// Add-ons before 1.2.5: requests must equal limits (CCE add-on page, Notes and Constraints).
    Cci10V124,
    /// Add-ons from 1.2.5 on: limits, or else requests (CCE add-on page, Notes and Constraints).
    Cci10V125,
    /// CCI 2.0: the smallest flavor that fits (CCI 2.0 user guide, pod specifications).
    Cci20,
}

impl SizePolicy {
    /// All of them.
    pub const ALL: [SizePolicy; 3] = [SizePolicy::Cci10V124, SizePolicy::Cci10V125, SizePolicy::Cci20];

    /// Its name in configuration and in what is told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SizePolicy::Cci10V124 => "cci-1.0/1.2.4",
            SizePolicy::Cci10V125 => "cci-1.0/1.2.5",
            SizePolicy::Cci20 => "cci-2.0",
        }
    }
}

/// What a pod is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// What is billed.
    pub pod: Size,
    /// What each container is given, requests and limits alike; nothing for one of class BestEffort.
    pub containers: Vec<Size>,
    /// The same of the init containers.
    pub init_containers: Vec<Size>,
    /// What was changed, in the order in which it was.
    pub steps: Vec<Step>,
}

/// One change of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule that asked for it.
    pub rule: Rule,
    /// What it applies to: `spec.containers[0]`, or `pod`.
    pub field: String,
    /// Before.
    pub from: Size,
    /// After.
    pub to: Size,
}

/// The rules by which a size is changed or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Requests must equal limits (CCE add-on page, Notes and Constraints, before 1.2.5).
    RequestsEqualLimits,
    /// At least one container has CPU (CCE add-on page, Notes and Constraints).
    SomeCpu,
    /// At least one container has CPU and memory, unless the annotation names a flavor (CCI 2.0 user guide, bursting).
    SomeCpuAndMemory,
    /// CPU of a container in steps of 0.25 and at least one of them, its memory at least 0.2 GiB; one that asks for
    /// nothing stays as it is (CCE add-on page, Automatic Resource Adjustment, first rule; CCI 1.0 API, create pod,
    /// constraints).
    ContainerSteps,
    /// Memory of the pod in whole GiB (second rule).
    WholeGib,
    /// At least 2 GiB for each CPU (third rule).
    MemoryPerCpuMin,
    /// At most 8 GiB for each CPU (third rule).
    MemoryPerCpuMax,
    /// At most 32 CPUs and 256 GiB (fourth rule).
    PodMax,
    /// What the pod was raised by goes to the first container that is not BestEffort (fifth rule).
    FirstContainer,
    /// The smallest flavor that fits (CCI 2.0 user guide, pod specifications).
    SmallestFlavor,
    /// The flavor of the annotation, which must be one and must fit (CCI 2.0 user guide, pod specifications).
    NamedFlavor,
}

impl Rule {
    /// A short name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rule::RequestsEqualLimits => "requests-equal-limits",
            Rule::SomeCpu => "some-cpu",
            Rule::SomeCpuAndMemory => "some-cpu-and-memory",
            Rule::ContainerSteps => "container-steps",
            Rule::WholeGib => "whole-gib",
            Rule::MemoryPerCpuMin => "memory-per-cpu-min",
            Rule::MemoryPerCpuMax => "memory-per-cpu-max",
            Rule::PodMax => "pod-max",
            Rule::FirstContainer => "first-container",
            Rule::SmallestFlavor => "smallest-flavor",
            Rule::NamedFlavor => "named-flavor",
        }
    }
}

/// Why a pod cannot be sized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The rule that forbids it.
    pub rule: Rule,
    /// Where.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Sizes a pod.
///
/// # Errors
/// Every reason why it cannot be sized, in the order of the fields.
pub fn size(policy: SizePolicy, pod: &AskedPod) -> Result<Given, Vec<Unfit>> {
    let mut unfit = Vec::new();
    if policy == SizePolicy::Cci10V124 {
        unfit.extend(unequal("spec.initContainers", &pod.init_containers));
        unfit.extend(unequal("spec.containers", &pod.containers));
    }
    let (containers, init_containers) = (sizes(&pod.containers), sizes(&pod.init_containers));
    let named = pod.pod_size_specs.as_deref().filter(|_| policy == SizePolicy::Cci20);
    if named.is_none() {
        unfit.extend(too_little(policy, &containers));
    }
    if !unfit.is_empty() {
        return Err(unfit);
    }
    let given = Given { pod: Size::default(), containers, init_containers, steps: Vec::new() };
    match policy {
        SizePolicy::Cci10V124 | SizePolicy::Cci10V125 => ratio::adjust(given),
        SizePolicy::Cci20 => flavor::choose(given, named),
    }
    .map_err(|unfit| alloc::vec![unfit])
}

/// What at least one container must ask for.
fn too_little(policy: SizePolicy, containers: &[Size]) -> Option<Unfit> {
    let (rule, enough, message) = match policy {
        SizePolicy::Cci10V124 | SizePolicy::Cci10V125 => (
            Rule::SomeCpu,
            containers.iter().any(|size| size.cpu_milli > 0),
            "no container asks for CPU; give at least one a CPU limit or request",
        ),
        SizePolicy::Cci20 => (
            Rule::SomeCpuAndMemory,
            containers.iter().any(|size| size.cpu_milli > 0 && size.memory_bytes > 0),
            "no container asks for CPU and memory; give at least one a limit or request of both",
        ),
    };
    (!enough).then(|| Unfit { rule, field: "spec.containers".into(), message: message.into() })
}

impl Asked {
    /// Limits, or else requests. Where both must be equal it is the same.
    #[must_use]
    pub fn size(&self) -> Size {
        let either = |limit: Option<u64>, request: Option<u64>| {
            limit.filter(|limit| *limit > 0).or(request).unwrap_or_default()
        };
        Size {
            cpu_milli: either(self.limits.cpu_milli, self.requests.cpu_milli),
            memory_bytes: either(self.limits.memory_bytes, self.requests.memory_bytes),
        }
    }
}

fn unequal<'a>(list: &'a str, containers: &'a [Asked]) -> impl Iterator<Item = Unfit> + 'a {
    // The API server makes a request of a limit that has none.
    let differ = |limit: Option<u64>, request: Option<u64>| {
        request.is_some_and(|request| request != limit.unwrap_or_default())
    };
    containers.iter().enumerate().flat_map(move |(index, asked)| {
        let (limits, requests) = (asked.limits, asked.requests);
        let cpu = differ(limits.cpu_milli, requests.cpu_milli).then_some("cpu");
        let memory = differ(limits.memory_bytes, requests.memory_bytes).then_some("memory");
        cpu.into_iter().chain(memory).map(move |resource| Unfit {
            rule: Rule::RequestsEqualLimits,
            field: format!("{list}[{index}].resources"),
            message: format!("requests and limits of {resource} differ; make them equal"),
        })
    })
}

fn sizes(asked: &[Asked]) -> Vec<Size> {
    asked.iter().map(Asked::size).collect()
}

fn sum(containers: &[Size]) -> Size {
    containers.iter().fold(Size::default(), |sum, size| sum.plus(*size))
}

/// What containers come to: all of them run together, but the init containers one after the other, before.
fn effective(containers: &[Size], init_containers: &[Size]) -> Size {
    init_containers.iter().fold(sum(containers), |most, size| most.max(*size))
}

impl Given {
    fn sum(&self) -> Size {
        sum(&self.containers)
    }

    fn effective(&self) -> Size {
        effective(&self.containers, &self.init_containers)
    }

    /// Notes a change of the pod, if it is one.
    fn step(&mut self, rule: Rule, to: Size) {
        let from = core::mem::replace(&mut self.pod, to);
        if from != to {
            self.steps.push(Step { rule, field: "pod".into(), from, to });
        }
    }
}

#[cfg(test)]
mod tests;
