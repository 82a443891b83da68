//! Sizes at the border: what a manifest asks for is read into numbers, and what the policy gives is written into the
//! cloud pod and explained there.

use std::fmt;

use engine::size::{
    self, Amounts, Asked, AskedPod, Given, Quantity, Size, SizePolicy, cpu_text, memory_text,
};
use serde_json::{Map, Value, json};

use super::admission::{Reason, Rule};
use super::wire::parts::{fields, items, items_mut};

/// Annotation of a cloud pod: what was asked, what is billed, and by which rules they differ, for programs.
pub(super) const SIZE: &str = "burst-agent.io/size";
/// The same as a sentence, where they differ.
const SIZE_EXPLAINED: &str = "burst-agent.io/size-explained";
/// The annotation that names a flavor of CCI 2.0.
pub(super) const POD_SIZE_SPECS: &str = "resource.cci.io/pod-size-specs";

const CPU: &str = "cpu";
const MEMORY: &str = "memory";

/// What a pod asks for and what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// The policy that decided.
    pub policy: SizePolicy,
    /// What the pod comes to as it was asked for.
    pub asked: Size,
    /// What it is given; its pod is what is billed.
    pub given: Given,
}

/// Reads what a pod asks for.
///
/// # Errors
/// A reason for every amount that is no quantity, also of resources whose size does not count.
pub(super) fn ask(manifest: &Value) -> Result<AskedPod, Vec<Reason>> {
    let mut malformed = Vec::new();
    let mut list = |name: &str| -> Vec<Asked> {
        let containers = items(manifest.get("spec").and_then(|spec| spec.get(name))).iter().enumerate();
        let asked = containers.map(|(index, container)| {
            let path = format!("spec.{name}[{index}].resources");
            let mut amounts = |of: &str| {
                let list = container.get("resources").and_then(|resources| resources.get(of));
                amounts(&format!("{path}.{of}"), list, &mut malformed)
            };
            Asked { requests: amounts("requests"), limits: amounts("limits") }
        });
        asked.collect()
    };
    let (init_containers, containers) = (list("initContainers"), list("containers"));
    let annotations = manifest.pointer("/metadata/annotations");
    let pod_size_specs = annotations.and_then(|annotations| annotations.get(POD_SIZE_SPECS)?.as_str());
    if malformed.is_empty() {
        Ok(AskedPod { containers, init_containers, pod_size_specs: pod_size_specs.map(str::to_owned) })
    } else {
        Err(malformed)
    }
}

fn amounts(path: &str, list: Option<&Value>, malformed: &mut Vec<Reason>) -> Amounts {
    let mut amounts = Amounts::default();
    for (resource, value) in fields(list) {
        // The API takes a plain number for a quantity, and a null for nothing.
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        match Quantity::parse(&text) {
            Ok(quantity) if resource == CPU => amounts.cpu_milli = Some(quantity.milli()),
            Ok(quantity) if resource == MEMORY => amounts.memory_bytes = Some(quantity.value()),
            Ok(_) => {}
            Err(error) => malformed.push(Reason {
                rule: Rule::Quantity,
                field: format!("{path}.{resource}"),
                message: error.to_string(),
            }),
        }
    }
    amounts
}

/// What a cloud pod says of its size, if it is not the one that was asked for.
pub(super) fn explained(cloud_pod: &Value) -> Option<&str> {
    cloud_pod.pointer("/metadata/annotations")?.get(SIZE_EXPLAINED)?.as_str()
}

impl Sizing {
    /// Sizes a pod.
    ///
    /// # Errors
    /// Every reason why it cannot be sized.
    pub(super) fn of(policy: SizePolicy, asked: &AskedPod) -> Result<Sizing, Vec<Reason>> {
        let given = size::size(policy, asked)
            .map_err(|unfit| unfit.into_iter().map(Reason::from).collect::<Vec<Reason>>())?;
        Ok(Sizing { policy, asked: asked.size(), given })
    }

    /// Writes what each container is given into the spec of a cloud pod, requests and limits alike.
    pub(super) fn write(&self, spec: &mut Map<String, Value>) {
        for (list, sizes) in
            [("initContainers", &self.given.init_containers), ("containers", &self.given.containers)]
        {
            for (container, size) in items_mut(spec.get_mut(list)).iter_mut().zip(sizes) {
                if let Some(container) = container.as_object_mut() {
                    write_resources(container, *size);
                }
            }
        }
    }

    /// Says on the cloud pod what was asked for and what is billed, and explains it where they differ.
    pub(super) fn annotate(&self, annotations: &mut Map<String, Value>) {
        let amounts =
            |size: Size| json!({CPU: cpu_text(size.cpu_milli), MEMORY: memory_text(size.memory_bytes)});
        let explained = json!({
            "policy": self.policy.name(),
            "asked": amounts(self.asked),
            "billed": amounts(self.given.pod),
            "rules": self.rules(),
        });
        annotations.insert(SIZE.to_owned(), explained.to_string().into());
        if !self.given.steps.is_empty() {
            annotations.insert(SIZE_EXPLAINED.to_owned(), self.to_string().into());
        }
    }

    /// The rules that changed something, each once, in the order in which they did.
    #[must_use]
    pub fn rules(&self) -> Vec<&'static str> {
        let mut rules = Vec::new();
        for rule in self.given.steps.iter().map(|step| step.rule.name()) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        rules
    }
}

impl fmt::Display for Sizing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |size: Size| {
            format!("{} CPU and {} memory", cpu_text(size.cpu_milli), memory_text(size.memory_bytes))
        };
        let (asked, billed) = (words(self.asked), words(self.given.pod));
        match self.rules().as_slice() {
            [] => write!(formatter, "asked for and billed as {billed} ({})", self.policy.name()),
            rules => write!(
                formatter,
                "asked for {asked}, billed as {billed}, by the rules {} of {}",
                rules.join(", "),
                self.policy.name()
            ),
        }
    }
}

/// Requests and limits made equal: CPU and memory as given, any other resource by its limit where there is one and
/// its request elsewhere, as written. A container of class BestEffort keeps what it says of CPU and memory.
fn write_resources(container: &mut Map<String, Value>, given: Size) {
    let resources = container.get("resources").cloned().unwrap_or_default();
    let mut amounts = resources["requests"].as_object().cloned().unwrap_or_default();
    amounts.extend(resources["limits"].as_object().cloned().unwrap_or_default());
    if !given.is_nothing() {
        for (resource, amount, text) in [
            (CPU, given.cpu_milli, cpu_text(given.cpu_milli)),
            (MEMORY, given.memory_bytes, memory_text(given.memory_bytes)),
        ] {
            // The cloud takes a zero for an amount that is too small, and not for one that is not asked for.
            match amount {
                0 => drop(amounts.remove(resource)),
                _ => drop(amounts.insert(resource.to_owned(), text.into())),
            }
        }
    }
    if !amounts.is_empty() {
        container.insert("resources".to_owned(), json!({"limits": amounts, "requests": amounts}));
    } else if container.contains_key("resources") {
        container.insert("resources".to_owned(), json!({}));
    }
}

#[cfg(test)]
mod tests;
