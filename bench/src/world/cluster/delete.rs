//! Deletion: at once, with grace, or held up by finalizers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::object::{integer, items, text};
use super::write::time;
use super::{Cluster, Kind, Object, Selector, Status, Target, Verb, Writer, defaults};

/// The namespaces that cannot be deleted.
const LASTING: [&str; 3] = ["default", "kube-public", "kube-system"];

/// What a deletion asks for.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// `gracePeriodSeconds`.
    pub grace_s: Option<i64>,
    /// `preconditions.uid`.
    pub uid: Option<String>,
    /// `preconditions.resourceVersion`.
    pub revision: Option<String>,
    /// `propagationPolicy: Orphan`: what the object owns stays.
    pub orphan: bool,
    /// `dryRun: [All]`: only what it would answer is wanted. The caller sees to that.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Reads a `DeleteOptions` object; null and `{}` ask for nothing in particular.
    #[must_use]
    pub fn parse(body: &Value) -> DeleteOptions {
        let precondition = |name: &str| {
            body.pointer(&format!("/preconditions/{name}")).and_then(Value::as_str).map(str::to_owned)
        };
        DeleteOptions {
            grace_s: integer(body, "/gracePeriodSeconds"),
            uid: precondition("uid"),
            revision: precondition("resourceVersion"),
            orphan: text(body, "/propagationPolicy") == "Orphan",
            dry_run: !items(body, "/dryRun").is_empty(),
        }
    }
}

/// How a deletion went.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// The object is gone; this is its last state, at the revision of the deletion.
    Gone(Arc<Object>),
    /// The object stays until its grace is over or its finalizers are gone.
    Going(Arc<Object>),
}

impl Deleted {
    /// The object in either case.
    #[must_use]
    pub fn object(&self) -> &Arc<Object> {
        match self {
            Deleted::Gone(object) | Deleted::Going(object) => object,
        }
    }
}

impl Cluster {
    /// Deletes an object.
    ///
    /// # Errors
    /// 404 when there is none; 409 when a precondition does not hold; 403 for a namespace that must stay.
    pub fn delete(
        &mut self,
        writer: Writer<'_>,
        target: Target<'_>,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        self.count(Verb::Delete, target.kind, "");
        let object = self.get(target.kind, target.namespace, target.name)?.clone();
        check_preconditions(&object, options)?;
        if target.kind.plural == "namespaces" && LASTING.contains(&target.name) {
            return Err(Status::forbidden(target.kind, target.name, "this namespace may not be deleted"));
        }
        Ok(self.end(writer, &object, options))
    }

    /// Deletes every selected object; the answer holds them as they were.
    pub fn delete_collection(
        &mut self,
        writer: Writer<'_>,
        kind: &'static Kind,
        selector: &Selector,
        options: &DeleteOptions,
    ) -> Vec<Arc<Object>> {
        self.count(Verb::Delete, kind, "");
        let (objects, _) = self.storage(kind).select_at(self.revision, selector, "", usize::MAX);
        for object in &objects {
            self.end(writer, object, options);
        }
        objects
    }

    /// Ends an object as far as it can be ended now.
    pub(super) fn end(
        &mut self,
        writer: Writer<'_>,
        object: &Arc<Object>,
        options: &DeleteOptions,
    ) -> Deleted {
        let kind = object.kind;
        let grace_s = grace(object, options);
        let content = kind.plural == "namespaces" && !items(&object.value, "/spec/finalizers").is_empty();
        let held = object.has_finalizers() || content;
        if object.is_deleting() {
            let left_s = integer(&object.value, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
            // A second deletion can only shorten the grace of the first.
            if grace_s >= left_s && (held || grace_s > 0) {
                return Deleted::Going(object.clone());
            }
            if left_s == 0 && !held {
                return Deleted::Gone(self.remove(object, options.orphan));
            }
        }
        if !kind.is_graceful() && !held {
            return Deleted::Gone(self.remove(object, options.orphan));
        }
        let marked = self.mark(writer, object, grace_s);
        if grace_s == 0 && !held {
            return Deleted::Gone(self.remove(&marked, options.orphan));
        }
        Deleted::Going(marked)
    }

    /// Writes down that the deletion was asked, which is a change of its own: it bumps the generation.
    fn mark(&mut self, writer: Writer<'_>, object: &Arc<Object>, grace_s: i64) -> Arc<Object> {
        let mut value = object.value.clone();
        let end = writer.now.checked_add(jiff::SignedDuration::from_secs(grace_s)).unwrap_or(writer.now);
        let metadata = &mut value["metadata"];
        if !object.is_deleting()
            && let Some(generation) = metadata.get("generation").and_then(Value::as_i64)
        {
            metadata["generation"] = json!(generation + 1);
        }
        metadata["deletionTimestamp"] = time(end);
        metadata["deletionGracePeriodSeconds"] = json!(grace_s);
        if object.kind.plural == "namespaces" {
            value["status"]["phase"] = json!("Terminating");
        }
        self.store(object.kind, Some(object.clone()), value)
    }
}

/// The seconds an object has to end by itself: none for what runs nowhere.
fn grace(object: &Object, options: &DeleteOptions) -> i64 {
    if !object.kind.is_graceful() {
        return 0;
    }
    let unbound = text(&object.value, "/spec/nodeName").is_empty();
    if unbound || defaults::is_terminal(&object.value) {
        return 0;
    }
    let asked = options.grace_s.or(integer(&object.value, "/spec/terminationGracePeriodSeconds"));
    asked.unwrap_or(30).max(0)
}

fn check_preconditions(object: &Object, options: &DeleteOptions) -> Result<(), Status> {
    let (kind, name) = (object.kind, object.name());
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != object.uid()) {
        return Err(Status::precondition(kind, name, "UID", uid, object.uid()));
    }
    let stored = object.revision.to_string();
    if let Some(asked) = options.revision.as_deref().filter(|asked| *asked != stored) {
        return Err(Status::precondition(kind, name, "ResourceVersion", asked, &stored));
    }
    Ok(())
}
