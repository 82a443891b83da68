//! A model of the cloud: CCI 1.0 and 2.0 with its identity service, on virtual time.
//!
//! Nothing happens by itself: each call carries the time, and [`Cloud::advance`] lets pass what is due. Two
//! clouds of one seed that are given the same calls at the same times give the same answers. What goes wrong
//! is data ([`CloudOptions::faults`]); how pods behave is driven by what they ask for (see [`Pod`]).
//!
//! A log and an exec stream are values as well: [`LogCursor`] and [`Exec`], whose bytes are computed when they are
//! read ([`Cloud::read_log`], [`shell`]).
//!
//! Not simulated: watches, attach, port-forward, storage but for claims on volumes that are there, Services, workloads, changes of pods; these are refused as such.

mod addresses;
mod capacity;
mod chance;
mod claims;
mod faults;
pub(crate) mod fields;
mod iam;
mod ledger;
mod names;
mod namespace;
mod network;
mod notices;
mod object;
mod options;
mod pod;
mod pod_calls;
mod profile;
mod reply;
mod request;
mod schedule;
mod schema;
pub mod shell;
mod size;
mod streams;
mod tamper;
#[cfg(test)]
mod tests;
mod throttle;
mod time;
mod usage;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

pub use capacity::{Capacities, Capacity, CapacityError};
pub use faults::{CallClass, FaultError, FaultKind, FaultRule, FaultRules, Frequency};
pub use iam::{Credentials, TokenError};
pub use ledger::{Bill, PodAccount};
pub use options::{CloudOptions, PodNetwork, RateLimits, ThrottleShape};
pub use pod::inside::{Exec, ExecFault};
pub use pod::log::{LogCursor, LogPiece};
pub use pod::{CHANGED_AT, CPU_SHARE, EXIT_CODE, LOG_BYTES, LOG_EVERY_MS, Pod, PodKey, RUN_SECONDS, Stage};
pub use profile::Generation;
pub use reply::{Reply, Streamed, Token};
pub use request::{Query, Request, Resource, Verb};
pub use usage::{EXPORTER_PORT, exporter_text};

use addresses::Addresses;
use chance::Chance;
use faults::Faults;
use iam::Iam;
use ledger::Ledger;
use namespace::{Namespace, NamespacePhase};
use network::{Network, NetworkKey};
use notices::Notices;
use object::ObjectKey;
use pod_calls::Ghost;
use reply::Refusal;
use schedule::{Schedule, Target};
use throttle::Throttle;

/// What all parts of the cloud share.
#[derive(Debug)]
struct Common {
    options: CloudOptions,
    chance: Chance,
    schedule: Schedule,
    /// The last `resourceVersion` given out.
    revision: u64,
    addresses: Addresses,
    notices: Notices,
    ledger: Ledger,
    /// What all pods' files may take together.
    file_space: shell::Space,
}

/// The cloud.
#[derive(Debug)]
pub struct Cloud {
    common: Common,
    faults: Faults,
    throttle: Throttle,
    iam: Iam,
    namespaces: BTreeMap<(Generation, String), Namespace>,
    /// Until when the names of deleted namespaces are refused.
    ended_namespaces: BTreeMap<(Generation, String), u64>,
    networks: BTreeMap<NetworkKey, Network>,
    objects: BTreeMap<ObjectKey, Value>,
    /// The file systems that went with their volumes.
    deleted_files: Vec<String>,
    pods: BTreeMap<PodKey, Pod>,
    ghosts: BTreeMap<PodKey, Ghost>,
    /// Calls that take effect after their answer was lost.
    late: BTreeMap<u64, Request>,
    late_count: u64,
    calls: BTreeMap<CallClass, u64>,
    now_us: u64,
}

impl Cloud {
    /// An empty cloud.
    #[must_use]
    pub fn new(options: CloudOptions, seed: u64) -> Cloud {
        let mut chance = Chance::new(seed);
        Cloud {
            iam: Iam::new(Credentials::of_seed(&mut chance)),
            faults: Faults::new(&options.faults),
            throttle: Throttle::default(),
            common: Common {
                options,
                chance,
                schedule: Schedule::default(),
                revision: 1_000,
                addresses: Addresses::new(),
                notices: Notices::default(),
                ledger: Ledger::default(),
                file_space: shell::Space::default(),
            },
            namespaces: BTreeMap::new(),
            ended_namespaces: BTreeMap::new(),
            networks: BTreeMap::new(),
            objects: BTreeMap::new(),
            deleted_files: Vec::new(),
            pods: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            late: BTreeMap::new(),
            late_count: 0,
            calls: BTreeMap::new(),
            now_us: 0,
        }
    }

