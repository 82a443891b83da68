//! What the pods of our node use: read when somebody asks, kept for as long as that answers the next one.
//!
//! Nothing is read in the background. One collection runs at a time; whoever asks meanwhile waits for it.

mod collect;
mod records;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

pub(super) use records::{ContainerRecord, Counter, PodRecord, Records};

use super::lookup::{Ending, PodLookup};
use crate::Clock;
use crate::cci::CciClient;

/// How long a collection serves: shorter than the 15 s after which metrics-server asks again at the soonest, so that each
/// time it finds new samples.
const FRESH: Duration = Duration::from_secs(10);

/// How long one collection takes at the most; what was read by then is served. metrics-server waits for 10 s.
const WHOLE: Duration = Duration::from_secs(8);

/// What is known of usage.
pub(crate) struct Usage {
    fresh: Duration,
    whole: Duration,
    records: Mutex<Records>,
}

impl Default for Usage {
    /// Nothing yet; the node's own counters begin now.
    fn default() -> Usage {
        Usage::lasting(FRESH, WHOLE, now_ms())
    }
}

impl Usage {
    /// With other times than usual, and counters that began at `began_ms`.
    pub(super) fn lasting(fresh: Duration, whole: Duration, began_ms: u64) -> Usage {
        Usage { fresh, whole, records: Mutex::new(Records::beginning(began_ms)) }
    }

    /// What is known, read anew if that is too long ago. It stays as it is for as long as the guard is held.
    ///
    /// # Errors
    /// [`Ending`]. A cloud that does not answer is told of in [`Records::complete`].
    pub(super) async fn look(
        &self,
        lookup: &PodLookup,
        cloud: &CciClient,
    ) -> Result<MutexGuard<'_, Records>, Ending> {
        let mut records = self.records.lock().await;
        if records.collected_at.is_none_or(|at| at.elapsed() >= self.fresh) {
            let deadline = Instant::now() + self.whole;
            records.keep(lookup.all().await?);
            // Whoever asked may leave before the end. What was read until then stays, and the next one goes on.
            records.collect(cloud, deadline).await;
        }
        Ok(records)
    }
}

/// The time now, milliseconds since the epoch.
fn now_ms() -> u64 {
    Clock::wall().0 / 1_000
}
