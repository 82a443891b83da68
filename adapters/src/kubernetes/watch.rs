//! Follows the pods bound to our node: a complete list, then a watch that is resumed from where it was cut.
//!
//! An API server cuts a watch by node again and again under a burst, as a plain end of stream; only a resume
//! at once, from the last resource version seen, keeps up with it. A list comes again when the server has
//! forgotten that version (410, as an HTTP status or as an ERROR event), and when a watch heard nothing at
//! all for its whole period: a server that was restored from a backup keeps silent on a version of its future.

mod list;
mod pace;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::{Event, Gone, Phase, PodFacts, PodRef};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lean::{self, BadObject, WatchLine};
use super::lines::{LINE_BYTES_MAX, LineTooLong, Lines};
use super::transport::{ApiServer, CALL_TIMEOUT, Failure, escape};
use super::{Manifests, PodMirror};
use crate::cci::Rooms;
use crate::objects::ImpliedNeeds;
use crate::{Clock, Reports, Seen};
use pace::Pace;

/// Longest period of one watch: a half-open connection stays unnoticed for that long.
pub const WATCH_PERIOD_S_MAX: u32 = 120;
/// How long after its period a watch that has not ended is taken for dead.
const SILENCE_MARGIN: Duration = Duration::from_secs(10);
/// Shortest time from the end of a list to one that somebody wants: a read that finds what a list lacked has
/// company as a rule, and one list tells of all of them.
const LISTS_APART: Duration = Duration::from_secs(1);
/// Most pods on one page of a list.
pub const PAGE_PODS_MAX: u32 = 500;

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// The node whose pods are watched.
    pub node: String,
    /// How long one watch lasts, in seconds; at most [`WATCH_PERIOD_S_MAX`].
    pub period_s: u32,
    /// Pods on one page of a list; at most [`PAGE_PODS_MAX`].
    pub page_pods: u32,
    /// What pods need beyond what they name.
    pub implied: ImpliedNeeds,
    /// What reads the size and the zone of those that are to be made; without it they have none.
    pub rooms: Option<Arc<Rooms>>,
}

impl WatchSettings {
    /// The longest periods and pages for a node.
    #[must_use]
    pub fn of_node(node: impl Into<String>) -> WatchSettings {
        WatchSettings {
            node: node.into(),
            period_s: WATCH_PERIOD_S_MAX,
            page_pods: PAGE_PODS_MAX,
            implied: ImpliedNeeds::default(),
            rooms: None,
        }
    }
}

/// What the watch has met since it began, for metrics.
#[derive(Debug, Default)]
pub struct WatchCounts {
    /// Lists begun.
    pub lists: AtomicU64,
    /// Watches opened.
    pub watches: AtomicU64,
    /// Lines and list items read.
    pub sights: AtomicU64,
    /// Facts reported; the rest of the sights changed nothing.
    pub reports: AtomicU64,
    /// Objects that could not be read.
    pub bad_objects: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Follows the pods of a node and reports what changes.
pub struct PodWatch {
    api: ApiServer,
    settings: WatchSettings,
    mirror: Arc<PodMirror>,
    manifests: Arc<Manifests>,
    reports: Reports,
    clock: Clock,
    counts: Arc<WatchCounts>,
}

/// Why following stopped for a moment.
#[derive(Debug)]
enum Stop {
    /// The stream ended.
    Cut,
    /// The API server does not remember our resource version, or may not have it yet: list again.
    Stale,
    /// A list is wanted, for a pod that the last one lacked and that is there.
    ListWanted,
    /// It does not do as asked.
    Trouble { message: String, wait: Option<Duration> },
    /// Nobody hears our reports: the agent ends.
    Unheard,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        if failure.code() == Some(410) {
            return Stop::Stale;
        }
        Stop::Trouble { message: failure.to_string(), wait: failure.wait() }
    }
}

