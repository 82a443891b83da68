//! The call that brings a cloud pod in line with its manifest.

use engine::{Answer, CloudFacts, CloudName, LaterReason, Outcome, PodRef};
use reqwest::Method;
use serde_json::Value;
use serde_json::value::RawValue;

use super::CciClient;
use super::admission;
use super::client::{Answered, POD_KINDS, later, not_admitted};
use super::error::Intent;
use super::transport::{Call, Failure};
use super::wire::{self, Update};
use crate::cut;

impl CciClient {
    /// Changes what the manifest has changed and the cloud can change in place (CCI API, update pod), and nothing else.
    ///
    /// Reads the pod first: what was sent last stands on it. Done with the pod as it is now, as absent or as foreign; to
    /// be repeated when its fate is unknown, as the same patch twice is one.
    pub async fn update_pod(
        &self,
        pod: &PodRef,
        name: &CloudName,
        cloud_uid: &str,
        manifest: &RawValue,
    ) -> Answered {
        let reply = match self.transport.call(&Call::get(self.pod_path(name))).await {
            Ok(reply) => reply,
            Err(Failure::Problem(problem)) if problem.is_absence_of(&POD_KINDS) => {
                return Outcome::Done(Answer::CloudPodAbsent).into();
            }
            Err(failure) => return failure.outcome(Intent::Read).into(),
        };
        let shown = self.pod_answer(&reply, name, pod, Intent::Read);
        match shown.cloud_pod() {
            Some(facts) if *facts.cloud_uid == *cloud_uid => {}
            Some(_) => return later(LaterReason::Conflict, "another body has the name now").into(),
            None => return shown.into(),
        }
        let there: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let cloud_pod = match self.cloud_pod(pod, name, manifest) {
            Ok(cloud_pod) => cloud_pod,
            Err(outcome) => return outcome.into(),
        };
        let update = wire::update(self.profile.pod.in_place, &cloud_pod.json, &there);
        let Some(patch) = &update.patch else { return shown.into() };
        let call = Call {
            body: patch.to_string().into_bytes().into(),
            secrets: cloud_pod.secrets,
            ..Call::new(Method::PATCH, self.pod_path(name))
        };
        match self.transport.call(&call).await {
            Ok(reply) => told(self.pod_answer(&reply, name, pod, Intent::Write), &update).into(),
            Err(Failure::Problem(problem)) if problem.is_absence_of(&POD_KINDS) => {
                Outcome::Done(Answer::CloudPodAbsent).into()
            }
            // Whether the pod changed or was replaced: the next try reads it again.
            Err(Failure::Problem(problem)) if problem.status == 409 => {
                later(LaterReason::Conflict, &problem.sentence()).into()
            }
            Err(failure) => failure.answered(Intent::Write),
        }
    }

    /// The cloud pod of a manifest, with the note of what it was made from.
    ///
    /// # Errors
    /// The outcome of the call that wanted it.
    pub(super) fn cloud_pod(
        &self,
        pod: &PodRef,
        name: &CloudName,
        manifest: &RawValue,
    ) -> Result<wire::CloudPod, Outcome> {
        let spec_digest = crate::kubernetes::lean::spec_digest(manifest.get()).unwrap_or(0);
        let manifest: Value = serde_json::from_str(manifest.get())
            .map_err(|error| not_admitted(format!("the manifest cannot be read: {error}")))?;
        if manifest.pointer("/metadata/uid").and_then(Value::as_str) != Some(&pod.uid.0) {
            return Err(later(LaterReason::Conflict, "the manifest is of another incarnation of the pod"));
        }
        let recipe = wire::Recipe { shape: &self.profile.pod, choices: &self.config.pods, mark: &self.mark };
        let mut cloud_pod = wire::build(&recipe, pod, name, &manifest)
            .map_err(|reasons| not_admitted(admission::sentence(&reasons)))?;
        wire::note(&mut cloud_pod.json, &manifest, spec_digest);
        Ok(cloud_pod)
    }
}

/// The answer, with what people are to be told of the update.
fn told(outcome: Outcome, update: &Update) -> Outcome {
    let Outcome::Done(Answer::CloudPod(facts)) = outcome else { return outcome };
    let CloudFacts { name, .. } = &*facts;
    let (changed, left) = (update.changed.join(", "), update.left.join(", "));
    let message = match (changed.is_empty(), left.is_empty()) {
        (true, true) => return Outcome::Done(Answer::CloudPod(facts)),
        (false, true) => format!("Updated {name} in the cloud: {changed}"),
        (true, false) => {
            format!("{left} of {name} cannot be changed in the cloud; the pod has to be made anew")
        }
        (false, false) => format!(
            "Updated {name} in the cloud: {changed}; {left} cannot be changed there, the pod has to be made anew"
        ),
    };
    Outcome::Done(Answer::CloudPodTold { facts, warning: !left.is_empty(), message: cut(&message) })
}
