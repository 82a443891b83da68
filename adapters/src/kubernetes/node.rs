//! The node that our pods are bound to: its registration, its conditions, and its heartbeat.
//!
//! What others put on the node stays: labels and annotations merge, taints are merged by us, conditions and
//! resources merge by name (virtual-kubelet rule VK-N4). What we put there goes when it is not configured any more.

mod applied;
mod body;
mod heartbeat;
mod settings;

use std::collections::BTreeMap;

use engine::{Answer, NodeReadiness, Outcome, Refusal, RefusalClass, Uid};
use http::Method;
use parking_lot::Mutex;
use serde_json::Value;

use super::transport::{ApiServer, Call, Failure, JSON, STRATEGIC_MERGE, WHOLE, escape};
use crate::Clock;
pub use body::CLOUD_REACHABLE;
use body::{NodeHead, create_body, spec_patch, status_patch};
pub use heartbeat::{LEASE_DURATION_S, LEASE_RENEW_PERIOD, STATUS_REFRESH_PERIOD};
pub use settings::{NodeSettings, ParseTaintError, Taint, TaintEffect};

/// Label that marks a virtual node, and its value (virtual-kubelet rule VK-N7). A node of our name without it
/// is somebody's machine, and is not touched.
const MARK: (&str, &str) = ("type", "virtual-kubelet");

/// Our node in the API server.
pub struct VirtualNode {
    api: ApiServer,
    settings: NodeSettings,
    /// What was last written; locked for as long as a write takes, so that writes do not overtake.
    readiness: tokio::sync::Mutex<Option<NodeReadiness>>,
    /// The incarnation that we keep alive.
    uid: Mutex<Option<Uid>>,
    /// What it offers in place of what the settings say, by resource, and whether that has yet to be written.
    offer: Mutex<(BTreeMap<String, String>, bool)>,
}

/// Why the node cannot be brought up to date.
enum Trouble {
    Failed(Failure),
    Foreign,
    Unreadable,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Failed(failure)
    }
}

impl VirtualNode {
    /// A node with `settings`, not yet registered.
    #[must_use]
    pub fn new(client: kube::Client, settings: NodeSettings) -> VirtualNode {
        let (readiness, uid, offer) = Default::default();
        VirtualNode { api: ApiServer::new(client), settings, readiness, uid, offer }
    }

    /// The node is to offer this of the resources that are named, and of others what its settings say. A change is
    /// written with the next beat.
    pub fn offer(&self, capacity: BTreeMap<String, String>) {
        let mut offer = self.offer.lock();
        if offer.0 != capacity {
            *offer = (capacity, true);
        }
    }

    /// What the node offers.
    fn capacity(&self) -> BTreeMap<String, String> {
        self.settings_with(&self.offer.lock().0)
    }

    /// The node's UID, once it is known to exist.
    #[must_use]
    pub fn uid(&self) -> Option<Uid> {
        self.uid.lock().clone()
    }

    fn settings_with(&self, offer: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut capacity = self.settings.capacity.clone();
        capacity.extend(offer.clone());
        capacity
    }

    /// Registers the node if it is absent, and brings its labels, taints and status up to date.
    pub async fn patch_node(&self, readiness: &NodeReadiness) -> Outcome {
        let mut written = self.readiness.lock().await;
        let mut answer = self.write(readiness).await;
        if let Err(Trouble::Failed(failure)) = &answer
            && failure.code() == Some(404)
        {
            // Deleted between two of our calls: register it again, once.
            answer = self.write(readiness).await;
        }
        match answer {
            Ok(()) => {
                *written = Some(readiness.clone());
                Outcome::Done(Answer::Nothing)
            }
            Err(trouble) => self.outcome_of(trouble),
        }
    }

    async fn write(&self, readiness: &NodeReadiness) -> Result<(), Trouble> {
        let node = match self.read().await? {
            Some(node) => node,
            None => self.create().await?,
        };
        if node.label(MARK.0) != Some(MARK.1) {
            return Err(Trouble::Foreign);
        }
        if let Some(patch) = spec_patch(&self.settings, &node) {
            self.patch(&self.path(), &patch).await?;
        }
        *self.uid.lock() = Some(node.uid());
        self.write_status(&node, readiness).await
    }

    async fn write_status(&self, node: &NodeHead, readiness: &NodeReadiness) -> Result<(), Trouble> {
        let capacity = self.capacity();
        let patch = status_patch(&self.settings, &capacity, node, readiness, Clock::wall().as_s());
        self.patch(&format!("{}/status", self.path()), &patch).await?;
        let mut offer = self.offer.lock();
        offer.1 &= capacity != self.settings_with(&offer.0);
        Ok(())
    }

    async fn patch(&self, path: &str, patch: &Value) -> Result<(), Failure> {
        self.api.call(Call::with_body(Method::PATCH, path, STRATEGIC_MERGE, patch)).await.map(drop)
    }

    /// The node as it is; `None` when there is none.
    async fn read(&self) -> Result<Option<NodeHead>, Trouble> {
        match self.api.call(Call::get(&self.path(), WHOLE)).await {
            Ok(bytes) => NodeHead::parse(&bytes).map(Some).ok_or(Trouble::Unreadable),
            Err(failure) if failure.code() == Some(404) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn create(&self) -> Result<NodeHead, Trouble> {
        let body = create_body(&self.settings);
        let call = Call { accept: WHOLE, ..Call::with_body(Method::POST, "/api/v1/nodes", JSON, &body) };
        let bytes = self.api.call(call).await?;
        tracing::info!(node = self.settings.name, "the node is registered");
        NodeHead::parse(&bytes).ok_or(Trouble::Unreadable)
    }

    fn path(&self) -> String {
        format!("/api/v1/nodes/{}", escape(&self.settings.name))
    }

    fn outcome_of(&self, trouble: Trouble) -> Outcome {
        match trouble {
            // Deleted again while we made it: somebody is at work, and will be done some day.
            Trouble::Failed(failure) if failure.code() == Some(404) => {
                Failure::Lost("the node is deleted while it is registered".to_owned()).outcome()
            }
            Trouble::Failed(failure) => failure.outcome(),
            Trouble::Foreign => Outcome::Refused(Refusal {
                class: RefusalClass::AlreadyExists,
                code: String::new(),
                message: format!(
                    "node {} exists without the label {}={} and is not ours",
                    self.settings.name, MARK.0, MARK.1
                ),
            }),
            Trouble::Unreadable => Failure::Lost("the answer is not a node".to_owned()).outcome(),
        }
    }
}
