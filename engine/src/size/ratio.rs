//! CCI 1.0: sizes in steps, held within a ratio (CCE add-on page, Automatic Resource Adjustment).

use alloc::format;
use alloc::string::String;

use super::{GIB, Given, Rule, Size, Step, Unfit};

/// CPU comes in quarters, and a container that asks for anything has at least one of them: the cloud takes none with
/// less (CCI 1.0 API, create pod, constraints).
const CPU_STEP_MILLI: u64 = 250;
/// 0.2 GiB, in whole bytes.
const CONTAINER_MEMORY_MIN_BYTES: u64 = GIB.div_ceil(5);
const GIB_PER_CPU_MIN: u64 = 2;
const GIB_PER_CPU_MAX: u64 = 8;
const POD_MAX: Size = Size { cpu_milli: 32_000, memory_bytes: 256 * GIB };

/// Adjusts what the containers ask for.
///
/// # Errors
/// When the pod would be larger than there is.
pub(super) fn adjust(mut given: Given) -> Result<Given, Unfit> {
    for (list, containers) in
        [("spec.initContainers", &mut given.init_containers), ("spec.containers", &mut given.containers)]
    {
        for (index, size) in containers.iter_mut().enumerate().filter(|(_, size)| !size.is_nothing()) {
            let (from, to) = (*size, in_steps(*size));
            *size = to;
            if from != to {
                let field = format!("{list}[{index}]");
                given.steps.push(Step { rule: Rule::ContainerSteps, field, from, to });
            }
        }
    }
    let before = given.effective();
    given.pod = before;
    let whole = Size { memory_bytes: up(before.memory_bytes, GIB), ..before };
    given.step(Rule::WholeGib, whole);
    let least = Size { memory_bytes: whole.memory_bytes.max(memory_for(whole.cpu_milli)), ..whole };
    given.step(Rule::MemoryPerCpuMin, least);
    let most = Size { cpu_milli: least.cpu_milli.max(cpu_for(least.memory_bytes)), ..least };
    given.step(Rule::MemoryPerCpuMax, most);
    if most.cpu_milli > POD_MAX.cpu_milli || most.memory_bytes > POD_MAX.memory_bytes {
        return Err(too_large(most));
    }
    raise_first(&mut given, before);
    Ok(given)
}

fn in_steps(size: Size) -> Size {
    Size {
        cpu_milli: up(size.cpu_milli, CPU_STEP_MILLI).max(CPU_STEP_MILLI),
        memory_bytes: size.memory_bytes.max(CONTAINER_MEMORY_MIN_BYTES),
    }
}

/// The least memory for so much CPU, in whole GiB.
fn memory_for(cpu_milli: u64) -> u64 {
    cpu_milli.saturating_mul(GIB_PER_CPU_MIN).div_ceil(1_000).saturating_mul(GIB)
}

/// The least CPU for so much memory, in steps.
fn cpu_for(memory_bytes: u64) -> u64 {
    let milli = u128::from(memory_bytes) * 1_000 / u128::from(GIB * GIB_PER_CPU_MAX);
    let exact = milli * u128::from(GIB * GIB_PER_CPU_MAX) == u128::from(memory_bytes) * 1_000;
    up(u64::try_from(milli).unwrap_or(u64::MAX).saturating_add(u64::from(!exact)), CPU_STEP_MILLI)
}

fn up(amount: u64, step: u64) -> u64 {
    amount.div_ceil(step).saturating_mul(step)
}

/// Gives the first container that is not BestEffort what the pod was raised by, so that what the cloud makes of the
/// containers is the size of the pod. Where an init container needs more than all containers together, they are
/// raised to the pod's size: less would change nothing.
fn raise_first(given: &mut Given, before: Size) {
    let (sum, pod) = (given.sum(), given.pod);
    let missing = |before: u64, sum: u64, pod: u64| if pod > before { pod.saturating_sub(sum) } else { 0 };
    let raise = Size {
        cpu_milli: missing(before.cpu_milli, sum.cpu_milli, pod.cpu_milli),
        memory_bytes: missing(before.memory_bytes, sum.memory_bytes, pod.memory_bytes),
    };
    let first = given.containers.iter_mut().enumerate().find(|(_, size)| !size.is_nothing());
    if let Some((index, size)) = first.filter(|_| !raise.is_nothing()) {
        let (from, to) = (*size, size.plus(raise));
        *size = to;
        let field = format!("spec.containers[{index}]");
        given.steps.push(Step { rule: Rule::FirstContainer, field, from, to });
    }
}

fn too_large(size: Size) -> Unfit {
    let cpu = format!("{}.{:03}", size.cpu_milli / 1_000, size.cpu_milli % 1_000);
    let gib = size.memory_bytes.div_ceil(GIB);
    let message =
        format!("the pod comes to {cpu} CPUs and {gib} GiB; at most 32 CPUs and 256 GiB can be had");
    Unfit { rule: Rule::PodMax, field: String::from("spec.containers"), message }
}
