//! Create and update: what every write has in common.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::object::{items, map_mut, text};
use super::{Cluster, Kind, Object, Status, check, key};

/// The verbs that change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'w> {
    /// The time of the write.
    pub now: Timestamp,
    /// The field manager: `fieldManager` of the request, or the client's name.
    pub manager: &'w str,
}

/// Which object a write is about.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// Of which resource.
    pub kind: &'static Kind,
    /// Its namespace; empty for objects of the whole cluster.
    pub namespace: &'t str,
    /// Its name.
    pub name: &'t str,
}

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Main,
    /// The status, labels and annotations.
    Status,
    /// Whether a CertificateSigningRequest is approved: the conditions of its status.
    Approval,
}

impl Part {
    /// The subresource's name; empty for the object itself.
    #[must_use]
    pub fn subresource(self) -> &'static str {
        match self {
            Part::Main => "",
            Part::Status => "status",
            Part::Approval => "approval",
        }
    }
}

/// Names are DNS subdomains.
const NAME_CHARS_MAX: usize = 253;

/// What a generated name keeps of its prefix, so that the suffix fits a DNS label.
const GENERATED_PREFIX_CHARS_MAX: usize = 58;

impl Cluster {
    /// Makes an object.
    ///
    /// # Errors
    /// 409 when the name is taken; 404 or 403 when the namespace is missing or ending; 422 or 400 for an
    /// object that is not acceptable.
    pub fn create(
        &mut self,
        writer: Writer<'_>,
        kind: &'static Kind,
        namespace: &str,
        body: Value,
    ) -> Result<Arc<Object>, Status> {
        self.count(Verb::Create, kind, "");
        self.make(writer, kind, namespace, body)
    }

    /// Replaces an object, or its status.
    ///
    /// # Errors
    /// 404 when there is none; 409 when the body's `resourceVersion` is not the stored one; 422 or 400 for a
    /// change that is not acceptable.
    pub fn update(
        &mut self,
        writer: Writer<'_>,
        target: Target<'_>,
        part: Part,
        body: Value,
    ) -> Result<Arc<Object>, Status> {
        self.count(Verb::Update, target.kind, part.subresource());
        check_kind(target.kind, &body)?;
        let old = self.get(target.kind, target.namespace, target.name)?.clone();
        if target.kind.needs_version && text(&body, "/metadata/resourceVersion").is_empty() {
            let why = "Invalid value: 0: must be specified for an update";
            return Err(Status::invalid(target.kind, target.name, "metadata.resourceVersion", why));
        }
        self.replace(writer, &old, part, body)
    }

    /// Counts a write that was asked for.
    pub(super) fn count(&mut self, verb: Verb, kind: &Kind, subresource: &'static str) {
        *self.writes.entry((verb, kind.plural, subresource)).or_default() += 1;
    }

    pub(super) fn make(
        &mut self,
        writer: Writer<'_>,
        kind: &'static Kind,
        namespace: &str,
        mut body: Value,
    ) -> Result<Arc<Object>, Status> {
        check_kind(kind, &body)?;
        let name = self.name_of(kind, &mut body)?;
        if kind.namespaced {
            self.admit_into(kind, namespace, &name)?;
            let named = text(&body, "/metadata/namespace");
            if !named.is_empty() && named != namespace {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
        }
        if self.storage(kind).get(&key(namespace, &name)).is_some() {
            return Err(Status::already_exists(kind, &name));
        }
        let uid = self.draw_uid();
        let metadata = map_mut(&mut body, "metadata");
        metadata.insert("name".into(), json!(name));
        metadata.insert("uid".into(), json!(uid));
        metadata.insert("creationTimestamp".into(), time(writer.now));
        for absent in ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            metadata.remove(absent);
        }
        if kind.namespaced {
            metadata.insert("namespace".into(), json!(namespace));
        } else {
            metadata.remove("namespace");
        }
        if kind.has_generation {
            metadata.insert("generation".into(), json!(1));
        }
        self.fill(kind, &mut body, true);
        check::check(kind, &name, &body)?;
        let object = self.store(kind, None, body);
        if kind.plural == "namespaces" {
            self.furnish_namespace(&name, writer.now);
        }
        Ok(object)
    }

