//! What the log has done beside its writer.

use std::io;
use std::sync::Arc;

use engine::Seq;

use crate::backend::{Backend, Beside, Name, Step};
use crate::recover::Sealed;
use crate::tap::Frames;

/// One kind of work: at most one piece of it is on its way. Whoever begins the next one waits for the one before.
#[derive(Default)]
pub(crate) struct Work(Option<Box<dyn Beside>>);

impl Work {
    /// Begins the next piece.
    ///
    /// # Errors
    /// What the piece before came to, or why this one cannot begin.
    pub fn begin(&mut self, backend: &dyn Backend, steps: Vec<Step>) -> io::Result<()> {
        self.finish()?;
        self.0 = Some(backend.beside(steps)?);
        Ok(())
    }

    /// Takes in how the piece went, if it is over; says whether none is on its way.
    ///
    /// # Errors
    /// What it came to.
    pub fn look(&mut self) -> io::Result<bool> {
        match self.0.take_if(|beside| beside.is_over()) {
            Some(beside) => beside.join().map(|()| true),
            None => Ok(self.0.is_none()),
        }
    }

    /// Waits until none is on its way.
    ///
    /// # Errors
    /// What it came to.
    pub fn finish(&mut self) -> io::Result<()> {
        self.0.take().map_or(Ok(()), Beside::join)
    }
}

/// Makes a file of a full segment's frames, all of them, while the next segment is written.
pub(crate) fn seal(backend: Arc<dyn Backend>, full: Sealed) -> io::Result<()> {
    let mut frames = Frames::new(backend.clone(), full.first);
    let mut last = Seq(full.first.0 - 1);
    let mut contents = std::iter::from_fn(|| {
        if last >= full.last {
            return None;
        }
        let missing = || Err(io::Error::other(format!("the frame after {last} is missing")));
        let frame = frames.next().map_or_else(missing, |frame| frame.map_err(io::Error::other));
        Some(frame.map(|frame| {
            last = frame.last();
            frame.bytes
        }))
    });
    backend.publish(Name::Sealed(full.first), &mut contents)
}
