//! The run loop: drain the reports, commit them as one group, act on what follows, wake at the next deadline.
//! While one group waits for the disk, the next one gathers in the queue.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use adapters::execute::Executor;
use adapters::kubelet::PodQuestion;
use adapters::kubernetes::WatchCounts;
use adapters::world::World;
use adapters::{Clock, Seen};
use engine::{
    Answer, Bucket, Decision, EffectKind, Event, Micros, Outcome, Policy, Record, RoomCircuit, State,
};
use parking_lot::Mutex;
use store::{Commit, Log, Machine, MachineError, News};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::troubles::Troubles;
use super::{Error, lookup};
use crate::config::RunConfig;
use crate::telemetry::metrics::{CircuitCount, Projection};
use crate::telemetry::{Check, Metrics, Readiness};

/// Reports taken from the queue at once: a frame holds at most some five hundred.
const GROUP_MAX: usize = 512;

/// How long a report that nothing urgent follows from may wait for company: a frame of its own is a wait for the disk, and
/// pods that come one by one would have three such frames each. A crash meanwhile costs an equal status write or notice,
/// or the look-up of a pod that was created.
const PATIENCE: Duration = Duration::from_millis(50);

/// How often the counts behind the scraped gauges are brought up to date.
const PROJECTION_PERIOD: Duration = Duration::from_secs(1);

/// Opens the log and brings the state up to its end.
///
/// # Errors
/// [`Error::Log`], [`Error::ForeignLog`].
pub fn open(config: &RunConfig) -> Result<Machine, Error> {
    let directory = config.log.log_dir.clone();
    let failed = |source: MachineError| Error::Log { directory: directory.clone(), source };
    let (log, recovery) =
        Log::open::<State>(&directory, config.log.options()).map_err(|error| failed(error.into()))?;
    if let Some(loss) = &recovery.loss {
        tracing::warn!(
            "{loss}. Nothing depends on it: the cluster and the cloud are read anew before anything is done"
        );
    }
    let machine = Machine::recover(log, recovery).map_err(failed)?;
    if let Some(seq) = machine.diverged() {
        tracing::warn!("from {seq} on this version decides otherwise than the one that wrote the log");
    }
    let found = machine.state().identity();
    let wanted = config.identity();
    let name = |identity: &engine::Identity| {
        format!("node {} of cluster {} in {}", identity.node, identity.cluster_id, identity.cloud_namespace)
    };
    if machine.state().applied().0 > 0 && *found != wanted {
        return Err(Error::ForeignLog { directory, found: name(found), wanted: name(&wanted) });
    }
    tracing::info!(
        records = machine.state().applied().0,
        pods = machine.state().pods().count(),
        "the log is read"
    );
    Ok(machine)
}

/// What comes to the loop.
pub struct Incoming {
    /// What the adapters see.
    pub reports: Receiver<Seen>,
    /// What the kubelet API wants to know.
    pub questions: Receiver<PodQuestion>,
}

/// The loop and what it drives.
pub struct RunLoop {
    machine: Machine,
    /// Records between two snapshots.
    snapshot_records: u64,
    executor: Arc<Executor<World>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    incoming: Receiver<Seen>,
    questions: Receiver<PodQuestion>,
    news: Vec<News>,
    projection: Arc<Mutex<Projection>>,
    projected: Instant,
    counted: (u64, u64, u64),
    troubles: Troubles,
}

impl RunLoop {
    /// A loop over a recovered log.
    pub fn new(
        machine: Machine,
        snapshot_records: u32,
        executor: Arc<Executor<World>>,
        clock: Clock,
        metrics: Arc<Metrics>,
        readiness: Readiness,
        incoming: Incoming,
    ) -> RunLoop {
        let projection = Arc::new(Mutex::new(Projection::default()));
        let read = Arc::clone(&projection);
        metrics.project(move || read.lock().clone());
        let news = Vec::with_capacity(GROUP_MAX);
        let (projected, counted) = (Instant::now(), (0, 0, 0));
        let troubles = Troubles::default();
        RunLoop {
            machine,
            snapshot_records: snapshot_records.into(),
            executor,
            clock,
            metrics,
            readiness,
            incoming: incoming.reports,
            questions: incoming.questions,
            news,
            projection,
            projected,
            counted,
            troubles,
        }
    }

