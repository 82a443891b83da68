//! One collection: all pods, or as many as the time allows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use engine::{CloudName, Uid};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::now_ms;
use super::records::{PodRecord, Records, Seen};
use crate::cci::CciClient;
use crate::cci::UsageSource;
use crate::cci::usage::Unread;

/// Exporters read at once. Ten thousand that answer within 20 ms are read within the time of a collection.
const READS_MAX: usize = 32;

/// Pods that did not answer, and none that did, before the rest is taken to be out of reach as well.
const IN_VAIN_MAX: usize = 2 * READS_MAX;

/// How long a pod that did not answer is left alone. It doubles with each time, up to four minutes.
const REST: Duration = Duration::from_secs(15);
const REST_DOUBLINGS_MAX: u32 = 4;

/// A pod whose exporter is to be read.
struct Due {
    uid: Uid,
    address: IpAddr,
    containers: Vec<String>,
    /// Whether it did not answer the last time.
    failed: bool,
    tried: Option<Instant>,
}

impl Records {
    /// Reads what the pods use, until the deadline at the latest.
    pub(super) async fn collect(&mut self, cloud: &CciClient, deadline: Instant) {
        let read = match cloud.usage_source() {
            UsageSource::List { path } => self.collect_list(cloud, path, deadline).await,
            UsageSource::Exporters { port } => self.collect_exporters(cloud, port, deadline).await,
        };
        let was_complete = self.complete || self.collected_at.is_none();
        match &read {
            Err(why) if was_complete => tracing::warn!(%why, "what pods use was not read, or not of all"),
            Err(why) => tracing::debug!(%why, "what pods use was not read, or not of all"),
            Ok(()) if !was_complete => tracing::info!("what pods use is read again"),
            Ok(()) => {}
        }
        self.finish(read.is_ok(), now_ms());
    }

    fn seen(&self) -> Seen {
        Seen { at: Instant::now(), at_ms: now_ms(), is_first: self.collected_at.is_none() }
    }

    async fn collect_list(&mut self, cloud: &CciClient, path: &str, deadline: Instant) -> Result<(), Unread> {
        if self.pods().next().is_none() {
            return Ok(());
        }
        let names = self.pods().map(|pod| (pod.cloud_name.clone(), pod.pod.uid.clone()));
        let by_name: HashMap<CloudName, Uid> = names.collect();
        let list = cloud.list_usage(path, |name, reading| {
            // Others may run pods in the same namespace.
            if let Some(uid) = by_name.get(&CloudName(name.into())) {
                let seen = self.seen();
                self.take(uid, &reading, &seen);
            }
        });
        timeout_at(deadline, list).await.unwrap_or_else(|_| Err(too_long()))
    }

    async fn collect_exporters(
        &mut self,
        cloud: &CciClient,
        port: u16,
        deadline: Instant,
    ) -> Result<(), Unread> {
        let due = self.due();
        let mut outstanding = due.iter().filter(|due| !due.failed).count();
        let mut reads = stream::iter(due)
            .map(|due| async move {
                let read = cloud.read_exporter(due.address, port, &due.containers).await;
                (due.uid, due.failed, read)
            })
            .buffer_unordered(READS_MAX);
        let (mut answered, mut in_vain) = (0, None);
        let mut vain_count = 0;
        loop {
            let Ok(next) = timeout_at(deadline, reads.next()).await else { break };
            let Some((uid, failed, read)) = next else { break };
            outstanding -= usize::from(!failed);
            let seen = self.seen();
            if let Some(pod) = self.pods.get_mut(&uid) {
                pod.tried = Some(seen.at);
                pod.failures = if read.is_ok() { 0 } else { pod.failures.saturating_add(1) };
            }
            match read {
                Ok(reading) => {
                    answered += 1;
                    self.take(&uid, &reading, &seen);
                }
                Err(why) => {
                    vain_count += 1;
                    tracing::debug!(pod = %uid, %why, "the exporter of a pod was not read");
                    in_vain = Some(why);
                }
            }
            if answered == 0 && vain_count >= IN_VAIN_MAX {
                break;
            }
        }
        drop(reads);
        // One pod may have no exporter; all of them do not.
        let out_of_reach = answered == 0 && self.pods().any(|pod| pod.address.is_some());
        match in_vain {
            _ if outstanding > 0 && answered > 0 => Err(too_long()),
            Some(why) if out_of_reach => Err(Unread(format!("no pod was reached: {why}"))),
            None if out_of_reach => Err(Unread("no pod was reached".into())),
            _ => Ok(()),
        }
    }

    /// Those that answered before come first, then new ones, then those that did not answer: what is slow to fail takes
    /// no time from the others. Among equals those that were asked longest ago come first, so that all have their turn.
    fn due(&self) -> Vec<Due> {
        let mut due: Vec<Due> = self.pods().filter(|pod| !pod.rests()).filter_map(Due::of).collect();
        due.sort_by_key(|due| (due.failed, due.tried.is_none(), due.tried));
        due
    }
}

fn too_long() -> Unread {
    Unread("it took too long".into())
}

impl Due {
    fn of(pod: &PodRecord) -> Option<Due> {
        Some(Due {
            uid: pod.pod.uid.clone(),
            address: pod.address?,
            containers: pod.containers.iter().map(|container| container.name.clone()).collect(),
            failed: pod.failures > 0,
            tried: pod.tried,
        })
    }
}

impl PodRecord {
    fn rests(&self) -> bool {
        let rest = REST * 2_u32.pow(self.failures.saturating_sub(1).min(REST_DOUBLINGS_MAX));
        self.failures > 0 && self.tried.is_some_and(|tried| tried.elapsed() < rest)
    }
}
