//! Both sides of the agent, and what they answer. What is asked is entered into the account before it is done.

use engine::{
    Answer, CloudFacts, CloudName, Effect, EffectKind, LaterReason, Micros, Outcome, Phase, PodFacts, PodRef,
    PodStatus, Refusal, RefusalClass,
};

use super::account::{Account, count};
use super::cloud::{Cloud, Made, Told};
use super::cluster::{Cluster, Written};
use crate::objects::Objects;

/// How long a cloud that is asked too often wants to be left alone.
const THROTTLE_MS: u32 = 2_000;

/// Both sides.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The API server.
    pub cluster: Cluster,
    /// The cloud.
    pub cloud: Cloud,
    /// ConfigMaps and Secrets of both.
    pub objects: Objects,
    /// The checker's account.
    pub account: Account,
}

/// What the world says to a call.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub outcome: Outcome,
    /// What a list of the cloud holds.
    pub bodies: Option<Vec<CloudFacts>>,
    /// The revision that a status write made.
    pub written: Option<u64>,
}

impl From<Outcome> for Reply {
    fn from(outcome: Outcome) -> Reply {
        Reply { outcome, bodies: None, written: None }
    }
}

fn done(answer: Answer) -> Outcome {
    Outcome::Done(answer)
}

pub(super) fn later(reason: LaterReason) -> Outcome {
    let wait_ms = (reason == LaterReason::Throttled).then_some(THROTTLE_MS);
    Outcome::Later { wait_ms, reason, message: "not now".to_owned() }
}

