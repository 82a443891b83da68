//! Child processes: they end when we do, and what they said last is shown when they fail.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{ChildStdout, Command};

use crate::load::Error;

/// How long a child may take to end after it was told to; the agent takes at most ten seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How much of the end of a child's standard error is shown, in bytes: some twenty lines.
const LAST_WORDS_BYTES: u64 = 4 * 1024;

/// A child process that is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    child: tokio::process::Child,
    words: PathBuf,
}

impl Child {
    /// Starts `program`; what it says on standard error goes to a file in `scratch`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
        scratch: &Path,
    ) -> Result<Child, Error> {
        let words = scratch.join(format!("{name}.stderr"));
        let failed = |source| Error::io(format!("start the {name} ({})", program.display()), source);
        let stderr = File::create(&words).map_err(failed)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        // In a group of its own it does not get the terminal's Ctrl-C: a real cluster is tidied up first, and
        // for that the agent has to live.
        command.process_group(0);
        // Options of the user's own agent are not meant for this one.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("BURST_AGENT_") {
                command.env_remove(variable);
            }
        }
        let child = command.spawn().map_err(failed)?;
        Ok(Child { name, child, words })
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
        match self.child.wait().await {
            Ok(status) => Error::ChildEnded { name: self.name, status, last_words: self.last_words() },
            Err(source) => Error::io(format!("wait for the {}", self.name), source),
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
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself in this moment; its status tells.
            let _ = kill_process(pid, Signal::TERM);
        }
        let waited = tokio::time::timeout(STOP_PATIENCE, self.child.wait()).await;
        match waited {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                Err(Error::ChildEnded { name: self.name, status, last_words: self.last_words() })
            }
            Ok(Err(source)) => Err(Error::io(format!("wait for the {}", self.name), source)),
            Err(_) => {
                let what = format!("the end of the {}", self.name);
                Err(Error::TooSlow { what, waited_s: STOP_PATIENCE.as_secs() })
            }
        }
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

    fn shell(script: &str, scratch: &Path) -> Child {
        let arguments = ["-c", script].map(OsString::from);
        Child::start("shell", Path::new("/bin/sh"), arguments, scratch).unwrap()
    }

    #[tokio::test]
    async fn what_a_child_said_last_is_told_when_it_ends() {
        let scratch = tempfile::tempdir().unwrap();
        let mut child = shell("echo one >&2; echo two >&2; exit 3", scratch.path());
        let text = child.ended().await.to_string();
        assert_eq!(text, "the shell ended (exit status: 3); its last words:\none\ntwo");
    }

    #[tokio::test]
    async fn a_child_is_asked_to_end() {
        let scratch = tempfile::tempdir().unwrap();
        let mut child =
            shell("trap 'echo bye >&2; exit 0' TERM; echo up; while :; do sleep 0.01; done", scratch.path());
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
