//! Where a log comes from, and where in it a replay can start.

use std::io::BufReader;
use std::path::Path;

use engine::{Seq, State};
use reqwest::Url;
use store::{FRAME_BYTES_MAX, Frame, FrameDecoder, Reader, STATE_VERSION};

use crate::replay::agent;
use crate::replay::error::Error;
use crate::replay::gap::Gap;

/// Frames in order, one in memory at a time.
pub type Frames = Box<dyn Iterator<Item = Result<Frame, store::Error>>>;

/// A log, opened at the place where its replay starts.
pub struct Source {
    /// The frames from there on.
    pub frames: Frames,
    /// The state before them.
    pub state: State,
    /// The first record that is left of the log; records before it were dropped.
    pub first: Seq,
    /// The last record that is there, where known.
    pub last: Seq,
    /// Records before the state that nobody dropped.
    pub gaps: Vec<Gap>,
    /// Bytes of all frames, where known.
    pub total_bytes: Option<u64>,
    /// Where the log lies, if it can be asked for more.
    reader: Option<Reader>,
}

impl Source {
    /// The log in a directory. Nothing is changed, and an agent may be writing it.
    ///
    /// # Errors
    /// [`Error::Machine`], [`Error::NoRecords`], [`Error::NoStart`].
    pub fn directory(directory: &Path) -> Result<Source, Error> {
        let reader = Reader::open(directory)?;
        if reader.total_bytes() > 0 {
            return Source::reader(reader);
        }
        // What is known of a log of which no record is left says more than that there is none.
        match reader.frames().next() {
            Some(Err(lost)) => Err(lost.into()),
            Some(Ok(_)) | None => Err(Error::NoRecords(directory.to_owned())),
        }
    }

    /// The log that a reader has opened.
    ///
    /// # Errors
    /// [`Error::Machine`], [`Error::NoStart`].
    pub fn reader(reader: Reader) -> Result<Source, Error> {
        let first = reader.first();
        let Some(start) = reader.start::<State>(Seq(0), STATE_VERSION)? else {
            return Err(Error::NoStart { first, gap: reader.lost_before().as_ref().and_then(Gap::of) });
        };
        let gaps = start.lost.iter().filter_map(Gap::of).collect();
        let state = start.state.unwrap_or_default();
        let (last, total_bytes) = (reader.last(), Some(reader.total_bytes()));
        Ok(Source {
            frames: Box::new(start.frames),
            state,
            first,
            last,
            gaps,
            total_bytes,
            reader: Some(reader),
        })
    }

    /// What is damaged and costs no record, each in a sentence.
    pub fn remarks(&self) -> Vec<String> {
        self.reader.as_ref().map(Reader::remarks).unwrap_or_default()
    }

    /// Goes to where the replay can go on behind a gap, which is the oldest snapshot there, and returns its state;
    /// what else is lost before it is among the gaps then. `None` where there is no such snapshot.
    ///
    /// # Errors
    /// [`Error::Machine`].
    pub fn cross(&mut self, gap: &Gap) -> Result<Option<State>, Error> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let Some(start) = reader.start::<State>(Seq(gap.last), STATE_VERSION)? else { return Ok(None) };
        self.gaps = start.lost.iter().filter_map(Gap::of).collect();
        self.frames = Box::new(start.frames);
        Ok(start.state)
    }

    /// The log of a running agent.
    ///
    /// # Errors
    /// [`Error::Agent`], [`Error::NoStartSent`].
    pub fn agent(url: &Url) -> Result<Source, Error> {
        let body = agent::frames_after(url, Seq(0))?;
        let body = BufReader::with_capacity(FRAME_BYTES_MAX, body);
        let mut frames = FrameDecoder::new(body).peekable();
        match frames.peek() {
            None => Err(Error::NoRecordsSent(url.clone())),
            Some(Ok(frame)) if frame.header.first != Seq(1) => {
                Err(Error::NoStartSent { first: frame.header.first })
            }
            Some(Ok(_) | Err(_)) => Ok(Source {
                frames: Box::new(frames),
                state: State::default(),
                first: Seq(1),
                last: Seq(0),
                gaps: vec![],
                total_bytes: None,
                reader: None,
            }),
        }
    }
}
