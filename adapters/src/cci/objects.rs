//! Copies of ConfigMaps, Secrets and tokens in the cloud. Only what bears our mark under the name that goes with it is written or
//! removed, and only as it was when that was seen.

use std::collections::BTreeSet;

use bytes::Bytes;
use engine::{
    Answer, CloudName, EffectId, LaterReason, ObjectKind, ObjectRef, ObjectVersion, Outcome, Refusal,
    RefusalClass,
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Answered, CciClient, later, not_understood};
use super::error::Intent;
use super::transport::{Call, Failure};
use super::wire::{self, claims, imports, objects};
use crate::pace::Calls;

/// Objects asked for at once: of 32 KiB each a page stays within what is read of an answer.
const PAGE_OBJECTS: u32 = 500;

/// Pages read before a list is given up as endless.
const PAGES_MAX: usize = 400;

/// What is found under the name of a copy.
pub(super) enum Found {
    Nothing,
    /// Ours.
    Copy(Value),
    /// Somebody else's.
    Foreign,
}

/// Where one object of the cloud is, or would be, that belongs to a copy.
pub(super) struct Slot<'a> {
    /// Of what it is a copy, or a part of one.
    object: &'a ObjectRef,
    pub(super) name: CloudName,
    kind: &'static str,
    plural: &'static str,
    pub(super) collection: String,
}

impl Slot<'_> {
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.collection, self.name.0)
    }

    /// What a 404 may be about and still mean that nothing is there.
    fn kinds(&self) -> [&'static str; 2] {
        [self.plural, self.kind]
    }
}

