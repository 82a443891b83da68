//! The calls of CCI that the agent makes, each answered with exactly one outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{Answer, CloudFacts, CloudName, LaterReason, Outcome, PodRef, Refusal, RefusalClass, Room};
use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Error;
use super::billed::PodSizes;
use super::config::CciConfig;
use super::credentials::Auth;
use super::error::Intent;
use super::listing::Listed;
use super::profile::Profile;
use super::rooms::Rooms;
use super::sizing;
use super::transport::{Call, Failure, Reply, Transport};
use super::usage::Exporters;
use super::wire::{self, Mark, Sighting};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long creations are answered with a refusal that calls for a person, without being sent: long enough for those that
/// were on their way, and far shorter than the time after which the reducer lets one pod try.
const STOPPED_MAX: Duration = Duration::from_secs(5);

/// The same of a size that is sold out, of which the reducer tries another one a third of a second later at the earliest.
const SOLD_OUT_MAX: Duration = Duration::from_millis(250);

/// What a 404 may be about and still mean that the pod is absent.
pub(super) const POD_KINDS: [&str; 2] = ["pods", "Pod"];

/// What came of a call that changes something.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The outcome.
    pub outcome: Outcome,
    /// How long calls of this class are to rest all the same, when the outcome has no room for it.
    ///
    /// That is the `Retry-After` of a 5xx to a write. The reference does not say of any of them that nothing was
    /// done: of 503 it says that the request is rather to be changed than repeated (CCI API, status codes), and the
    /// gateway has one code, `APIGW.0201`, for a request that it did not pass on and for an answer that it did not
    /// get (error codes). So the fate is unknown, and a look-up tells; but the wait is kept. What is refused as one
    /// call too many, whatever the status (`APIGW.0308`), was not passed on, and is for later.
    pub rest_ms: Option<u32>,
}

impl From<Outcome> for Answered {
    fn from(outcome: Outcome) -> Answered {
        Answered { outcome, rest_ms: None }
    }
}

/// What was just said to the creation of a pod, and is said to others like it.
struct Stopped {
    until: Instant,
    outcome: Outcome,
}

/// A client of CCI for one namespace. Cheap to share behind an `Arc`; all calls may run at the same time.
pub struct CciClient {
    pub(super) config: CciConfig,
    pub(super) profile: Profile,
    pub(super) mark: Mark,
    pub(super) transport: Transport,
    /// What the last list held.
    pub(super) listed: Mutex<Listed>,
    pub(super) sizes: PodSizes,
    pub(super) exporters: Exporters,
    rooms: Rooms,
    /// Why pods are not made: those of one room, or of any where there is none.
    stopped: Mutex<BTreeMap<Option<Arc<Room>>, Stopped>>,
}

impl CciClient {
    /// A client with these settings. Nothing is sent yet.
    ///
    /// The process must have installed a `rustls` crypto provider.
    ///
    /// # Errors
    /// When a setting makes no sense or a credential file cannot be used.
    pub fn new(config: CciConfig, auth: Auth, profile: Profile) -> Result<CciClient, Error> {
        config.check()?;
        let setting = "size policy";
        profile.check_policy(config.pods.size_policy).map_err(|reason| Error::Setting { setting, reason })?;
        let transport = Transport::new(&config, auth)?;
        let exporters = Exporters::new(&config)?;
        let mark = Mark { cluster_id: config.cluster_id.clone(), node: config.node.clone() };
        let (listed, sizes, stopped) = (Mutex::default(), PodSizes::default(), Mutex::default());
        let rooms = Rooms::new(config.pods.size_policy, config.network.availability_zone.as_deref());
        Ok(CciClient { config, profile, mark, transport, listed, sizes, exporters, rooms, stopped })
    }

    /// What each pod asked for and what is billed for it, as each complete list says.
    #[must_use]
    pub fn pod_sizes(&self) -> PodSizes {
        self.sizes.clone()
    }

