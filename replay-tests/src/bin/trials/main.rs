//! Trials of the release binary as a process: it runs against a simulated cluster and a simulated cloud under load,
//! something terrible is done to it, it recovers, and both sides are looked at. Both are served by this process, so
//! that their truth can be seen, and everything stays on loopback.
//!
//! `cargo run --release -p replay-tests --bin trials -- kill --trials 1000`

mod agent;
mod audit;
mod breach;
mod dice;
mod judge;
mod kill;
mod kinds;
mod load;
mod run;
mod scene;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kinds::Kind;
use run::Plan;

/// Does terrible things to burst-agent, and looks at what becomes of both sides.
#[derive(Debug, clap::Parser)]
#[command(name = "trials")]
struct Args {
    /// The program; without it the one beside this one.
    #[arg(long, global = true, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Everything that is left to chance follows from it, but for what the machine does.
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many.
    #[arg(long, global = true, value_name = "N", default_value_t = 10)]
    trials: u32,
    #[command(subcommand)]
    kind: Kind,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join("burst-agent")));
    let agent = args.agent.or(beside).unwrap_or_else(|| "burst-agent".into());
    let plan = Plan { fail_point_agent: agent.clone(), agent, seed: args.seed };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a process that cannot start threads cannot go on");
    if runtime.block_on(run::run(&plan, args.kind, args.trials)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
