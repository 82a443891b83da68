//! Cloud pods as JSON: made from Kubernetes manifests, read into facts. Pure.

mod bounds;
mod facts;
mod manifest;
mod mark;

pub(super) use facts::{Sighting, read_page, read_pod};
pub(super) use manifest::build;
pub(super) use mark::Mark;