    /// Says that the agent started, and with which thresholds, if they are not those of the log.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn begin(&mut self, started: Event, policy: &Policy) -> Result<(), MachineError> {
        self.tell(started);
        if self.machine.policy() != policy {
            self.tell(Event::PolicyChanged(*policy));
        }
        self.commit()
    }

    fn tell(&mut self, event: Event) {
        self.news.push(News { seen: self.clock.now(), event });
    }

    /// Runs until `stop`.
    ///
    /// # Errors
    /// [`MachineError`]: the process is to end, and nothing was acted on that is not durable.
    pub async fn run(&mut self, stop: &CancellationToken, watch: &WatchCounts) -> Result<(), MachineError> {
        let mut reports = Vec::with_capacity(GROUP_MAX);
        while !stop.is_cancelled() {
            let deadline = self.machine.state().next_deadline();
            let bound = if self.news.is_empty() { PROJECTION_PERIOD } else { PATIENCE };
            let wait = self.clock.until(deadline.unwrap_or(Micros(u64::MAX))).min(bound);
            tokio::select! {
                () = stop.cancelled() => break,
                _ = self.incoming.recv_many(&mut reports, GROUP_MAX) => {}
                Some(question) = self.questions.recv() => {
                    lookup::answer(self.machine.state(), question);
                }
                () = tokio::time::sleep(wait) => {}
            }
            self.metrics.queue_depth(self.incoming.len());
            self.take(&mut reports);
            if deadline.is_some_and(|deadline| deadline <= self.clock.now()) {
                self.tell(Event::Tick);
            }
            if self.may_wait() {
                continue;
            }
            self.commit()?;
            self.checkpoint_when_due()?;
            self.project(watch);
        }
        Ok(())
    }

    /// Whether there are only reports that nothing follows from, and none of them has waited long.
    fn may_wait(&self) -> bool {
        let Some(first) = self.news.first() else { return false };
        let waited_us = self.clock.now().0.saturating_sub(first.seen.0);
        let young = Duration::from_micros(waited_us) < PATIENCE;
        young && self.news.len() < GROUP_MAX && self.news.iter().all(|news| is_patient(&news.event))
    }

    /// Takes in the outcomes of what was in flight until `drained`, and leaves a snapshot.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn drain(&mut self, drained: impl Future<Output = ()>) -> Result<(), MachineError> {
        let mut drained = std::pin::pin!(drained);
        let mut reports = Vec::with_capacity(GROUP_MAX);
        let mut over = false;
        while !over {
            tokio::select! {
                () = &mut drained => over = true,
                _ = self.incoming.recv_many(&mut reports, GROUP_MAX) => {}
            }
            while let Ok(report) = self.incoming.try_recv() {
                reports.push(report);
            }
            self.take(&mut reports);
            self.commit()?;
        }
        tokio::task::block_in_place(|| self.machine.checkpoint())
    }

    fn take(&mut self, reports: &mut Vec<Seen>) {
        #[cfg(feature = "fail-points")]
        if reports.iter().any(|report| matches!(report.event, Event::EffectFinished { .. })) {
            fail_point!("before-outcome");
        }
        for Seen { event, .. } in reports.iter() {
            if let Event::EffectFinished { id, outcome, times, .. } = event
                && let Some(effect) = self.machine.state().effect(*id)
            {
                self.metrics.effect_finished(&effect.kind, outcome, times);
                self.troubles.note(&effect.kind, outcome);
            }
        }
        self.news.extend(reports.drain(..).map(|Seen { at, event }| News { seen: at, event }));
    }

    /// Commits all news, in as many frames as they need.
    fn commit(&mut self) -> Result<(), MachineError> {
        while !self.news.is_empty() {
            let began = Instant::now();
            let now = self.clock.now();
            // The disk is waited for here; the runtime's other threads go on.
            let commit = tokio::task::block_in_place(|| self.machine.commit(now, &mut self.news))?;
            fail_point!("before-effects");
            self.act(commit, began.elapsed());
        }
        Ok(())
    }

    /// Acts on decisions whose causes are durable.
    fn act(&mut self, commit: Commit, took: Duration) {
        let durable = self.clock.now();
        self.metrics.committed(commit.records.len(), took, commit.durable.last);
        for decision in commit.decisions {
            match decision {
                Decision::Effect(effect) => self.executor.submit(effect, durable),
                Decision::Held { pod, reason, .. } => tracing::debug!(%pod, "held: {}", reason.as_str()),
            }
        }
        let state = self.machine.state();
        self.readiness.set(Check::KubernetesPodsListed, state.kubernetes_listed());
        self.readiness.set(Check::CloudPodsListed, state.cloud_listed());
        self.readiness.set_cloud_trouble(state.cloud_failing());
        self.metrics.applied(state.applied());
        for record in &commit.records {
            self.observe(record, durable);
        }
    }

    fn observe(&self, record: &Record, durable: Micros) {
        self.metrics.event_applied(&record.event);
        self.metrics.event_decided(&record.event, record.seen, durable, self.clock.now());
    }

    fn checkpoint_when_due(&mut self) -> Result<(), MachineError> {
        if let Some(stored) = self.machine.log().stored() {
            self.metrics.snapshot_taken(stored);
        }
        if self.machine.records_since_snapshot() < self.snapshot_records {
            return Ok(());
        }
        tokio::task::block_in_place(|| self.machine.begin_checkpoint())
    }

    /// Brings what is scraped up to date, at most once a second: counting goes over all pods.
    fn project(&mut self, watch: &WatchCounts) {
        if self.projected.elapsed() < PROJECTION_PERIOD {
            return;
        }
        self.projected = Instant::now();
        let state = self.machine.state();
        let mut pods = BTreeMap::new();
        state.pods().for_each(|pod| *pods.entry(pod.cloud_state()).or_insert(0) += 1);
        let mut outstanding = BTreeMap::new();
        let name = |kind: &EffectKind| kind.name();
        state.outstanding().for_each(|each| *outstanding.entry(name(&each.effect.kind)).or_insert(0) += 1);
        let braked = state.braked();
        self.metrics.brake_held(braked);
        self.troubles.braked(braked);
        let mut held = BTreeMap::new();
        let reasons = state.pods().filter_map(engine::Pod::held);
        reasons.for_each(|reason| *held.entry(reason.name()).or_insert(0) += 1);
        let circuits: Vec<CircuitCount> = state.room_circuits().into_iter().map(circuit_count).collect();
        self.troubles.sold_out(&circuits);
        *self.projection.lock() = Projection {
            pods: pods.into_iter().collect(),
            outstanding: outstanding.into_iter().collect(),
            held: held.into_iter().collect(),
            circuits,
        };

        let now = (
            watch.watches.load(Ordering::Relaxed),
            watch.lists.load(Ordering::Relaxed),
            watch.bad_objects.load(Ordering::Relaxed),
        );
        self.metrics.watched(now.0 - self.counted.0, now.1 - self.counted.1, now.2 - self.counted.2);
        self.counted = now;
    }
}

