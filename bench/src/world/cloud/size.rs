//! Pod sizes: what a pod asks for, what the service accepts and what it then gives (and bills).

use serde_json::Value;

use super::profile::Generation;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// CPU and memory, of a container or a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) cpu_milli: u64,
    pub(super) memory_bytes: u64,
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

    /// As in the annotation `resource.cci.io/size`: `2.00_4.0`, in CPUs and GiB.
    pub(super) fn text(self) -> String {
        let tenths = u128::from(self.memory_bytes) * 10 / u128::from(GIB);
        format!(
            "{}.{:02}_{}.{}",
            self.cpu_milli / 1_000,
            self.cpu_milli % 1_000 / 10,
            tenths / 10,
            tenths % 10
        )
    }

    /// Reads `2.00_4.0`.
    pub(super) fn of_text(text: &str) -> Option<Size> {
        let (cpu, memory) = text.split_once('_')?;
        let memory_milli = quantity_milli(memory)?;
        Some(Size {
            cpu_milli: u64::try_from(quantity_milli(cpu)?).ok()?,
            memory_bytes: u64::try_from(memory_milli.checked_mul(u128::from(GIB))? / 1_000).ok()?,
        })
    }
}

/// Why a size is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The pod has no size: no container asks for CPU (CCI 1.0), or for CPU and memory (CCI 2.0).
    Missing,
    /// Requests and limits differ (CCI 1.0).
    Unequal,
    /// The size is not offered, and why.
    NotOffered(String),
}

/// The size of a pod with this spec: what `specs` (the annotation `resource.cci.io/pod-size-specs`) asks
/// for, or the larger of the containers' sum and the largest init container, in a size that is offered.
///
/// A container may ask for nothing beside one that does: the add-on leaves it as it is, in both generations (CCE add-on
/// page, Automatic Resource Adjustment; CCI 2.0 user guide, bursting). A pod without any size is what was seen refused.
pub(super) fn pod_size(generation: Generation, spec: &Value, specs: Option<&str>) -> Result<Size, Unfit> {
    let containers = container_sizes(generation, spec, "containers")?;
    let starters = container_sizes(generation, spec, "initContainers")?;
    let sum = containers.iter().copied().fold(Size::default(), Size::plus);
    let needed = starters.iter().copied().fold(sum, Size::max);
    let is_sized = |size: &Size| match generation {
        Generation::One => size.cpu_milli > 0,
        Generation::Two => size.cpu_milli > 0 && size.memory_bytes > 0,
    };
    let is_named = generation == Generation::Two && specs.is_some();
    if !is_named && !containers.iter().any(is_sized) {
        return Err(Unfit::Missing);
    }
    match generation {
        Generation::One => {
            for size in containers.iter().chain(&starters).filter(|size| **size != Size::default()) {
                check_container_one(*size)?;
            }
            check_pod_one(needed).map(|()| needed)
        }
        Generation::Two => flavor_two(needed, specs),
    }
}

fn container_sizes(generation: Generation, spec: &Value, field: &str) -> Result<Vec<Size>, Unfit> {
    let containers = spec[field].as_array().map(Vec::as_slice).unwrap_or_default();
    containers.iter().map(|container| container_size(generation, container)).collect()
}

pub(super) fn container_size(generation: Generation, container: &Value) -> Result<Size, Unfit> {
    let resources = &container["resources"];
    let amount = |resource: &str| -> Result<u128, Unfit> {
        let limit = read_quantity(&resources["limits"][resource])?;
        let request = read_quantity(&resources["requests"][resource])?;
        // A limit alone is its own request, as Kubernetes defaults it; a request alone has no such limit.
        if generation == Generation::One && request.is_some() && request != limit {
            return Err(Unfit::Unequal);
        }
        Ok(limit.or(request).unwrap_or_default())
    };
    let bounded = |amount: u128| u64::try_from(amount).unwrap_or(u64::MAX);
    Ok(Size { cpu_milli: bounded(amount("cpu")?), memory_bytes: bounded(amount("memory")?.div_ceil(1_000)) })
}

