//! Copies of claims: a volume and a claim in the cloud that name a file system. The volume is written first and goes last,
//! and its files are kept whatever becomes of either. Where the cloud makes the volume itself, as it imports the file system
//! (CCI 1.0), there is the claim alone, and it is unbound rather than deleted.

use std::collections::BTreeSet;

use bytes::Bytes;
use engine::{
    Answer, CloudName, EffectId, LaterReason, ObjectKind, ObjectRef, ObjectVersion, Outcome, Refusal,
    RefusalClass,
};
use reqwest::Method;
use serde_json::Value;

use super::client::{Answered, CciClient, later};
use super::objects::{Found, Slot, name_taken};
use super::transport::Call;
use super::wire::claims::{self, ClaimCopy, ClaimRecipe, Pair, Unusable};
use super::wire::imports;
use crate::pace::Calls;

impl Unusable {
    fn answer(self) -> Answer {
        match self {
            Unusable::Unready(message) => Answer::ObjectUnready { message },
            Unusable::NotAdmitted(reason) => {
                Answer::ObjectNotAdmitted { message: crate::cut(&reason.to_string()) }
            }
        }
    }
}

impl CciClient {
    /// The name of the volume that a claim of the cluster is bound to, as it is to be read.
    ///
    /// # Errors
    /// With the answer to the sync, when the claim is not to be copied.
    pub fn volume_of(&self, claim: &Value) -> Result<String, Answer> {
        claims::volume_of(claim).map(str::to_owned).map_err(Unusable::answer)
    }

    /// What the cloud is to have in place of a claim, which was read as `version`, and of its volume.
    ///
    /// # Errors
    /// As [`CciClient::volume_of`].
    pub fn claim_copy(
        &self,
        by: EffectId,
        object: &ObjectRef,
        version: &ObjectVersion,
        name: &CloudName,
        (claim, volume): (&Value, &Value),
    ) -> Result<ClaimCopy, Answer> {
        let (shape, mark, namespace) = (&self.profile.pod, &self.mark, &*self.config.namespace);
        let recipe = ClaimRecipe { shape, mark, namespace };
        claims::copy_of(recipe, (object, version, by), name, (claim, volume)).map_err(Unusable::answer)
    }

    /// Writes the copy of a claim, as [`CciClient::write_copy`] does. One that is bound to other files now is made anew.
    pub async fn write_claim(
        &self,
        object: &ObjectRef,
        version: &ObjectVersion,
        name: &CloudName,
        copy: &ClaimCopy,
    ) -> Answered {
        let put = match copy {
            ClaimCopy::Pair(pair) => self.put_pair(object, name, pair).await,
            ClaimCopy::Import(claim) => self.import(object, name, claim).await,
        };
        match put {
            Ok(()) => Outcome::Done(Answer::ObjectWritten { version: version.clone() }).into(),
            Err(answered) => answered,
        }
    }

    /// Removes the copy of a claim, the volume last. What is not ours stays, and counts as none.
    pub async fn remove_claim(&self, object: &ObjectRef, name: &CloudName) -> Answered {
        match self.take_claim(object, name).await {
            Ok(()) => Outcome::Done(Answer::Nothing).into(),
            Err(answered) => answered,
        }
    }

    /// Of which claims the cloud has both parts, and of which it has one.
    ///
    /// # Errors
    /// As [`CciClient::list_copies`].
    pub async fn list_claims(
        &self,
        calls: &mut Calls<'_>,
    ) -> Result<(BTreeSet<ObjectRef>, BTreeSet<ObjectRef>), Outcome> {
        let claims = self.list_copies(ObjectKind::PersistentVolumeClaim, calls).await?;
        if self.profile.pod.imports_claims {
            return Ok((claims, BTreeSet::new()));
        }
        let volumes = self.list_of(claims::VOLUME_KIND, &self.volumes_path(), calls).await?;
        Ok((&claims & &volumes, &claims ^ &volumes))
    }

