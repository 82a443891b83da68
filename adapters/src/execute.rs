//! The executor: takes decided and durable effects, lets them go at their pace, and reports one outcome for
//! each attempt.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use engine::{Bucket, Effect, EffectTimes, Event, Micros, Outcome};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pace::{FairQueue, Paces, Permit, Rate};
use crate::{Clock, Reports, Seen};

/// The world as the executor sees it: one attempt an effect, always with an outcome.
pub trait Perform: Send + Sync + 'static {
    /// Carries out one attempt. What it saw on the way is reported before it returns, and the paces are told what
    /// was answered, each by the calls of its own class.
    fn perform(&self, effect: &Effect, turn: Turn<'_>) -> impl Future<Output = Outcome> + Send;
}

/// The turn of an effect.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The class of calls that it waited in.
    pub bucket: Bucket,
    /// The permission of its first call.
    pub permit: Permit,
    /// Where other calls ask for theirs.
    pub paces: &'a Paces,
}

impl Turn<'_> {
    /// Lets the pace of the effect's class learn from what was answered to its first call.
    pub fn note(&self, outcome: &Outcome) {
        self.paces.of(self.bucket).note(self.permit, outcome);
    }

    /// Waits until the call may go after all, if other calls led to a rest since it was permitted.
    ///
    /// # Errors
    /// When the wait would be longer than `patience`.
    pub(crate) async fn renew(&mut self, patience: Duration) -> Result<(), Outcome> {
        let pace = self.paces.of(self.bucket);
        if !pace.stands(self.permit) {
            self.permit = pace.permit_within(patience).await?;
        }
        Ok(())
    }

    /// Lets the effect's class rest, because that was asked for.
    pub fn rest(&self, rest_ms: u32) {
        self.paces.of(self.bucket).rest(rest_ms);
    }
}

/// The rate of each class of calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Cloud calls that make something.
    pub cloud_create: Rate,
    /// Cloud calls that end something.
    pub cloud_delete: Rate,
    /// Cloud calls that read.
    pub cloud_read: Rate,
    /// Calls to the API server.
    pub kubernetes: Rate,
    /// Kubernetes Events.
    pub notice: Rate,
    /// Cloud calls that read the cloud's events.
    pub cloud_events: Rate,
}

impl Rates {
    fn of(&self, bucket: Bucket) -> Rate {
        match bucket {
            Bucket::CloudCreate => self.cloud_create,
            Bucket::CloudDelete => self.cloud_delete,
            Bucket::CloudRead => self.cloud_read,
            Bucket::Kubernetes => self.kubernetes,
            Bucket::Notice => self.notice,
            Bucket::CloudEvents => self.cloud_events,
        }
    }
}

struct Job {
    effect: Effect,
    times: EffectTimes,
}

/// Where the effects of one class wait.
struct Class {
    queue: Mutex<FairQueue<Job>>,
    arrived: Notify,
    in_flight: Arc<Semaphore>,
}

/// Carries out effects. Cheap to share.
pub struct Executor<W> {
    world: Arc<W>,
    classes: Vec<(Bucket, Class)>,
    paces: Paces,
    reports: Reports,
    clock: Clock,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl<W: Perform> Executor<W> {
    /// Starts one dispatcher a class of calls.
    pub fn start(
        world: W,
        rates: &Rates,
        reports: Reports,
        clock: Clock,
        stop: CancellationToken,
    ) -> Arc<Executor<W>> {
        let class = |bucket| {
            let class = Class {
                queue: Mutex::new(FairQueue::default()),
                arrived: Notify::new(),
                in_flight: Arc::new(Semaphore::new(rates.of(bucket).in_flight_max)),
            };
            (bucket, class)
        };
        let classes = Bucket::ALL.into_iter().map(class).collect();
        let paces = Paces::new(|bucket| rates.of(bucket));
        let (world, tasks) = (Arc::new(world), TaskTracker::new());
        let executor = Arc::new(Executor { world, classes, paces, reports, clock, stop, tasks });
        for index in 0..executor.classes.len() {
            let dispatching = Arc::clone(&executor);
            let stop = executor.stop.clone();
            executor.tasks.spawn(async move { stop.run_until_cancelled(dispatching.dispatch(index)).await });
        }
        executor
    }

    /// Hands over an effect whose cause became durable at `durable`.
    pub fn submit(&self, effect: Effect, durable: Micros) {
        let times = EffectTimes { durable, queued: self.clock.now(), ..EffectTimes::default() };
        let bucket = effect.kind.bucket();
        let namespace = effect.kind.namespace().cloned().unwrap_or_default();
        if let Some((_, class)) = self.classes.iter().find(|(name, _)| *name == bucket) {
            class.queue.lock().push(&namespace, Job { effect, times });
            class.arrived.notify_one();
        }
    }

    /// Waits, after `stop`, until nothing is in flight any more. To be called with a time limit: what is then
    /// cut off has an unknown fate, and the next start treats it so.
    pub async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn dispatch(self: Arc<Self>, index: usize) {
        let (bucket, class) = &self.classes[index];
        loop {
            let place = match Arc::clone(&class.in_flight).acquire_owned().await {
                Ok(place) => place,
                // The semaphore is never closed; if it were, nothing could go any more.
                Err(_) => return,
            };
            let mut job = self.next(class).await;
            let permit = self.paces.of(*bucket).permit().await;
            job.times.permitted = self.clock.now();
            let (executor, bucket) = (Arc::clone(&self), *bucket);
            self.tasks.spawn(async move {
                executor.carry_out(bucket, permit, job).await;
                drop(place);
            });
        }
    }

    async fn next(&self, class: &Class) -> Job {
        loop {
            let arrived = class.arrived.notified();
            if let Some(job) = class.queue.lock().pop() {
                return job;
            }
            arrived.await;
        }
    }

    async fn carry_out(&self, bucket: Bucket, mut permit: Permit, job: Job) {
        let Job { effect, mut times } = job;
        let pace = self.paces.of(bucket);
        // On a busy machine many tasks begin late, and the other side has said "too many" meanwhile.
        while !pace.stands(permit) {
            // Nothing was sent: the next start hands the effect out again.
            let Some(again) = self.stop.run_until_cancelled(pace.permit()).await else { return };
            permit = again;
            times.permitted = self.clock.now();
        }
        times.sent = self.clock.now();
        let turn = Turn { bucket, permit, paces: &self.paces };
        let outcome = self.world.perform(&effect, turn).await;
        times.answered = self.clock.now();
        let event = Event::EffectFinished { id: effect.id, attempt: effect.attempt, outcome, times, bucket };
        // A closed queue means that the run loop has ended; there is nobody left to tell.
        let _ = self.reports.send(Seen { at: times.answered, event }).await;
    }
}

#[cfg(test)]
mod tests;
