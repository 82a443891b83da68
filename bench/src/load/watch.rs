//! Follows the pods of a run through the API server's watch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, ListParams, NotUsed, Object, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use serde::Deserialize;

use crate::load::drive::Load;
use crate::load::manifest::{RUN_LABEL, place_of};
use crate::load::tracker::{Sight, Tracker};

/// Pause before a watch that failed is begun again.
const REPAIR_PAUSE: Duration = Duration::from_millis(200);

/// What we read of a pod: a hundredth of it, for the reader shares the machine with what it measures.
type Seen = Object<NotUsed, Status>;

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    phase: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// Follows pods until it is dropped.
pub(crate) struct Watch {
    pods: Api<Seen>,
    selector: String,
    tracker: Arc<Tracker>,
}

impl Watch {
    pub(crate) fn new(client: &Client, load: &Load, tracker: &Arc<Tracker>) -> Watch {
        let resource = ApiResource::erase::<Pod>(&());
        let pods = Api::namespaced_with(client.clone(), &load.namespace, &resource);
        Watch { pods, selector: format!("{RUN_LABEL}={}", load.run), tracker: Arc::clone(tracker) }
    }

    /// Reads all pods and returns the version to watch from.
    pub(crate) async fn list(&self) -> Result<String, kube::Error> {
        let asked = self.tracker.now();
        let list = self.pods.list(&ListParams::default().labels(&self.selector)).await?;
        let mut present = BTreeSet::new();
        for pod in &list.items {
            self.see(pod);
            present.extend(place_of(&pod.name_any()));
        }
        self.tracker.saw_all(&present, asked);
        Ok(list.metadata.resource_version.unwrap_or_default())
    }

    /// Watches from a version on, for ever: a watch that ends is resumed, one that fails is begun again.
    pub(crate) async fn run(self, mut version: String) {
        loop {
            match self.follow(&mut version).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(%error, "the watch of the load's pods failed and is begun again");
                    tokio::time::sleep(REPAIR_PAUSE).await;
                    if let Ok(listed) = self.list().await {
                        version = listed;
                    }
                }
            }
        }
    }

    /// Follows one stream to its end; its events come in the order of their versions.
    async fn follow(&self, version: &mut String) -> Result<(), kube::Error> {
        let stream = self.pods.watch(&WatchParams::default().labels(&self.selector), version).await?;
        futures_util::pin_mut!(stream);
        while let Some(event) = stream.try_next().await? {
            match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                    self.see(&pod);
                    *version = pod.resource_version().unwrap_or_default();
                }
                WatchEvent::Deleted(pod) => {
                    if let Some(place) = place_of(&pod.name_any()) {
                        self.tracker.saw(place, Sight::Gone, self.tracker.now());
                    }
                    *version = pod.resource_version().unwrap_or_default();
                }
                WatchEvent::Bookmark(bookmark) => *version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            }
        }
        Ok(())
    }

    fn see(&self, pod: &Seen) {
        let Some(status) = &pod.status else { return };
        if !status.reason.is_empty() {
            self.tracker.complains(format!("{}: {}", status.reason, status.message));
        }
        let sight = match status.phase.as_str() {
            "Running" => Sight::Running,
            "Failed" => Sight::Failed,
            _ => return,
        };
        if let Some(place) = place_of(&pod.name_any()) {
            self.tracker.saw(place, sight, self.tracker.now());
        }
    }
}
