//! Copies of ConfigMaps, Secrets and tokens: read at the API server, written to the cloud, and kept nowhere.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::{Answer, Bucket, CloudName, EffectId, ObjectKind, ObjectRef, ObjectVersion, Outcome, PodRef};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{MANIFEST_WAIT_MAX, World, rested};
use crate::cci::Answered;
use crate::execute::Turn;
use crate::kubernetes::tokens::renewal;
use crate::kubernetes::{CallFailure, ReadObject};
use crate::objects::TokenWish;
use crate::pace::Calls;

/// What a copy is made from.
struct Source {
    content: Value,
    /// After how long it is to be read again, whatever is heard; of what does not end by itself never.
    renewal: Option<Duration>,
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
        let read = match object.pod_of_tokens() {
            Some(pod) => self.tokens(&pod, turn).await?,
            None => {
                let read = read(turn, self.reader.whole(object)).await?;
                read.map(|content| Source { content, renewal: None })
            }
        };
        let (version, Source { content, renewal }) = match read {
            ReadObject::There(version, source) => (version, source),
            ReadObject::Absent => {
                self.objects.found(object, None);
                return Err(Outcome::Done(Answer::ObjectAbsent));
            }
            ReadObject::Unreadable(message) => {
                return Err(Outcome::Done(Answer::ObjectUnreadable { message: crate::cut(&message) }));
            }
        };
        turn.renew(MANIFEST_WAIT_MAX).await?;
        let outcome = rested(*turn, self.cloud.write_copy(by, object, &version, name, &content).await);
        match &outcome {
            Outcome::Done(_) => match renewal {
                Some(renewal) => self.objects.tokens_written(object, &version, renewal),
                None => self.objects.written(object, &version),
            },
            Outcome::Unknown { .. } => self.objects.unknown(),
            Outcome::Refused(_) | Outcome::Later { .. } => {}
        }
        Ok(outcome)
    }

    /// Asks for the tokens of a pod: those that its manifest names, each bound to it.
    ///
    /// # Errors
    /// As [`World::write_copy`].
    async fn tokens(&self, pod: &PodRef, turn: &mut Turn<'_>) -> Result<ReadObject<Source>, Outcome> {
        let manifest = match self.manifest(pod, turn).await {
            Ok(manifest) => manifest,
            Err(Outcome::Done(Answer::PodAbsent)) => return Ok(ReadObject::Absent),
            Err(outcome) => return Err(outcome),
        };
        let manifest: Value = serde_json::from_str(manifest.get()).unwrap_or_default();
        let account =
            manifest.pointer("/spec/serviceAccountName").and_then(Value::as_str).unwrap_or("default");
        let mut data = Map::new();
        let mut first: Option<(ObjectVersion, Duration)> = None;
        for wish in TokenWish::all(&manifest, self.tokens) {
            let (version, token) = match read(turn, self.reader.token(pod, account, &wish)).await? {
                ReadObject::There(version, token) => (version, token),
                ReadObject::Absent => return Ok(ReadObject::Absent),
                ReadObject::Unreadable(message) => return Ok(ReadObject::Unreadable(message)),
            };
            data.insert(wish.key(), STANDARD.encode(token.text).into());
            // All are asked for anew when one has to be.
            first =
                first.filter(|(_, lifetime)| *lifetime <= token.lifetime).or(Some((version, token.lifetime)));
        }
        Ok(match first {
            Some((version, lifetime)) => {
                let renewal = Some(renewal(lifetime, xxh3_64(pod.uid.0.as_bytes())));
                ReadObject::There(version, Source { content: json!({"data": data}), renewal })
            }
            None => ReadObject::Absent,
        })
    }

    pub(super) async fn remove_copy(&self, object: &ObjectRef, name: &CloudName) -> Answered {
        let answered = self.cloud.remove_copy(object, name).await;
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
        let mut listed = BTreeSet::new();
        for kind in [ObjectKind::ConfigMap, ObjectKind::Secret] {
            match self.cloud.list_copies(kind, calls).await {
                Ok(copies) => listed.extend(copies),
                Err(outcome) => {
                    tracing::debug!(
                        ?outcome,
                        kind = kind.plural(),
                        "the copies in the cloud cannot be listed"
                    );
                    return;
                }
            }
        }
        let at = self.clock.now();
        for event in self.objects.audited(begun, &listed) {
            self.report(at, event).await;
        }
    }
}