    /// Imports the file system that a claim names, unless that is done.
    async fn import(&self, object: &ObjectRef, name: &CloudName, claim: &Value) -> Result<(), Answered> {
        let slot = self.slot(object, name);
        let found = self.ours(&slot).await?;
        let (call, body) = match found {
            None => (Call::new(Method::POST, self.in_namespace(imports::COLLECTION)), claim.clone()),
            Some(found) if imports::serves(&found, claim) => {
                (Call::new(Method::PUT, slot.path()), claims::marked_anew(found, claim))
            }
            Some(_) => {
                self.take(&slot).await?;
                return Err(later(LaterReason::Conflict, "the claim is made anew").into());
            }
        };
        self.write(&Call { body: Bytes::from(body.to_string()), ..call }).await.map(drop)
    }

    async fn put_pair(&self, object: &ObjectRef, name: &CloudName, copy: &Pair) -> Result<(), Answered> {
        let (volume, claim) = (self.volume_slot(object), self.slot(object, name));
        let found = (self.ours(&volume).await?, self.ours(&claim).await?);
        if !claims::serves(copy, found.0.as_ref(), found.1.as_ref()) {
            self.take_claim(object, name).await?;
            return Err(later(LaterReason::Conflict, "the claim is made anew").into());
        }
        let made = self.put(&volume, found.0, &copy.volume).await?;
        are_kept(&volume, &made)?;
        self.put(&claim, found.1, &copy.claim).await.map(drop)
    }

    /// What of ours is in a slot; it is not to be on its way out.
    async fn ours(&self, slot: &Slot<'_>) -> Result<Option<Value>, Answered> {
        match self.find(slot).await? {
            Found::Foreign => Err(name_taken(slot).into()),
            Found::Nothing => Ok(None),
            Found::Copy(found) if claims::is_ending(&found) => Err(still_there(slot)),
            Found::Copy(found) => Ok(Some(found)),
        }
    }

    async fn put(&self, slot: &Slot<'_>, found: Option<Value>, wanted: &Value) -> Result<Value, Answered> {
        let (call, body) = match found {
            None => (Call::new(Method::POST, slot.collection.clone()), wanted.clone()),
            Some(found) => (Call::new(Method::PUT, slot.path()), claims::marked_anew(found, wanted)),
        };
        self.write(&Call { body: Bytes::from(body.to_string()), ..call }).await
    }

    async fn take_claim(&self, object: &ObjectRef, name: &CloudName) -> Result<(), Answered> {
        let (volume, claim) = (self.volume_slot(object), self.slot(object, name));
        if self.profile.pod.imports_claims {
            return self.take(&claim).await;
        }
        // Before its claim goes, which is when the files of one that does not keep them go.
        if let Found::Copy(mut found) = self.find(&volume).await?
            && claims::deletes_files(&found)
        {
            claims::keep(&mut found);
            let body = Bytes::from(found.to_string());
            let changed = self.write(&Call { body, ..Call::new(Method::PUT, volume.path()) }).await?;
            are_kept(&volume, &changed)?;
        }
        self.take(&claim).await?;
        self.take(&volume).await
    }

    /// Removes what of ours is in a slot, and sees that it is gone.
    async fn take(&self, slot: &Slot<'_>) -> Result<(), Answered> {
        let Found::Copy(found) = self.find(slot).await? else { return Ok(()) };
        if !claims::is_ending(&found) {
            let removed = self.remove_found(slot, &found).await;
            if !matches!(removed.outcome, Outcome::Done(_)) {
                return Err(removed);
            }
        }
        match self.find(slot).await? {
            Found::Copy(_) => Err(still_there(slot)),
            Found::Nothing | Found::Foreign => Ok(()),
        }
    }
}

/// Sees that a volume as the cloud has it keeps its files: no claim is bound to another one, and none is taken from it.
fn are_kept(slot: &Slot<'_>, volume: &Value) -> Result<(), Answered> {
    if !claims::deletes_files(volume) {
        return Ok(());
    }
    let message = format!("the cloud does not keep the files of volume {} when its claim goes", slot.name);
    let class = RefusalClass::Invalid;
    Err(Outcome::Refused(Refusal { class, code: String::new(), message }).into())
}

/// Later, as the cloud keeps what pods still use.
fn still_there(slot: &Slot<'_>) -> Answered {
    later(LaterReason::Transient, &format!("{} is on its way out of the cloud", slot.name)).into()
}
