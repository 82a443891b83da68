//! Trials of the release binary as a process: it runs against a simulated cluster and a simulated cloud under load,
//! something terrible is done to it, it recovers, and both sides are looked at. Both are served by this process, so
//! that their truth can be seen, and everything stays on loopback.
//!
//! `cargo run --release -p replay-tests --bin trials -- kill --trials 1000`

mod agent;
mod audit;
mod breach;
mod clock;
mod damage;
mod dice;
mod disk_full;
mod fail_point;
mod freeze;
mod judge;
mod kill;
mod kinds;
mod load;
mod log_lost;
mod mount;
mod power;
mod run;
mod scene;
mod segments;
mod sync;
mod term;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::PossibleValue;
use kinds::Kind;
use run::Plan;

/// Does terrible things to burst-agent, and looks at what becomes of both sides.
#[derive(Debug, clap::Parser)]
#[command(name = "trials")]
struct Args {
    /// The program; without it the one beside this one.
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// The program with fail points; without it `burst-agent-fail-points` beside the other one.
    #[arg(long, value_name = "PATH")]
    fail_point_agent: Option<PathBuf>,
    /// Everything that is left to chance follows from it, but for what the machine does.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only this one of the worlds that share the trials, as a breach names it.
    #[arg(long, value_name = "N")]
    life: Option<u32>,
    /// How many trials of each kind; without it a few, and none of those that take long.
    #[arg(long, value_name = "N")]
    trials: Option<u32>,
    /// What is done to the program.
    #[arg(value_enum)]
    what: What,
}

/// One kind of trials, or all.
#[derive(Clone, Copy, Debug)]
enum What {
    All,
    One(Kind),
}

impl clap::ValueEnum for What {
    fn value_variants<'a>() -> &'a [What] {
        const VARIANTS: [What; Kind::ALL.len() + 1] = {
            let mut variants = [What::All; Kind::ALL.len() + 1];
            let mut place = 0;
            while place < Kind::ALL.len() {
                variants[place] = What::One(Kind::ALL[place].0);
                place += 1;
            }
            variants
        };
        &VARIANTS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            What::All => Some(PossibleValue::new("all").help("Some of every kind, in a few minutes")),
            What::One(kind) => kind.to_possible_value(),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join("burst-agent")));
    let agent = args.agent.or(beside).unwrap_or_else(|| "burst-agent".into());
    let armed = args.fail_point_agent.unwrap_or_else(|| agent.with_file_name("burst-agent-fail-points"));
    let plan = Plan { agent, fail_point_agent: armed, seed: args.seed, life: args.life };
    let kinds = match args.what {
        What::All => Kind::ALL.map(|(kind, ..)| kind).to_vec(),
        What::One(kind) => vec![kind],
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a process that cannot start threads cannot go on");
    let all_held = runtime.block_on(async {
        let mut all_held = true;
        for kind in kinds {
            match args.trials.unwrap_or(kind.short()) {
                0 => println!("{}: not in a short run", kind.name()),
                trials => all_held &= run::run(&plan, kind, trials).await,
            }
        }
        all_held
    });
    if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
