//! All that can be seen of a log without changing it: what is there, and what is known to be missing.

use std::collections::BTreeSet;
use std::ops::Range;

use engine::Seq;

use crate::backend::{Name, Source};
use crate::error::Error;
use crate::known::{Head, Known};
use crate::snapshot::{self, Snapshot};
use crate::survey::{Piece, Survey, segments};

/// Records that were there.
pub(crate) struct Lost {
    pub first: Seq,
    pub last: Seq,
    /// How that is known, as a sentence.
    pub reason: String,
}

impl From<Lost> for Error {
    fn from(Lost { first, last, reason }: Lost) -> Error {
        Error::Lost { first, last, reason }
    }
}

/// What is there.
pub(crate) struct Look {
    head: Head,
    pub known: Known,
    pub pieces: Vec<Piece>,
    /// The stretches of pieces that follow each other, in order.
    pub runs: Vec<Range<usize>>,
    /// Segments that are not what they were.
    pub damaged: BTreeSet<Name>,
    /// The first segment, whatever is left of it.
    begins: Option<Name>,
    /// The whole snapshots, oldest first, without their states.
    pub snapshots: Vec<Snapshot>,
    damaged_snapshots: Vec<Seq>,
}

impl Look {
    /// Looks at all of it: at first at what says how far the frames must go, and in the end at what is still
    /// there, for an agent may have dropped some meanwhile.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::Io`]. Damage is no error.
    pub fn at(source: &dyn Source) -> Result<Look, Error> {
        let list = || source.list().map_err(|error| Error::io("list the log", error));
        let head = Head::read(source)?;
        let entries = list()?;
        let (mut snapshots, mut damaged_snapshots) = snapshot::take_stock(source, &entries)?;
        let known = Known::new(head, &entries, &snapshots);
        let survey = Survey::new(source, &snapshots.iter().map(|snapshot| snapshot.seq).collect())?;
        let runs = survey.runs();
        let Survey { pieces, mut damaged } = survey;
        let entries = list()?;
        let is_there = |name| entries.iter().any(|entry| entry.name == name);
        snapshots.retain(|snapshot| is_there(Name::Snapshot(snapshot.seq)));
        damaged_snapshots.retain(|seq| is_there(Name::Snapshot(*seq)));
        damaged.retain(|name| is_there(*name));
        let begins = segments(&entries).first().copied();
        Ok(Look { head, known, pieces, runs, damaged, begins, snapshots, damaged_snapshots })
    }

    /// Whether nothing is damaged or known to be missing.
    pub fn is_whole(&self) -> bool {
        let lost = self.runs.len() > 1 || self.lost_before().is_some() || self.lost_after(0).is_some();
        !lost && self.damaged.is_empty() && self.remarks().is_empty()
    }

    /// Whether a run holds a snapshot's position, with the hash that the snapshot gives.
    pub fn holds(&self, run: &Range<usize>, snapshot: &Snapshot) -> bool {
        let mark = (snapshot.seq, snapshot.log);
        self.pieces[run.clone()].iter().any(|piece| piece.marks.contains(&mark))
    }

    /// The positions of all snapshots, whole or not.
    pub fn all_snapshots(&self) -> impl Iterator<Item = Seq> {
        let whole = self.snapshots.iter().map(|snapshot| snapshot.seq);
        self.damaged_snapshots.iter().copied().chain(whole)
    }

    /// What is damaged and costs no record.
    pub fn remarks(&self) -> Vec<String> {
        let damaged = |seq: &Seq| format!("{} is damaged", Name::Snapshot(*seq));
        let mut remarks: Vec<String> = self.damaged_snapshots.iter().map(damaged).collect();
        if self.head == Head::Damaged {
            let remark = "the head is damaged, so that nobody knows whether records are lost at the end";
            remarks.push(remark.to_owned());
        }
        remarks
    }

    /// The first record that is there or is known to have been.
    pub fn begin(&self) -> Seq {
        let first = self.pieces.first().map_or(Seq(1), |piece| piece.first);
        self.lost_before().map_or(first, |lost| lost.first)
    }

    /// The last record that is there or is known to have been.
    pub fn highest(&self) -> Seq {
        self.pieces.iter().map(|piece| piece.last).fold(self.known.last, Seq::max)
    }

    /// What is missing before the first record that is there.
    pub fn lost_before(&self) -> Option<Lost> {
        let first = self.pieces.first()?.first;
        let before = Seq(first.0 - 1);
        let snapshot = self.snapshots.first().map(|oldest| (oldest.seq.next(), Name::Snapshot(oldest.seq)));
        let (from, name) = self.begins.map(|name| (name.seq(), name)).into_iter().chain(snapshot).min()?;
        let reason = match name {
            Name::Sealed(_) | Name::Open(_) => {
                self.damage(name.seq(), before).unwrap_or_else(|| format!("{name} does not hold them"))
            }
            Name::Snapshot(_) => format!("the log begins at {first}, which is not where {name} ends"),
        };
        (from < first).then_some(Lost { first: from, last: before, reason })
    }

    /// What is missing between the end of a run and the next one, or the end of the log as it is known.
    pub fn lost_after(&self, run: usize) -> Option<Lost> {
        let end = self.runs.get(run).map(|run| &self.pieces[run.end - 1]);
        let Some(next) = self.runs.get(run + 1).map(|run| &self.pieces[run.start]) else {
            return self.lost_tail(end);
        };
        let end = end?;
        let (first, last) = (end.last.next(), Seq(next.first.0 - 1));
        if first > last {
            let reason = format!("{} does not follow {}", next.name, end.name);
            return Some(Lost { first: next.first, last: next.last, reason });
        }
        let ends = || format!("{} ends at {}, {} begins at {}", end.name, end.last, next.name, next.first);
        let reason = self.damage(end.name.seq(), last).unwrap_or_else(ends);
        Some(Lost { first, last, reason })
    }

    fn lost_tail(&self, end: Option<&Piece>) -> Option<Lost> {
        let Known { last, by } = self.known;
        let end_seq = end.map_or(Seq(0), |end| end.last);
        let damage = self.damage(end.map_or(Seq(0), |end| end.name.seq()), last);
        let damage = damage.map(|damage| format!("{damage}, ")).unwrap_or_default();
        let ends = match end {
            Some(end) => format!("the log ends at {}", end.last),
            None => "no record is left".to_owned(),
        };
        let reason = format!("{damage}{ends}, and {by} says that it went up to {last}");
        (end_seq < last).then_some(Lost { first: end_seq.next(), last, reason })
    }

    /// The segments, from one to another, that are not what they were.
    fn damage(&self, from: Seq, to: Seq) -> Option<String> {
        let damaged = self.damaged.iter().filter(|name| (from..=to).contains(&name.seq()));
        let damaged: Vec<String> = damaged.map(Name::to_string).collect();
        match &damaged[..] {
            [] => None,
            [one] => Some(format!("{one} is damaged")),
            [..] => Some(format!("{} are damaged", damaged.join(" and "))),
        }
    }
}
