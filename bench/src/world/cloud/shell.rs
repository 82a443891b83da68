//! A small shell: what a command run in a container of the cloud does.
//!
//! It knows the commands that people try things out with ([`COMMANDS`]), their plainest options, quotes, variables,
//! `;`, `&&`, `||`, `|` and redirections; files are those of the pod, in memory. It is a future that reads, writes and
//! waits through a [`Terminal`], so it runs as well on virtual time as behind a socket, and stands still when its
//! output is not taken.
//!
//! A stage of a pipeline runs to its end before the next one begins; what it writes in between is bounded
//! (`PIPE_BYTES_MAX`), and a stage that writes more ends as if by `SIGPIPE`.

mod archive;
mod commands;
mod files;
mod filters;
mod script;
mod stdio;
#[cfg(test)]
mod tests;
mod tty;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::{Either, select};
use parking_lot::Mutex;

pub use commands::COMMANDS;
pub use files::{Facts, FileError, Files, SharedFiles, Space, absolute};

use script::{Command, Piece, Pipeline, Redirect, When, Word};
use stdio::{Input, Sink, Stdio};
use tty::{Tty, with_returns};

/// Longest line of a script that is read from the input.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// How deep `sh -c` may be nested.
const DEPTH_MAX: usize = 16;
/// The exit code of a command that was interrupted.
const INTERRUPTED: i32 = 130;
/// The exit code of a command whose output nobody takes.
const BROKEN_PIPE: i32 = 141;
const NOT_FOUND: i32 = 127;

/// Which of the two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Nobody takes the output any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// The caller's side of a command, and its clock.
pub trait Terminal: Sync {
    /// The next piece of what the caller writes; `None` when nothing will come any more.
    fn read(&self) -> impl Future<Output = Option<Bytes>> + Send;

    /// Gives the caller a piece of output, and ends when it is taken.
    fn write(&self, channel: Channel, bytes: Bytes) -> impl Future<Output = Result<(), Closed>> + Send;

    /// Waits.
    fn sleep(&self, us: u64) -> impl Future<Output = ()> + Send;

    /// Microseconds since the epoch.
    fn now_us(&self) -> u64;

    /// Rows and columns of the caller's window.
    fn size(&self) -> (u16, u16);
}

/// Where a command runs.
#[derive(Clone, Debug)]
pub struct System {
    /// The name of the pod.
    pub hostname: String,
    /// The variables of the container.
    pub variables: Vec<(String, String)>,
    /// The files of the pod.
    pub files: SharedFiles,
    /// Where `/dev/urandom` begins.
    pub seed: u64,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a code.
    Exit(i32),
    /// It did not start, in the words of the container runtime.
    NotStarted(String),
}

/// A future that can be kept beside others: `sh` runs within `sh`.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One command of a caller, and what runs within it.
struct Shell<'a, T> {
    terminal: &'a T,
    system: System,
    /// With a terminal, lines come from here.
    tty: Option<Mutex<Tty>>,
    /// What was read of the input and not used.
    unread: Mutex<Bytes>,
    directory: Mutex<String>,
    /// `$?`
    last: AtomicI32,
}

/// Runs a command to its end. `tty` says whether it has a terminal: then what is typed is shown, both outputs are
/// one, and Ctrl-C interrupts.
pub async fn run<T: Terminal>(terminal: &T, system: System, command: &[String], tty: bool) -> Ended {
    let program = command.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
    if !COMMANDS.contains(&program) {
        let name = command.first().map_or("", String::as_str);
        let why = if name.contains('/') {
            "no such file or directory"
        } else {
            "executable file not found in $PATH"
        };
        let why = if name.contains('/') { format!("stat {name}: {why}") } else { why.to_owned() };
        return Ended::NotStarted(format!(
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \"{name}\": {why}: unknown"
        ));
    }
    let shell = Shell {
        terminal,
        system,
        tty: tty.then(Mutex::default),
        unread: Mutex::default(),
        directory: Mutex::default(),
        last: AtomicI32::new(0),
    };
    let stdio = Stdio::of_terminal();
    let main = pin!(async {
        if shell.tty.is_some() && !commands::is_interactive(command) {
            shell.foreground(shell.command(command.to_vec(), &stdio, 0)).await
        } else {
            shell.command(command.to_vec(), &stdio, 0).await
        }
    });
    if !tty {
        return Ended::Exit(main.await.code);
    }
    // What is typed is looked at first, so that a command that is polled after it sees it.
    match select(pin!(shell.type_on()), main).await {
        Either::Left((never, _)) => match never {},
        Either::Right((done, _)) => Ended::Exit(done.code),
    }
}

