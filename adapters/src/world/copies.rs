//! Copies of ConfigMaps, Secrets, tokens and claims: read at the API server, written to the cloud, and kept nowhere.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::{Answer, Bucket, CloudName, EffectId, ObjectKind, ObjectRef, ObjectVersion, Outcome, PodRef};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{MANIFEST_WAIT_MAX, World, rested};
use crate::cci::{Answered, ClaimCopy};
use crate::execute::Turn;
use crate::kubernetes::tokens::renewal;
use crate::kubernetes::{CallFailure, ReadObject};
use crate::objects::{Listed, TokenWish, with_bound_token};
use crate::pace::Calls;

/// What a copy is made from.
enum Source {
    /// An object, as it is.
    Object(Value),
    /// A Secret's content of tokens, and after how long they are to be asked for again.
    Tokens(Value, Duration),
    /// A claim and its volume, as the cloud is to have them.
    Claim(Box<ClaimCopy>),
}

/// A read of the API server on the way to a call to the cloud, paced and answered for by its own class.
async fn read<T>(
    turn: &Turn<'_>,
    read: impl Future<Output = Result<ReadObject<T>, CallFailure>>,
) -> Result<ReadObject<T>, Outcome> {
    let pace = turn.paces.of(Bucket::Kubernetes);
    let permit = pace.permit_within(MANIFEST_WAIT_MAX).await?;
    let read = read.await.map_err(|failure| {
        let outcome = failure.outcome();
        pace.note(permit, &outcome);
        outcome
    })?;
    pace.passed(permit);
    Ok(read)
}

/// What was read, or the outcome of a sync whose object is not to be had.
fn there<T>(read: ReadObject<T>) -> Result<(ObjectVersion, T), Outcome> {
    match read {
        ReadObject::There(version, content) => Ok((version, content)),
        ReadObject::Absent => Err(Outcome::Done(Answer::ObjectAbsent)),
        ReadObject::Unreadable(message) => {
            Err(Outcome::Done(Answer::ObjectUnreadable { message: crate::cut(&message) }))
        }
    }
}

impl World {
    /// Reads an object and writes its copy. What it says is in memory for as long as this takes, and nowhere else. As
    /// with a manifest, each of the two calls is answered for by its own class.
    ///
    /// # Errors
    /// With the outcome, when it has to do with the API server and not with the cloud.
    pub(super) async fn write_copy(
        &self,
        by: EffectId,
        object: &ObjectRef,
        name: &CloudName,
        turn: &mut Turn<'_>,
    ) -> Result<Outcome, Outcome> {
        let (version, source) = match self.source(by, object, name, turn).await {
            Ok(read) => read,
            Err(outcome) => {
                if outcome == Outcome::Done(Answer::ObjectAbsent) {
                    self.objects.found(object, None);
                }
                return Err(outcome);
            }
        };
        turn.renew(MANIFEST_WAIT_MAX).await?;
        let answered = match &source {
            Source::Object(content) | Source::Tokens(content, _) => {
                self.cloud.write_copy(by, object, &version, name, content).await
            }
            Source::Claim(copy) => self.cloud.write_claim(object, &version, name, copy).await,
        };
        let outcome = rested(*turn, answered);
        match &outcome {
            Outcome::Done(_) => match source {
                Source::Tokens(_, renewal) => self.objects.tokens_written(object, &version, renewal),
                Source::Object(_) | Source::Claim(_) => self.objects.written(object, &version),
            },
            Outcome::Unknown { .. } => self.objects.unknown(),
            Outcome::Refused(_) | Outcome::Later { .. } => {}
        }
        Ok(outcome)
    }

    /// Reads what a copy is made from.
    ///
    /// # Errors
    /// As [`World::write_copy`].
    async fn source(
        &self,
        by: EffectId,
        object: &ObjectRef,
        name: &CloudName,
        turn: &mut Turn<'_>,
    ) -> Result<(ObjectVersion, Source), Outcome> {
        if let Some(pod) = object.pod_of_tokens() {
            return self.tokens(&pod, turn).await;
        }
        let (version, content) = there(read(turn, self.reader.whole(object)).await?)?;
        match object.kind {
            ObjectKind::ConfigMap
            | ObjectKind::Secret
            | ObjectKind::ServiceAccountToken
            | ObjectKind::ServiceVariables => Ok((version, Source::Object(content))),
            ObjectKind::PersistentVolumeClaim => {
                let copy = self.claim(by, object, &version, name, &content, turn).await;
                // It is followed as well when it is not copied: the next claim of its name may be another one.
                if let Err(Outcome::Done(Answer::ObjectUnready { .. })) = &copy {
                    self.objects.unready(object, &version);
                } else if let Err(Outcome::Done(_)) = &copy {
                    self.objects.found(object, Some(version.clone()));
                }
                copy.map(|copy| (version, Source::Claim(copy.into())))
            }
        }
    }