fn circuit_count(circuit: RoomCircuit<'_>) -> CircuitCount {
    CircuitCount {
        room: circuit.room.clone(),
        state: if circuit.is_half_open { "half_open" } else { "open" },
        waiting: circuit.waiting as u64,
    }
}

/// Whether nothing follows from an event but that it is known: nobody waits for it.
fn is_patient(event: &Event) -> bool {
    match event {
        Event::EffectFinished { outcome: Outcome::Done(Answer::StatusWritten), .. }
        | Event::EffectFinished { outcome: Outcome::Done(_), bucket: Bucket::Notice, .. }
        | Event::EffectFinished { bucket: Bucket::CloudEvents, .. } => true,
        // A creation's answer shows a pod that has yet to start; the first poll tells more.
        Event::EffectFinished {
            outcome: Outcome::Done(Answer::CloudPod(_) | Answer::CloudPodTold { .. }),
            bucket: Bucket::CloudCreate,
            ..
        } => true,
        Event::EffectFinished { .. }
        | Event::Started { .. }
        | Event::PolicyChanged(_)
        | Event::Tick
        | Event::PodObserved(_)
        | Event::PodGone { .. }
        | Event::PodsListed { .. }
        | Event::CloudPodObserved(_)
        | Event::CloudPodMissing { .. }
        | Event::NodeGone
        | Event::OperatorCommanded(_)
        | Event::ObjectObserved { .. }
        | Event::ObjectGone { .. }
        | Event::CloudObjectObserved { .. }
        | Event::CloudObjectMissing { .. } => false,
    }
}
