//! Tells people about a pod: Kubernetes Events of the core group, counted up rather than repeated.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use engine::{Answer, CloudEvent, Notice, Outcome, PodRef};
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::render::rfc3339;
use super::transport::{ApiServer, Call, Failure, JSON, STRATEGIC_MERGE, escape};
use crate::{Clock, cut};

/// Notices remembered for counting up: some for each pod of a large node, at about a hundred bytes each.
/// One that was forgotten is told anew.
pub const REMEMBERED_NOTICES_MAX: usize = 4_096;

/// Longest name of an object.
const NAME_BYTES_MAX: usize = 253;

/// Who speaks.
const COMPONENT: &str = "burst-agent";

/// In whose words, where it is the cloud.
const CLOUD: &str = "cci";

/// Emits notices. Cheap to clone, used by many tasks at once.
#[derive(Clone)]
pub struct Notices {
    api: ApiServer,
    node: Arc<str>,
    told: Arc<Mutex<Told>>,
}

/// The notices told, least recently used first to be forgotten.
#[derive(Default)]
struct Told {
    by_content: HashMap<u128, Entry>,
    by_use: BTreeMap<u64, u128>,
    uses: u64,
}

struct Entry {
    name: String,
    count: u32,
    used: u64,
}

impl Notices {
    /// Notices over `client`, in the name of the agent of `node`.
    #[must_use]
    pub fn new(client: kube::Client, node: &str) -> Notices {
        Notices { api: ApiServer::new(client), node: Arc::from(node), told: Arc::default() }
    }

    /// Tells `notice` about `pod`. The same notice again counts up the Event that is there, if it still is.
    pub async fn emit(&self, pod: &PodRef, notice: &Notice) -> Outcome {
        let content = digest_of(pod, notice);
        let again = self.told.lock().again(content);
        if let Some((name, count)) = again {
            let now = rfc3339(Clock::wall().as_s());
            match self.count_up(pod, &name, count, now).await {
                // Events end after an hour: this one is told anew.
                Err(failure) if failure.code() == Some(404) => {}
                answer => return outcome_of(answer),
            }
        }
        let name = fresh_name(&pod.name);
        let answer = self.write(pod, &self.told(pod, notice, &name)).await;
        if answer.is_ok() {
            self.told.lock().remember(content, name);
        }
        outcome_of(answer)
    }

    /// Tells an event of the cloud about `pod`, with its own times and count. Its name follows from the cloud's identity
    /// of it, so that whoever tells it again counts up the one that is there.
    pub async fn mirror(&self, pod: &PodRef, event: &CloudEvent) -> Outcome {
        let digest = xxh3_64(format!("{}\0{}", pod.uid, event.id).as_bytes());
        let name = name_of(&pod.name, digest);
        let last = rfc3339(event.last_s);
        // What was seen once is most likely not there yet; neither answer is trusted to be the last word.
        if event.count > 1 {
            match self.count_up(pod, &name, event.count, last.clone()).await {
                Err(failure) if failure.code() == Some(404) => {}
                answer => return outcome_of(answer),
            }
        }
        match self.write(pod, &self.mirrored(pod, event, &name)).await {
            Err(failure) if failure.code() == Some(409) => {
                outcome_of(self.count_up(pod, &name, event.count, last).await)
            }
            answer => outcome_of(answer),
        }
    }

    async fn count_up(
        &self,
        pod: &PodRef,
        name: &str,
        count: u32,
        last: Option<String>,
    ) -> Result<(), Failure> {
        let path = format!("/api/v1/namespaces/{}/events/{}", escape(&pod.namespace), escape(name));
        let body = json!({ "count": count, "lastTimestamp": last });
        self.api.call(Call::with_body(Method::PATCH, &path, STRATEGIC_MERGE, &body)).await.map(drop)
    }

    async fn write(&self, pod: &PodRef, event: &Value) -> Result<(), Failure> {
        let path = format!("/api/v1/namespaces/{}/events", escape(&pod.namespace));
        self.api.call(Call::with_body(Method::POST, &path, JSON, event)).await.map(drop)
    }

    /// The Event that says this for the first time.
    fn told(&self, pod: &PodRef, notice: &Notice, name: &str) -> Value {
        let now = rfc3339(Clock::wall().as_s());
        let mut event = self.event(pod, name, COMPONENT);
        event["type"] = kind_of(notice.warning).into();
        event["reason"] = notice.reason.as_str().into();
        event["message"] = cut(&notice.message).into();
        event["firstTimestamp"] = now.clone().into();
        event["lastTimestamp"] = now.into();
        event["count"] = 1.into();
        event
    }

