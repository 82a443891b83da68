//! The real world: one arm for each effect, and no decision.

mod copies;
mod quota;

pub use quota::QuotaWatch;

use std::sync::Arc;
use std::time::Duration;

use engine::{
    Answer, Bucket, CloudFacts, CloudName, Effect, EffectId, EffectKind, Event, LaterReason, Mirror, Outcome,
    PodRef,
};
use parking_lot::Mutex;
use serde_json::value::RawValue;

use crate::cci::{Answered, CciClient};
use crate::execute::{Perform, Turn};
use crate::kubernetes::{Manifests, Notices, ObjectReader, PodWriter, VirtualNode};
use crate::objects::{Objects, ServiceAccountTokens};
use crate::pace::Calls;
use crate::{Clock, Reports, Seen};

/// How long a creation may wait for its turn to read a manifest: it holds the place of another one meanwhile.
const MANIFEST_WAIT_MAX: Duration = Duration::from_secs(5);

/// How many of the pods that were there a list may lack before it is read again, at least and as a share of them:
/// fewer are looked up about as fast as a list is read.
const LACK_FLOOR: usize = 20;
const LACK_PERCENT: usize = 10;

/// What was last reported of the cloud's pods, and whose they are.
pub struct CloudMirror {
    mirror: Mirror<CloudName, PodRef>,
}

impl CloudMirror {
    /// A mirror that knows of these pods from the recovered state, but not how they look.
    #[must_use]
    pub fn knowing(pods: Vec<(CloudName, PodRef)>) -> CloudMirror {
        CloudMirror { mirror: Mirror::knowing(pods) }
    }

    /// Notes a sight; true when it is to be reported. The facts then share the names that are known already.
    ///
    /// A mark that does not fit the name was not put there by us (invariant S11): it is no sight of the pod that has
    /// the name, which a list then lacks.
    fn observe(&mut self, facts: &mut CloudFacts) -> bool {
        let known = self.mirror.get(&facts.name).is_some_and(|(_, owner)| *owner == facts.owner);
        if !known && facts.name != CloudName::of(&facts.owner) {
            return false;
        }
        let news = self.mirror.observe(&facts.name, facts.digest(), || facts.owner.clone());
        if let Some((name, owner)) = self.mirror.get(&facts.name).filter(|(_, owner)| **owner == facts.owner)
        {
            (facts.name, facts.owner) = (name.clone(), owner.clone());
        }
        news
    }

    /// Notes a direct answer: it may be older than what a list has shown meanwhile, and so is compared again.
    fn observe_direct(&mut self, facts: &CloudFacts) {
        self.mirror.observe_direct(&facts.name, facts.digest(), || facts.owner.clone());
    }
}

/// Both sides, as the executor reaches them.
pub struct World {
    /// Calls about pods to the API server.
    pub pods: PodWriter,
    /// Kubernetes Events.
    pub notices: Notices,
    /// Our node's API object.
    pub node: Arc<VirtualNode>,
    /// The cloud.
    pub cloud: Arc<CciClient>,
    /// Reads ConfigMaps, Secrets and claims.
    pub reader: ObjectReader,
    /// Which of them pods use.
    pub objects: Arc<Objects>,
    /// Which tokens pods get.
    pub tokens: ServiceAccountTokens,
    /// Set where the node offers what the cloud's quota allows.
    pub quota: Option<QuotaWatch>,
    /// Whole manifests of pods that are not in the cloud yet.
    pub manifests: Arc<Manifests>,
    /// What was reported of the cloud.
    pub mirror: Mutex<CloudMirror>,
    /// Where to report what is seen on the way.
    pub reports: Reports,
    /// The time.
    pub clock: Clock,
}