fn read_quantity(value: &Value) -> Result<Option<u128>, Unfit> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    quantity_milli(&text).map(Some).ok_or_else(|| Unfit::NotOffered(format!("`{text}` is no quantity")))
}

/// A Kubernetes quantity in thousandths, rounded up: `500m` is 500, `1Gi` is 1000 × 2³⁰.
fn quantity_milli(text: &str) -> Option<u128> {
    const UNITS: [(&str, u128); 12] = [
        ("Ki", 1_000 << 10),
        ("Mi", 1_000 << 20),
        ("Gi", 1_000 << 30),
        ("Ti", 1_000 << 40),
        ("Pi", 1_000 << 50),
        ("m", 1),
        ("k", 1_000_000),
        ("M", 1_000_000_000),
        ("G", 1_000_000_000_000),
        ("T", 1_000_000_000_000_000),
        ("P", 1_000_000_000_000_000_000),
        ("", 1_000),
    ];
    /// More digits than any amount of CPU or memory has.
    const DIGITS_MAX: usize = 18;
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let unit = UNITS.iter().find(|(name, _)| *name == suffix)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let digits: u128 = digits.parse().ok()?;
    Some((digits * unit).div_ceil(10u128.pow(fraction.len() as u32)))
}

/// The least of a container, CCI 1.0: 0.25 CPU and 0.2 GB.
fn check_container_one(size: Size) -> Result<(), Unfit> {
    if size.cpu_milli < 250 || size.memory_bytes < 200_000_000 {
        return Err(Unfit::NotOffered("a container needs at least 0.25 CPU and 0.2 GB of memory".into()));
    }
    Ok(())
}

/// Pods, CCI 1.0: 0.25 to 32 CPU in steps of 0.25, or 48, or 64; 1 to 512 GiB; 2 to 8 GiB a CPU.
fn check_pod_one(size: Size) -> Result<(), Unfit> {
    let not = |what: &str| Err(Unfit::NotOffered(format!("pod of {}: {what}", size.text())));
    let cpu = size.cpu_milli;
    if !(cpu.is_multiple_of(250) && (250..=32_000).contains(&cpu)) && cpu != 48_000 && cpu != 64_000 {
        return not("cpu must be 0.25 to 32 in steps of 0.25, or 48, or 64");
    }
    if !size.memory_bytes.is_multiple_of(GIB) || !(GIB..=512 * GIB).contains(&size.memory_bytes) {
        return not("memory must be a whole number of GiB from 1 to 512");
    }
    let per_cpu = u128::from(size.memory_bytes) * 1_000;
    let cpu_gib = u128::from(cpu) * u128::from(GIB);
    if per_cpu < 2 * cpu_gib || per_cpu > 8 * cpu_gib {
        return not("memory must be 2 to 8 GiB per cpu");
    }
    Ok(())
}

/// CCI 2.0, general computing: thousandths of a CPU, and what memory it comes with in MiB.
const FLAVORS_TWO: [(u64, Memories); 10] = [
    (250, Memories::These(&[512, 1_024, 2_048])),
    (500, Memories::These(&[512, 1_024, 2_048, 3_072, 4_096])),
    (1_000, Memories::Steps { first: 1_024, last: 8_192, step: 1_024 }),
    (2_000, Memories::Steps { first: 2_048, last: 16_384, step: 1_024 }),
    (4_000, Memories::Steps { first: 4_096, last: 32_768, step: 1_024 }),
    (8_000, Memories::Steps { first: 8_192, last: 65_536, step: 4_096 }),
    (16_000, Memories::Steps { first: 16_384, last: 131_072, step: 8_192 }),
    (32_000, Memories::These(&[32_768, 65_536, 131_072, 262_144])),
    (48_000, Memories::These(&[98_304, 196_608, 393_216])),
    (64_000, Memories::These(&[131_072, 262_144, 524_288])),
];