    /// The name in the body, or one made from `generateName`.
    fn name_of(&mut self, kind: &Kind, body: &mut Value) -> Result<String, Status> {
        let mut name = text(body, "/metadata/name").to_owned();
        if name.is_empty() {
            let prefix = text(body, "/metadata/generateName");
            if prefix.is_empty() {
                let why = "Required value: name or generateName is required";
                return Err(Status::invalid(kind, "", "metadata.name", why));
            }
            let kept: String = prefix.chars().take(GENERATED_PREFIX_CHARS_MAX).collect();
            name = format!("{kept}{}", self.draw_suffix());
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = name.len() <= NAME_CHARS_MAX
            && name.chars().all(allowed)
            && name.starts_with(edge)
            && name.ends_with(edge);
        if !valid {
            let why = format!(
                "Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
                 characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
                 regex used for validation is \
                 '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            );
            return Err(Status::invalid(kind, &name, "metadata.name", &why));
        }
        Ok(name)
    }

    fn admit_into(&self, kind: &Kind, namespace: &str, name: &str) -> Result<(), Status> {
        let namespaces = Kind::of("namespaces").expect("namespaces are in the table of kinds");
        if self.get(namespaces, "", namespace)?.is_deleting() {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            return Err(Status::forbidden(kind, name, &why));
        }
        Ok(())
    }

    /// Stores `new` in place of `old`, as far as the part written allows. A change of nothing writes nothing.
    pub(super) fn replace(
        &mut self,
        writer: Writer<'_>,
        old: &Arc<Object>,
        part: Part,
        mut new: Value,
    ) -> Result<Arc<Object>, Status> {
        let (kind, name) = (old.kind, old.name());
        check_identity(old, &new)?;
        match part {
            Part::Main => {
                keep_metadata(&old.value, &mut new);
                if kind.has_status() {
                    copy_member(&old.value, &mut new, "status");
                }
                match kind.plural {
                    "services" => keep_address(&old.value, &mut new),
                    // What was asked to be signed stays as it was asked.
                    "certificatesigningrequests" => copy_member(&old.value, &mut new, "spec"),
                    _ => {}
                }
                self.fill(kind, &mut new, false);
                check::check(kind, name, &new)?;
                check::check_update(kind, name, &old.value, &new)?;
            }
            Part::Approval => {
                let mut whole = old.value.clone();
                map_mut(&mut whole, "status");
                copy_member(&new["status"], &mut whole["status"], "conditions");
                new = whole;
            }
            Part::Status => {
                let mut whole = old.value.clone();
                copy_member(&new, &mut whole, "status");
                for meta in ["labels", "annotations", "managedFields"] {
                    copy_member(&new["metadata"], &mut whole["metadata"], meta);
                }
                new = whole;
                if kind.plural == "pods" {
                    super::defaults::fill_conditions(&mut new);
                }
            }
        }
        if kind.has_generation && new["spec"] != old.value["spec"] {
            let generation = old.value["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = json!(generation + 1);
        }
        new["metadata"]["resourceVersion"] = old.value["metadata"]["resourceVersion"].clone();
        if new == old.value {
            return Ok(old.clone());
        }
        let released = old.is_deleting() && old.has_finalizers();
        let ended = old.value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0;
        if released && ended && items(&new, "/metadata/finalizers").is_empty() && !is_held(kind, &new) {
            return Ok(self.remove(old, false));
        }
        if new["metadata"].get("managedFields").is_some() {
            super::apply::touch(&mut new, writer, part);
        }
        Ok(self.store(kind, Some(old.clone()), new))
    }
}

/// A time as the API has it: whole seconds.
pub(super) fn time(now: Timestamp) -> Value {
    json!(Timestamp::from_second(now.as_second()).unwrap_or(now).to_string())
}

fn check_kind(kind: &Kind, body: &Value) -> Result<(), Status> {
    let (api_version, name) = (text(body, "/apiVersion"), text(body, "/kind"));
    let fits = body.is_object()
        && (name.is_empty() || name == kind.kind)
        && (api_version.is_empty() || api_version == kind.api_version());
    if fits {
        return Ok(());
    }
    let message = format!(
        "the API version in the data ({api_version}, {name}) does not match the expected API version ({}, {})",
        kind.api_version(),
        kind.kind
    );
    Err(Status::bad_request(message))
}

fn check_identity(old: &Object, new: &Value) -> Result<(), Status> {
    let (kind, name) = (old.kind, old.name());
    let (named, placed) = (text(new, "/metadata/name"), text(new, "/metadata/namespace"));
    if (!named.is_empty() && named != name) || (!placed.is_empty() && placed != old.namespace()) {
        return Err(Status::bad_request(format!(
            "the name of the object ({named}) does not match the name on the URL ({name})"
        )));
    }
    let uid = text(new, "/metadata/uid");
    if !uid.is_empty() && uid != old.uid() {
        let why = format!("Invalid value: \"{uid}\": field is immutable");
        return Err(Status::invalid(kind, name, "metadata.uid", &why));
    }
    let version = text(new, "/metadata/resourceVersion");
    if !version.is_empty() && version != old.revision.to_string() {
        return Err(Status::conflict(kind, name));
    }
    Ok(())
}

/// What the writer of an object cannot change.
fn keep_metadata(old: &Value, new: &mut Value) {
    map_mut(new, "metadata");
    for kept in [
        "name",
        "namespace",
        "generateName",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        copy_member(&old["metadata"], &mut new["metadata"], kept);
    }
    for whole in ["kind", "apiVersion"] {
        new.as_object_mut().map(|new| new.remove(whole));
    }
    drop_empty(&mut new["metadata"]);
}

/// A service keeps its address when it is replaced by one that names none.
fn keep_address(old: &Value, new: &mut Value) {
    for member in ["clusterIP", "clusterIPs"] {
        if new["spec"].get(member).is_none() {
            copy_member(&old["spec"], &mut new["spec"], member);
        }
    }
}

/// Empty lists and maps of the metadata are not stored; nor is a null.
pub(super) fn drop_empty(metadata: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.retain(|_, value| !is_empty(value));
    }
}

/// Makes `to`'s member `name` what `from`'s is, absent included.
fn copy_member(from: &Value, to: &mut Value, name: &str) {
    match (from.get(name), to.as_object_mut()) {
        (Some(value), Some(to)) => {
            to.insert(name.to_owned(), value.clone());
        }
        (None, Some(to)) => {
            to.remove(name);
        }
        (_, None) => {}
    }
}

/// Whether something besides `metadata.finalizers` holds an object's removal up: a namespace's content.
fn is_held(kind: &Kind, value: &Value) -> bool {
    kind.plural == "namespaces" && !items(value, "/spec/finalizers").is_empty()
}