impl CciClient {
    /// Writes the copy of `source`, which was read as `version`: makes it, or replaces it as it was found.
    ///
    /// Done with that version; refused as already existing when the name is somebody else's.
    pub async fn write_copy(
        &self,
        by: EffectId,
        object: &ObjectRef,
        version: &ObjectVersion,
        name: &CloudName,
        source: &Value,
    ) -> Answered {
        let slot = self.slot(object, name);
        let found = match self.find(&slot).await {
            Ok(found) => found,
            Err(outcome) => return outcome.into(),
        };
        let api_version = self.profile.pod.api_version;
        let mut copy = objects::copy_of(api_version, &self.mark, (object, version, by), name, source);
        let (method, path) = match found {
            Found::Foreign => return name_taken(&slot).into(),
            Found::Nothing => (Method::POST, slot.collection.clone()),
            // The type of a Secret is fixed: it is made anew.
            Found::Copy(old) if old.get("type") != copy.json.get("type") => {
                let removed = self.remove_found(&slot, &old).await;
                return match removed.outcome {
                    Outcome::Done(_) => later(LaterReason::Conflict, "the copy is made anew").into(),
                    Outcome::Refused(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => removed,
                };
            }
            Found::Copy(old) => {
                copy.json["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
                (Method::PUT, slot.path())
            }
        };
        let body = Bytes::from(copy.json.to_string());
        let call = Call { secrets: copy.secrets, body, ..Call::new(method, path) };
        match self.write(&call).await {
            Ok(_) => Outcome::Done(Answer::ObjectWritten { version: version.clone() }).into(),
            Err(answered) => answered,
        }
    }

    /// Sends a write of a copy, which names the version that it replaces; what the cloud says to have now.
    pub(super) async fn write(&self, call: &Call) -> Result<Value, Answered> {
        match self.transport.call(call).await {
            Ok(reply) => Ok(serde_json::from_slice(&reply.body).unwrap_or_default()),
            // It came or went meanwhile.
            Err(Failure::Problem(problem)) if problem.status == 409 => {
                Err(later(LaterReason::Conflict, &problem.sentence()).into())
            }
            Err(failure) => Err(failure.answered(Intent::Write)),
        }
    }

    /// Removes a copy, if there is one. What is not ours stays, and counts as none.
    pub async fn remove_copy(&self, object: &ObjectRef, name: &CloudName) -> Answered {
        let slot = self.slot(object, name);
        match self.find(&slot).await {
            Ok(Found::Copy(old)) => self.remove_found(&slot, &old).await,
            Ok(Found::Nothing | Found::Foreign) => Outcome::Done(Answer::Nothing).into(),
            Err(outcome) => outcome.into(),
        }
    }

    /// Of which objects the cloud has copies of ours, as far as they are copied as this kind is.
    ///
    /// # Errors
    /// With an outcome when a page was not answered, or not with a list.
    pub async fn list_copies(
        &self,
        kind: ObjectKind,
        calls: &mut Calls<'_>,
    ) -> Result<BTreeSet<ObjectRef>, Outcome> {
        self.list_of(kind.copy_kind(), &self.objects_path(kind), calls).await
    }

    /// The same of the objects of one kind at one path.
    pub(super) async fn list_of(
        &self,
        kind: &'static str,
        path: &str,
        calls: &mut Calls<'_>,
    ) -> Result<BTreeSet<ObjectRef>, Outcome> {
        let (mut copies, mut next) = (BTreeSet::new(), String::new());
        for _ in 0..PAGES_MAX {
            let (page, after) = loop {
                calls.permit().await?;
                let page = self.object_page(kind, path, &next).await;
                if !calls.again(&page) {
                    break page?;
                }
            };
            copies.extend(page);
            if after.is_empty() {
                return Ok(copies);
            }
            next = after;
        }
        Err(later(LaterReason::Transient, "a list without an end"))
    }

    /// The copies on one page, and where the next one begins.
    async fn object_page(
        &self,
        kind: &'static str,
        path: &str,
        next: &str,
    ) -> Result<(Vec<ObjectRef>, String), Outcome> {
        #[derive(Deserialize)]
        struct Item {
            metadata: Value,
        }
        let mut query = vec![("limit", PAGE_OBJECTS.to_string())];
        if !next.is_empty() {
            query.push(("continue", next.to_owned()));
        }
        let call = Call { query, ..Call::get(path.to_owned()) };
        let reply = self.transport.call(&call).await.map_err(|failure| failure.outcome(Intent::Read))?;
        let list = format!("{kind}List");
        let page = wire::read_list(&reply.body, &list)
            .map_err(|what| not_understood(&reply, Intent::Read, &what))?;
        let items = page.items.iter().filter_map(|item| serde_json::from_str::<Item>(item.get()).ok());
        let copies = items.filter_map(|item| objects::copied(&self.mark, kind, &item.metadata)).collect();
        Ok((copies, page.next))
    }

    pub(super) async fn find(&self, slot: &Slot<'_>) -> Result<Found, Outcome> {
        let reply = match self.transport.call(&Call::get(slot.path())).await {
            Ok(reply) => reply,
            Err(Failure::Problem(problem)) if problem.is_absence_of(&slot.kinds()) => {
                return Ok(Found::Nothing);
            }
            Err(failure) => return Err(failure.outcome(Intent::Read)),
        };
        let found: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if found.pointer("/metadata/name").and_then(Value::as_str) != Some(&slot.name.0) {
            return Err(not_understood(&reply, Intent::Read, "the answer is about another object"));
        }
        let copied = objects::copied(&self.mark, slot.kind, &found["metadata"]);
        Ok(if copied.as_ref() == Some(slot.object) { Found::Copy(found) } else { Found::Foreign })
    }

    pub(super) async fn remove_found(&self, slot: &Slot<'_>, old: &Value) -> Answered {
        let metadata = &old["metadata"];
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        });
        let is_import =
            self.profile.pod.imports_claims && slot.kind == ObjectKind::PersistentVolumeClaim.copy_kind();
        // Here and nowhere else a claim is removed: whatever the reason is, the files stay.
        let query = if is_import { imports::unbinding(old) } else { Vec::new() };
        let body = Bytes::from(body.to_string());
        let call = Call { query, body, ..Call::new(Method::DELETE, slot.path()) };
        match self.transport.call(&call).await {
            Ok(_) => Outcome::Done(Answer::Nothing).into(),
            Err(Failure::Problem(problem)) if problem.is_absence_of(&slot.kinds()) => {
                Outcome::Done(Answer::Nothing).into()
            }
            Err(Failure::Problem(problem)) if problem.status == 409 => {
                later(LaterReason::Conflict, &problem.sentence()).into()
            }
            Err(failure) => failure.answered(Intent::Write),
        }
    }

    fn objects_path(&self, kind: ObjectKind) -> String {
        self.in_namespace(kind.plural())
    }

    /// Where the copy of an object is.
    pub(super) fn slot<'a>(&self, object: &'a ObjectRef, name: &CloudName) -> Slot<'a> {
        let (kind, plural) = (object.kind.copy_kind(), object.kind.plural());
        Slot { object, name: name.clone(), kind, plural, collection: self.objects_path(object.kind) }
    }

    /// Where the volume of a claim's copy is.
    pub(super) fn volume_slot<'a>(&self, object: &'a ObjectRef) -> Slot<'a> {
        Slot {
            object,
            name: claims::volume_name(&self.mark, object),
            kind: claims::VOLUME_KIND,
            plural: "persistentvolumes",
            collection: self.volumes_path(),
        }
    }

    /// Volumes are in no namespace (CCI 2.0 API, create PersistentVolume).
    pub(super) fn volumes_path(&self) -> String {
        format!("{}/persistentvolumes", self.profile.core_path)
    }
}

/// Refused, as a name is somebody else's.
pub(super) fn name_taken(slot: &Slot<'_>) -> Outcome {
    let message = format!("the name {} in the cloud is taken by an object that is not ours", slot.name);
    Outcome::Refused(Refusal { class: RefusalClass::AlreadyExists, code: String::new(), message })
}
