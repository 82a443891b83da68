//! What an opening has to tell, for a person who is tired.

use std::fmt;

use engine::Seq;

use crate::backend::{Aside, Name};
use crate::look::Look;
use crate::recover::Chosen;

/// That a log was not as it was left. Displays as one line: what is lost, what was found, what is kept, where
/// the log goes on, and where the evidence is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The first and the last of the records that are lost at the end.
    pub lost: Option<(Seq, Seq)>,
    /// Records before the first one kept are lost. A snapshot stands for them.
    pub history_lost: bool,
    /// The first and the last record kept.
    pub kept: Option<(Seq, Seq)>,
    /// The snapshot that the state is taken from.
    pub snapshot: Option<Seq>,
    /// Snapshots that were not taken: damaged, of another log, or of another layout of the state.
    pub refused: Vec<Seq>,
    /// What was found, each in a sentence.
    pub found: Vec<String>,
    /// Where the evidence is.
    pub aside: Option<Aside>,
}

impl Loss {
    /// What there is to tell of an opening that has chosen what to go on with; `None` when all was as it was
    /// left.
    pub(crate) fn new<T>(look: &Look, chosen: &Chosen<T>, state_version: u32) -> Option<Loss> {
        let run = &look.pieces[chosen.run.clone()];
        let kept = run.first().zip(run.last()).map(|(first, last)| (first.first, last.last));
        let lost = (kept.map_or_else(|| look.begin(), |(_, last)| last.next()), look.highest());
        let lost = Some(lost).filter(|(first, last)| first <= last);
        let history_lost = kept.is_some() && (chosen.run.start > 0 || look.lost_before().is_some());
        let refused = look.all_snapshots().filter(|seq| !chosen.snapshots.contains(seq)).collect();
        let found = found(look, chosen, state_version);
        let snapshot = chosen.state.as_ref().map(|(seq, _)| *seq);
        let told = lost.is_some() || !found.is_empty();
        told.then_some(Loss { lost, history_lost, kept, snapshot, refused, found, aside: None })
    }
}

/// All that is not as it was left.
fn found<T>(look: &Look, chosen: &Chosen<T>, state_version: u32) -> Vec<String> {
    let behind = (0..look.runs.len().max(1)).filter_map(|run| look.lost_after(run));
    let mut found: Vec<String> =
        look.lost_before().into_iter().chain(behind).map(|lost| lost.reason).collect();
    for name in &look.damaged {
        if !found.iter().any(|sentence| sentence.contains(&name.to_string())) {
            found.push(format!("{name} is damaged, though all its records were found"));
        }
    }
    if chosen.run.is_empty() && !look.pieces.is_empty() {
        found.push("no snapshot says how things stood before them".to_owned());
    }
    found.extend(look.remarks());
    for snapshot in look.snapshots.iter().filter(|snapshot| !chosen.snapshots.contains(&snapshot.seq)) {
        let name = Name::Snapshot(snapshot.seq);
        found.push(if snapshot.state_version != state_version {
            let theirs = snapshot.state_version;
            format!("{name} has layout {theirs} of the state, and this build reads layout {state_version}")
        } else {
            format!("{name} does not belong to the records that are kept")
        });
    }
    found
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log has lost ")?;
        match (self.lost, self.kept.filter(|_| self.history_lost)) {
            (Some((first, last)), None) => write!(f, "records {first} to {last}")?,
            (Some((first, last)), Some((kept, _))) => {
                write!(f, "records {first} to {last} and what was before {kept}")?;
            }
            (None, Some((kept, _))) => write!(f, "what was before record {kept}")?,
            (None, None) => write!(f, "no record")?,
        }
        write!(f, ": {}", self.found.join("; "))?;
        match self.kept {
            Some((first, last)) => {
                let next = last.next();
                write!(f, "; records {first} to {last} are kept, and it goes on with {next} and the state ")?;
            }
            None => f.write_str("; nothing is kept, and it begins anew")?,
        }
        match (self.kept, self.snapshot) {
            (Some(_), Some(seq)) => write!(f, "from the snapshot at {seq}")?,
            (Some(_), None) => f.write_str("that follows from them")?,
            (None, _) => {}
        }
        match &self.aside {
            Some(aside) => {
                write!(f, "; what was found is set aside in {} ({} bytes)", aside.place, aside.bytes)
            }
            None => Ok(()),
        }
    }
}
