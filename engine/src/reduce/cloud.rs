//! News from the cloud, and the poll that brings them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use crate::effect::EffectKind;
use crate::facts::CloudFacts;
use crate::id::{CloudName, EffectId, Seq, Uid};
use crate::reduce::times::dated;
use crate::reduce::turn::Turn;
use crate::state::{CloudView, Pod, Trouble, Wake};
use crate::time::Micros;

/// A list that was asked for so many lags after a start shows all that was made before it: twice what is granted elsewhere,
/// because no second look follows, and a look-up is cheaper than a body whose pod is gone.
const SETTLED_LAGS: u64 = 2;

/// How much longer than its grace period a cloud pod may take to end before it is looked up.
const ENDING_SLACK_MS: u64 = 30_000;

/// How long a trouble of the cloud is told in the same words, whatever else it says meanwhile.
const WORDS_STAY_MS: u64 = 60_000;

impl Turn<'_> {
    /// A cloud pod with our mark was seen.
    pub(crate) fn cloud_pod_observed(&mut self, facts: &Arc<CloudFacts>) {
        // A mark that does not fit the name was not put there by us (invariant S11).
        if facts.name != CloudName::of(&facts.owner) && !mutant!(MarkUnchecked) {
            return;
        }
        let (uid, at) = (&facts.owner.uid, self.state.at);
        let row =
            self.state.pods.entry(uid.clone()).or_insert_with(|| Box::new(Pod::new(facts.owner.clone())));
        match &mut row.cloud {
            // A list may be older than the deletion: only a direct look-up can say that it did not take. One that is
            // due, because the deletion's fate is not known, stays due.
            CloudView::Ending { facts: old, missing, .. } if old.cloud_uid == facts.cloud_uid => {
                *old = dated(facts, Some(old), at);
                *missing &= !facts.deleting;
                row.cloud_seq = self.state.applied;
            }
            CloudView::Ending { .. }
            | CloudView::Unproven { .. }
            | CloudView::Never
            | CloudView::Unknown { .. }
            | CloudView::Present { .. }
            | CloudView::Doubted { .. }
            | CloudView::Gone { .. } => self.cloud_pod_there(uid, facts),
        }
        self.advance(uid);
    }

    /// Takes over what was seen of a pod's cloud pod.
    pub(crate) fn cloud_pod_there(&mut self, uid: &Uid, facts: &Arc<CloudFacts>) {
        let (seq, at) = (self.state.applied, self.state.at);
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        let facts = &dated(facts, row.cloud.facts(), at);
        row.cloud = match &row.cloud {
            CloudView::Ending { facts: old, grace_s, .. }
                if old.cloud_uid == facts.cloud_uid && facts.deleting =>
            {
                let overdue = at.plus_ms(ENDING_SLACK_MS);
                CloudView::Ending { facts: facts.clone(), grace_s: *grace_s, missing: false, overdue }
            }
            CloudView::Present { facts: old, since } | CloudView::Doubted { facts: old, since, .. }
                if old.cloud_uid == facts.cloud_uid =>
            {
                CloudView::Present { facts: facts.clone(), since: *since }
            }
            CloudView::Ending { .. }
            | CloudView::Present { .. }
            | CloudView::Doubted { .. }
            | CloudView::Unproven { .. }
            | CloudView::Never
            | CloudView::Unknown { .. }
            | CloudView::Gone { .. } => CloudView::Present { facts: facts.clone(), since: at },
        };
        row.cloud_seq = seq;
        row.failure = None;
    }

    /// A complete list lacks a cloud pod that was there. Evidence, to be proven by a look-up.
    pub(crate) fn cloud_pod_missing(&mut self, uid: &Uid) {
        if mutant!(TrustEmptyList) {
            self.cloud_pod_absent(uid, false, self.state.applied, self.state.at);
        } else {
            self.cloud_pod_doubted(uid);
        }
        self.advance(uid);
    }

    /// A cloud pod may not be there any more.
    pub(crate) fn cloud_pod_doubted(&mut self, uid: &Uid) {
        let seq = self.state.applied;
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        match &mut row.cloud {
            CloudView::Present { .. } if mutant!(MissingUnheard) => return,
            CloudView::Present { facts, since } => {
                row.cloud = CloudView::Doubted { facts: facts.clone(), since: *since, proofs: 0 };
            }
            CloudView::Ending { missing, .. } => *missing = true,
            CloudView::Doubted { .. }
            | CloudView::Unproven { .. }
            | CloudView::Never
            | CloudView::Unknown { .. }
            | CloudView::Gone { .. } => return,
        }
        row.cloud_seq = seq;
    }

    /// A call that was issued at `issued` and left at `sent` found no such cloud pod: takes it for gone once that is
    /// proven. Returns when to look again, while it is not.
    pub(crate) fn cloud_pod_absent(
        &mut self,
        uid: &Uid,
        wanted: bool,
        issued: Seq,
        sent: Micros,
    ) -> Option<Micros> {
        let (seq, at, policy) = (self.state.applied, self.state.at, self.state.policy);
        let again = at.plus_ms(u64::from(policy.poll_period_ms));
        let row = self.state.pods.get_mut(uid)?;
        let seen_since = row.cloud_seq > issued && !mutant!(SeenSinceIgnored);
        row.cloud_seq = seq;
        row.cloud = match &row.cloud {
            // Nothing to lose: the next create meets a late one under the same name.
            CloudView::Unknown { proofs } if wanted => CloudView::Unknown { proofs: proofs + 1 },
            CloudView::Unknown { proofs } if proofs + 1 < u32::from(policy.absence_proofs) => {
                row.cloud = CloudView::Unknown { proofs: proofs + 1 };
                return Some(again);
            }
            // It is said to run: nobody else is asked whether that is the end of it.
            CloudView::Unproven { proofs } if wanted && proofs + 1 < u32::from(policy.absence_proofs) => {
                row.cloud = CloudView::Unproven { proofs: proofs + 1 };
                return Some(again);
            }
            CloudView::Doubted { facts, since, proofs } => {
                // An answer that was heard late tells how things were when its call left. What was seen ending is not
                // too new to be seen.
                let is_new = sent.ms_since(*since) < u64::from(policy.create_lag_ms);
                let lagging = is_new && !facts.deleting && !mutant!(LagIgnored);
                let proofs = if lagging { *proofs } else { proofs + 1 };
                let needed =
                    if wanted && !mutant!(AbsenceUnrepeated) { u32::from(policy.absence_proofs) } else { 1 };
                if lagging || proofs < needed {
                    row.cloud = CloudView::Doubted { facts: facts.clone(), since: *since, proofs };
                    return Some(again);
                }
                CloudView::Gone { last: Some(facts.clone()), at }
            }
            // It was seen again while the call was under way: one of the two is stale, and taking the wrong one
            // for true would make a second body, or forget one that is paid for.
            CloudView::Present { facts, since } if wanted || seen_since => {
                row.cloud = CloudView::Doubted { facts: facts.clone(), since: *since, proofs: 0 };
                return Some(again);
            }
            CloudView::Present { facts, .. } | CloudView::Ending { facts, .. } => {
                CloudView::Gone { last: Some(facts.clone()), at }
            }
            CloudView::Gone { last, at } => CloudView::Gone { last: last.clone(), at: *at },
            CloudView::Unproven { .. } | CloudView::Never | CloudView::Unknown { .. } => {
                CloudView::Gone { last: None, at }
            }
        };
        None
    }

    /// The cloud accepted the deletion of the body with this identity. That a list lacked the pod meanwhile is still to be
    /// looked up: nothing will say it again. Of another body that has come in its place it says nothing.
    pub(crate) fn cloud_pod_ending(&mut self, uid: &Uid, cloud_uid: &str, grace_s: u32) {
        let (seq, at) = (self.state.applied, self.state.at);
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        let (facts, missing) = match &row.cloud {
            CloudView::Present { facts, .. } => (facts.clone(), false),
            CloudView::Doubted { facts, .. } => (facts.clone(), true),
            CloudView::Ending { facts, missing, .. } => (facts.clone(), *missing),
            CloudView::Unproven { .. }
            | CloudView::Never
            | CloudView::Unknown { .. }
            | CloudView::Gone { .. } => {
                return;
            }
        };
        if *facts.cloud_uid != *cloud_uid && !mutant!(DropUidCheck) {
            return;
        }
        let slack_ms = if mutant!(OverdueNever) { u64::MAX / 4 } else { ENDING_SLACK_MS };
        let overdue = at.plus_ms(u64::from(grace_s) * 1_000 + slack_ms);
        row.cloud = CloudView::Ending { facts, grace_s, missing, overdue };
        row.cloud_seq = seq;
    }

    /// A create of unknown fate: a look-up is to tell, unless a list has shown the pod meanwhile.
    pub(crate) fn cloud_pod_may_be_there(&mut self, uid: &Uid) {
        let seq = self.state.applied;
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        match row.cloud {
            CloudView::Unproven { .. } | CloudView::Never | CloudView::Unknown { .. }
                if mutant!(UnknownCreateForgotten) => {}
            CloudView::Unproven { .. } | CloudView::Never | CloudView::Unknown { .. } => {
                row.cloud = CloudView::Unknown { proofs: 0 };
                row.cloud_seq = seq;
            }
            CloudView::Present { .. }
            | CloudView::Doubted { .. }
            | CloudView::Ending { .. }
            | CloudView::Gone { .. } => {}
        }
    }

    /// A deletion of unknown fate counts for nothing: a look-up is to tell, and what it finds ending may be so by an
    /// earlier call, with a longer grace. One that was accepted before goes on.
    pub(crate) fn cloud_pod_may_be_ending(&mut self, uid: &Uid) {
        self.cloud_pod_doubted(uid);
        if mutant!(UnknownDeleteBelieved) {
            self.cloud_pod_absent(uid, false, self.state.applied, Micros(u64::MAX));
        }
    }

    // === the poll ===

    /// Reads the whole cloud, or first sees that our namespace exists.
    pub(crate) fn poll_now(&mut self) {
        self.state.poll.next = None;
        if self.state.poll.effect.is_some() {
            return;
        }
        let kind = match self.state.poll.ensured {
            true => EffectKind::ListCloudPods,
            false => EffectKind::EnsureCloudNamespace,
        };
        let causes = alloc::vec![self.state.applied];
        self.state.poll.effect = Some(self.issue(kind, causes));
    }

    /// Our namespace and its network exist.
    pub(crate) fn namespace_ensured(&mut self) {
        self.state.poll.ensured = true;
        self.state.poll.effect = None;
        self.cloud_is_well();
        self.sync_all();
        self.poll_now();
    }

    /// A list of the cloud that was asked for at `sent` was read, with all that it changed in the records before this one.
    pub(crate) fn cloud_listed(&mut self, complete: bool, sent: Micros) {
        self.state.poll.effect = None;
        let next = self.state.at.plus_ms(u64::from(self.state.policy.poll_period_ms));
        self.state.poll.next = Some(next);
        if !mutant!(PollForgotten) {
            self.state.wakes.insert((next, Wake::Poll));
        }
        if !complete && !mutant!(BelieveCutList) {
            self.cloud_fails("the list of pods was cut short or contradicts itself");
            return;
        }
        self.cloud_is_well();
        self.forget_circuits_without_pods();
        let age_ms = sent.ms_since(self.state.agent.since);
        self.state.agent.is_settled |= age_ms >= SETTLED_LAGS * u64::from(self.state.policy.create_lag_ms);
        if self.state.cloud.listed.is_none() {
            self.state.cloud.listed = Some(self.state.applied);
            self.sync_all();
            self.advance_all();
        }
    }

    fn cloud_is_well(&mut self) {
        if self.state.cloud.failing.take().is_some() {
            self.events_may_be_shown();
        }
    }

    /// The cloud does not do what we need. The words change at most once in a while: a node condition whose
    /// message changes with each try would be written with each try.
    pub(crate) fn cloud_fails(&mut self, message: &str) {
        if mutant!(AwayUntold) {
            return;
        }
        let at = self.state.at;
        let told = self.state.cloud.failing.as_ref();
        if told.is_none_or(|told| told.message != message && at.ms_since(told.since) >= WORDS_STAY_MS) {
            self.state.cloud.failing = Some(Trouble { message: String::from(message), since: at });
        }
    }

    /// The namespace is gone: it has to be made again before anything else.
    pub(crate) fn namespace_gone(&mut self, id: EffectId) {
        self.state.effects.remove(&id);
        self.state.poll.effect = None;
        self.state.poll.ensured = false;
        self.copies_gone();
        // Not at once: a cloud that answers both ways in turn would be asked as fast as it answers.
        let next = self.state.at.plus_ms(u64::from(self.state.policy.poll_period_ms));
        self.state.poll.next = Some(next);
        self.state.wakes.insert((next, Wake::Poll));
    }
}