    /// How the cloud behaves.
    #[must_use]
    pub fn options(&self) -> &CloudOptions {
        &self.common.options
    }

    /// Behaves differently from now on. What is already under way keeps its time.
    pub fn set_options(&mut self, options: CloudOptions) {
        self.faults = Faults::new(&options.faults);
        self.common.options = options;
    }

    /// Lets everything happen that is due at `now_us` (microseconds since the epoch). Time never goes back.
    pub fn advance(&mut self, now_us: u64) {
        while let Some((due_us, target)) = self.common.schedule.pop_due(now_us) {
            self.now_us = self.now_us.max(due_us);
            match target {
                Target::Namespace(generation, name) => self.step_namespace(generation, name),
                Target::Network(generation, namespace, name) => {
                    self.step_network(&(generation, namespace, name))
                }
                Target::Pod(key) if self.lacks_objects(&key) => {
                    if let Some(pod) = self.pods.get_mut(&key) {
                        pod.wait_for_objects(due_us, &mut self.common);
                    }
                }
                Target::Pod(key) => {
                    let pod = self.pods.get_mut(&key);
                    if pod.is_some_and(|pod| pod.step(due_us, &mut self.common)) {
                        self.pod_gone(&key);
                    }
                }
                Target::Late(number) => {
                    if let Some(request) = self.late.remove(&number) {
                        self.apply(&request);
                    }
                }
            }
        }
        self.now_us = self.now_us.max(now_us);
    }

    /// When something will next happen by itself.
    #[must_use]
    pub fn next_change_us(&self) -> Option<u64> {
        self.common.schedule.next_us()
    }

    /// Answers a call made at `now_us`, with all limits and faults. The effect, if there is one, is in place
    /// at once; the answer arrives after [`Reply::delay_ms`].
    pub fn call(&mut self, now_us: u64, request: &Request) -> Reply {
        self.advance(now_us);
        if self.common.options.only.is_some_and(|only| only != request.generation) {
            return Request::unknown_path();
        }
        let class = request.class();
        self.count(class);
        self.count_pod_call(request);
        let options = &self.common.options;
        let latency_ms = match class {
            CallClass::Create | CallClass::Token => options.create_latency_ms,
            CallClass::Read => options.read_latency_ms,
            CallClass::Delete => options.delete_latency_ms,
        };
        let mut reply = match self.refuse_early(request, class) {
            Some(reply) => reply,
            None => {
                let reply = self.apply(request);
                self.spoil(reply, class)
            }
        };
        reply.delay_ms += latency_ms;
        reply
    }

    /// Carries a call out, without limits and without the faults that concern answers.
    fn apply(&mut self, request: &Request) -> Reply {
        if request.query.watch {
            return Refusal::new(405, "watches are not simulated").into();
        }
        let result = match (request.resource, request.verb) {
            (Resource::Namespaces, Verb::Create) => self.create_namespace(request),
            (Resource::Namespaces, Verb::Get) => self.get_namespace(request),
            (Resource::Namespaces, Verb::List) => self.list_namespaces(request),
            (Resource::Namespaces, Verb::Delete) => self.delete_namespace(request),
            (Resource::Networks, Verb::Create) => self.create_network(request),
            (Resource::Networks, Verb::Get) => self.get_network(request),
            (Resource::Networks, Verb::List) => self.list_networks(request),
            (Resource::Networks, Verb::Delete) => self.delete_network(request),
            (Resource::Pods, Verb::Create) => self.create_pod(request),
            (Resource::Pods, Verb::Get) => self.get_pod(request),
            (Resource::Pods, Verb::List) => self.list_pods(request),
            (Resource::Pods, Verb::Delete) => self.delete_pod(request),
            (Resource::Pods, Verb::Patch) => self.patch_pod(request),
            (Resource::PodLog, Verb::Get) => self.pod_log(request),
            (Resource::PodExec, Verb::Get | Verb::Create) => self.pod_exec(request),
            (
                Resource::ConfigMaps
                | Resource::Secrets
                | Resource::PersistentVolumeClaims
                | Resource::PersistentVolumes,
                _,
            ) => self.object(request),
            (Resource::Events, _) => self.events(request),
            (Resource::ResourceQuotas, _) => self.quotas(request),
            (Resource::PodMetrics, _) => self.pod_metrics(request),
            (Resource::Namespaces | Resource::Networks, Verb::Replace | Verb::Patch)
            | (Resource::Pods, Verb::Replace)
            | (Resource::PodExec, Verb::List | Verb::Replace | Verb::Patch | Verb::Delete)
            | (Resource::PodLog, Verb::Create | Verb::List | Verb::Replace | Verb::Patch | Verb::Delete) => {
                Err(object::not_served(request))
            }
        };
        result.unwrap_or_else(Reply::from)
    }

