//! What a log holds, in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use engine::{Decision, Event, Micros, Record, Seq, State};
use serde::Serialize;

use crate::replay::check::{Check, Difference};
use crate::replay::gap::Gap;
use crate::replay::line::time;

/// Counts records while they pass.
#[derive(Debug, Default)]
pub struct Tally {
    records: u64,
    first: Option<(u64, Micros)>,
    starts: u64,
    versions: BTreeSet<String>,
    effects: u64,
    held: u64,
}

impl Tally {
    /// Counts a record and what followed from it.
    pub fn note(&mut self, record: &Record, decisions: &[Decision]) {
        self.records += 1;
        self.first.get_or_insert((record.seq.0, record.at));
        if let Event::Started { version, .. } = &record.event {
            self.starts += 1;
            self.versions.insert(version.clone());
        }
        for decision in decisions {
            match decision {
                Decision::Effect(_) => self.effects += 1,
                Decision::Held { .. } => self.held += 1,
            }
        }
    }

    /// The summary, once all have passed: of a replay that began in a snapshot, with the first record that is left
    /// of the log before it.
    pub fn summary(self, start: Option<(Seq, Seq)>, gaps: Vec<Gap>, state: &State, check: &Check) -> Summary {
        let (first, first_at) = self.first.unzip();
        let last = first.map(|_| state.applied().0);
        Summary {
            topic: "summary",
            records: self.records,
            first,
            first_at: first_at.map(time),
            last,
            last_at: last.map(|_| time(state.at())),
            log_begins: start.map(|(first, _)| first.0),
            from_snapshot: start.map(|(_, snapshot)| snapshot.0),
            gaps,
            cluster: state.identity().cluster_id.clone(),
            node: state.identity().node.clone(),
            starts: self.starts,
            versions: self.versions.into_iter().collect(),
            effects_decided: self.effects,
            steps_held: self.held,
            pods: count(state.pods().map(engine::Pod::cloud_state)),
            pods_held: count(state.pods().filter_map(engine::Pod::held).map(engine::HoldReason::name)),
            outstanding: count(state.outstanding().map(|outstanding| outstanding.effect.kind.name())),
            decisions: format!("{:016x}", state.decisions()),
            frames_compared: check.frames(),
            states_compared: check.marks(),
            difference: check.difference().cloned(),
        }
    }
}

/// What a log holds up to where the replay ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// `summary`.
    #[serde(rename = "type")]
    pub topic: &'static str,
    /// Records replayed.
    pub records: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// When it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_at: Option<String>,
    /// The last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// When it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
    /// The first record that is left of a log that does not reach back to record 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_begins: Option<u64>,
    /// The last record of the snapshot that the replay started from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_snapshot: Option<u64>,
    /// Records that are lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// The cluster's id.
    pub cluster: String,
    /// The virtual node.
    pub node: String,
    /// Starts of the agent.
    pub starts: u64,
    /// The versions that started.
    pub versions: Vec<String>,
    /// Attempts of effects that were decided on.
    pub effects_decided: u64,
    /// Steps that were decided to be held back.
    pub steps_held: u64,
    /// Pods known at the end, by what is known of them in the cloud.
    pub pods: BTreeMap<&'static str, u64>,
    /// Those of them for which a step is held back, by why.
    pub pods_held: BTreeMap<&'static str, u64>,
    /// Effects that have not ended, by kind.
    pub outstanding: BTreeMap<&'static str, u64>,
    /// The digest of all decisions.
    pub decisions: String,
    /// Frames whose decisions were compared with the log.
    pub frames_compared: u64,
    /// States that were compared with the log, section by section.
    pub states_compared: u64,
    /// The first difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (Some(first), Some(last)) => writeln!(f, "records      {}, #{first} to #{last}", self.records)?,
            (_, None) | (None, _) => writeln!(f, "records      none")?,
        }
        if let (Some(first), Some(last)) = (&self.first_at, &self.last_at) {
            writeln!(f, "time         {first} to {last}")?;
        }
        if let (Some(first), Some(seq)) = (self.log_begins, self.from_snapshot) {
            writeln!(f, "start        from the snapshot at #{seq}: {}", dropped(Seq(first), Seq(seq)))?;
        }
        for gap in &self.gaps {
            writeln!(f, "LOST         {gap}")?;
        }
        writeln!(f, "agent        node {} of cluster {}", or_none(&self.node), or_none(&self.cluster))?;
        writeln!(f, "starts       {}, versions: {}", self.starts, or_none(&self.versions.join(", ")))?;
        writeln!(f, "decided      {} effects, {} steps held back", self.effects_decided, self.steps_held)?;
        writeln!(f, "pods         {}", counts(&self.pods))?;
        writeln!(f, "held         {}", counts(&self.pods_held))?;
        writeln!(f, "outstanding  {}", counts(&self.outstanding))?;
        match &self.difference {
            Some(difference) => writeln!(f, "decisions    DIFFER: {difference}"),
            None if self.frames_compared == 0 => {
                writeln!(f, "decisions    not compared: no frame was read whole")
            }
            None => {
                let Summary { decisions, frames_compared: frames, states_compared: states, .. } = self;
                write!(f, "decisions    {decisions}, as in the log in {frames} of {frames} frames")?;
                match states {
                    0 => writeln!(f),
                    _ => writeln!(f, "; so is the state in {states} of {states} marks"),
                }
            }
        }
    }
}

/// Why a replay of a log that begins with `first` starts from a snapshot.
pub fn dropped(first: Seq, snapshot: Seq) -> String {
    if first > snapshot {
        format!("records before {first} are dropped")
    } else {
        format!("records before {first} are dropped, and those from {first} to {snapshot} follow from them")
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn count(names: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

fn counts(counts: &BTreeMap<&'static str, u64>) -> String {
    let total: u64 = counts.values().sum();
    let each: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if each.is_empty() { "none".to_owned() } else { format!("{total}: {}", each.join(", ")) }
}
