//! Shell completions, made from the same definitions as the command line itself.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;

/// Writes the completion script for `shell` to standard output.
pub fn print(shell: Shell) -> ExitCode {
    match std::io::stdout().write_all(&script(shell)) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, such as `head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("burst-agent: cannot write the completions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "burst-agent", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_the_options_of_run() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let script = String::from_utf8(script(shell)).unwrap();
            assert!(script.contains("poll-period-ms"), "{shell}");
        }
    }
}
