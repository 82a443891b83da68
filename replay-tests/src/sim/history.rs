//! What happened, in small values: put into words only when somebody asks.

use engine::{EffectId, Micros, Phase, Seq};

use super::fault::Fault;
use super::roster::{Id, Roster};

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Somebody did this to a pod in the cluster.
    InCluster(&'static str, Id),
    /// This befell a pod in the cloud.
    InCloud(&'static str, Id, Phase),
    /// The watch told of the changes up to here.
    Watched(u32),
    /// The API server was listed as it was after this change.
    Listed(u32),
    /// These records were appended.
    Appended(Seq, Seq),
    /// What follows from them may leave.
    Durable(Seq),
    /// A call left.
    Left(EffectId, u32, &'static str, Option<Id>),
    /// What became of it on its way.
    Arrived(EffectId, &'static str),
    /// Its answer was heard.
    Answered(EffectId),
    /// A fault that is not about one call.
    Struck(Fault),
    /// The agent is dead; the log is as said.
    Died(&'static str),
    /// The agent has started with this much of a log.
    Started(Seq),
    /// The faults are over.
    Healed,
    /// All is as it should be.
    AtRest,
}

/// It, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The world's time.
    pub at: Micros,
    /// What.
    pub what: Happened,
}

impl Entry {
    /// In words.
    #[must_use]
    pub fn words(&self, roster: &Roster, began: Micros) -> String {
        let ms = self.at.ms_since(began);
        let who = |id: Id| format!("{} ({})", roster.get(id).pod, roster.get(id).pod.uid);
        let what = match self.what {
            Happened::InCluster(what, id) => format!("cluster: {what} {}", who(id)),
            Happened::InCloud(what, id, phase) => format!("cloud: {what} {}, {phase:?}", who(id)),
            Happened::Watched(to) => format!("watched up to change {to}"),
            Happened::Listed(at) => format!("cluster listed at change {at}"),
            Happened::Appended(first, last) => format!("appended {first} to {last}"),
            Happened::Durable(last) => format!("durable up to {last}"),
            Happened::Left(id, attempt, what, pod) => {
                format!("left: {id} attempt {attempt} {what} {}", pod.map(who).unwrap_or_default())
            }
            Happened::Arrived(id, fate) => format!("{fate}: {id}"),
            Happened::Answered(id) => format!("answered: {id}"),
            Happened::Struck(fault) => format!("FAULT {fault:?}"),
            Happened::Died(how) => format!("THE AGENT DIED: {how}"),
            Happened::Started(last) => format!("THE AGENT STARTS with the log up to {last}"),
            Happened::Healed => "THE FAULTS ARE OVER".to_owned(),
            Happened::AtRest => "at rest".to_owned(),
        };
        format!("{:>5}.{:03} s  {what}", ms / 1_000, ms % 1_000)
    }
}