    /// Makes a claim's copy from the volume that it is bound to.
    ///
    /// # Errors
    /// As [`World::write_copy`].
    async fn claim(
        &self,
        by: EffectId,
        object: &ObjectRef,
        version: &ObjectVersion,
        name: &CloudName,
        claim: &Value,
        turn: &Turn<'_>,
    ) -> Result<ClaimCopy, Outcome> {
        let volume_name = self.cloud.volume_of(claim).map_err(Outcome::Done)?;
        let volume = match read(turn, self.reader.volume(&volume_name)).await? {
            ReadObject::Absent => {
                let message = format!("is bound to PersistentVolume {volume_name:?}, which is not there");
                return Err(Outcome::Done(Answer::ObjectUnready { message: crate::cut(&message) }));
            }
            read @ (ReadObject::There(..) | ReadObject::Unreadable(_)) => there(read)?.1,
        };
        self.cloud.claim_copy(by, object, version, name, (claim, &volume)).map_err(Outcome::Done)
    }

    /// Asks for the tokens of a pod: those that its manifest names, each bound to it.
    ///
    /// # Errors
    /// As [`World::write_copy`].
    async fn tokens(&self, pod: &PodRef, turn: &mut Turn<'_>) -> Result<(ObjectVersion, Source), Outcome> {
        let absent = Outcome::Done(Answer::ObjectAbsent);
        let manifest = match self.manifest(pod, turn).await {
            Ok(manifest) => manifest,
            Err(Outcome::Done(Answer::PodAbsent)) => return Err(absent),
            Err(outcome) => return Err(outcome),
        };
        let manifest: Value = serde_json::from_str(manifest.get()).unwrap_or_default();
        let manifest = with_bound_token(&manifest);
        let account =
            manifest.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or("default");
        let mut data = Map::new();
        let mut first: Option<(ObjectVersion, Duration)> = None;
        for wish in TokenWish::all(&manifest, self.tokens) {
            let (version, token) = there(read(turn, self.reader.token(pod, account, &wish)).await?)?;
            data.insert(wish.key(), STANDARD.encode(token.text).into());
            // All are asked for anew when one has to be.
            first =
                first.filter(|(_, lifetime)| *lifetime <= token.lifetime).or(Some((version, token.lifetime)));
        }
        let (version, lifetime) = first.ok_or(absent)?;
        let renewal = renewal(lifetime, xxh3_64(pod.uid.0.as_bytes()));
        Ok((version, Source::Tokens(json!({"data": data}), renewal)))
    }

    pub(super) async fn remove_copy(&self, object: &ObjectRef, name: &CloudName) -> Answered {
        let answered = match object.kind {
            ObjectKind::ConfigMap
            | ObjectKind::Secret
            | ObjectKind::ServiceAccountToken
            | ObjectKind::ServiceVariables => self.cloud.remove_copy(object, name).await,
            ObjectKind::PersistentVolumeClaim => self.cloud.remove_claim(object, name).await,
        };
        match &answered.outcome {
            Outcome::Done(_) => self.objects.forget(object),
            Outcome::Unknown { .. } => self.objects.unknown(),
            Outcome::Refused(_) | Outcome::Later { .. } => {}
        }
        answered
    }

    /// Now and then a poll lists the copies as well: what an earlier life has left, and what others have removed. That it
    /// does not succeed is no trouble of the poll; the next one tries again.
    pub(super) async fn audit(&self, calls: &mut Calls<'_>) {
        if !self.objects.audit_is_due() {
            return;
        }
        let begun = tokio::time::Instant::now();
        let mut listed = Listed::default();
        for kind in [ObjectKind::ConfigMap, ObjectKind::Secret] {
            match self.cloud.list_copies(kind, calls).await {
                Ok(copies) => listed.whole.extend(copies),
                Err(outcome) => return not_listed(kind, &outcome),
            }
        }
        // Not every region of the cloud has volumes: that these cannot be listed says nothing of the others.
        match self.cloud.list_claims(calls).await {
            Ok((whole, halves)) => {
                listed.whole.extend(whole);
                (listed.halves, listed.has_claims) = (halves, true);
            }
            Err(outcome) => not_listed(ObjectKind::PersistentVolumeClaim, &outcome),
        }
        let at = self.clock.now();
        for event in self.objects.audited(begun, &listed) {
            self.report(at, event).await;
        }
    }
}

fn not_listed(kind: ObjectKind, outcome: &Outcome) {
    tracing::debug!(?outcome, kind = kind.plural(), "the copies in the cloud cannot be listed");
}