impl Stop {
    fn trouble(message: impl Into<String>) -> Stop {
        Stop::Trouble { message: message.into(), wait: None }
    }
}

/// How far one watch came.
struct Progress {
    /// The resource version to resume from.
    resource_version: String,
    /// Whether any event or bookmark was read.
    heard: bool,
    /// When the next list may be.
    list_at: Instant,
}

impl PodWatch {
    /// A watch over `client` that keeps `mirror` and `manifests` and reports to `reports`.
    #[must_use]
    pub fn new(
        client: kube::Client,
        settings: WatchSettings,
        mirror: Arc<PodMirror>,
        manifests: Arc<Manifests>,
        reports: Reports,
        clock: Clock,
    ) -> PodWatch {
        let settings = WatchSettings {
            period_s: settings.period_s.clamp(1, WATCH_PERIOD_S_MAX),
            page_pods: settings.page_pods.clamp(1, PAGE_PODS_MAX),
            ..settings
        };
        let counts = Arc::default();
        PodWatch { api: ApiServer::new(client), settings, mirror, manifests, reports, clock, counts }
    }

    /// The counters, to be read at any time.
    #[must_use]
    pub fn counts(&self) -> Arc<WatchCounts> {
        self.counts.clone()
    }

    /// Follows until `cancel`, or until nobody hears the reports. Never gives up on an error.
    pub async fn run(self, cancel: CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        let mut pace = Pace::default();
        // Where to watch from; nothing until a list is complete.
        let mut position: Option<String> = None;
        let mut list_at = Instant::now();
        loop {
            let pause = match position.take() {
                None => match self.list().await {
                    Ok(resource_version) => {
                        position = Some(resource_version);
                        list_at = Instant::now() + LISTS_APART;
                        pace.listed()
                    }
                    Err(Stop::Unheard) => return,
                    Err(stop) => pace.after("list pods", &stop, false),
                },
                Some(resource_version) => {
                    let started = Instant::now();
                    let mut progress = Progress { resource_version, heard: false, list_at };
                    let stop = self.watch(&mut progress).await;
                    if is_deaf(&stop, progress.heard, started.elapsed(), self.period()) {
                        continue;
                    }
                    match stop {
                        Stop::Unheard => return,
                        Stop::Stale | Stop::ListWanted => {}
                        Stop::Cut | Stop::Trouble { .. } => position = Some(progress.resource_version),
                    }
                    pace.after("watch pods", &stop, progress.heard)
                }
            };
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    fn period(&self) -> Duration {
        Duration::from_secs(self.settings.period_s.into())
    }

    /// One watch, until it ends; `progress` is moved along.
    async fn watch(&self, progress: &mut Progress) -> Stop {
        count(&self.counts.watches);
        let path = format!(
            "/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3D{}&resourceVersion={}\
             &allowWatchBookmarks=true&timeoutSeconds={}",
            escape(&self.settings.node),
            escape(&progress.resource_version),
            self.settings.period_s,
        );
        let deadline = Instant::now() + self.period() + SILENCE_MARGIN;
        match self.api.open(&path, CALL_TIMEOUT).await {
            Err(failure) => failure.into(),
            Ok(body) => match self.read(body, deadline, progress).await {
                Ok(()) => Stop::Cut,
                Err(stop) => stop,
            },
        }
    }

    /// Reads a stream to its end, clean or not. Half a line at the end was not said.
    async fn read(&self, mut body: Body, deadline: Instant, progress: &mut Progress) -> Result<(), Stop> {
        let mut lines = Lines::bounded(LINE_BYTES_MAX);
        loop {
            while let Some(line) = lines.next_line().map_err(too_long)? {
                count(&self.counts.sights);
                self.line(&line, progress).await?;
            }
            let frame = tokio::select! {
                frame = tokio::time::timeout_at(deadline, body.frame()) => frame,
                () = self.list_wanted(progress.list_at) => return Err(Stop::ListWanted),
            };
            match frame {
                Ok(Some(Ok(frame))) => {
                    if let Some(bytes) = frame.data_ref() {
                        lines.push(bytes);
                    }
                }
                Ok(None | Some(Err(_))) | Err(_) => return Ok(()),
            }
        }
    }

    /// Waits until a list is wanted and may be.
    async fn list_wanted(&self, list_at: Instant) {
        self.mirror.list_wanted().await;
        tokio::time::sleep_until(list_at).await;
    }

    async fn line(&self, line: &[u8], progress: &mut Progress) -> Result<(), Stop> {
        let resource_version = match lean::parse_line(line, self.settings.implied) {
            WatchLine::Observed(facts) => {
                let resource_version = facts.resource_version.clone();
                self.observed(facts, || lean::object_of(line)).await?;
                resource_version
            }
            WatchLine::Deleted { pod, resource_version } => {
                self.gone(pod).await?;
                resource_version
            }
            WatchLine::Bookmark { resource_version } => resource_version,
            WatchLine::Error { code: 410, .. } => return Err(Stop::Stale),
            WatchLine::Error { code, message } => {
                return Err(Stop::trouble(format!("{code}: {message}")));
            }
            WatchLine::Bad(bad) => {
                self.bad(&bad);
                bad.resource_version
            }
        };
        progress.heard = true;
        if !resource_version.is_empty() {
            progress.resource_version = resource_version;
        }
        Ok(())
    }

    /// Notes a sight of a pod, and reports it if it changed. A manifest is kept for as long as a create may
    /// need it.
    async fn observed<'a>(
        &self,
        mut facts: PodFacts,
        manifest: impl FnOnce() -> Option<&'a RawValue>,
    ) -> Result<(), Stop> {
        if !self.mirror.observe(&facts) {
            return Ok(());
        }
        let waits = facts.phase == Phase::Pending && facts.deletion.is_none();
        match waits.then(manifest).flatten() {
            Some(manifest) => {
                facts.room = self.settings.rooms.as_ref().and_then(|rooms| rooms.of(manifest));
                self.manifests.put(&facts.pod.uid, manifest);
            }
            None => self.manifests.forget(&facts.pod.uid),
        }
        self.report(Event::PodObserved(facts.into())).await
    }

    async fn gone(&self, pod: PodRef) -> Result<(), Stop> {
        self.manifests.forget(&pod.uid);
        // Told even when the pod is not in the mirror: a list may have lacked it, and the watch's word is final.
        self.mirror.remove(&pod.uid);
        self.report(Event::PodGone { pod, how: Gone::Deleted }).await
    }

    fn bad(&self, bad: &BadObject) {
        count(&self.counts.bad_objects);
        tracing::warn!(namespace = bad.namespace, name = bad.name, fault = bad.fault, "a pod cannot be read");
    }

    /// Waits while the queue is full, and the watch with it.
    async fn report(&self, event: Event) -> Result<(), Stop> {
        count(&self.counts.reports);
        self.reports.send(Seen { at: self.clock.now(), event }).await.map_err(|_| Stop::Unheard)
    }
}

/// What such a line says is lost, and would be sent again on a resume: a list tells it as well.
fn too_long(error: LineTooLong) -> Stop {
    tracing::warn!(%error, "a watch cannot be read on; the pods are listed again");
    Stop::Stale
}

/// Whether a watch lasted its period without a word, not even the bookmark that was asked for.
fn is_deaf(stop: &Stop, heard: bool, lasted: Duration, period: Duration) -> bool {
    matches!(stop, Stop::Cut) && !heard && lasted >= period
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_heard_nothing_for_its_whole_period_is_not_trusted() {
        let period = Duration::from_secs(120);
        assert!(is_deaf(&Stop::Cut, false, period, period));
        assert!(!is_deaf(&Stop::Cut, true, period, period), "a bookmark is enough");
        assert!(!is_deaf(&Stop::Cut, false, period / 2, period), "it was cut early");
    }
}
