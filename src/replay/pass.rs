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
use crate::replay::source::Source;
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
    source: Source,
    gaps: Vec<Gap>,
}

impl<W: Write> Pass<W> {
    /// A pass through `source` that tells what `args` ask for on `out`, which should be buffered.
    pub fn new(args: &ReplayArgs, mut source: Source, out: W) -> Pass<W> {
        let state = std::mem::take(&mut source.state);
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
            gaps: std::mem::take(&mut source.gaps),
            source,
        }
    }

    /// Goes through the log and calls `progress` with the length of each frame. Where records are lost it goes on
    /// from the next snapshot; they are in the summary.
    ///
    /// # Errors
    /// [`Error`]; what was found before is told all the same.
    pub fn run(mut self, mut progress: impl FnMut(u64)) -> Result<Ended, Error> {
        if let Some(applied) = self.snapshot {
            if self.ends_before(&self.state) {
                return Err(Error::TooEarly { first: applied.next() });
            }
            let why = dropped(self.source.first, applied);
            self.tell_start(format!("{why}: told from the snapshot at {applied} on"))?;
        }
        loop {
            match self.frames(&mut progress) {
                Ok(()) => return self.end(),
                Err(Error::Gap(gap)) => {
                    if !self.cross(gap)? {
                        return self.end();
                    }
                }
                // The state is not to be used any more, or nobody listens.
                Err(error @ (Error::Machine(MachineError::Violation(_)) | Error::Write(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    self.end()?;
                    return Err(error);
                }
            }
        }
    }

    /// Goes on behind a gap, if there is a snapshot and what is told does not end before it.
    fn cross(&mut self, gap: Gap) -> Result<bool, Error> {
        let Some(state) = self.source.cross(&gap)? else {
            self.gaps.push(gap.with_all_to(self.source.last));
            return Ok(false);
        };
        let gap = gap.with_all_before(state.applied());
        let message = gap.to_string();
        self.gaps.push(gap);
        if self.ends_before(&state) {
            return Ok(false);
        }
        self.gaps.append(&mut self.source.gaps);
        self.state = state;
        if let Some(story) = &mut self.story {
            story.go_on_in(&self.state);
        }
        self.tell_start(message)?;
        Ok(true)
    }

    /// Whether what is told ends before a state.
    fn ends_before(&self, state: &State) -> bool {
        match self.until {
            Some(Until::Seq(last)) => last < state.applied(),
            Some(Until::Time(last)) => last < state.at(),
            None => false,
        }
    }

    /// Says that what is told goes on, or begins, in the state as it is now.
    fn tell_start(&mut self, message: String) -> Result<(), Error> {
        if self.story.is_some() {
            let (seq, at) = (self.state.applied(), self.state.at());
            self.printer.line(&Line { topic: Topic::Snapshot, seq, at, message, ..Line::default() })?;
        }
        Ok(())
    }

    fn frames(&mut self, progress: &mut impl FnMut(u64)) -> Result<(), Error> {
        while let Some(frame) = self.source.frames.next() {
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
        let start = self.snapshot.map(|snapshot| (self.source.first, snapshot));
        let summary = self.tally.summary(start, self.gaps, &self.state, &self.check);
        if self.story.is_none() {
            self.printer.summary(&summary)?;
        }
        self.printer.flush()?;
        Ok(Ended { summary, silent })
    }
}