    /// The Event that says this in the cloud's name.
    fn mirrored(&self, pod: &PodRef, said: &CloudEvent, name: &str) -> Value {
        let now = || rfc3339(Clock::wall().as_s());
        let time = |time_s: i64| Some(time_s).filter(|time_s| *time_s != 0).and_then(rfc3339).or_else(now);
        let source = match said.source.as_str() {
            "" => CLOUD.to_owned(),
            part => format!("{CLOUD}/{part}"),
        };
        let mut event = self.event(pod, name, &source);
        event["type"] = kind_of(said.warning).into();
        event["reason"] = said.reason.as_str().into();
        event["message"] = cut(&said.message).into();
        event["firstTimestamp"] = time(said.first_s).into();
        event["lastTimestamp"] = time(said.last_s).into();
        event["count"] = said.count.into();
        event
    }

    /// An Event about a pod that does not say anything yet.
    fn event(&self, pod: &PodRef, name: &str, source: &str) -> Value {
        json!({
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": { "name": name, "namespace": pod.namespace },
            "involvedObject": {
                "kind": "Pod",
                "apiVersion": "v1",
                "namespace": pod.namespace,
                "name": pod.name,
                "uid": pod.uid.0,
            },
            "source": { "component": source, "host": &*self.node },
            "reportingComponent": COMPONENT,
            "reportingInstance": &*self.node,
        })
    }
}

fn kind_of(warning: bool) -> &'static str {
    if warning { "Warning" } else { "Normal" }
}

/// A namespace that is gone, or going, takes no notice, and nobody would read it.
fn outcome_of(answer: Result<(), Failure>) -> Outcome {
    match answer {
        Ok(()) => Outcome::Done(Answer::Nothing),
        Err(Failure::Answered(answered)) if answered.code == 404 || answered.namespace_ending => {
            Outcome::Done(Answer::Nothing)
        }
        Err(failure) => failure.outcome(),
    }
}

/// Which notices are the same. 128 bits: no two of any number we will see are mistaken for one another.
fn digest_of(pod: &PodRef, notice: &Notice) -> u128 {
    xxh3_128(format!("{}\0{}\0{}\0{}", pod.uid, notice.warning, notice.reason, notice.message).as_bytes())
}

/// A name that no other Event has: the pod's, and random digits.
fn fresh_name(pod: &str) -> String {
    name_of(pod, uuid::Uuid::new_v4().as_u64_pair().1)
}

/// The pod's name, and digits.
fn name_of(pod: &str, number: u64) -> String {
    let suffix = format!(".{number:016x}");
    let end = pod.len().min(NAME_BYTES_MAX - suffix.len());
    let end = (0..=end).rev().find(|end| pod.is_char_boundary(*end)).unwrap_or(0);
    // A part of a name between dots ends in a letter or a digit.
    let stem = pod[..end].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    format!("{stem}{suffix}")
}

impl Told {
    /// The Event that said this before, and how often it is said with this time.
    fn again(&mut self, content: u128) -> Option<(String, u32)> {
        self.uses += 1;
        let entry = self.by_content.get_mut(&content)?;
        self.by_use.remove(&entry.used);
        self.by_use.insert(self.uses, content);
        entry.used = self.uses;
        entry.count += 1;
        Some((entry.name.clone(), entry.count))
    }

    fn remember(&mut self, content: u128, name: String) {
        self.uses += 1;
        let entry = Entry { name, count: 1, used: self.uses };
        if let Some(old) = self.by_content.insert(content, entry) {
            self.by_use.remove(&old.used);
        }
        self.by_use.insert(self.uses, content);
        if self.by_content.len() > REMEMBERED_NOTICES_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_content.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_forgets_what_was_not_used() {
        let mut told = Told::default();
        let max = REMEMBERED_NOTICES_MAX as u128;
        for content in 0..max {
            told.remember(content, content.to_string());
        }
        assert_eq!(told.again(0), Some(("0".to_owned(), 2)));
        told.remember(max, "new".to_owned());
        assert_eq!((told.by_content.len(), told.by_use.len()), (max as usize, max as usize));
        assert_eq!(told.again(0), Some(("0".to_owned(), 3)), "it was used");
        assert_eq!(told.again(1), None, "it was not");
    }

    #[test]
    fn a_name_is_a_name_however_long_the_pods_is() {
        let long = format!("{}-.x", "a".repeat(234));
        for pod in ["web-0", &long] {
            let name = fresh_name(pod);
            assert!(name.len() <= NAME_BYTES_MAX);
            assert!(!name.contains("-."), "{name}");
        }
        assert_ne!(fresh_name("web-0"), fresh_name("web-0"));
    }
}