    fn plain_list(&self, resource: Resource, version: &str, items: Vec<Value>) -> Reply {
        let head = self.list_head(resource.kind(), version, None);
        let mut list: Value = serde_json::from_str(&head).unwrap_or_default();
        list["items"] = items.into();
        Reply::of(200, &list)
    }

    /// A list without its items: `{"apiVersion":…,"kind":…,"metadata":{…}}`, with `metadata` last.
    fn list_head(&self, kind: &str, version: &str, next: Option<String>) -> String {
        let mut metadata = json!({"resourceVersion": ""});
        let (kind, version) = if self.common.options.list_resource_version {
            metadata["resourceVersion"] = self.common.revision.to_string().into();
            (format!("{kind}List"), version)
        } else {
            ("List".to_owned(), "v1")
        };
        if let Some(next) = next {
            metadata["continue"] = next.into();
        }
        format!(r#"{{"apiVersion":"{version}","kind":"{kind}","metadata":{metadata}}}"#)
    }

    fn is_active(&self, generation: Generation, namespace: &str) -> bool {
        let namespace = self.namespaces.get(&(generation, namespace.to_owned()));
        namespace.is_some_and(|namespace| namespace.phase == NamespacePhase::Active)
    }

    fn count(&mut self, class: CallClass) {
        *self.calls.entry(class).or_default() += 1;
    }

    fn count_pod_call(&mut self, request: &Request) {
        #[derive(Deserialize)]
        struct Named {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            name: String,
        }
        let key = |name: &str| PodKey::new(request.generation, &request.namespace, name);
        if request.is(Verb::Delete, Resource::Pods) {
            self.common.ledger.account(&key(&request.name)).delete_calls += 1;
        } else if request.is(Verb::Create, Resource::Pods)
            && let Ok(named) = serde_json::from_slice::<Named>(&request.body)
        {
            self.common.ledger.account(&key(&named.metadata.name)).create_calls += 1;
        }
    }
}

/// What a test sees that a client cannot.
impl Cloud {
    /// All pods that are there.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// One pod.
    #[must_use]
    pub fn pod(&self, key: &PodKey) -> Option<&Pod> {
        self.pods.get(key)
    }

    /// How many pods are there.
    #[must_use]
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// How many pods are in each stage.
    #[must_use]
    pub fn stages(&self) -> BTreeMap<&'static str, usize> {
        let mut stages = BTreeMap::new();
        for pod in self.pods.values() {
            *stages.entry(pod_calls::stage_name(pod.stage())).or_default() += 1;
        }
        stages
    }

    /// What is known of each pod name ever asked for.
    #[must_use]
    pub fn accounts(&self) -> &BTreeMap<PodKey, PodAccount> {
        self.common.ledger.accounts()
    }

    /// The bill up to now.
    #[must_use]
    pub fn billing(&self) -> Bill {
        self.common.ledger.bill(self.pods.keys(), self.now_us)
    }

    /// How many calls of a class were made, refused ones included.
    #[must_use]
    pub fn calls(&self, class: CallClass) -> u64 {
        self.calls.get(&class).copied().unwrap_or(0)
    }

    /// How many calls will still take effect although their answers were lost.
    #[must_use]
    pub fn late_calls(&self) -> usize {
        self.late.len()
    }
}
