//! CCI 2.0: a table of flavors, of which a pod is given the smallest that fits (CCI 2.0 user guide, pod
//! specifications).

use alloc::format;
use alloc::string::String;

use super::{GIB, Given, Quantity, Rule, Size, Unfit};

/// The annotation that names a flavor.
const FIELD: &str = "metadata.annotations[resource.cci.io/pod-size-specs]";

/// Memory that goes with so much CPU, in half GiB: from, to, step.
type Row = (u64, &'static [(u64, u64, u64)]);

/// General computing: CPU, and its memory in half GiB as ranges with a step.
const TABLE: [Row; 10] = [
    (250, &[(1, 2, 1), (4, 4, 1)]),
    (500, &[(1, 2, 1), (4, 8, 2)]),
    (1_000, &[(2, 16, 2)]),
    (2_000, &[(4, 32, 2)]),
    (4_000, &[(8, 64, 2)]),
    (8_000, &[(16, 128, 8)]),
    (16_000, &[(32, 256, 16)]),
    (32_000, &[(64, 64, 1), (128, 128, 1), (256, 256, 1), (512, 512, 1)]),
    (48_000, &[(192, 192, 1), (384, 384, 1), (768, 768, 1)]),
    (64_000, &[(256, 256, 1), (512, 512, 1), (1_024, 1_024, 1)]),
];

/// All flavors, the smallest first: by CPU, and then by memory.
fn flavors() -> impl Iterator<Item = Size> {
    TABLE.iter().flat_map(|(cpu_milli, ranges)| {
        let halves = ranges.iter().flat_map(|(from, to, step)| (*from..=*to).step_by(*step as usize));
        halves.map(|halves| Size { cpu_milli: *cpu_milli, memory_bytes: halves * (GIB / 2) })
    })
}

fn fits(flavor: Size, wanted: Size) -> bool {
    flavor.cpu_milli >= wanted.cpu_milli && flavor.memory_bytes >= wanted.memory_bytes
}

/// Chooses the flavor that is `named`, or else the smallest that fits. The containers keep what they ask for.
///
/// # Errors
/// When no flavor fits, or not the named one, or there is none of that name.
pub(super) fn choose(mut given: Given, named: Option<&str>) -> Result<Given, Unfit> {
    let wanted = given.effective();
    given.pod = wanted;
    let (rule, flavor) = match named {
        Some(text) => (Rule::NamedFlavor, named_flavor(text, wanted)?),
        None => (Rule::SmallestFlavor, smallest(wanted)?),
    };
    given.step(rule, flavor);
    Ok(given)
}

fn smallest(wanted: Size) -> Result<Size, Unfit> {
    flavors().find(|flavor| fits(*flavor, wanted)).ok_or_else(|| Unfit {
        rule: Rule::SmallestFlavor,
        field: String::from("spec.containers"),
        message: format!("no flavor has {}; ask for less", name(wanted)),
    })
}

fn named_flavor(text: &str, wanted: Size) -> Result<Size, Unfit> {
    let unfit = |message| Unfit { rule: Rule::NamedFlavor, field: String::from(FIELD), message };
    let shown: String = text.chars().take(32).collect();
    let size = parse(text)
        .ok_or_else(|| unfit(format!("{shown:?} is no flavor; write CPUs and GiB like 2.00_4.0")))?;
    if !flavors().any(|flavor| flavor == size) {
        return Err(unfit(format!("there is no flavor {shown:?}")));
    }
    if !fits(size, wanted) {
        return Err(unfit(format!(
            "{shown:?} is smaller than what the containers ask for, {}",
            name(wanted)
        )));
    }
    Ok(size)
}

/// Reads a size as CCI 2.0 writes it: `2.00_4.0`, in CPUs and GiB.
#[must_use]
pub fn parse(text: &str) -> Option<Size> {
    let (cpu, gib) = text.split_once('_')?;
    let cpu_milli = Quantity::parse(cpu).ok()?.milli();
    let memory_bytes = Quantity::parse(&format!("{gib}Gi")).ok()?.value();
    Some(Size { cpu_milli, memory_bytes })
}

/// A size as CCI 2.0 writes it: `2.00_4.0`, in CPUs and GiB, rounded up.
pub(super) fn name(size: Size) -> String {
    let (hundredths, tenths) =
        (size.cpu_milli.div_ceil(10), (u128::from(size.memory_bytes) * 10).div_ceil(GIB.into()));
    format!("{}.{:02}_{}.{}", hundredths / 100, hundredths % 100, tenths / 10, tenths % 10)
}