    /// Makes the cloud pod of `pod` under `name` (CCI API, create pod).
    ///
    /// Done with the pod as the cloud accepted it; refused as already existing when the name is taken, by
    /// whom a look-up tells; later when it certainly was not made; unknown when it may have been.
    pub async fn create_pod(&self, pod: &PodRef, name: &CloudName, manifest: &RawValue) -> Answered {
        let cloud_pod = match self.cloud_pod(pod, name, manifest) {
            Ok(cloud_pod) => cloud_pod,
            Err(outcome) => return outcome.into(),
        };
        let room = self.rooms.of(manifest);
        if let Some(outcome) = self.stopped(&room) {
            return outcome.into();
        }
        let body = cloud_pod.json.to_string().into_bytes();
        let call = Call { secrets: cloud_pod.secrets, ..Call::post(self.pods_path(), body) };
        let answered = match self.transport.call(&call).await {
            Ok(reply) => {
                let outcome = self.pod_answer(&reply, name, pod, Intent::Write);
                told(outcome, sizing::explained(&cloud_pod.json), &cloud_pod.missed).into()
            }
            Err(failure) => failure.answered(Intent::Write),
        };
        self.stop(room, &answered.outcome);
        answered
    }

    /// What is said to the creation of a pod without a call. The reducer makes no more like it once it has heard that; what
    /// was on its way then would only be refused in its turn.
    fn stopped(&self, room: &Option<Arc<Room>>) -> Option<Outcome> {
        let stopped = self.stopped.lock();
        let now = Instant::now();
        let of = |room| stopped.get(room).filter(|stopped| stopped.until > now);
        of(&None).or_else(|| of(room)).map(|stopped| stopped.outcome.clone())
    }

    /// Notes what holds for others as well.
    fn stop(&self, room: Option<Arc<Room>>, outcome: &Outcome) {
        let (room, lasts) = match (outcome, room) {
            (Outcome::Refused(refusal), _) if refusal.class == RefusalClass::OperatorAction => {
                (None, STOPPED_MAX)
            }
            (Outcome::Later { reason: LaterReason::Capacity, .. }, Some(room)) => (Some(room), SOLD_OUT_MAX),
            (_, _) => return,
        };
        let now = Instant::now();
        let mut stopped = self.stopped.lock();
        // So it holds no more than were refused in the last few seconds.
        stopped.retain(|_, stopped| stopped.until > now);
        stopped.insert(room, Stopped { until: now + lasts, outcome: outcome.clone() });
    }

    /// Begins the end of a cloud pod (CCI API, delete pod), but of no other pod of that name.
    ///
    /// Done as accepted, as absent already, or as foreign when another pod has the name.
    pub async fn delete_pod(
        &self,
        name: &CloudName,
        cloud_uid: &str,
        owner: &PodRef,
        grace_s: u32,
    ) -> Answered {
        if cloud_uid.is_empty() {
            return invalid("a pod is not deleted by name alone".into()).into();
        }
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": grace_s,
            "preconditions": {"uid": cloud_uid},
        });
        let call = Call {
            // The reference documents the parameter, Kubernetes the body; they agree.
            query: vec![("gracePeriodSeconds", grace_s.to_string())],
            body: Bytes::from(body.to_string()),
            ..Call::new(Method::DELETE, self.pod_path(name))
        };
        match self.transport.call(&call).await {
            Ok(reply) => self.delete_answer(&reply, cloud_uid, owner).into(),
            Err(Failure::Problem(problem)) if problem.is_absence_of(&POD_KINDS) => {
                Outcome::Done(Answer::CloudPodAbsent).into()
            }
            // Whether it is another pod, or only another incarnation of ours, a look-up tells.
            Err(Failure::Problem(problem)) if problem.status == 409 && !problem.is_stale_write() => {
                Outcome::Unknown { message: problem.sentence() }.into()
            }
            Err(failure) => failure.answered(Intent::Write),
        }
    }

    /// Reads one cloud pod (CCI API, read pod) and whether it is `owner`'s.
    pub async fn look_up_pod(&self, name: &CloudName, owner: &PodRef) -> Outcome {
        match self.transport.call(&Call::get(self.pod_path(name))).await {
            Ok(reply) => self.pod_answer(&reply, name, owner, Intent::Read),
            Err(Failure::Problem(problem)) if problem.is_absence_of(&POD_KINDS) => {
                Outcome::Done(Answer::CloudPodAbsent)
            }
            Err(failure) => failure.outcome(Intent::Read),
        }
    }

    /// The path of all objects of a kind in our namespace.
    pub(super) fn in_namespace(&self, plural: &str) -> String {
        format!("{}/namespaces/{}/{plural}", self.profile.core_path, self.config.namespace)
    }

    pub(super) fn pods_path(&self) -> String {
        self.in_namespace("pods")
    }

    pub(super) fn pod_path(&self, name: &CloudName) -> String {
        format!("{}/{}", self.pods_path(), name.0)
    }

    /// What a success that should hold one pod says.
    pub(super) fn pod_answer(
        &self,
        reply: &Reply,
        name: &CloudName,
        owner: &PodRef,
        intent: Intent,
    ) -> Outcome {
        match wire::read_pod(&self.mark, &self.config.namespace, &reply.body) {
            Sighting::Ours(facts) if facts.name != *name => {
                not_understood(reply, intent, "the answer is about another pod")
            }
            // The effect's own names, which are in memory already, in place of the answer's copies.
            Sighting::Ours(facts) if facts.owner.uid == owner.uid => {
                let facts = CloudFacts { name: name.clone(), owner: owner.clone(), ..*facts };
                Outcome::Done(Answer::CloudPod(facts.into()))
            }
            Sighting::Ours(facts) => {
                let message = format!("it was made for {} with UID {}", facts.owner, facts.owner.uid);
                Outcome::Done(Answer::CloudPodForeign { message })
            }
            Sighting::Foreign(message) => Outcome::Done(Answer::CloudPodForeign { message }),
            Sighting::Unreadable(message) => not_understood(reply, intent, &message),
            Sighting::Elsewhere => not_understood(reply, intent, "the answer is about another namespace"),
        }
    }

    /// What a success of a deletion says: the pod as it ends, or a `Status`.
    fn delete_answer(&self, reply: &Reply, cloud_uid: &str, owner: &PodRef) -> Outcome {
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        match answer["kind"].as_str() {
            Some("Status") => Outcome::Done(Answer::DeleteAccepted),
            Some("Pod") if answer["metadata"]["uid"] == cloud_uid => Outcome::Done(Answer::DeleteAccepted),
            Some("Pod") => {
                // CCI took no notice of the precondition. Nothing can be undone, but it must not go unseen.
                tracing::error!(%owner, cloud_uid, "the cloud deleted another pod than the one named");
                let message = "another pod had the name when it was deleted".to_owned();
                Outcome::Done(Answer::CloudPodForeign { message })
            }
            Some(_) | None => not_understood(reply, Intent::Write, "the answer is no pod"),
        }
    }
}

