//! Which size in which zone a pod takes up: what the cloud can be sold out of. Read of the manifest at the border, before
//! the pod is made, so that the reducer can tell those that wait for the same from all others.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::Room;
use engine::size::{Quantity, SizePolicy, cpu_text, memory_text};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::sizing::{self, POD_SIZE_SPECS, Sizing};
use super::wire::parts::{CONTAINER_LISTS, fields, items};
use crate::kubernetes::lean::null_is_default;

/// Label of a node with its zone.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// The same before Kubernetes 1.17; CCE still writes it.
const ZONE_LABEL_BETA: &str = "failure-domain.beta.kubernetes.io/zone";

/// Longest size and longest zone: the text of a label, and of several. A pod with a longer one rests alone.
const TEXT_BYTES_MAX: usize = 253;

/// Sizes that are remembered to be shared: far more than a cluster has. Beyond that they are remembered anew.
const KNOWN_MAX: usize = 1_024;

/// What a container can ask for that says nothing of the room it needs: CPU and memory are in the size, and a disk comes
/// from elsewhere.
const NO_DEVICES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Reads sizes and zones, and shares them: ten thousand pods have a few.
#[derive(Debug)]
pub struct Rooms {
    policy: SizePolicy,
    /// That of pods which ask for none.
    zone: Arc<str>,
    known: Mutex<BTreeSet<Arc<Room>>>,
}

/// The parts of a pod that say what room it needs.
#[derive(Deserialize)]
struct Manifest<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    annotations: Annotations<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotations<'a> {
    #[serde(borrow, rename = "resource.cci.io/pod-size-specs")]
    size_specs: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    init_containers: Vec<Container>,
    #[serde(default, deserialize_with = "null_is_default")]
    containers: Vec<Container>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    node_selector: NodeLabels<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    affinity: Affinity<'a>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    resources: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeLabels<'a> {
    #[serde(borrow, rename = "topology.kubernetes.io/zone")]
    zone: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "failure-domain.beta.kubernetes.io/zone")]
    zone_beta: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    node_affinity: NodeAffinity<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeAffinity<'a> {
    #[serde(
        borrow,
        rename = "requiredDuringSchedulingIgnoredDuringExecution",
        deserialize_with = "null_is_default"
    )]
    required: NodeSelector<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSelector<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    node_selector_terms: Vec<Term<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    match_expressions: Vec<Expression<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Expression<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    operator: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    values: Vec<Cow<'a, str>>,
}

impl Rooms {
    /// Those of pods that are sized by `policy` and run in `zone` unless they ask for another one.
    #[must_use]
    pub fn new(policy: SizePolicy, zone: Option<&str>) -> Rooms {
        Rooms { policy, zone: zone.unwrap_or_default().into(), known: Mutex::default() }
    }

    /// What the pod of a manifest takes up; `None` for one that cannot be sized, which is not made.
    #[must_use]
    pub fn of(&self, manifest: &RawValue) -> Option<Arc<Room>> {
        let manifest: Manifest<'_> = serde_json::from_str(manifest.get()).ok()?;
        let zone = manifest.spec.zone().map_or_else(|| self.zone.clone(), Arc::from);
        let size = self.size(manifest)?;
        (size.len() <= TEXT_BYTES_MAX && zone.len() <= TEXT_BYTES_MAX)
            .then(|| self.shared(Room { size: size.into(), zone }))
    }

