//! Reading beside the writer, in its process.

use std::io::Read;
use std::sync::Arc;

use engine::Seq;

use crate::backend::{Name, Source};
use crate::codec;
use crate::error::Error;
use crate::frame::{Frame, FrameDecoder, follow};
use crate::survey::segments;

/// Frames in order, one in memory at a time. Ends with what is there when it is asked, or after an error.
pub struct Frames {
    source: Arc<dyn Source>,
    next: Seq,
    tail: Option<(Seq, codec::Hash)>,
    sealed: Option<(Seq, FrameDecoder<Box<dyn Read + Send>>)>,
    read: Option<Seq>,
    done: bool,
}

impl Frames {
    /// From the frame that holds `next` on.
    pub(crate) fn new(source: Arc<dyn Source>, next: Seq) -> Frames {
        Frames { source, next, tail: None, sealed: None, read: None, done: false }
    }

    fn advance(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some((first, decoder)) = &mut self.sealed {
                match decoder.next().transpose()? {
                    Some(frame) if frame.last() < self.next => continue,
                    Some(frame) => return self.accept(frame).map(Some),
                    None => {
                        self.read = Some(*first);
                        self.sealed = None;
                    }
                }
            }
            match self.open_frame(self.next)? {
                Some(frame) if frame.last() >= self.next => return self.accept(frame).map(Some),
                Some(frame) => return self.after_the_last(&frame),
                None => {}
            }
            let Some(first) = self.find_sealed()? else { return Ok(None) };
            let input = self.source.read(Name::Sealed(first));
            let input = input.map_err(|error| Error::io("read the log", error))?;
            self.sealed = Some((first, FrameDecoder::new(input)));
        }
    }

    /// Of the open segment: the last frame that begins at or before `seq`.
    fn open_frame(&self, seq: Seq) -> Result<Option<Frame>, Error> {
        let bytes = self.source.at_or_before(seq).map_err(|error| Error::io("read the log", error))?;
        let place = || format!("the frame with {seq}");
        bytes
            .map(|bytes| codec::decode_frame(&bytes).map_err(|fault| Error::fault(&place(), fault)))
            .transpose()
    }

    /// The open segment has no frame with the next record: it ends here, the writer was faster than we, or
    /// there is a gap.
    fn after_the_last(&mut self, last: &Frame) -> Result<Option<Frame>, Error> {
        let newest = self.open_frame(Seq(u64::MAX))?;
        if newest.is_none_or(|newest| newest.header.first <= last.header.first) {
            return Ok(None);
        }
        match self.open_frame(self.next)? {
            Some(frame) if frame.last() >= self.next => self.accept(frame).map(Some),
            Some(_) => Err(self.missing()),
            // It was sealed between the two questions: this is as good a place to end as any.
            None => Ok(None),
        }
    }

    fn missing(&self) -> Error {
        Error::Damaged { place: format!("the frame with {}", self.next), reason: "it is missing".to_owned() }
    }

    /// The sealed segment that holds the next record, if it is not the one just read to its end.
    fn find_sealed(&self) -> Result<Option<Seq>, Error> {
        let entries = self.source.list().map_err(|error| Error::io("list the log", error))?;
        let mut found = None;
        let (mut smallest, mut beyond) = (None, false);
        for name in segments(&entries) {
            match name {
                Name::Sealed(first) | Name::Open(first) | Name::Snapshot(first) if first > self.next => {
                    beyond = true;
                    smallest.get_or_insert(first);
                }
                Name::Sealed(first) => {
                    found = Some(first);
                    smallest.get_or_insert(first);
                }
                Name::Open(first) | Name::Snapshot(first) => {
                    smallest.get_or_insert(first);
                }
            }
        }
        match smallest {
            Some(first) if first > self.next => Err(Error::Trimmed { first }),
            _ if found != self.read => Ok(found),
            _ if beyond => Err(self.missing()),
            _ => Ok(None),
        }
    }

    fn accept(&mut self, frame: Frame) -> Result<Frame, Error> {
        follow(&mut self.tail, &frame)?;
        self.next = frame.last().next();
        Ok(frame)
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Reads a log that another thread of this process writes: for sending it to a replay.
#[derive(Clone)]
pub struct Tap(Arc<dyn Source>);

impl Tap {
    pub(crate) fn new(source: Arc<dyn Source>) -> Tap {
        Tap(source)
    }

    /// The frames from the one that holds the record after `seq` on. [`Frame::as_bytes`] of each, one after
    /// the other, is a stream that [`FrameDecoder`] reads.
    #[must_use]
    pub fn frames_after(&self, seq: Seq) -> Frames {
        Frames::new(self.0.clone(), seq.next())
    }
}
