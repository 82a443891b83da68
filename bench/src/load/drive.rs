//! The load itself: creates the pods when the plan says, deletes them when their time has come, and waits
//! until the last one has done what it should.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams, Request};
use kube::{Client, Resource};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::load::error::words;
use crate::load::manifest::{pod, pod_name};
use crate::load::plan::Plan;
use crate::load::target::{NODE, Target};
use crate::load::tracker::{Counts, Tracker};
use crate::load::watch::Watch;
use crate::load::{Error, Options};

#[cfg(test)]
mod tests;

/// Calls of ours that may wait for an answer at the same time: enough to outrun an agent on the same machine,
/// few enough for an API server's own limits. What the bound holds up shows as lateness in the report.
const CALLS_IN_FLIGHT_MAX: usize = 128;

/// What is to be created, where, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// When each pod comes.
    pub plan: Plan,
    /// How many pods there are in the plan.
    pub pods: u32,
    /// How long after its creation each pod is deleted.
    pub delete_after: Option<Duration>,
    /// Where the pods go.
    pub namespace: String,
    /// What distinguishes this run's pods from all others.
    pub run: String,
}

impl Load {
    /// The load that options ask for.
    #[must_use]
    pub fn of(options: &Options, target: &Target) -> Load {
        Load {
            plan: Plan::new(options.pods, options.rate),
            pods: options.pods,
            delete_after: options.delete_after_s.map(|seconds| Duration::from_secs(seconds.into())),
            namespace: target.namespace().to_owned(),
            run: target.run().to_owned(),
        }
    }

    fn is_done(&self, counts: &Counts) -> bool {
        match self.delete_after {
            Some(_) => counts.gone + counts.refused >= self.pods,
            None => counts.running + counts.failed >= self.pods,
        }
    }
}

/// Puts the load on a cluster and waits until every pod has come, or has come and gone.
///
/// # Errors
/// When the cluster cannot be watched or takes no pod at all. A pod that is not taken is counted as failed.
pub async fn drive(client: &Client, load: &Load, tracker: &Arc<Tracker>) -> Result<(), Error> {
    let watch = Watch::new(client, load, tracker);
    let version = watch.list().await.map_err(Error::kubernetes("list the load's pods"))?;
    // Tasks end when the set is dropped, so also when somebody wants an end.
    let mut watching = JoinSet::new();
    watching.spawn(watch.run(version));

    let calls = Calls {
        client: client.clone(),
        request: Request::new(Pod::url_path(&(), Some(&load.namespace))),
        permits: Arc::new(Semaphore::new(CALLS_IN_FLIGHT_MAX)),
        tracker: Arc::clone(tracker),
        run: load.run.clone(),
        start: Instant::now(),
    };
    let (created, deletions) = mpsc::channel(load.pods as usize);
    let ((), ()) =
        tokio::join!(calls.create_all(load.plan, created), calls.delete_all(load.delete_after, deletions));
    let counts = tracker.counts();
    if counts.refused == load.pods {
        return Err(Error::NoPodCreated(tracker.sights().refusal.unwrap_or_default()));
    }
    tracker.wait_for(|counts| load.is_done(counts)).await;
    Ok(())
}

/// Calls to the API server, many at once.
#[derive(Clone)]
struct Calls {
    client: Client,
    request: Request,
    permits: Arc<Semaphore>,
    tracker: Arc<Tracker>,
    run: String,
    start: Instant,
}

/// Pods that are there, and since when. There is room for all of the plan's: each is a number and a time.
type Created = mpsc::Sender<(u32, Instant)>;

impl Calls {
    /// Creates each pod at its time, and waits for the answers only after the last one was sent.
    async fn create_all(&self, plan: Plan, created: Created) {
        let mut calls = JoinSet::new();
        for (place, at) in plan.arrivals() {
            sleep_until(self.start + at).await;
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let (calls_of_one, created) = (self.clone(), created.clone());
            let late = self.start.elapsed().saturating_sub(at);
            calls.spawn(async move {
                calls_of_one.create(place, late, &created).await;
                drop(permit);
            });
            while calls.try_join_next().is_some() {}
        }
        drop(created);
        calls.join_all().await;
    }

    async fn create(&self, place: u32, late: Duration, created: &Created) {
        let body = pod(&pod_name(&self.run, place), &self.run, NODE).to_string().into_bytes();
        self.tracker.sent(place, self.tracker.now(), late);
        let answer = match self.request.create(&PostParams::default(), body) {
            Ok(request) => self.client.request_text(request).await,
            Err(error) => Err(kube::Error::BuildRequest(error)),
        };
        match answer {
            Ok(_) => {
                self.tracker.created(place, self.tracker.now());
                // Nobody listens where pods are not deleted.
                let _ = created.try_send((place, Instant::now()));
            }
            Err(error) => self.tracker.refused(place, &words(&error)),
        }
    }

    /// Deletes each pod when its time has come. Pods come here in the order of their creation, so waiting for
    /// the first holds up nobody.
    async fn delete_all(&self, after: Option<Duration>, mut created: mpsc::Receiver<(u32, Instant)>) {
        let Some(after) = after else { return };
        let mut calls = JoinSet::new();
        while let Some((place, at)) = created.recv().await {
            sleep_until(at + after).await;
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let calls_of_one = self.clone();
            calls.spawn(async move {
                calls_of_one.delete(place).await;
                drop(permit);
            });
            while calls.try_join_next().is_some() {}
        }
        calls.join_all().await;
    }

    /// A deletion that fails shows when the pod does not go in time.
    async fn delete(&self, place: u32) {
        let name = pod_name(&self.run, place);
        let answer = match self.request.delete(&name, &DeleteParams::default()) {
            Ok(request) => self.client.request_text(request).await,
            Err(error) => Err(kube::Error::BuildRequest(error)),
        };
        if let Err(error) = answer {
            tracing::warn!(pod = name, error = words(&error), "a pod was not deleted");
        }
    }
}