    fn shared(&self, room: Room) -> Arc<Room> {
        let mut known = self.known.lock();
        if let Some(shared) = known.get(&room) {
            return shared.clone();
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let room = Arc::new(room);
        known.insert(room.clone());
        room
    }

    /// What is billed, and the devices that come with it, in the one way in which they are always written.
    fn size(&self, manifest: Manifest<'_>) -> Option<String> {
        let resources = |containers: Vec<Container>| -> Vec<Value> {
            containers.into_iter().map(|container| json!({ "resources": container.resources })).collect()
        };
        let Manifest { metadata, spec } = manifest;
        let asked = json!({
            "metadata": { "annotations": { POD_SIZE_SPECS: metadata.annotations.size_specs } },
            "spec": {
                "initContainers": resources(spec.init_containers),
                "containers": resources(spec.containers),
            },
        });
        let billed = Sizing::of(self.policy, &sizing::ask(&asked).ok()?).ok()?.given.pod;
        let mut size =
            format!("cpu={},memory={}", cpu_text(billed.cpu_milli), memory_text(billed.memory_bytes));
        for (device, count) in devices(&asked) {
            size += &format!(",{device}={count}");
        }
        Some(size)
    }
}

/// How many of each device all containers ask for together.
fn devices(manifest: &Value) -> BTreeMap<&str, u64> {
    let mut devices = BTreeMap::new();
    let containers = CONTAINER_LISTS.iter().flat_map(|list| items(manifest["spec"].get(*list)));
    for resources in containers.filter_map(|container| container.get("resources")) {
        // A limit is its own request, and devices have no other.
        for (device, count) in fields(resources.get("limits")).filter(|(name, _)| !NO_DEVICES.contains(name))
        {
            let text = count.as_str().map_or_else(|| count.to_string(), str::to_owned);
            let count = Quantity::parse(&text).map_or(0, Quantity::value);
            let sum: &mut u64 = devices.entry(device).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    devices
}

impl Spec<'_> {
    /// The zone that the pod is bound to, by its selector or by every term of its affinity; several stand side by side.
    fn zone(&self) -> Option<String> {
        let selector = &self.node_selector;
        if let Some(zone) = selector.zone.as_ref().or(selector.zone_beta.as_ref()) {
            return Some(zone.clone().into_owned());
        }
        let terms = &self.affinity.node_affinity.required.node_selector_terms;
        let zones: Option<Vec<&[Cow<'_, str>]>> = terms.iter().map(Term::zones).collect();
        let zones: BTreeSet<&str> =
            zones?.into_iter().flatten().map(AsRef::as_ref).filter(|zone| !zone.is_empty()).collect();
        (!zones.is_empty()).then(|| zones.into_iter().collect::<Vec<_>>().join(","))
    }
}

impl<'a> Term<'a> {
    fn zones(&self) -> Option<&[Cow<'a, str>]> {
        let is_zone = |one: &&Expression<'_>| {
            one.operator == "In" && [ZONE_LABEL, ZONE_LABEL_BETA].contains(&&*one.key)
        };
        self.match_expressions.iter().find(is_zone).map(|one| one.values.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(resources: Value, more: Value) -> Box<RawValue> {
        let mut pod = json!({
            "metadata": {"annotations": null},
            "spec": {"containers": [{"name": "main", "image": "web:1", "resources": resources}]},
        });
        for (field, value) in more.as_object().expect("fields") {
            pod["spec"][field] = value.clone();
        }
        serde_json::value::to_raw_value(&pod).expect("JSON")
    }

    fn room(resources: Value, more: Value) -> String {
        let rooms = Rooms::new(SizePolicy::Cci10V125, Some("home"));
        rooms.of(&pod(resources, more)).map_or("none".to_owned(), |room| room.to_string())
    }

    fn small() -> Value {
        json!({"limits": {"cpu": "300m", "memory": "512Mi"}})
    }

    fn affinity(terms: Value) -> Value {
        let required = json!({"nodeSelectorTerms": terms});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
    }

    #[test]
    fn a_size_is_what_is_billed_whatever_was_asked() {
        assert_eq!(room(small(), json!({})), "cpu=500m,memory=1Gi in zone home");
        let more = json!({"limits": {"cpu": "450m", "memory": "700Mi", "ephemeral-storage": "1Gi"}});
        assert_eq!(room(more, json!({})), "cpu=500m,memory=1Gi in zone home");
        let device = json!({"limits": {"cpu": 4, "memory": "32Gi", "example.com/gpu": 2}});
        assert_eq!(room(device, json!({})), "cpu=4,memory=32Gi,example.com/gpu=2 in zone home");
        assert_eq!(room(json!({}), json!({})), "none", "it cannot be sized, and is not made");
        assert_eq!(room(json!({"limits": {"cpu": "a lot"}}), json!({})), "none");
    }

    #[test]
    fn the_flavor_that_an_annotation_names_is_the_size() {
        let rooms = Rooms::new(SizePolicy::Cci20, None);
        let named = json!({
            "metadata": {"annotations": {"resource.cci.io/pod-size-specs": "2.00_4.0", "x": "y"}},
            "spec": {"containers": [{"resources": small()}]},
        });
        let raw = serde_json::value::to_raw_value(&named).expect("JSON");
        assert_eq!(rooms.of(&raw).expect("a size").to_string(), "cpu=2,memory=4Gi");
    }

    #[test]
    fn a_zone_is_that_of_the_selector_or_of_every_term_of_the_affinity() {
        let zone = |more| room(small(), more).split_once(" in zone ").map(|(_, zone)| zone.to_owned());
        let of = |zones: &[&str]| {
            json!({"matchExpressions": [
                {"key": "type", "operator": "In", "values": ["virtual-kubelet"]},
                {"key": ZONE_LABEL, "operator": "In", "values": zones},
            ]})
        };
        for (more, wanted) in [
            (json!({"nodeSelector": {"type": "x"}}), "home"),
            (json!({"nodeSelector": {ZONE_LABEL: "a"}}), "a"),
            (json!({"nodeSelector": {ZONE_LABEL_BETA: "b"}, "affinity": null}), "b"),
            (affinity(json!([of(&["c"])])), "c"),
            (affinity(json!([of(&["d", "a"]), of(&["a"])])), "a,d"),
            (affinity(json!([of(&["c"]), {"matchFields": []}])), "home"),
            (
                affinity(
                    json!([{"matchExpressions": [{"key": ZONE_LABEL, "operator": "NotIn", "values": ["c"]}]}]),
                ),
                "home",
            ),
            (affinity(json!(null)), "home"),
        ] {
            assert_eq!(zone(more.clone()).as_deref(), Some(wanted), "{more}");
        }
    }

    #[test]
    fn pods_of_one_size_share_it_and_what_is_too_long_has_none() {
        let rooms = Rooms::new(SizePolicy::Cci10V125, None);
        let (one, two) = (rooms.of(&pod(small(), json!({}))), rooms.of(&pod(small(), json!({}))));
        assert!(Arc::ptr_eq(&one.expect("a size"), &two.expect("a size")));
        let long = json!({"nodeSelector": {ZONE_LABEL: "z".repeat(300)}});
        assert_eq!(rooms.of(&pod(small(), long)), None);
        for cpu in 1..=30 {
            for memory in 2..=60 {
                let resources = json!({"limits": {"cpu": cpu, "memory": format!("{memory}Gi")}});
                assert!(rooms.of(&pod(resources, json!({}))).is_some());
            }
        }
        assert!(rooms.known.lock().len() <= KNOWN_MAX);
    }
}
