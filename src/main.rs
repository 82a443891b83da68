//! The burst agent's one binary: reads the command line and hands over to the command. No decisions here.

// The commands that use the rest of the command line and of the telemetry are wired in one by one.
#![allow(dead_code, unused_imports)]

mod args;
mod completions;
mod config;
mod demo;
mod replay;
mod run;
mod runtime;
mod simulate;
mod telemetry;

use std::process::ExitCode;

use args::Command;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os(), &config::environment()) {
        Ok(args) => args,
        Err(stop) => return stop.report(),
    };
    match args.command {
        Command::Completions(args) => completions::print(args.shell),
        Command::Run(args) => run::run(*args),
        Command::Demo(args) => demo::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Bench(_) => {
            eprintln!("burst-agent: this build lacks the command");
            ExitCode::from(args::EXIT_USAGE)
        }
    }
}
