//! What each pod asked for and what is billed for it, as the last complete list of the cloud says.

use std::sync::Arc;

use engine::PodRef;
use engine::size::{Quantity, Size, flavor_size};
use parking_lot::Mutex;
use serde::Deserialize;

use super::sizing::SIZE;
use super::wire::Annotations;
use crate::cut;

/// The flavor that CCI 2.0 chose: what it says of itself is what it bills.
const FLAVOR: &str = "resource.cci.io/size";

/// The longest annotation that is read: ours has some two hundred characters.
const TEXT_CHARS_MAX: usize = 1_024;

/// The size of one pod in the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSize {
    /// Which pod.
    pub pod: PodRef,
    /// What its containers asked for.
    pub asked: Size,
    /// What is billed.
    pub billed: Size,
    /// The rules that made a difference between the two, in their order and with commas; `None` when none did.
    pub rules: Option<Arc<str>>,
}

/// The sizes of all pods in the cloud. Cheap to share.
#[derive(Clone, Debug, Default)]
pub struct PodSizes(Arc<Mutex<Vec<Arc<PodSize>>>>);

impl PodSizes {
    /// These sizes, until the next list.
    #[must_use]
    pub fn of(sizes: Vec<Arc<PodSize>>) -> PodSizes {
        PodSizes(Arc::new(Mutex::new(sizes)))
    }

    /// The sizes, as of the last complete list.
    #[must_use]
    pub fn read(&self) -> Vec<Arc<PodSize>> {
        self.0.lock().clone()
    }

    pub(super) fn set(&self, sizes: Vec<Arc<PodSize>>) {
        *self.0.lock() = sizes;
    }
}

#[derive(Deserialize)]
struct Explained {
    asked: Amounts,
    billed: Amounts,
    #[serde(default)]
    rules: Vec<String>,
}

#[derive(Deserialize)]
struct Amounts {
    cpu: String,
    memory: String,
}

impl Amounts {
    fn size(&self) -> Option<Size> {
        let (cpu, memory) = (Quantity::parse(&self.cpu).ok()?, Quantity::parse(&self.memory).ok()?);
        Some(Size { cpu_milli: cpu.milli(), memory_bytes: memory.value() })
    }
}

/// What the annotations of a cloud pod say of its size; nothing when they were written by an agent that did not say.
pub(super) fn read(owner: &PodRef, annotations: &Annotations) -> Option<PodSize> {
    let text = |key: &str| annotations.get(key)?.as_deref().filter(|text| text.len() <= TEXT_CHARS_MAX);
    let explained: Explained = serde_json::from_str(text(SIZE)?).ok()?;
    let billed = text(FLAVOR).and_then(flavor_size).or_else(|| explained.billed.size())?;
    let rules = (!explained.rules.is_empty()).then(|| cut(&explained.rules.join(",")).into());
    Some(PodSize { pod: owner.clone(), asked: explained.asked.size()?, billed, rules })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Uid;

    fn read_of(annotations: &[(&str, &str)]) -> Option<PodSize> {
        let owner = PodRef { namespace: "shop".into(), name: "web".into(), uid: Uid("u".into()) };
        let own = annotations.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        read(&owner, &own.collect())
    }

    const EXPLAINED: &str = r#"{"policy":"cci-2.0","asked":{"cpu":"300m","memory":"512Mi"},
        "billed":{"cpu":"500m","memory":"512Mi"},"rules":["smallest-flavor","first-container"]}"#;

    #[test]
    fn a_size_is_what_our_annotation_says_unless_the_cloud_says_what_it_bills() {
        let size = read_of(&[(SIZE, EXPLAINED)]).unwrap();
        assert_eq!(size.asked, Size { cpu_milli: 300, memory_bytes: 512 << 20 });
        assert_eq!(size.billed, Size { cpu_milli: 500, memory_bytes: 512 << 20 });
        assert_eq!(size.rules.as_deref(), Some("smallest-flavor,first-container"));

        let larger = read_of(&[(SIZE, EXPLAINED), (FLAVOR, "1.00_2.0")]).unwrap();
        assert_eq!(larger.billed, Size { cpu_milli: 1_000, memory_bytes: 2 << 30 });
        let unread = read_of(&[(SIZE, EXPLAINED), (FLAVOR, "large")]).unwrap();
        assert_eq!(unread.billed, size.billed);
    }

    #[test]
    fn what_is_no_size_is_none() {
        let endless = format!("{{\"asked\":\"{}\"}}", "x".repeat(TEXT_CHARS_MAX));
        for text in [
            "",
            "{}",
            "[]",
            &endless,
            r#"{"asked":{"cpu":"x","memory":"1"},"billed":{"cpu":"1","memory":"1"}}"#,
        ] {
            assert_eq!(read_of(&[(SIZE, text)]), None, "{text}");
        }
        assert_eq!(read_of(&[(FLAVOR, "1.00_2.0")]), None);
    }
}
