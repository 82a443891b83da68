//! One pass through a log: each record is applied, each frame compared, and what is asked for is told.

use std::io::Write;
use std::ops::ControlFlow;

use engine::{Record, Seq, State};
use store::{Frame, MachineError, refuse_newer};

use crate::args::replay::{ReplayArgs, Until};
use crate::replay::check::Check;
use crate::replay::error::Error;
use crate::replay::gap::Gap;
use crate::replay::line::{Line, Printer, Subjects, Topic};
use crate::replay::source::{Frames, Source};
use crate::replay::story::{Selection, Story};
use crate::replay::summary::{Summary, Tally, dropped};

/// What a pass came to.
#[derive(Debug)]
pub struct Ended {
    /// What the log holds.
    pub summary: Summary,
    /// Whether there was nothing to tell of what was asked for.
    pub silent: bool,
}

/// A pass on its way through a log.
pub struct Pass<W> {
    state: State,
    snapshot: Option<Seq>,
    until: Option<Until>,
    verify: bool,
    check: Check,
    tally: Tally,
    story: Option<Story>,
    printer: Printer<W>,
    frames: Frames,
    /// The first record that is left of the log.
    first: Seq,
    gaps: Vec<Gap>,
}

impl<W: Write> Pass<W> {
    /// A pass through `source` that tells what `args` ask for on `out`, which should be buffered.
    pub fn new(args: &ReplayArgs, source: Source, out: W) -> Pass<W> {
        let Source { frames, state, first, gap, .. } = source;
        let (selection, subjects) = match (&args.pod, args.effects) {
            (Some(pod), _) => (Some(Selection::Pod(pod.clone())), Subjects::Headings),
            (None, true) => (Some(Selection::Effects), Subjects::Inline),
            (None, false) => (None, Subjects::Inline),
        };
        Pass {
            snapshot: Some(state.applied()).filter(|applied| *applied != Seq(0)),
            until: args.until,
            verify: args.verify,
            check: Check::new(args.verify),
            tally: Tally::default(),
            story: selection.map(|selection| Story::new(selection, args.effects, &state)),
            printer: Printer::new(out, args.output, subjects),
            state,
            first,
            frames,
            gaps: gap.into_iter().collect(),
        }
    }

    /// Goes through the log and calls `progress` with the length of each frame. Records that are lost are told in
    /// the summary.
    ///
    /// # Errors
    /// [`Error`]; what was found before is told all the same.
    pub fn run(mut self, mut progress: impl FnMut(u64)) -> Result<Ended, Error> {
        self.begin()?;
        match self.frames(&mut progress) {
            Ok(()) => self.end(),
            Err(Error::Gap(gap)) => {
                self.gaps.push(gap);
                self.end()
            }
            // The state is not to be used any more, or nobody listens.
            Err(error @ (Error::Machine(MachineError::Violation(_)) | Error::Write(_))) => Err(error),
            Err(error) => {
                self.end()?;
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        let Some(applied) = self.snapshot else { return Ok(()) };
        let early = match self.until {
            Some(Until::Seq(last)) => last < applied,
            Some(Until::Time(last)) => last < self.state.at(),
            None => false,
        };
        if early {
            return Err(Error::TooEarly { first: applied.next() });
        }
        if self.story.is_some() {
            let message = format!("{}: told from the snapshot at {applied} on", dropped(self.first, applied));
            let at = self.state.at();
            self.printer.line(&Line {
                topic: Topic::Snapshot,
                seq: applied,
                at,
                message,
                ..Line::default()
            })?;
        }
        Ok(())
    }

    fn frames(&mut self, progress: &mut impl FnMut(u64)) -> Result<(), Error> {
        while let Some(frame) = self.frames.next() {
            let frame = frame.map_err(|error| Gap::of(&error).map_or(Error::from(error), Error::Gap))?;
            progress(frame.as_bytes().len() as u64);
            if self.frame(&frame)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame) -> Result<ControlFlow<()>, Error> {
        for record in frame.records()? {
            if record.seq <= self.state.applied() {
                continue;
            }
            if self.is_beyond(&record) {
                return Ok(ControlFlow::Break(()));
            }
            self.record(&record)?;
        }
        self.check.compare(frame, &mut self.state);
        let settled = self.verify && self.check.is_settled(self.state.applied());
        Ok(if settled || self.is_last() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn record(&mut self, record: &Record) -> Result<(), Error> {
        refuse_newer(record)?;
        let decisions = self.state.apply(record).map_err(MachineError::from)?;
        self.tally.note(record, &decisions);
        let astray = self.is_astray();
        match &mut self.story {
            Some(story) if !astray => Ok(story.tell(record, &decisions, &self.state, &mut self.printer)?),
            Some(_) | None => Ok(()),
        }
    }

    /// What follows from another decision did not happen, and who verifies does not want to hear it.
    fn is_astray(&self) -> bool {
        self.verify && self.check.difference().is_some()
    }

    fn is_beyond(&self, record: &Record) -> bool {
        match self.until {
            Some(Until::Seq(last)) => record.seq > last,
            Some(Until::Time(last)) => record.at > last,
            None => false,
        }
    }

    fn is_last(&self) -> bool {
        match self.until {
            Some(Until::Seq(last)) => self.state.applied() >= last,
            Some(Until::Time(_)) | None => false,
        }
    }

    fn end(mut self) -> Result<Ended, Error> {
        let astray = self.is_astray();
        if let Some(story) = self.story.as_mut().filter(|_| !astray) {
            story.end(&self.state, &mut self.printer)?;
        }
        let silent = self.story.as_ref().is_some_and(Story::is_empty);
        let start = self.snapshot.map(|snapshot| (self.first, snapshot));
        let summary = self.tally.summary(start, self.gaps, &self.state, &self.check);
        if self.story.is_none() {
            self.printer.summary(&summary)?;
        }
        self.printer.flush()?;
        Ok(Ended { summary, silent })
    }
}
