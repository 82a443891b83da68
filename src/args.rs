//! The command line. Every subcommand has a struct of its own; whatever they hold has been checked.

pub mod bench;
pub mod completions;
pub mod demo;
pub mod explain;
pub mod replay;
pub mod run;
pub mod simulate;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

use crate::config::{self, ConfigError, Environment};

/// What the process ends with when it was called wrongly, as most tools do.
pub const EXIT_USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  burst-agent demo                          see it work: a simulated cluster, cloud and agent in one process
  burst-agent run --config agent.toml       serve a real cluster
  burst-agent replay /var/lib/burst-agent/log --pod shop/web-0
                                            tell what was done for a pod, and why
  burst-agent explain -f pod.yaml           would this pod run, in what size, and if not, why
  burst-agent bench --pods 1000             measure how fast both sides are kept in step

`burst-agent COMMAND --help` explains each command.";

/// Runs the pods of a virtual Kubernetes node in Huawei Cloud Container Instance (CCI).
///
/// The agent registers a virtual node in a Kubernetes cluster and runs the pods that are bound to that node
/// in CCI. Everything it learns is appended to a log before it acts on it, so that it survives crashes and
/// can tell afterwards what it did and why.
#[derive(Debug, Parser)]
#[command(name = "burst-agent", version, after_help = EXAMPLES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve a cluster: register the virtual node and run its pods in CCI.
    ///
    /// Registers a virtual node in a Kubernetes cluster and runs the pods that are bound to it in Huawei Cloud
    /// Container Instance (CCI): pods are created there, their status is brought back, and they are ended there
    /// when they are deleted in the cluster.
    Run(Box<run::RunArgs>),
    /// Read a log again: verify it, or tell the story of a pod.
    ///
    /// Replay folds a recorded log through the same reducer that wrote it. Neither the cluster nor the cloud
    /// sees anything of it, and the log is not changed.
    Replay(replay::ReplayArgs),
    /// Tell what would become of the pods in a file, without a cluster.
    ///
    /// A dry run of what the agent does with a pod: whether it is admitted, and if not by which rules and fields;
    /// what it asks for, what each container is given, what is billed, and what is sent to CCI. The file may hold
    /// Pods, Deployments, StatefulSets, Jobs, CronJobs, ReplicaSets and Lists, as many as it likes.
    Explain(explain::ExplainArgs),
    /// Measure the agent under load, against a simulated or a real cluster.
    ///
    /// The load test runs the real agent and measures how long it takes until a pod that was created in the
    /// cluster exists in the cloud, and until what the cloud says stands in the pod's status.
    Bench(bench::BenchArgs),
    /// Show the agent at work: a simulated cluster, a simulated CCI and the agent in one process.
    ///
    /// The demo needs nothing but this binary: it serves a simulated cluster and a simulated CCI on loopback,
    /// runs the agent against them and creates a few pods. `kubectl` works against it.
    Demo(demo::DemoArgs),
    /// Serve a simulated cluster and a simulated CCI, for an agent that runs elsewhere.
    ///
    /// They are those of the demo and of the load test, here for an agent in another process. They trust
    /// everybody who reaches them: do not open them to a network.
    Simulate(simulate::SimulateArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

/// Why the program ends before it has begun.
#[derive(Debug)]
pub enum Stop {
    /// Help was asked for, or the command line is malformed.
    CommandLine(clap::Error),
    /// Options have values that cannot be.
    Configuration(Vec<ConfigError>),
}

impl From<clap::Error> for Stop {
    fn from(error: clap::Error) -> Stop {
        Stop::CommandLine(error)
    }
}

impl From<Vec<ConfigError>> for Stop {
    fn from(errors: Vec<ConfigError>) -> Stop {
        Stop::Configuration(errors)
    }
}

impl Stop {
    /// Tells the person at the terminal, and what the process is to end with.
    pub fn report(&self) -> ExitCode {
        match self {
            Stop::CommandLine(error) => {
                if error.use_stderr() {
                    eprintln!("burst-agent: {}", one_line(&error.render().to_string()));
                    return ExitCode::from(EXIT_USAGE);
                }
                // A closed terminal is no reason to end differently.
                let _ = error.print();
                ExitCode::SUCCESS
            }
            Stop::Configuration(errors) => {
                errors.iter().for_each(|error| eprintln!("burst-agent: {error}"));
                ExitCode::from(EXIT_USAGE)
            }
        }
    }
}

/// What is wrong and the tip, without the usage: whatever collects lines keeps it together.
fn one_line(text: &str) -> String {
    let told = text.split("\n\n").filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
    let words = told.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let line = words.collect::<Vec<_>>().join("; ");
    format!("{}; --help says more", line.trim_start_matches("error: ").trim_end_matches("; "))
}

/// Reads the command line; for `run` also the environment and the configuration file, which stand in for
/// the flags that were not given.
///
/// # Errors
/// Everything that is wrong with the options, or the help that was asked for.
pub fn parse(argv: impl IntoIterator<Item = OsString>, environment: &Environment) -> Result<Args, Stop> {
    let argv: Vec<OsString> = argv.into_iter().collect();
    config::refuse_credential_flags(&Args::command(), &argv)?;

    let matches = match loose_command().try_get_matches_from(&argv) {
        Ok(matches) => matches,
        // The loose command knows no bounds and defaults, so that help comes from the strict one.
        Err(error) if !error.use_stderr() => {
            return Err(Args::try_parse_from(&argv).err().unwrap_or(error).into());
        }
        Err(error) => return Err(error.into()),
    };
    let Some((run::NAME, given)) = matches.subcommand() else {
        return Ok(Args::from_arg_matches(&matches)?);
    };

    let settings = config::resolve(&run::command(), given, environment)?;
    let flags = settings.flags();
    let argv = ["burst-agent", run::NAME].into_iter().map(String::from).chain(flags);
    let mut args = Args::try_parse_from(argv)?;
    if let Command::Run(run) = &mut args.command {
        run.settings = settings;
    }
    Ok(args)
}

/// The command line with the options of `run` taken as they come: what they mean is found out only when the
/// environment and the file have been asked, and then all mistakes are told at once.
fn loose_command() -> clap::Command {
    Args::command().mut_subcommand(run::NAME, |run| {
        run.mut_args(|arg| {
            if matches!(arg.get_action(), ArgAction::Set) {
                return arg.required(false).value_parser(clap::value_parser!(OsString));
            }
            arg
        })
    })
}
