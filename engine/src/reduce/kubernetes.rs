//! News from the API server.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::event::Gone;
use crate::facts::{Phase, PodFacts};
use crate::id::{PodRef, Seq, Uid};
use crate::plan::LOOK_AGAIN_MS;
use crate::reduce::turn::Turn;
use crate::state::{CloudView, KubernetesView, Pod, Word};
use crate::time::Micros;

impl Turn<'_> {
    /// A pod bound to our node appeared or changed.
    pub(crate) fn pod_observed(&mut self, facts: &Arc<PodFacts>) {
        let (seq, at) = (self.state.applied, self.state.at);
        let is_in_sight = self.is_in_sight();
        let uid = &facts.pod.uid;
        let row = self.state.pods.entry(uid.clone()).or_insert_with(|| {
            let mut row = Box::new(Pod::new(facts.pod.clone()));
            // Born before our eyes and never started: nobody can have made it in the cloud. One that is to go at first sight
            // may have been there before, and a look-up is cheaper than a body without an owner.
            if is_in_sight && facts.phase == Phase::Pending && facts.deletion.is_none() {
                row.cloud = CloudView::Never;
            }
            row
        });
        let first_sight = row.kubernetes_seq < self.state.agent.started;
        if first_sight && matches!(row.cloud, CloudView::Unknown { .. }) && facts.phase != Phase::Pending {
            // It has run since our log: whether it still does is to be seen, and it is not made again.
            row.cloud = CloudView::Unproven { proofs: 0 };
        }
        // It was found absent when it had no owner, and one answer was enough. For one that has an owner it is not.
        if let (KubernetesView::Unseen, CloudView::Gone { last: Some(last), .. }) =
            (&row.kubernetes, &row.cloud)
        {
            row.cloud = CloudView::Doubted { facts: last.clone(), since: Micros::default(), proofs: 1 };
        }
        if row.facts().is_none_or(|before| before.spec_digest != facts.spec_digest) {
            row.admit_again();
        }
        let were_closed = row.facts().is_some_and(|before| !before.closed_gates.is_empty());
        if were_closed == facts.closed_gates.is_empty() {
            row.gates_moved = at;
        }
        row.kubernetes = KubernetesView::Bound { facts: facts.clone(), seen: seq };
        row.kubernetes_seq = seq;
        row.look_again = None;
        // It was told to go, and is as it was before: a backup brought it back, or this is older news. With no grace left
        // it is the release that is seen, and the object stays for others' finalizers alone.
        row.released &= facts.deletion.is_some_and(|deletion| deletion.grace_s == 0);
        self.use_objects(uid, facts);
        self.advance(uid);
    }

    /// Whether the lists tell of everything that an earlier life of the agent has made. Soon after a start they do not: the
    /// cluster's can be of the past, and its watch then tells of old pods as if they were new; the cloud's lags.
    fn is_in_sight(&self) -> bool {
        let state = &*self.state;
        (state.agent.is_settled || mutant!(NewIsNew))
            && state.kubernetes.listed.is_some()
            && state.cloud.listed.is_some()
    }

    /// A pod's API object is gone, or seems to be.
    pub(crate) fn pod_gone(&mut self, pod: &PodRef, how: Gone) {
        let seq = self.state.applied;
        let Some(row) = self.state.pods.get_mut(&pod.uid) else { return };
        match (how, &mut row.kubernetes) {
            (Gone::Deleted, _) => {
                row.kubernetes = KubernetesView::Gone { proofs: 0, by_absence: false, word: Word::Said };
            }
            (Gone::Unlisted, KubernetesView::Bound { .. }) if mutant!(UnlistedIsProof) => {
                row.kubernetes = KubernetesView::Gone { proofs: 0, by_absence: false, word: Word::Said };
            }
            (Gone::Unlisted, KubernetesView::Bound { facts, .. } | KubernetesView::Doubted { facts, .. }) => {
                row.kubernetes = KubernetesView::Doubted { facts: facts.clone(), word: Word::Unexpected };
            }
            (Gone::Unlisted, KubernetesView::Gone { word, .. }) => *word = Word::Said,
            (Gone::Unlisted, KubernetesView::Unseen) => return,
        }
        if let Some(row) = self.state.pods.get_mut(&pod.uid) {
            row.kubernetes_seq = seq;
        }
        self.advance(&pod.uid);
    }

    /// A complete list was reported. The first one since the start lets pods be made and ended.
    pub(crate) fn pods_listed(&mut self) {
        if self.state.kubernetes.listed.is_none() && !mutant!(ListUnheard) {
            self.state.kubernetes.listed = Some(self.state.applied);
            self.sync_all();
            self.advance_all();
        }
    }

    /// A direct read of the API server, issued at `issued`, found no such pod.
    pub(crate) fn pod_absent(&mut self, uid: &Uid, issued: Seq) {
        let seq = self.state.applied;
        let at = self.state.at;
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        let seen_since = row.kubernetes_seq > issued;
        row.kubernetes_seq = seq;
        let deleting = row.facts().is_some_and(|facts| facts.deletion.is_some());
        let word = match row.kubernetes {
            KubernetesView::Bound { .. } => Word::Awaited,
            KubernetesView::Doubted { word, .. } | KubernetesView::Gone { word, .. } => word,
            KubernetesView::Unseen => Word::Unexpected,
        };
        let (proofs, by_absence) = match &row.kubernetes {
            // It was observed while the call was under way: one of the two is older, and it is not for this one to
            // say which.
            KubernetesView::Bound { facts, .. } | KubernetesView::Doubted { facts, .. } if seen_since => {
                row.kubernetes = KubernetesView::Doubted { facts: facts.clone(), word };
                return;
            }
            KubernetesView::Gone { proofs, by_absence, .. } => (proofs + 1, *by_absence),
            KubernetesView::Unseen | KubernetesView::Bound { .. } | KubernetesView::Doubted { .. } => {
                (1, !deleting && !row.released)
            }
        };
        row.kubernetes = KubernetesView::Gone { proofs, by_absence, word };
        row.look_again = Some(at.plus_ms(LOOK_AGAIN_MS));
    }

    /// A call about something else found no such pod: to be looked up (invariant S3).
    pub(crate) fn pod_doubted(&mut self, uid: &Uid) {
        let seq = self.state.applied;
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        if let KubernetesView::Bound { facts, .. } = &row.kubernetes {
            row.kubernetes = KubernetesView::Doubted { facts: facts.clone(), word: Word::Awaited };
            row.kubernetes_seq = seq;
        }
    }

    /// A direct read of the API server found the pod that a list lacked.
    pub(crate) fn pod_present(&mut self, uid: &Uid) {
        let (seq, at) = (self.state.applied, self.state.at);
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        row.kubernetes = match &row.kubernetes {
            KubernetesView::Doubted { facts, .. } => {
                KubernetesView::Bound { facts: facts.clone(), seen: seq }
            }
            KubernetesView::Bound { facts, seen } => {
                KubernetesView::Bound { facts: facts.clone(), seen: *seen }
            }
            KubernetesView::Unseen | KubernetesView::Gone { .. } => KubernetesView::Unseen,
        };
        row.kubernetes_seq = seq;
        row.look_again = Some(at.plus_ms(LOOK_AGAIN_MS));
    }
}
