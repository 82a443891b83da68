//! What of a pod can be changed while it is there (CCI 1.0 API, update pod): labels, annotations, images and the
//! deadline. Of the kinds of patch only the strategic merge is served, as far as it reaches these.

use std::collections::BTreeMap;

use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use super::admit::containers;
use super::{Pod, Stage};
use crate::world::cloud::Common;
use crate::world::cloud::names;
use crate::world::cloud::reply::Refusal;

const FORBIDDEN: &str = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`, \
                         `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`";

impl Pod {
    /// Changes the pod, or says why not, and then changes nothing.
    pub(in crate::world::cloud) fn patch(
        &mut self,
        patch: &Value,
        now_us: u64,
        common: &mut Common,
    ) -> Result<(), Refusal> {
        let metadata = &patch["metadata"];
        if let Some(wanted) = metadata["uid"].as_str().filter(|wanted| *wanted != self.uid) {
            let message = format!(
                "Precondition failed: UID in precondition: {wanted}, UID in object meta: {}",
                self.uid
            );
            return Err(Refusal::new(409, message).about("", "pods", &self.key.name));
        }
        let labels = merged(&self.labels, &metadata["labels"]);
        names::labels(&serde_json::json!({ "labels": labels }))?;
        let annotations = merged(&self.annotations, &metadata["annotations"]);
        let before: Value = serde_json::from_str(self.spec.get()).unwrap_or_default();
        let spec = merged_spec(before.clone(), &patch["spec"])?;

        (self.labels, self.annotations) = (labels, annotations);
        self.spec = to_raw_value(&spec).map_err(|error| Refusal::new(400, error.to_string()))?;
        if ["containers", "initContainers"].iter().any(|list| spec[*list] != before[*list]) {
            self.containers = containers(&spec, "containers");
            self.init_containers = containers(&spec, "initContainers");
            // A container runs on in its new image, and counts as restarted.
            self.restarts += u32::from(self.stage == Stage::Running);
        }
        self.render(now_us, common);
        Ok(())
    }
}

/// Texts with those of a patch, where `null` takes one away.
fn merged(there: &BTreeMap<String, String>, patch: &Value) -> BTreeMap<String, String> {
    let mut merged = there.clone();
    for (key, value) in patch.as_object().unwrap_or(&Map::new()) {
        match value.as_str() {
            Some(text) => drop(merged.insert(key.clone(), text.to_owned())),
            None => drop(merged.remove(key)),
        }
    }
    merged
}

fn merged_spec(mut spec: Value, patch: &Value) -> Result<Value, Refusal> {
    let forbidden = || Refusal::new(422, FORBIDDEN);
    for (field, value) in patch.as_object().unwrap_or(&Map::new()) {
        match field.as_str() {
            "activeDeadlineSeconds" => spec["activeDeadlineSeconds"] = value.clone(),
            "containers" | "initContainers" => {
                for change in value.as_array().into_iter().flatten() {
                    let only_image = change
                        .as_object()
                        .is_some_and(|fields| fields.keys().all(|key| key == "name" || key == "image"));
                    let list = spec[field.as_str()].as_array_mut().into_iter().flatten();
                    let container = list.into_iter().find(|container| container["name"] == change["name"]);
                    let image = change["image"].as_str().filter(|image| !image.is_empty() && only_image);
                    match (container, image) {
                        (Some(container), Some(image)) => container["image"] = image.into(),
                        (_, _) => return Err(forbidden()),
                    }
                }
            }
            _ => return Err(forbidden()),
        }
    }
    Ok(spec)
}
