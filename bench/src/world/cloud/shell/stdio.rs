//! Where commands read and write.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::files::{FileError, Space};
use super::{Channel, Closed, Shell, Terminal, give_way};
use crate::world::cloud::chance::mixed;

/// Most bytes that wait between two stages of a pipeline: a file of the size that people copy to try it out.
const PIPE_BYTES_MAX: usize = 64 << 20;
/// Length of a piece of an endless file.
const ENDLESS_BYTES: usize = 32 * 1024;
static ZEROS: [u8; ENDLESS_BYTES] = [0; ENDLESS_BYTES];

/// What waits to be read: the pieces of a file, which are in memory anyhow, or what a command wrote.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pieces: VecDeque<Bytes>,
    /// What a command wrote takes room.
    space: Option<Space>,
    bytes: usize,
}

impl Pipe {
    /// Puts a piece at the end, if there is room.
    fn push(&mut self, piece: Bytes) -> Result<(), Closed> {
        let fits = self.bytes + piece.len() <= PIPE_BYTES_MAX;
        if !fits || !self.space.as_ref().is_none_or(|space| space.take(piece.len() as u64)) {
            return Err(Closed);
        }
        self.bytes += piece.len();
        self.pieces.push_back(piece);
        Ok(())
    }

    /// Takes the first piece. Its room is free again: whoever has it now lets it go before the next one.
    fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        if let Some(space) = &self.space {
            let counted = piece.len().min(self.bytes);
            self.bytes -= counted;
            space.give(counted as u64);
        }
        Some(piece)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if let Some(space) = &self.space {
            space.give(self.bytes as u64);
        }
    }
}

/// What a command reads. Clones read on where the others are.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Terminal,
    Pieces(Arc<Mutex<Pipe>>),
    Zeros,
    Random(Arc<Mutex<u64>>),
}

/// Where a command writes.
#[derive(Clone, Debug)]
pub(super) enum Sink {
    Terminal(Channel),
    File(Arc<str>),
    Pipe(Arc<Mutex<Pipe>>),
    Null,
}

#[derive(Clone, Debug)]
pub(super) struct Stdio {
    pub(super) input: Input,
    pub(super) output: Sink,
    pub(super) error: Sink,
}

impl Stdio {
    pub(super) fn of_terminal() -> Stdio {
        Stdio {
            input: Input::Terminal,
            output: Sink::Terminal(Channel::Output),
            error: Sink::Terminal(Channel::Error),
        }
    }
}

impl Sink {
    pub(super) fn pipe(space: Space) -> Sink {
        Sink::Pipe(Arc::new(Mutex::new(Pipe { pieces: VecDeque::new(), space: Some(space), bytes: 0 })))
    }
}

impl Input {
    pub(super) fn of_pipe(sink: &Sink) -> Input {
        match sink {
            Sink::Pipe(pipe) => Input::Pieces(Arc::clone(pipe)),
            Sink::Terminal(_) | Sink::File(_) | Sink::Null => Input::Pieces(Arc::default()),
        }
    }

    pub(super) fn of_pieces(pieces: Vec<Bytes>) -> Input {
        Input::Pieces(Arc::new(Mutex::new(Pipe { pieces: pieces.into(), space: None, bytes: 0 })))
    }
}

impl<T: Terminal> Shell<'_, T> {
    /// A file to read, special ones included.
    pub(super) fn open(&self, path: &str) -> Result<Input, FileError> {
        match path {
            "/dev/null" => Ok(Input::of_pieces(Vec::new())),
            "/dev/zero" => Ok(Input::Zeros),
            "/dev/urandom" | "/dev/random" => Ok(Input::Random(Arc::new(Mutex::new(self.system.seed)))),
            "/dev/stdin" => Ok(Input::Terminal),
            path => self.system.files.lock().read(path).map(Input::of_pieces),
        }
    }

    /// The next piece, never an empty one; `None` at the end.
    pub(super) async fn read(&self, input: &Input) -> Option<Bytes> {
        match input {
            Input::Terminal => loop {
                // An empty piece only keeps the connection open.
                match self.read_terminal().await {
                    Some(piece) if piece.is_empty() => {}
                    piece => return piece,
                }
            },
            Input::Pieces(pieces) => {
                give_way().await;
                pieces.lock().pop()
            }
            Input::Zeros => {
                give_way().await;
                Some(Bytes::from_static(&ZEROS))
            }
            Input::Random(state) => {
                give_way().await;
                let mut state = state.lock();
                let numbers =
                    (0..ENDLESS_BYTES / 8).flat_map(|count| mixed(*state, count as u64).to_le_bytes());
                let piece = numbers.collect();
                *state = mixed(*state, ENDLESS_BYTES as u64);
                Some(piece)
            }
        }
    }

    /// Gives back what was read too far.
    pub(super) fn unread(&self, input: &Input, rest: Bytes) {
        match input {
            Input::Terminal => *self.unread.lock() = rest,
            Input::Pieces(pieces) if !rest.is_empty() => pieces.lock().pieces.push_front(rest),
            Input::Pieces(_) | Input::Zeros | Input::Random(_) => {}
        }
    }

    /// Writes a piece, and ends when it is taken.
    pub(super) async fn write(&self, sink: &Sink, bytes: impl Into<Bytes> + Send) -> Result<(), Closed> {
        let bytes = bytes.into();
        match sink {
            _ if bytes.is_empty() => Ok(()),
            Sink::Terminal(channel) => self.write_terminal(*channel, bytes).await,
            Sink::Null => {
                give_way().await;
                Ok(())
            }
            Sink::File(path) => {
                give_way().await;
                // A full disk ends the command, as its error would.
                self.system.files.lock().append(path, &bytes).map_err(|_| Closed)
            }
            Sink::Pipe(pipe) => {
                give_way().await;
                pipe.lock().push(bytes)
            }
        }
    }
}
