//! What people and controllers do to pods, and what becomes of nodes and clouds meanwhile: as data, so that a
//! fault can be put at every place of it.
//!
//! A workload is a list of steps. A step waits for its moment, which is a state of the world rather than a time
//! wherever a controller would wait for one: a fault may delay everything, and still the same things happen.

mod table;

pub use table::all;

use engine::{ObjectKind, ObjectRef, PodRef, Uid};

/// A list of steps with a name.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name, as in the names of plans.
    pub name: &'static str,
    /// What happens, in this order.
    pub steps: Vec<Step>,
    /// Whether its pods differ in their names only: what is tried on some of them says the same of all.
    pub alike: bool,
}

/// One thing that happens, and when.
#[derive(Clone, Debug)]
pub struct Step {
    /// When.
    pub when: When,
    /// What.
    pub act: Act,
}

/// What a step waits for, once the step before it was taken.
#[derive(Clone, Debug)]
pub enum When {
    /// So much time.
    Ms(u64),
    /// The agent has asked the cloud for the pod, at least once.
    Asked(String),
    /// The cloud was seen to have the pod, at least once.
    Made(String),
    /// The API server says that the pod runs, or has ended.
    Running(String),
    /// The API server says that the pod has ended.
    Ended(String),
    /// The API object is gone.
    Gone(String),
    /// The cloud has a copy of the Secret as it is.
    Copied(String),
    /// The cloud has begun to end the pod, at least once.
    Ending(String),
    /// The cloud has refused the pod for want of room, at least once.
    Refused(String),
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Act {
    /// Nothing: the step only waits.
    Nothing,
    /// A pod is bound to our node.
    Bind {
        /// By its UID, `name#incarnation`.
        pod: String,
        /// What its processes do.
        runs: Runs,
    },
    /// A pod is bound to our node that needs a Secret.
    BindNeeding {
        /// By its UID.
        pod: String,
        /// Its name.
        secret: String,
        /// Whether it cannot start without it.
        mandatory: bool,
    },
    /// A Secret is made, or changed.
    PutSecret(String),
    /// A Secret is removed.
    RemoveSecret(String),
    /// A pod arrives that is to be deleted already.
    BindDeleting {
        /// By its UID.
        pod: String,
        /// Its grace period.
        grace_s: u32,
    },
    /// Somebody asks for a pod's deletion.
    Delete {
        /// By its UID.
        pod: String,
        /// The grace period: with 0 the API object is gone at once (force delete).
        grace_s: u32,
    },
    /// The agent dies and is started again.
    Restart {
        /// What is left of its log.
        log: LogFate,
    },
    /// The agent dies and stays so.
    Stop,
    /// The agent is started again.
    Start {
        /// What is left of its log.
        log: LogFate,
    },
    /// From now on the cloud answers that it is asked too often, or does not any more.
    Throttle(bool),
    /// From now on the cloud has room for so many pods.
    Room(Option<usize>),
    /// From now on a list of the API server takes so long.
    ListTakes {
        /// In milliseconds.
        ms: u64,
    },
    /// From now on the watch of the API server shows one change in so long.
    WatchPaces {
        /// In milliseconds.
        ms: u64,
    },
    /// From now on a list of the cloud shows what was there so long ago.
    ListLags {
        /// In milliseconds.
        ms: u64,
    },
    /// From now on a look-up in the cloud shows what was there so long ago.
    LookUpsLag {
        /// In milliseconds.
        ms: u64,
    },
    /// Somebody changes what a pod is to be.
    Edit(String),
    /// Somebody else sets a pod's status back to nothing.
    UndoStatus(String),
    /// The cloud loses a pod that nobody asked it to end.
    Lose(String),
    /// Something that is not ours takes the name of a pod in the cloud.
    TakeName(String),
    /// It goes away again.
    FreeName(String),
}

/// What the processes of a pod do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// They run until they are told to end, and need so many seconds for that.
    UntilTold {
        /// At most the grace period is waited for.
        stop_s: u32,
    },
    /// They end by themselves.
    For {
        /// After so many seconds.
        seconds: u32,
        /// With 0 or otherwise.
        exit_code: i32,
    },
}

/// What a start finds of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogFate {
    /// All that was durable.
    Kept,
    /// An older copy of it: the second half of this history is gone.
    Older,
    /// Nothing.
    Lost,
}

impl LogFate {
    /// All of them.
    pub const ALL: [LogFate; 3] = [LogFate::Kept, LogFate::Older, LogFate::Lost];

    /// Its name in the names of plans.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LogFate::Kept => "log-kept",
            LogFate::Older => "log-older",
            LogFate::Lost => "log-lost",
        }
    }
}

/// The pod of a UID of the form `name#incarnation`.
///
/// # Panics
/// For another form.
#[must_use]
pub fn pod(uid: &str) -> PodRef {
    let (name, _) = uid.split_once('#').unwrap_or_else(|| panic!("{uid} is no name#incarnation"));
    PodRef { namespace: "shop".into(), name: name.into(), uid: Uid(uid.into()) }
}

/// The Secret of a name.
#[must_use]
pub fn secret(name: &str) -> ObjectRef {
    ObjectRef { kind: ObjectKind::Secret, namespace: "shop".into(), name: name.into() }
}
