//! What the agent's state knows of pods, asked for from outside the run loop.

use engine::{CloudName, PodRef, PodStatus};
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait for the run loop: each waits for one answer only, and a burst beyond this waits to ask.
const QUESTIONS_MAX: usize = 64;

/// A pod as the agent's state has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Which pod.
    pub pod: PodRef,
    /// Its name in the cloud namespace.
    pub cloud_name: CloudName,
    /// Its status as last seen in the cloud; `None` while it has no body there.
    pub status: Option<PodStatus>,
}

/// What is asked of the run loop.
#[derive(Debug)]
pub enum PodQuestion {
    /// The pod of this name that is bound to our node, the newest where there are two.
    Find {
        /// `metadata.namespace`.
        namespace: String,
        /// `metadata.name`.
        name: String,
        /// Where the answer goes; `None` when there is no such pod.
        answer: oneshot::Sender<Option<PodView>>,
    },
    /// All pods that have a body in the cloud.
    All {
        /// Where the answer goes.
        answer: oneshot::Sender<Vec<PodView>>,
    },
}

/// Asks the run loop.
#[derive(Clone, Debug)]
pub struct PodLookup(mpsc::Sender<PodQuestion>);

/// The agent is ending and answers no more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is ending")]
pub struct Ending;

impl PodLookup {
    /// A way to ask, and what the run loop answers from.
    #[must_use]
    pub fn channel() -> (PodLookup, mpsc::Receiver<PodQuestion>) {
        let (sender, receiver) = mpsc::channel(QUESTIONS_MAX);
        (PodLookup(sender), receiver)
    }

    /// The pod of this name on our node.
    ///
    /// # Errors
    /// [`Ending`].
    pub async fn find(&self, namespace: &str, name: &str) -> Result<Option<PodView>, Ending> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.ask(|answer| PodQuestion::Find { namespace, name, answer }).await
    }

    /// All pods that have a body in the cloud.
    ///
    /// # Errors
    /// [`Ending`].
    pub async fn all(&self) -> Result<Vec<PodView>, Ending> {
        self.ask(|answer| PodQuestion::All { answer }).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> PodQuestion) -> Result<T, Ending> {
        let (answer, answered) = oneshot::channel();
        self.0.send(question(answer)).await.map_err(|_| Ending)?;
        answered.await.map_err(|_| Ending)
    }
}
