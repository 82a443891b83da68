//! Child processes: they end when we do, however we end, and what they said last is shown when they fail.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::load::Error;

/// How long a child may take to end after it was told to; the agent takes at most ten seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How much of the end of a child's standard error is shown, in bytes: some twenty lines.
const LAST_WORDS_BYTES: u64 = 4 * 1024;

/// Becomes the program that its arguments name, at a word on standard input; ends if that closes before.
const AT_A_WORD: &str = r#"read -r _ && exec "$0" "$@" </dev/null"#;

/// Kills the process that its argument names once standard input closes.
const KILL_AT_THE_END: &str = r#"read -r _ || kill -KILL "$0""#;

/// A child process that is killed when this is dropped, and also when we are killed and drop nothing.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    child: tokio::process::Child,
    words: PathBuf,
    guard: Guard,
}

impl Child {
    /// Starts `program`; what it says on standard error goes to a file in `scratch`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
        scratch: &Path,
    ) -> Result<Child, Error> {
        let words = scratch.join(format!("{name}.stderr"));
        let failed = |source| Error::io(format!("start the {name} ({})", program.display()), source);
        let stderr = File::create(&words).map_err(failed)?;
        let mut command = shell(AT_A_WORD);
        command.arg(program).args(arguments).stdout(Stdio::piped()).stderr(stderr);
        // Options of the user's own agent are not meant for this one.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("BURST_AGENT_") {
                command.env_remove(variable);
            }
        }
        let mut child = command.spawn().map_err(failed)?;
        // The program begins only once it is guarded: there is no moment at which we can go and it stays.
        let guard = Guard::over(&child).map_err(failed)?;
        if let Some(mut begin) = child.stdin.take() {
            begin.write_all(b"\n").await.map_err(failed)?;
        }
        Ok(Child { name, child, words, guard })
    }

    /// Its standard output, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its process id, while it lives.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The end of what it said on standard error.
    #[must_use]
    pub fn last_words(&self) -> String {
        last_words(&self.words).unwrap_or_else(|error| format!("(not to be read: {error})"))
    }

    /// Waits until it ends by itself, which it should not.
    pub async fn ended(&mut self) -> Error {
        match self.end().await {
            Ok(status) => Error::ChildEnded { name: self.name, status, last_words: self.last_words() },
            Err(error) => error,
        }
    }

    /// Waits until it has ended, however.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn end(&mut self) -> Result<ExitStatus, Error> {
        let status = self.child.wait().await;
        let status = status.map_err(|source| Error::io(format!("wait for the {}", self.name), source))?;
        self.guard.dismiss();
        Ok(status)
    }

    /// Sends it a signal. Nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself in this moment; its status tells.
            let _ = kill_process(pid, signal);
        }
    }

    /// That it is not ready, and what it said last.
    #[must_use]
    pub fn not_ready(&self, waited: Duration, reason: impl Into<String>) -> Error {
        let (name, last_words) = (self.name, self.last_words());
        Error::ChildNotReady { name, waited_s: waited.as_secs(), reason: reason.into(), last_words }
    }

    /// Tells it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time (it is then killed), or not well.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.signal(Signal::TERM);
        match tokio::time::timeout(STOP_PATIENCE, self.end()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                Err(Error::ChildEnded { name: self.name, status, last_words: self.last_words() })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let what = format!("the end of the {}", self.name);
                Err(Error::TooSlow { what, waited_s: STOP_PATIENCE.as_secs() })
            }
        }
    }
}

/// A shell that runs `script`, in a process group of its own: it does not get the terminal's Ctrl-C. A real
/// cluster is tidied up first, and for that the agent has to live.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).stdin(Stdio::piped()).process_group(0).kill_on_drop(true);
    command
}

/// A process that outlives us by the moment that it takes to kill another one. `SIGKILL` leaves no time for that,
/// but the system closes the pipe.
#[derive(Debug)]
struct Guard {
    shell: tokio::process::Child,
    _open: Option<ChildStdin>,
}

impl Guard {
    fn over(child: &tokio::process::Child) -> io::Result<Guard> {
        let pid = child.id().map(|pid| pid.to_string()).unwrap_or_default();
        let mut command = shell(KILL_AT_THE_END);
        let mut shell = command.arg(pid).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let open = shell.stdin.take();
        Ok(Guard { shell, _open: open })
    }

    /// The process is no more, and its number may become another one's.
    fn dismiss(&mut self) {
        // An error says that the guard has ended already.
        let _ = self.shell.start_kill();
    }
}

/// The guard first: closing its pipe would have it kill.
impl Drop for Guard {
    fn drop(&mut self) {
        self.dismiss();
    }
}

fn last_words(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LAST_WORDS_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole_lines = if start == 0 { &text } else { text.split_once('\n').map_or(&*text, |(_, rest)| rest) };
    Ok(whole_lines.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, scratch: &Path) -> Child {
        let arguments = ["-c", script].map(OsString::from);
        Child::start("shell", Path::new("/bin/sh"), arguments, scratch).await.unwrap()
    }

    /// Names the pipe that the child of the killed process holds open.
    const PIPE: &str = "CHILDREN_TEST_PIPE";

    /// Runs in a process of its own, to be killed in: has a child that would live for ever.
    #[tokio::test]
    async fn parent_to_be_killed() {
        let Some(pipe) = std::env::var_os(PIPE) else { return };
        let scratch = tempfile::tempdir().unwrap();
        let script = format!("echo up > {0}; exec sleep 1000 > {0}", pipe.display());
        shell(&script, scratch.path()).await.ended().await;
    }

    #[test]
    fn a_child_does_not_outlive_a_parent_that_is_killed() {
        let scratch = tempfile::tempdir().unwrap();
        let pipe = scratch.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "load::children::tests::parent_to_be_killed"])
            .env(PIPE, &pipe)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The pipe is kept open by us until the child has it open for good.
        let keep = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let mut read = File::open(&pipe).unwrap();
        let mut up = [0; 3];
        read.read_exact(&mut up).unwrap();
        parent.kill().unwrap();
        parent.wait().unwrap();
        drop(keep);
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(read.read_to_end(&mut Vec::new())));
        let closed = end.recv_timeout(Duration::from_secs(30)).expect("the child ends, and the pipe closes");
        assert_eq!(closed.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_a_child_said_last_is_told_when_it_ends() {
        let scratch = tempfile::tempdir().unwrap();
        let mut child = shell("echo one >&2; echo two >&2; exit 3", scratch.path()).await;
        let text = child.ended().await.to_string();
        assert_eq!(text, "the shell ended (exit status: 3); its last words:\none\ntwo");
    }

    #[tokio::test]
    async fn a_child_is_asked_to_end() {
        let scratch = tempfile::tempdir().unwrap();
        let mut child =
            shell("trap 'echo bye >&2; exit 0' TERM; echo up; while :; do sleep 0.01; done", scratch.path())
                .await;
        let mut lines = tokio::io::BufReader::new(child.take_stdout().unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line).await.unwrap();
        let words = child.words.clone();
        child.stop().await.unwrap();
        assert_eq!(last_words(&words).unwrap(), "bye");
    }

    #[test]
    fn only_whole_lines_of_the_end_are_shown() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("words");
        std::fs::write(&path, format!("{}\nlast\n", "x".repeat(5_000))).unwrap();
        assert_eq!(last_words(&path).unwrap(), "last");
    }
}