enum Memories {
    These(&'static [u64]),
    Steps { first: u64, last: u64, step: u64 },
}

impl Memories {
    /// The least offered memory of at least `mib`.
    fn at_least(&self, mib: u64) -> Option<u64> {
        match self {
            Memories::These(memories) => memories.iter().copied().find(|memory| *memory >= mib),
            Memories::Steps { first, last, step } => {
                let above = mib.saturating_sub(*first).div_ceil(*step) * step;
                Some(first + above).filter(|memory| memory <= last)
            }
        }
    }
}

/// The flavor that `specs` names, or the smallest that fits: least CPU, then least memory.
fn flavor_two(needed: Size, specs: Option<&str>) -> Result<Size, Unfit> {
    let mib = |size: Size| size.memory_bytes.div_ceil(MIB);
    let smallest = |size: Size| {
        FLAVORS_TWO.iter().filter(|(cpu_milli, _)| *cpu_milli >= size.cpu_milli).find_map(
            |(cpu_milli, memories)| {
                let memory = memories.at_least(mib(size))?;
                Some(Size { cpu_milli: *cpu_milli, memory_bytes: memory * MIB })
            },
        )
    };
    let Some(specs) = specs else {
        let none = || Unfit::NotOffered(format!("no flavor fits {}", needed.text()));
        return smallest(needed).ok_or_else(none);
    };
    let flavor = Size::of_text(specs)
        .filter(|size| smallest(*size) == Some(*size))
        .ok_or_else(|| Unfit::NotOffered(format!("`{specs}` is no flavor")))?;
    if flavor.cpu_milli < needed.cpu_milli || flavor.memory_bytes < needed.memory_bytes {
        return Err(Unfit::NotOffered(format!("flavor `{specs}` is smaller than the containers")));
    }
    Ok(flavor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(sizes: &[(&str, &str)]) -> Value {
        let container = |(cpu, memory): &(&str, &str)| json!({"resources": {"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu, "memory": memory}}});
        json!({"containers": sizes.iter().map(container).collect::<Vec<_>>()})
    }

    fn one(sizes: &[(&str, &str)]) -> Result<String, Unfit> {
        pod_size(Generation::One, &spec(sizes), None).map(Size::text)
    }

    #[test]
    fn quantities_are_read_exactly() {
        for (text, milli) in [
            ("500m", 500),
            ("1", 1_000),
            ("0.25", 250),
            ("1.5k", 1_500_000),
            ("1Gi", 1_000 << 30),
            ("0.1m", 1),
        ] {
            assert_eq!(quantity_milli(text), Some(milli), "{text}");
        }
        for text in ["", ".", "1e3", "-1", "1 Gi", "Gi", "1.2.3", "9999999999999999999"] {
            assert_eq!(quantity_milli(text), None, "{text}");
        }
    }

    #[test]
    fn an_absurd_size_is_none() {
        assert!(matches!(one(&[("999999999999999999P", "999999999999999999P")]), Err(Unfit::NotOffered(_))));
        let two = pod_size(Generation::Two, &spec(&[("1", "2Gi")]), Some("1_999999999999999999P"));
        assert!(matches!(two, Err(Unfit::NotOffered(_))));
    }

    #[test]
    fn the_first_generation_takes_sizes_within_its_rules() {
        assert_eq!(one(&[("500m", "1Gi")]).unwrap(), "0.50_1.0");
        assert_eq!(one(&[("250m", "512Mi"), ("1750m", "3584Mi")]).unwrap(), "2.00_4.0");
        for (cpu, memory) in
            [("300m", "1Gi"), ("500m", "1100Mi"), ("250m", "4Gi"), ("3", "3Gi"), ("40", "80Gi")]
        {
            assert!(matches!(one(&[(cpu, memory)]), Err(Unfit::NotOffered(_))), "{cpu} {memory}");
        }
        let init = json!({"containers": spec(&[("500m", "1Gi")])["containers"],
            "initContainers": spec(&[("1", "2Gi")])["containers"]});
        assert_eq!(pod_size(Generation::One, &init, None).unwrap().text(), "1.00_2.0");
    }

    #[test]
    fn missing_and_unequal_resources_are_told_apart() {
        let missing = json!({"containers": [{"name": "web"}]});
        for generation in Generation::ALL {
            assert_eq!(pod_size(generation, &missing, None), Err(Unfit::Missing));
        }
        assert_eq!(pod_size(Generation::Two, &missing, Some("0.25_0.5")).unwrap().text(), "0.25_0.5");
        let unequal = json!({"containers": [{"resources": {
            "limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "500m", "memory": "2Gi"}}}]});
        assert_eq!(pod_size(Generation::One, &unequal, None), Err(Unfit::Unequal));
        assert_eq!(pod_size(Generation::Two, &unequal, None).unwrap().text(), "1.00_2.0");
    }

    #[test]
    fn a_container_may_ask_for_nothing_beside_one_that_has_a_size() {
        let mut beside = spec(&[("1", "2Gi")]);
        beside["containers"].as_array_mut().unwrap().push(json!({"name": "best-effort"}));
        beside["initContainers"] = json!([{"name": "best-effort-too", "resources": {}}]);
        for generation in Generation::ALL {
            assert_eq!(pod_size(generation, &beside, None).unwrap().text(), "1.00_2.0");
        }
        // What asks for memory alone has a size, and CCI 1.0 has none without CPU.
        let memory = json!({"name": "cache", "resources": {"limits": {"memory": "1Gi"}}});
        beside["containers"][1] = memory.clone();
        let least = Unfit::NotOffered("a container needs at least 0.25 CPU and 0.2 GB of memory".into());
        assert_eq!(pod_size(Generation::One, &beside, None), Err(least));
        assert_eq!(pod_size(Generation::Two, &beside, None).unwrap().text(), "1.00_3.0");
        for generation in Generation::ALL {
            assert_eq!(pod_size(generation, &json!({"containers": [memory]}), None), Err(Unfit::Missing));
        }
    }

    #[test]
    fn the_second_generation_rounds_up_to_a_flavor() {
        let two = |sizes: &[_], specs| pod_size(Generation::Two, &spec(sizes), specs).map(Size::text);
        assert_eq!(two(&[("300m", "1Gi")], None).unwrap(), "0.50_1.0");
        assert_eq!(two(&[("100m", "100Mi")], None).unwrap(), "0.25_0.5");
        assert_eq!(two(&[("250m", "3Gi")], None).unwrap(), "0.50_3.0");
        assert_eq!(two(&[("8", "9Gi")], None).unwrap(), "8.00_12.0");
        assert_eq!(two(&[("500m", "1Gi")], Some("2.00_4.0")).unwrap(), "2.00_4.0");
        assert!(two(&[("4", "4Gi")], Some("2.00_4.0")).is_err());
        assert!(two(&[("500m", "1Gi")], Some("2.00_5.5")).is_err());
        assert!(two(&[("65", "1Gi")], None).is_err());
    }

    /// What is read as an amount is one, in digits and one unit; written in thousandths it is the same.
    fn check(input: &[u8]) {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Some(milli) = quantity_milli(text) else { return };
        assert!(text.starts_with(|c: char| c.is_ascii_digit() || c == '.'), "{text}");
        let written = format!("{milli}m");
        assert!(written.len() > 19 || quantity_milli(&written) == Some(milli), "{text} is {written}");
        // However large, it is a size or none.
        let _ = pod_size(Generation::One, &spec(&[(text, text)]), None);
        let _ = pod_size(Generation::Two, &spec(&[(text, "1Gi")]), Some(text));
    }

    #[test]
    fn fuzz_cloud_quantity() {
        let amounts: [&[u8]; 7] =
            [b"500m", b"1.5Gi", b"0.25", b"12", b"999999999999999999P", b"2.00_4.0", b"0.00000000000000001k"];
        fuzz::target!(&amounts, check);
    }
}