/// Fields that one message names: it is for people, who have `explain` for the rest.
const MISSED_TOLD_MAX: usize = 8;

/// The answer to a creation, with what people are to be told of the size that the pod was given, and of what it lacks.
fn told(outcome: Outcome, sized: Option<&str>, missed: &[String]) -> Outcome {
    let Outcome::Done(Answer::CloudPod(facts)) = outcome else { return outcome };
    let named = missed.iter().take(MISSED_TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match missed.len().saturating_sub(MISSED_TOLD_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let without = (!missed.is_empty()).then(|| format!("without {named}{more}, which CCI does not have"));
    let message: Vec<&str> = sized.into_iter().chain(without.as_deref()).collect();
    if message.is_empty() {
        return Outcome::Done(Answer::CloudPod(facts));
    }
    Outcome::Done(Answer::CloudPodTold { facts, warning: false, message: crate::cut(&message.join("; ")) })
}

fn invalid(message: String) -> Outcome {
    refused(RefusalClass::Invalid, &message)
}

/// Refused by our own rules, without a call.
pub(super) fn not_admitted(message: String) -> Outcome {
    refused(RefusalClass::NotAdmitted, &message)
}

fn refused(class: RefusalClass, message: &str) -> Outcome {
    Outcome::Refused(Refusal { class, code: String::new(), message: crate::cut(message) })
}

pub(super) fn later(reason: LaterReason, message: &str) -> Outcome {
    Outcome::Later { wait_ms: None, reason, message: crate::cut(message) }
}

/// The outcome of a success whose body is not what was asked for: a proxy's page, a torn answer, or the
/// gateway's throttling under a friendly status.
pub(super) fn not_understood(reply: &Reply, intent: Intent, what: &str) -> Outcome {
    let problem = reply.problem(&[]);
    if !problem.code.is_empty() {
        return problem.outcome(intent);
    }
    match intent {
        Intent::Read => later(LaterReason::Transient, &format!("status {}, but {what}", reply.status)),
        Intent::Write => {
            Outcome::Unknown { message: crate::cut(&format!("status {}, but {what}", reply.status)) }
        }
    }
}