/// How a command ended, and whether it ends the shell that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Done {
    code: i32,
    exit: bool,
}

impl From<i32> for Done {
    fn from(code: i32) -> Done {
        Done { code, exit: false }
    }
}

/// Lets others run: a command that never waits for anything must not keep a thread to itself.
async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<T: Terminal> Shell<'_, T> {
    /// Takes what is typed, as long as the command runs.
    async fn type_on(&self) -> std::convert::Infallible {
        let tty = self.tty.as_ref();
        while let (Some(tty), Some(typed)) = (tty, self.terminal.read().await) {
            let shown = tty.lock().feed(&typed);
            if !shown.is_empty() && self.terminal.write(Channel::Output, shown.into()).await.is_err() {
                break;
            }
        }
        if let Some(tty) = tty {
            tty.lock().hang_up();
        }
        std::future::pending().await
    }

    /// Ends when the terminal is interrupted. Polled together with [`Shell::type_on`], so it needs no waker.
    async fn interrupt(&self) {
        poll_fn(|_| match &self.tty {
            Some(tty) if tty.lock().take_interrupt() => Poll::Ready(()),
            _ => Poll::Pending,
        })
        .await;
    }

    /// Runs something until it ends or is interrupted.
    async fn foreground(&self, command: impl Future<Output = Done>) -> Done {
        match select(pin!(self.interrupt()), pin!(command)).await {
            Either::Left(((), _)) => INTERRUPTED.into(),
            Either::Right((done, _)) => done,
        }
    }

    /// The next piece of what the caller writes. With a terminal it is polled together with [`Shell::type_on`].
    async fn read_terminal(&self) -> Option<Bytes> {
        let unread = std::mem::take(&mut *self.unread.lock());
        if !unread.is_empty() {
            return Some(unread);
        }
        let Some(tty) = &self.tty else { return self.terminal.read().await };
        let line = poll_fn(|_| tty.lock().take_line().map_or(Poll::Pending, Poll::Ready)).await;
        (!line.is_empty()).then(|| line.into())
    }

    async fn write_terminal(&self, channel: Channel, bytes: Bytes) -> Result<(), Closed> {
        if self.tty.is_some() {
            return self.terminal.write(Channel::Output, with_returns(&bytes).into()).await;
        }
        self.terminal.write(channel, bytes).await
    }

    /// A line of the input, without its end; `None` at its end. What is behind it is left for others to read.
    async fn read_line(&self) -> Option<String> {
        let mut line = Vec::new();
        while let Some(mut piece) = self.read_terminal().await {
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = piece.split_to(end.map_or(piece.len(), |end| end + 1));
            line.extend_from_slice(&taken);
            *self.unread.lock() = piece;
            if end.is_some() || line.len() > LINE_BYTES_MAX {
                line.truncate(LINE_BYTES_MAX);
                return Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned());
            }
        }
        (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned())
    }

    /// A shell that reads its commands from the input.
    async fn interactive(&self, stdio: &Stdio, depth: usize) -> Result<Done, Closed> {
        loop {
            if self.tty.is_some() {
                let directory = self.directory.lock().clone();
                let directory = if directory.is_empty() { "/" } else { &directory };
                self.write(&stdio.output, format!("{directory} # ")).await?;
            }
            let line = match select(pin!(self.interrupt()), pin!(self.read_line())).await {
                Either::Left(((), _)) => {
                    self.last.store(INTERRUPTED, Ordering::Relaxed);
                    continue;
                }
                Either::Right((line, _)) => line,
            };
            let Some(line) = line else {
                return Ok(self.last.load(Ordering::Relaxed).into());
            };
            let done = self.foreground(self.script(line, stdio, depth)).await;
            self.last.store(done.code, Ordering::Relaxed);
            if done.exit {
                return Ok(done.code.into());
            }
        }
    }

    /// Runs a script. Boxed, because it runs commands that run scripts.
    fn script<'b>(&'b self, script: String, stdio: &'b Stdio, depth: usize) -> Boxed<'b, Done> {
        Box::pin(async move {
            let pipelines = match script::parse(&script) {
                Ok(pipelines) => pipelines,
                Err(message) => {
                    let _nobody_reads = self.write(&stdio.error, format!("sh: {message}\n")).await;
                    return 2.into();
                }
            };
            let mut done = Done::from(0);
            for pipeline in &pipelines {
                let runs = match pipeline.when {
                    When::Always => true,
                    When::Success => done.code == 0,
                    When::Failure => done.code != 0,
                };
                if runs {
                    done = self.pipeline(pipeline, stdio, depth).await;
                    self.last.store(done.code, Ordering::Relaxed);
                }
                if done.exit {
                    break;
                }
                give_way().await;
            }
            done
        })
    }

    /// Runs commands one after the other, each with the output of the one before.
    async fn pipeline(&self, pipeline: &Pipeline, stdio: &Stdio, depth: usize) -> Done {
        let mut input = stdio.input.clone();
        let mut done = Done::from(0);
        for (index, command) in pipeline.commands.iter().enumerate() {
            let last = index + 1 == pipeline.commands.len();
            let pipe = Sink::pipe(self.system.files.lock().space());
            let output = if last { stdio.output.clone() } else { pipe.clone() };
            let stdio = Stdio { input, output, error: stdio.error.clone() };
            done = self.simple(command, stdio, depth).await;
            input = Input::of_pipe(&pipe);
        }
        // Only in a command that stands alone does `exit` end the shell.
        Done { exit: done.exit && pipeline.commands.len() == 1, ..done }
    }

    async fn simple(&self, command: &Command, mut stdio: Stdio, depth: usize) -> Done {
        for redirect in &command.redirects {
            if let Err((path, error)) = self.redirect(redirect, &mut stdio) {
                let doing = if matches!(redirect, Redirect::Input(_)) { "open" } else { "create" };
                let message = format!("sh: can't {doing} {path}: {error}\n");
                let _nobody_reads = self.write(&stdio.error, message).await;
                return 1.into();
            }
        }
        let words: Vec<String> = command.words.iter().flat_map(|word| self.expand(word)).collect();
        self.command(words, &stdio, depth).await
    }

    fn redirect(&self, redirect: &Redirect, stdio: &mut Stdio) -> Result<(), (String, FileError)> {
        let place = |word: &Word| {
            let path = self.expand(word).concat();
            (absolute(&self.directory.lock(), &path), path)
        };
        match redirect {
            Redirect::ErrorsToOutput => stdio.error = stdio.output.clone(),
            Redirect::OutputToErrors => stdio.output = stdio.error.clone(),
            Redirect::Input(word) => {
                let (place, path) = place(word);
                stdio.input = self.open(&place).map_err(|error| (path, error))?;
            }
            Redirect::Output { stderr, append, to } => {
                let (place, path) = place(to);
                let sink = if place == "/dev/null" {
                    Sink::Null
                } else {
                    let mut files = self.system.files.lock();
                    let made = if *append { files.append(&place, b"") } else { files.create(&place) };
                    made.map_err(|error| (path, error))?;
                    Sink::File(place.into())
                };
                *(if *stderr { &mut stdio.error } else { &mut stdio.output }) = sink;
            }
        }
        Ok(())
    }

    /// The words that a word becomes.
    fn expand(&self, word: &Word) -> Vec<String> {
        let mut words = Vec::new();
        let mut open: Option<String> = None;
        for piece in word {
            match piece {
                Piece::Text(text) => open.get_or_insert_default().push_str(text),
                Piece::Variable { name, quoted: true } => {
                    open.get_or_insert_default().push_str(&self.variable(name));
                }
                Piece::Variable { name, quoted: false } => {
                    let value = self.variable(name);
                    for (index, part) in value.split_whitespace().enumerate() {
                        if index > 0 {
                            words.extend(open.take());
                        }
                        open.get_or_insert_default().push_str(part);
                    }
                }
            }
        }
        words.extend(open);
        words
    }

    fn variable(&self, name: &str) -> String {
        match name {
            "?" => self.last.load(Ordering::Relaxed).to_string(),
            "$" => "42".to_owned(),
            "PWD" => format!("/{}", self.directory.lock().trim_start_matches('/')),
            _ => {
                let mut variables = self.system.variables.iter().rev();
                variables.find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
            }
        }
    }
}