impl Perform for World {
    async fn perform(&self, effect: &Effect, mut turn: Turn<'_>) -> Outcome {
        let outcome = match &effect.kind {
            EffectKind::ListCloudPods => return self.list(effect.id, turn).await,
            EffectKind::ReadCloudEvents { cloud_uid, .. } => return self.read_events(cloud_uid, turn).await,
            EffectKind::CreateCloudPod { pod, name } => {
                let manifest = match self.manifest(pod, &mut turn).await {
                    Ok(manifest) => manifest,
                    Err(outcome) => return outcome,
                };
                rested(turn, self.create(pod, name, &manifest).await)
            }
            EffectKind::PatchCloudPod { pod, name, cloud_uid, .. } => {
                let manifest = match self.manifest(pod, &mut turn).await {
                    Ok(manifest) => manifest,
                    Err(outcome) => return outcome,
                };
                rested(turn, self.update(pod, name, cloud_uid, &manifest).await)
            }
            EffectKind::DeleteCloudPod { name, cloud_uid, owner, grace_s } => {
                let answered = self.cloud.delete_pod(name, cloud_uid, owner, *grace_s).await;
                self.noted(name, rested(turn, answered))
            }
            EffectKind::LookUpCloudPod { name, owner } => {
                let outcome = self.cloud.look_up_pod(name, owner).await;
                self.noted(name, outcome)
            }
            EffectKind::EnsureCloudNamespace => rested(turn, self.cloud.ensure_namespace().await),
            EffectKind::PatchPodStatus { pod, resource_version, status } => {
                self.pods.patch_status(pod, resource_version, status).await
            }
            EffectKind::ReleasePod { pod } => self.pods.release(pod).await,
            EffectKind::LookUpPod { pod } => self.pods.look_up(pod).await,
            EffectKind::EmitNotice { pod, notice } => self.notices.emit(pod, notice).await,
            EffectKind::TellCloudEvent { pod, event } => self.notices.mirror(pod, event).await,
            EffectKind::PatchNode { readiness } => self.node.patch_node(readiness).await,
            EffectKind::SyncObject { object, name, needed: true } => {
                match self.write_copy(effect.id, object, name, &mut turn).await {
                    Ok(outcome) => outcome,
                    Err(outcome) => return outcome,
                }
            }
            EffectKind::SyncObject { object, name, needed: false } => {
                rested(turn, self.remove_copy(object, name).await)
            }
        };
        turn.note(&outcome);
        outcome
    }
}

/// Whether a list of so many pods lacks much of what is known.
fn lacks_much(known: usize, count: usize) -> bool {
    known.saturating_sub(count) > LACK_FLOOR.max(known * LACK_PERCENT / 100)
}

/// Lets the class rest where that was asked for; the outcome that it was asked with.
fn rested(turn: Turn<'_>, answered: Answered) -> Outcome {
    if let Some(rest_ms) = answered.rest_ms {
        turn.rest(rest_ms);
    }
    answered.outcome
}

impl World {
    async fn create(&self, pod: &PodRef, name: &CloudName, manifest: &RawValue) -> Answered {
        let Answered { outcome, rest_ms } = self.cloud.create_pod(pod, name, manifest).await;
        Answered { outcome: self.manifest_used(pod, self.noted(name, outcome)), rest_ms }
    }

    async fn update(&self, pod: &PodRef, name: &CloudName, cloud_uid: &str, manifest: &RawValue) -> Answered {
        let Answered { outcome, rest_ms } = self.cloud.update_pod(pod, name, cloud_uid, manifest).await;
        Answered { outcome: self.manifest_used(pod, self.noted(name, outcome)), rest_ms }
    }

    /// What was carried out needs its manifest no more.
    fn manifest_used(&self, pod: &PodRef, outcome: Outcome) -> Outcome {
        if outcome.cloud_pod().is_some() {
            self.manifests.forget(&pod.uid);
        }
        outcome
    }

    /// The manifest of a pod that is to be made in the cloud. To read it is a call to the API server: it is that
    /// class which rests when the answer is "too many", and not the cloud's creations. Those may have begun to rest
    /// meanwhile.
    async fn manifest(&self, pod: &PodRef, turn: &mut Turn<'_>) -> Result<Arc<RawValue>, Outcome> {
        if let Some(manifest) = self.manifests.get(&pod.uid) {
            return Ok(manifest);
        }
        let pace = turn.paces.of(Bucket::Kubernetes);
        let permit = pace.permit_within(MANIFEST_WAIT_MAX).await?;
        let manifest = self.pods.manifest(pod).await.inspect_err(|outcome| pace.note(permit, outcome))?;
        pace.passed(permit);
        turn.renew(MANIFEST_WAIT_MAX).await?;
        Ok(manifest)
    }

