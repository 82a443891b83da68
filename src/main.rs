//! The burst agent's one binary: reads the command line and hands over to the command. No decisions here.

/// A place at which a trial may have the process die. In a build without the feature there is nothing there.
macro_rules! fail_point {
    ($name:expr) => {
        #[cfg(feature = "fail-points")]
        fail::fail_point!($name);
    };
}

mod args;
mod bench;
mod completions;
mod config;
mod demo;
mod explain;
mod replay;
mod run;
mod runtime;
mod simulate;
mod telemetry;

use std::process::ExitCode;

/// A burst makes and drops a great many small things on all threads; the system's allocator keeps twice as much
/// of that as this one. In tests another one counts.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use args::Command;

fn main() -> ExitCode {
    #[cfg(feature = "fail-points")]
    let _fail_points = fail::FailScenario::setup();
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
        Command::Explain(args) => explain::run(args),
        Command::Bench(args) => bench::run(args),
    }
}
