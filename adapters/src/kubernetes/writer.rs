//! What the agent asks of the API server about one pod. Every call names the UID.

use std::sync::Arc;

use engine::{Answer, LaterReason, Outcome, PodRef, PodStatus};
use http::Method;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::mirror::Standing;
use super::render::status_patch;
use super::transport::{ApiServer, Call, Failure, JSON, METADATA_ONLY, STRATEGIC_MERGE, WHOLE, escape};
use super::{Manifests, PodMirror};

/// Calls about pods. Cheap to clone, used by many tasks at once.
#[derive(Clone)]
pub struct PodWriter {
    api: ApiServer,
    mirror: Arc<PodMirror>,
    manifests: Arc<Manifests>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: HeadMetadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadMetadata {
    uid: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

const ABSENT: Outcome = Outcome::Done(Answer::PodAbsent);

impl PodWriter {
    /// Calls over `client`; `mirror` and `manifests` are those of the watch.
    #[must_use]
    pub fn new(client: kube::Client, mirror: Arc<PodMirror>, manifests: Arc<Manifests>) -> PodWriter {
        PodWriter { api: ApiServer::new(client), mirror, manifests }
    }

    /// Writes a pod's status, unless the API server has it already. `resource_version` is that of the
    /// observation which the status follows from: when a newer one has been reported since, nothing is sent
    /// and the outcome is a conflict.
    pub async fn patch_status(&self, pod: &PodRef, resource_version: &str, status: &PodStatus) -> Outcome {
        let sent = match self.mirror.begin_write(&pod.uid, resource_version, status) {
            Standing::Written => return Outcome::Done(Answer::StatusWritten),
            Standing::Superseded => {
                let message = "a newer observation of the pod is on its way".to_owned();
                return Outcome::Later { wait_ms: None, reason: LaterReason::Conflict, message };
            }
            Standing::Current { resource_version } => resource_version,
            // Before the first list, or after the pod's end: the API server judges by version and UID.
            Standing::Unknown => resource_version.to_owned(),
        };
        let path = format!("{}/status", path_of(pod));
        let body = status_patch(pod, &sent, status);
        let answer = self.api.call(Call::with_body(Method::PATCH, &path, STRATEGIC_MERGE, &body)).await;
        let written = answer.as_ref().ok().and_then(|bytes| head_of(bytes)).map(|head| head.resource_version);
        self.mirror.end_write(&pod.uid, &sent, written.as_deref());
        match answer {
            Ok(_) => Outcome::Done(Answer::StatusWritten),
            Err(Failure::Answered(answered)) if answered.no_such_pod || answered.other_uid => ABSENT,
            Err(failure) => failure.outcome(),
        }
    }

    /// Removes the API object of a pod, at once and only under its UID (virtual-kubelet rule VK-D6).
    pub async fn release(&self, pod: &PodRef) -> Outcome {
        let path = path_of(pod);
        let body = json!({
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": 0,
            "preconditions": { "uid": pod.uid.0 },
        });
        match self.api.call(Call::with_body(Method::DELETE, &path, JSON, &body)).await {
            Ok(_) => {
                self.mirror.expect_end(&pod.uid);
                Outcome::Done(Answer::Nothing)
            }
            Err(Failure::Answered(answered)) if answered.no_such_pod || answered.code == 409 => {
                self.absent(pod)
            }
            Err(failure) => failure.outcome(),
        }
    }

    /// The API server has no such pod.
    fn absent(&self, pod: &PodRef) -> Outcome {
        self.mirror.expect_end(&pod.uid);
        ABSENT
    }

    /// Reads one pod as it is now: no older version may answer, because absence is proof here.
    pub async fn look_up(&self, pod: &PodRef) -> Outcome {
        let path = path_of(pod);
        let bytes = match self.api.call(Call::get(&path, METADATA_ONLY)).await {
            Ok(bytes) => bytes,
            Err(Failure::Answered(answered)) if answered.no_such_pod => return self.absent(pod),
            Err(failure) => return failure.outcome(),
        };
        match head_of(&bytes) {
            None => unreadable(),
            Some(head) if *head.uid != *pod.uid.0 => self.absent(pod),
            Some(head) => {
                self.mirror.remember(pod);
                Outcome::Done(Answer::PodPresent { deleting: head.deletion_timestamp.is_some() })
            }
        }
    }

    /// The pod's whole manifest, for a create: the one the watch kept, or else a fresh one.
    ///
    /// # Errors
    ///
    /// The outcome of the effect that wanted it: the pod is gone, or cannot be read now.
    pub async fn manifest(&self, pod: &PodRef) -> Result<Arc<RawValue>, Outcome> {
        if let Some(manifest) = self.manifests.get(&pod.uid) {
            return Ok(manifest);
        }
        let path = path_of(pod);
        let bytes = match self.api.call(Call::get(&path, WHOLE)).await {
            Ok(bytes) => bytes,
            Err(Failure::Answered(answered)) if answered.no_such_pod => return Err(ABSENT),
            Err(failure) => return Err(failure.outcome()),
        };
        let head = head_of(&bytes).ok_or_else(unreadable)?;
        if *head.uid != *pod.uid.0 {
            return Err(ABSENT);
        }
        let manifest: Box<RawValue> = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        Ok(Arc::from(manifest))
    }
}

/// The path of a pod.
fn path_of(pod: &PodRef) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", escape(&pod.namespace), escape(&pod.name))
}

/// `None` for what is not an object with a UID: an answer of something in between, not of the API server.
fn head_of(bytes: &[u8]) -> Option<HeadMetadata> {
    let head = serde_json::from_slice::<Head>(bytes).ok()?.metadata;
    (!head.uid.is_empty()).then_some(head)
}

fn unreadable() -> Outcome {
    let message = "the answer is not a pod".to_owned();
    Outcome::Later { wait_ms: None, reason: LaterReason::Transient, message }
}
