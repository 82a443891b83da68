//! Patches of four kinds.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Cluster, Object, Part, Status, Target, Verb, Writer, strategic};

/// A change to be made to an object.
#[derive(Clone, Debug)]
pub enum Patch {
    /// `application/merge-patch+json` (RFC 7396).
    Merge(Value),
    /// `application/json-patch+json` (RFC 6902).
    Json(json_patch::Patch),
    /// `application/strategic-merge-patch+json`.
    Strategic(Value),
    /// `application/apply-patch+yaml`: what the manager wants the object to be.
    Apply {
        /// The fields that the manager sets.
        intent: Value,
        /// Whether to take fields from other managers.
        force: bool,
    },
}

impl Patch {
    /// `value` with the patch on it. An apply patch is taken as a strategic one: ownership is the cluster's.
    pub(super) fn on(&self, value: &Value) -> Result<Value, Status> {
        let mut patched = value.clone();
        match self {
            Patch::Merge(patch) => json_patch::merge(&mut patched, patch),
            Patch::Json(patch) => json_patch::patch(&mut patched, patch).map_err(|_| {
                // The API server does not say which operation it was.
                let mut status =
                    Status::bad_request("the server rejected our request due to an error in our request");
                status.code = 422;
                status.reason = "Invalid";
                status.details = json!({});
                status
            })?,
            Patch::Strategic(patch) | Patch::Apply { intent: patch, .. } => {
                strategic::merge(&mut patched, patch)?;
            }
        }
        if patched.is_object() {
            return Ok(patched);
        }
        Err(Status::bad_request("the patch leaves no object"))
    }
}

impl Cluster {
    /// Changes an object, or its status. The boolean says that it was made: only server-side apply does that.
    ///
    /// # Errors
    /// As [`Cluster::update`]; 409 too when an apply meets fields of another manager.
    pub fn patch(
        &mut self,
        writer: Writer<'_>,
        target: Target<'_>,
        part: Part,
        patch: &Patch,
    ) -> Result<(Arc<Object>, bool), Status> {
        self.count(Verb::Patch, target.kind, part.subresource());
        if let Patch::Apply { intent, force } = patch {
            return self.apply(writer, target, part, intent, *force);
        }
        let old = self.get(target.kind, target.namespace, target.name)?.clone();
        let new = patch.on(&old.value)?;
        Ok((self.replace(writer, &old, part, new)?, false))
    }
}