    /// Notes in the mirror what a direct answer said, so that the next list reports only what is newer.
    fn noted(&self, name: &CloudName, outcome: Outcome) -> Outcome {
        match &outcome {
            Outcome::Done(Answer::CloudPod(facts) | Answer::CloudPodTold { facts, .. }) => {
                self.mirror.lock().observe_direct(facts);
            }
            Outcome::Done(Answer::CloudPodAbsent | Answer::CloudPodForeign { .. }) => {
                self.mirror.lock().mirror.remove(name);
            }
            Outcome::Done(_) | Outcome::Refused(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => {}
        }
        outcome
    }

    /// One poll. What changed is reported before the poll is said to have ended. A list that lacks much of what was
    /// there is read again before it is believed: one more call, in place of a look-up for each pod that it lacks.
    async fn list(&self, list: EffectId, turn: Turn<'_>) -> Outcome {
        let known = self.begin_list();
        let mut calls = Calls::of(turn.paces.of(Bucket::CloudRead), turn.permit);
        let mut count = match self.read_list(&mut calls).await {
            Ok(count) => count,
            Err(outcome) => return outcome,
        };
        if lacks_much(known, count) {
            count = match self.read_list(&mut calls).await {
                Ok(again) => again,
                Err(outcome) => return outcome,
            };
        }
        let (at, missing) = (self.clock.now(), self.mirror.lock().mirror.end_list());
        for (name, owner) in missing {
            self.report(at, Event::CloudPodMissing { name, owner, list }).await;
        }
        self.audit(&mut calls).await;
        self.watch_quota(&mut calls).await;
        Outcome::Done(Answer::Listed { complete: true, count: count as u32 })
    }

    /// What the cloud says of a pod in its own events. That gives way to all else that is asked of the cloud: while
    /// another class of calls has to rest, nothing is asked.
    async fn read_events(&self, cloud_uid: &str, turn: Turn<'_>) -> Outcome {
        let others = [Bucket::CloudCreate, Bucket::CloudDelete, Bucket::CloudRead];
        let rest =
            others.map(|bucket| turn.paces.of(bucket).rest_left()).into_iter().max().unwrap_or_default();
        if !rest.is_zero() {
            let wait_ms = u32::try_from(rest.as_millis()).ok();
            let message = "other calls to the cloud come first".to_owned();
            return Outcome::Later { wait_ms, reason: LaterReason::Transient, message };
        }
        let mut calls = Calls::of(turn.paces.of(Bucket::CloudEvents), turn.permit);
        self.cloud.read_events(cloud_uid, &mut calls).await
    }

    /// How many pods are known of before a list.
    fn begin_list(&self) -> usize {
        let mut mirror = self.mirror.lock();
        mirror.mirror.begin_list();
        mirror.mirror.len()
    }

    /// Reads the list once, reports what changed and returns how many pods it holds.
    ///
    /// # Errors
    /// With the outcome of the poll when it was not read as a whole.
    async fn read_list(&self, calls: &mut Calls<'_>) -> Result<usize, Outcome> {
        let keep = |name: &CloudName| self.mirror.lock().mirror.keep(name);
        let listing = self.cloud.list_pods(keep, calls).await?;
        let (at, count, complete) = (self.clock.now(), listing.count(), listing.complete);
        for mut facts in listing.pods {
            if self.mirror.lock().observe(&mut facts) {
                self.report(at, Event::CloudPodObserved(facts.into())).await;
            }
        }
        if complete {
            return Ok(count);
        }
        Err(Outcome::Done(Answer::Listed { complete: false, count: count as u32 }))
    }

    async fn report(&self, at: engine::Micros, event: Event) {
        // A closed queue means that the run loop has ended; there is nobody left to tell.
        let _ = self.reports.send(Seen { at, event }).await;
    }
}

#[cfg(test)]
mod tests {
    use engine::Uid;

    use super::*;

    fn pod(uid: &str) -> PodRef {
        PodRef { namespace: "shop".into(), name: "web".into(), uid: Uid(uid.into()) }
    }

    #[test]
    fn a_body_whose_mark_was_edited_is_missing_from_the_list() {
        let (ours, other) = (pod("u1"), pod("u2"));
        let name = CloudName::of(&ours);
        let facts =
            |owner: &PodRef| CloudFacts { name: name.clone(), owner: owner.clone(), ..CloudFacts::default() };
        let mut mirror = CloudMirror::knowing(Vec::new());
        mirror.mirror.begin_list();
        assert!(mirror.observe(&mut facts(&ours)));
        assert!(mirror.mirror.end_list().is_empty());
        mirror.mirror.begin_list();
        assert!(!mirror.observe(&mut facts(&other)));
        assert_eq!(mirror.mirror.end_list(), [(name, ours)]);
    }
}
