//! Keeps the node alive: renews its lease, refreshes its status, and notices when it is gone.
//!
//! It runs on its own task and waits for nobody: a slow disk or a full queue must not let the lease run out
//! (reliability row "slow disk").

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{Event, Uid};
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::body::NodeHead;
use super::{MARK, Trouble, VirtualNode};
use crate::kubernetes::transport::{Call, Failure, JSON, WHOLE, escape};
use crate::{Clock, Reports, Seen};

/// How long the control plane trusts a lease (virtual-kubelet rule VK-N2).
pub const LEASE_DURATION_S: u32 = 40;
/// Time between renewals: a quarter of the lease, so that three may fail.
pub const LEASE_RENEW_PERIOD: Duration = Duration::from_secs(10);
/// Time between refreshes of an unchanged status, as the kubelet does beside its lease.
pub const STATUS_REFRESH_PERIOD: Duration = Duration::from_secs(300);
/// How often one renewal is tried when somebody else writes the lease meanwhile.
const RENEWALS_MAX: u32 = 3;

/// What the heartbeat remembers from beat to beat.
struct Heartbeat {
    /// The lease as last seen, others' labels and annotations included.
    lease: Option<Value>,
    refreshed_at: Instant,
    /// What last went wrong, so that it is told once.
    trouble: Option<String>,
}

impl VirtualNode {
    /// Beats until `cancel`. When the node is not as it was registered, [`Event::NodeGone`] is reported, once,
    /// and the reducer answers by registering it again.
    pub async fn run_heartbeat(self: Arc<Self>, reports: Reports, clock: Clock, cancel: CancellationToken) {
        let mut beats = tokio::time::interval(LEASE_RENEW_PERIOD);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heart = Heartbeat { lease: None, refreshed_at: Instant::now(), trouble: None };
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = beats.tick() => {}
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                answer = self.beat(&mut heart, &reports, &clock) => heart.tell(answer),
            }
        }
    }

    async fn beat(&self, heart: &mut Heartbeat, reports: &Reports, clock: &Clock) -> Result<(), Failure> {
        let before = self.uid();
        let node = match self.read().await {
            Ok(node) if is_lost(before.as_ref(), node.as_ref().map(NodeHead::uid).as_ref()) => {
                self.lost(heart, reports, clock);
                return Ok(());
            }
            Ok(Some(node)) => Some(node),
            Ok(None) => return Ok(()),
            // Without an answer about the node the lease is renewed all the same.
            Err(Trouble::Failed(_) | Trouble::Foreign | Trouble::Unreadable) => None,
        };
        let Some(uid) = self.kept_uid(node.as_ref()) else { return Ok(()) };
        self.renew(heart, &uid).await?;
        if let Some(node) = node {
            self.refresh(heart, &node).await?;
        }
        Ok(())
    }

    /// The incarnation to keep alive. One that was not registered by us but carries the mark is taken over.
    fn kept_uid(&self, node: Option<&NodeHead>) -> Option<Uid> {
        let Some(node) = node else { return self.uid() };
        if node.label(MARK.0) != Some(MARK.1) {
            return None;
        }
        *self.uid.lock() = Some(node.uid());
        Some(node.uid())
    }

    /// Tells of the loss without waiting: when the queue is full, the next beat tells it.
    fn lost(&self, heart: &mut Heartbeat, reports: &Reports, clock: &Clock) {
        if reports.try_send(Seen { at: clock.now(), event: Event::NodeGone }).is_ok() {
            tracing::warn!(node = self.settings.name, "the node is not there any more");
            heart.lease = None;
            *self.uid.lock() = None;
        }
    }

    /// Writes the last status again when it is time, or when the node offers something else, unless a change is just being
    /// written.
    async fn refresh(&self, heart: &mut Heartbeat, node: &NodeHead) -> Result<(), Failure> {
        if heart.refreshed_at.elapsed() < STATUS_REFRESH_PERIOD && !self.offer.lock().1 {
            return Ok(());
        }
        let Ok(written) = self.readiness.try_lock() else { return Ok(()) };
        let Some(readiness) = &*written else { return Ok(()) };
        match self.write_status(node, readiness).await {
            Ok(()) => heart.refreshed_at = Instant::now(),
            Err(Trouble::Failed(failure)) => return Err(failure),
            Err(Trouble::Foreign | Trouble::Unreadable) => {}
        }
        Ok(())
    }

    /// Creates or renews the lease. It is replaced as a whole, from what was last seen of it, because the
    /// rights of a node agent on leases are create, get and update.
    async fn renew(&self, heart: &mut Heartbeat, uid: &Uid) -> Result<(), Failure> {
        let mut last = Failure::Lost("no renewal was tried".to_owned());
        for _ in 0..RENEWALS_MAX {
            let answer = match heart.lease.take() {
                Some(lease) => self.put_lease(self.renewed(lease, uid)).await,
                None => match self.api.call(Call::get(&self.lease_path(), WHOLE)).await {
                    Ok(bytes) => self.put_lease(self.renewed(parse_lease(&bytes)?, uid)).await,
                    Err(failure) if failure.code() == Some(404) => self.post_lease(uid).await,
                    Err(failure) => Err(failure),
                },
            };
            match answer {
                Ok(lease) => {
                    heart.lease = Some(lease);
                    return Ok(());
                }
                Err(failure) if matches!(failure.code(), Some(404 | 409)) => last = failure,
                Err(failure) => return Err(failure),
            }
        }
        Err(last)
    }

    fn renewed(&self, mut lease: Value, uid: &Uid) -> Value {
        lease["metadata"]["ownerReferences"] = self.owner(uid);
        lease["spec"]["holderIdentity"] = self.settings.name.clone().into();
        lease["spec"]["leaseDurationSeconds"] = LEASE_DURATION_S.into();
        lease["spec"]["renewTime"] = rfc3339_micro(Clock::wall().0).into();
        lease
    }

    /// The lease goes when the node goes.
    fn owner(&self, uid: &Uid) -> Value {
        json!([{ "apiVersion": "v1", "kind": "Node", "name": self.settings.name, "uid": uid.0 }])
    }

    async fn put_lease(&self, lease: Value) -> Result<Value, Failure> {
        let path = self.lease_path();
        let call = Call { accept: WHOLE, ..Call::with_body(Method::PUT, &path, JSON, &lease) };
        parse_lease(&self.api.call(call).await?)
    }

    async fn post_lease(&self, uid: &Uid) -> Result<Value, Failure> {
        let lease = json!({
            "kind": "Lease",
            "apiVersion": "coordination.k8s.io/v1",
            "metadata": { "name": self.settings.name, "namespace": "kube-node-lease" },
            "spec": {},
        });
        let lease = self.renewed(lease, uid);
        let call = Call { accept: WHOLE, ..Call::with_body(Method::POST, LEASES, JSON, &lease) };
        parse_lease(&self.api.call(call).await?)
    }

    fn lease_path(&self) -> String {
        format!("{LEASES}/{}", escape(&self.settings.name))
    }
}