/// Whether a call changes something that matters, so that it matters whether it arrived.
pub(super) fn changes(kind: &EffectKind) -> bool {
    match kind {
        EffectKind::CreateCloudPod { .. }
        | EffectKind::DeleteCloudPod { .. }
        | EffectKind::PatchCloudPod { .. }
        | EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::SyncObject { .. } => true,
        EffectKind::LookUpCloudPod { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::PatchNode { .. } => false,
    }
}

/// What a call is about, if it is about one thing.
pub(super) fn about(kind: &EffectKind) -> Option<String> {
    match kind {
        EffectKind::SyncObject { object, needed, .. } => Some(format!("{object} {needed}")),
        EffectKind::CreateCloudPod { .. }
        | EffectKind::DeleteCloudPod { .. }
        | EffectKind::PatchCloudPod { .. }
        | EffectKind::LookUpCloudPod { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::PatchNode { .. } => kind.uid().map(|uid| uid.0.to_string()),
    }
}

/// Whether a call goes to the cloud.
fn to_cloud(kind: &EffectKind) -> bool {
    match kind {
        EffectKind::CreateCloudPod { .. }
        | EffectKind::DeleteCloudPod { .. }
        | EffectKind::PatchCloudPod { .. }
        | EffectKind::LookUpCloudPod { .. }
        | EffectKind::ListCloudPods
        | EffectKind::EnsureCloudNamespace
        | EffectKind::ReadCloudEvents { .. }
        | EffectKind::SyncObject { .. } => true,
        EffectKind::PatchPodStatus { .. }
        | EffectKind::ReleasePod { .. }
        | EffectKind::LookUpPod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::PatchNode { .. } => false,
    }
}

impl World {
    /// Lets the time pass.
    pub fn advance(&mut self, now: Micros) {
        self.cloud.advance(now);
    }

    /// L1, L2, L3 as far as the worlds show it: who is to run runs and is said to, who is to go has gone, and
    /// nothing is left in the cloud without an owner.
    #[must_use]
    pub fn is_settled(&self, now: Micros) -> bool {
        let owned = |owner: &PodRef| self.cluster.pod(&owner.uid.0).is_some();
        let in_step = |facts: &PodFacts| {
            facts.phase.is_terminal()
                || self.cloud.owners(now).any(|(owner, phase)| {
                    owner.uid == facts.pod.uid && phase == facts.phase && phase == Phase::Running
                }) && self.cloud.spec_digest(&facts.pod) == Some(facts.spec_digest)
        };
        self.cloud.owners(now).all(|(owner, _)| owned(owner))
            && self.cluster.pods().all(|(facts, _)| facts.deletion.is_none() && in_step(facts))
            && self.objects.unrest(self.cluster.pods().map(|(facts, _)| facts)).is_none()
    }

    /// A call arrives, or does so `late`. `sent` is the resource version that a status write was sent with, or how the
    /// copy of an object stood.
    pub(super) fn call(&mut self, now: Micros, effect: &Effect, sent: &str, late: bool) -> Reply {
        self.account.asked(&effect.kind, now);
        if let EffectKind::CreateCloudPod { pod, .. } = &effect.kind {
            count(&mut self.account.create_calls, &pod.uid);
            let lacks =
                self.cluster.pod(&pod.uid.0).and_then(|facts| self.objects.lacking_at_creation(facts));
            if let Some(lacks) = lacks.filter(|_| !late) {
                self.account.breach(format!("VK-E7: {} is made without {}", pod.uid, lacks.name));
            }
        }
        if self.cloud.throttled && to_cloud(&effect.kind) {
            return later(LaterReason::Throttled).into();
        }
        match &effect.kind {
            EffectKind::CreateCloudPod { pod, name } => self.create(now, pod, name).into(),
            EffectKind::DeleteCloudPod { name, cloud_uid, owner, grace_s } => {
                self.delete(now, name, cloud_uid, owner, *grace_s).into()
            }
            EffectKind::PatchCloudPod { pod, name, cloud_uid, .. } => {
                self.update(now, pod, name, cloud_uid).into()
            }
            EffectKind::LookUpCloudPod { name, owner } => {
                count(&mut self.account.look_ups, &owner.uid);
                self.look_up(now, name).into()
            }
            EffectKind::ListCloudPods => {
                self.account.polls += 1;
                let bodies = Some(self.cloud.list_lagging(now));
                Reply { bodies, ..done(Answer::Nothing).into() }
            }
            EffectKind::PatchPodStatus { pod, status, .. } => self.write_status(now, pod, sent, status),
            EffectKind::ReleasePod { pod } => self.release(now, pod).into(),
            EffectKind::LookUpPod { pod } => {
                count(&mut self.account.look_ups, &pod.uid);
                match self.cluster.pod(&pod.uid.0) {
                    Some(facts) => done(Answer::PodPresent { deleting: facts.deletion.is_some() }).into(),
                    None => done(Answer::PodAbsent).into(),
                }
            }
            EffectKind::EnsureCloudNamespace
            | EffectKind::EmitNotice { .. }
            | EffectKind::TellCloudEvent { .. }
            | EffectKind::PatchNode { .. } => done(Answer::Nothing).into(),
            // What it says there is tried by the lives.
            EffectKind::ReadCloudEvents { .. } => done(Answer::CloudEvents(Vec::new())).into(),
            EffectKind::SyncObject { object, needed, .. } => {
                self.objects.sync(object, *needed, late.then_some(sent)).into()
            }
        }
    }

    fn create(&mut self, now: Micros, pod: &PodRef, name: &CloudName) -> Outcome {
        if *name != CloudName::of(pod) {
            self.account.breach(format!("S8: {} is made under the name {}", pod.uid, name.0));
        }
        let spec_digest = self.cluster.pod(&pod.uid.0).map_or(1, |facts| facts.spec_digest);
        match self.cloud.make(now, pod, name, spec_digest) {
            Made::New(facts) => {
                self.account.made(&self.cloud, pod, now);
                done(Answer::CloudPod(facts.into()))
            }
            Made::Taken => Outcome::Refused(Refusal {
                class: RefusalClass::AlreadyExists,
                code: String::new(),
                message: "the name is taken".to_owned(),
            }),
            Made::NoRoom => {
                count(&mut self.account.refused, &pod.uid);
                later(LaterReason::Capacity)
            }
        }
    }

    /// The manifest is read when the call is carried out.
    fn update(&mut self, now: Micros, pod: &PodRef, name: &CloudName, cloud_uid: &str) -> Outcome {
        let Some(manifest) = self.cluster.pod(&pod.uid.0) else { return done(Answer::PodAbsent) };
        let updated = self.cloud.update(name, cloud_uid, manifest.spec_digest);
        match (updated, self.look_up(now, name)) {
            (Some(true), Outcome::Done(Answer::CloudPod(facts))) => {
                done(Answer::CloudPodTold { facts, warning: false, message: "updated".to_owned() })
            }
            (_, outcome) => outcome,
        }
    }

    fn delete(
        &mut self,
        now: Micros,
        name: &CloudName,
        cloud_uid: &str,
        owner: &PodRef,
        grace_s: u32,
    ) -> Outcome {
        count(&mut self.account.delete_calls, &owner.uid);
        self.account.deletes(&self.cluster, owner);
        match self.cloud.tell_to_end(now, name, cloud_uid, grace_s) {
            Told::Begun => {
                count(&mut self.account.ended, &owner.uid);
                done(Answer::DeleteAccepted)
            }
            Told::Again => done(Answer::DeleteAccepted),
            Told::Another => {
                self.account.deletes_another(owner);
                Outcome::Unknown { message: "another object has that name".to_owned() }
            }
            Told::Absent => done(Answer::CloudPodAbsent),
        }
    }

    fn look_up(&self, now: Micros, name: &CloudName) -> Outcome {
        match self.cloud.look(now, name) {
            Some(facts) => done(Answer::CloudPod(facts.into())),
            None if self.cloud.is_taken(name) => {
                done(Answer::CloudPodForeign { message: "without our mark".to_owned() })
            }
            None => done(Answer::CloudPodAbsent),
        }
    }

    fn write_status(&mut self, now: Micros, pod: &PodRef, sent: &str, status: &PodStatus) -> Reply {
        let before = self.cluster.phase(&pod.uid.0).unwrap_or_default();
        match self.cluster.write_status(pod, sent, status) {
            Written::At(revision) => {
                self.account.tells(before, &self.cloud, pod, status, now);
                Reply { written: Some(revision), ..done(Answer::StatusWritten).into() }
            }
            Written::Conflict => later(LaterReason::Conflict).into(),
            Written::Absent => done(Answer::PodAbsent).into(),
        }
    }

    fn release(&mut self, now: Micros, pod: &PodRef) -> Outcome {
        self.account.releases(&self.cluster, &self.cloud, pod, now);
        if self.cluster.release(&pod.uid) {
            count(&mut self.account.released, &pod.uid);
            done(Answer::Nothing)
        } else {
            done(Answer::PodAbsent)
        }
    }
}
