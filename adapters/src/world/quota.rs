//! The cloud's quota as the capacity of the node.

use std::time::Duration;

use engine::Outcome;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::World;
use crate::pace::Calls;

/// How often the quota is read: as often as the node's status is written without need.
const QUOTA_PERIOD: Duration = Duration::from_secs(300);

/// When the quota is read, and what that last failed with.
#[derive(Default)]
pub struct QuotaWatch(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    due: Option<Instant>,
    trouble: Option<String>,
}

impl QuotaWatch {
    fn is_due(&self) -> bool {
        let mut watched = self.0.lock();
        let now = Instant::now();
        let is_due = watched.due.is_none_or(|due| due <= now);
        if is_due {
            watched.due = Some(now + QUOTA_PERIOD);
        }
        is_due
    }

    /// Whether this is another trouble than the last one.
    fn is_news(&self, trouble: Option<String>) -> bool {
        let mut watched = self.0.lock();
        let is_news = watched.trouble != trouble;
        watched.trouble = trouble;
        is_news
    }
}

impl World {
    /// Now and then a poll reads the quota as well. That it does not succeed is no trouble of the poll: the node offers
    /// what it did before.
    pub(super) async fn watch_quota(&self, calls: &mut Calls<'_>) {
        let Some(watch) = self.quota.as_ref().filter(|watch| watch.is_due()) else { return };
        match self.cloud.quota(calls).await {
            Ok(quota) => {
                self.node.offer(quota);
                watch.is_news(None);
            }
            Err(outcome) => {
                let words = words(outcome);
                if watch.is_news(Some(words.clone())) {
                    tracing::warn!(
                        "the quota cannot be read, and the node offers what it did before: {words}"
                    );
                }
            }
        }
    }
}

fn words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused(refusal) => refusal.message,
        Outcome::Later { message, .. } | Outcome::Unknown { message } => message,
        Outcome::Done(_) => "no answer that says anything".to_owned(),
    }
}
