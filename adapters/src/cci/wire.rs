//! Cloud pods as JSON: made from Kubernetes manifests, read into facts. Pure.

mod bounds;
pub(super) mod claims;
mod downward;
mod events;
mod facts;
pub(super) mod imports;
mod left_out;
mod manifest;
mod mark;
pub(super) mod objects;
pub(super) mod parts;
mod sent;
mod services;
mod tokens;

pub(super) use events::{most_telling, read_event};
pub(super) use facts::{Sighting, read_annotations, read_list, read_page, read_pod};
pub(super) use left_out::left_out;
pub(super) use manifest::{CloudPod, Recipe, build};
pub(super) use mark::{Annotations, Mark};
pub(super) use sent::{Update, note, update};