/// Whether the node that was kept `before` it was read is not there any more. What was never there, or is told already, is
/// being registered, and what is registered while it is read is not missed.
fn is_lost(before: Option<&Uid>, found: Option<&Uid>) -> bool {
    before.is_some_and(|before| found != Some(before))
}

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

impl Heartbeat {
    /// Once per change: every ten seconds the same line hides the others.
    fn tell(&mut self, answer: Result<(), Failure>) {
        let trouble = answer.err().map(|failure| failure.to_string());
        if trouble != self.trouble {
            match &trouble {
                Some(error) => tracing::warn!(error, "the node's heartbeat fails"),
                None => tracing::info!("the node's heartbeat is well again"),
            }
        }
        self.trouble = trouble;
    }
}

fn parse_lease(bytes: &Bytes) -> Result<Value, Failure> {
    let lease: Option<Value> = serde_json::from_slice(bytes).ok();
    lease
        .filter(|lease| lease["metadata"].is_object() && lease["spec"].is_object())
        .ok_or_else(|| Failure::Lost("the answer is not a lease".to_owned()))
}

/// The API's `MicroTime`.
fn rfc3339_micro(time_us: u64) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(i64::try_from(time_us).ok()?).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_registered_while_it_is_read_is_not_lost() {
        let [one, other] = ["u-1", "u-2"].map(|uid| Uid(uid.into()));
        assert!(!is_lost(None, None));
        assert!(!is_lost(None, Some(&one)));
        assert!(!is_lost(Some(&one), Some(&one)));
        assert!(is_lost(Some(&one), None));
        assert!(is_lost(Some(&one), Some(&other)));
    }

    #[test]
    fn micro_times_have_six_digits() {
        assert_eq!(rfc3339_micro(1_800_000_000_000_500).as_deref(), Some("2027-01-15T08:00:00.000500Z"));
    }
}
