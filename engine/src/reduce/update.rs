//! Answers that show a cloud pod, and what becomes of an update.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use crate::effect::{Effect, EffectKind, Refusal};
use crate::facts::CloudFacts;
use crate::id::Uid;
use crate::reduce::refusal::text;
use crate::reduce::turn::Turn;
use crate::state::{CloudView, Written};

/// A refused update counts as so many that did nothing: the next try of the same one waits for the cap at once.
const REFUSED_COUNTS_AS: u32 = 16;

/// What people are to be told of how a cloud pod came to be as it is.
pub(crate) struct Said<'a> {
    pub(crate) warning: bool,
    pub(crate) message: &'a str,
}

impl Turn<'_> {
    /// The cloud pod is as `facts` say, as an answer to a creation, a look-up or an update.
    pub(crate) fn cloud_pod_answered(
        &mut self,
        effect: &Effect,
        uid: &Uid,
        facts: &Arc<CloudFacts>,
        said: Option<Said<'_>>,
    ) {
        self.end(effect.id);
        if self.state.pods.get(uid).is_some_and(|row| matches!(row.cloud, CloudView::Unknown { .. })) {
            self.no_pause(uid);
        }
        self.cloud_pod_there(uid, facts);
        match &effect.kind {
            EffectKind::CreateCloudPod { pod, name } => {
                self.no_pause(uid);
                let more = said.map(|said| format!(": {}", said.message)).unwrap_or_default();
                let message = format!("Created {name} in the cloud{more}");
                self.notice(pod, false, "ProviderCreateSuccess", &message);
            }
            EffectKind::PatchCloudPod { pod, spec_digest, .. } => {
                self.note_update(uid, *spec_digest, 1);
                if let Some(Said { warning, message }) = said {
                    let reason = if warning { "ProviderUpdateFailed" } else { "ProviderUpdateSuccess" };
                    self.notice(pod, warning, reason, message);
                }
            }
            EffectKind::DeleteCloudPod { .. }
            | EffectKind::LookUpCloudPod { .. }
            | EffectKind::ListCloudPods
            | EffectKind::EnsureCloudNamespace
            | EffectKind::PatchPodStatus { .. }
            | EffectKind::ReleasePod { .. }
            | EffectKind::LookUpPod { .. }
            | EffectKind::EmitNotice { .. }
            | EffectKind::PatchNode { .. }
            | EffectKind::SyncObject { .. }
            | EffectKind::ReadCloudEvents { .. }
            | EffectKind::TellCloudEvent { .. } => {}
        }
    }

    /// The cloud does not take an update. That is said once, tried again at the cap, and changes nothing of the pod's
    /// status: it runs on as it was (virtual-kubelet rule VK-C11).
    pub(crate) fn update_refused(&mut self, effect: &Effect, uid: &Uid, refusal: &Refusal) {
        self.end(effect.id);
        let EffectKind::PatchCloudPod { pod, spec_digest, .. } = &effect.kind else { return };
        let updated = self.state.pods.get(uid).and_then(|row| row.updated);
        let is_news = updated.is_none_or(|updated| updated.digest != *spec_digest);
        self.note_update(uid, *spec_digest, REFUSED_COUNTS_AS);
        if is_news {
            let message: String = text(refusal);
            self.notice(pod, true, "ProviderUpdateFailed", &message);
        }
    }

    fn note_update(&mut self, uid: &Uid, digest: u64, more: u32) {
        let at = self.state.at;
        let Some(row) = self.state.pods.get_mut(uid) else { return };
        let times = row.updated.filter(|updated| updated.digest == digest).map_or(0, |updated| updated.times);
        row.updated = Some(Written { digest, times: times.saturating_add(more), at });
    }
}
