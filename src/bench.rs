//! `burst-agent bench`: the load test. What it does is in `bench::load`; here its options are read and its
//! reports written.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench::load::kubelet::{self, KubeletOptions, KubeletReport};
use bench::load::{self, Measurements, Options, html, table};

use crate::args::EXIT_USAGE;
use crate::args::bench::BenchArgs;
use crate::config::Durability;
use crate::run::stop_on_signal;
use crate::runtime::runtime;
use crate::telemetry;

/// Runs the load test and writes its reports.
pub fn run(args: BenchArgs) -> ExitCode {
    if let Err(error) = telemetry::start(args.logging.log_format, &args.logging.log_level) {
        eprintln!("burst-agent: {error}");
        return ExitCode::FAILURE;
    }
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(reason)) => {
            eprintln!("burst-agent: {reason}");
            ExitCode::from(EXIT_USAGE)
        }
        Err(Failure::Run(reason)) => {
            eprintln!("burst-agent: the load test failed: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Why there are no figures.
enum Failure {
    /// An option is wrong.
    Usage(String),
    /// The run went wrong.
    Run(String),
}

fn measure(args: &BenchArgs) -> Result<(), Failure> {
    check_reports(args).map_err(Failure::Usage)?;
    if args.kubelet.kubelet_api {
        let options = kubelet_options(args).map_err(Failure::Run)?;
        let report = runtime().block_on(async { kubelet::run(&options, stop_on_signal()).await })?;
        return write_kubelet(args, &report).map_err(Failure::Run);
    }
    let options = options(args).map_err(Failure::Run)?;
    let measurements = runtime().block_on(async { load::run(&options, stop_on_signal()).await })?;
    write(args, &measurements).map_err(Failure::Run)
}

impl From<load::Error> for Failure {
    fn from(error: load::Error) -> Failure {
        if error.is_usage() { Failure::Usage(error.to_string()) } else { Failure::Run(error.to_string()) }
    }
}

/// That the reports will have a place: nobody wants to learn it after the run.
fn check_reports(args: &BenchArgs) -> Result<(), String> {
    for (option, path) in [("--json", &args.json), ("--html", &args.html)] {
        let Some(path) = path else { continue };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if path.is_dir() || !directory.unwrap_or(Path::new(".")).is_dir() {
            return Err(format!("{option} {}: give a file in a directory that is there", path.display()));
        }
    }
    Ok(())
}

fn program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))
}

fn seed(args: &BenchArgs) -> u64 {
    args.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}

/// How often the big log is read each way: the read in the middle counts.
const LOG_READS: u32 = 3;

fn kubelet_options(args: &BenchArgs) -> Result<KubeletOptions, String> {
    let kubelet = &args.kubelet;
    Ok(KubeletOptions {
        program: program()?,
        log_bytes: u64::from(kubelet.log_mib) << 20,
        log_reads: LOG_READS,
        stalled_logs: kubelet.stalled_logs,
        exec_round_trips: kubelet.round_trips,
        follows: kubelet.follows,
        execs: kubelet.execs,
        connections: kubelet.connections,
        requests: kubelet.requests,
        seed: seed(args),
        agent_arguments: args.agent_arg.clone(),
    })
}

fn options(args: &BenchArgs) -> Result<Options, String> {
    Ok(Options {
        program: program()?,
        pods: args.pods,
        rate: args.rate,
        delete_after_s: args.delete_after_s,
        seed: seed(args),
        timeout_s: args.timeout_s,
        cloud_latency_ms: args.cloud_latency_ms,
        cloud_rate_limit: args.cloud_rate_limit,
        pod_start_ms: args.pod_start_ms,
        faults: args.faults.as_ref().map(ToString::to_string),
        kubeconfig: args.kubeconfig.clone(),
        namespace: args.namespace.clone(),
        log_directory: args.log_dir.clone(),
        durability: match args.durability {
            Durability::Power => store::Durability::Power,
            Durability::Process => store::Durability::Process,
        },
        agent_arguments: args.agent_arg.clone(),
        progress: true,
    })
}

/// The table goes to the terminal, the rest to the files that were asked for.
fn write(args: &BenchArgs, measurements: &Measurements) -> Result<(), String> {
    if let Some(path) = &args.json {
        write_file(path, &measurements.report.to_json())?;
    }
    if let Some(path) = &args.html {
        write_file(path, &html::render(measurements))?;
    }
    print(&table::render(&measurements.report))
}

fn write_kubelet(args: &BenchArgs, report: &KubeletReport) -> Result<(), String> {
    if let Some(path) = &args.json {
        write_file(path, &report.to_json())?;
    }
    print(&report.to_text())
}

fn print(text: &str) -> Result<(), String> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        // The reader has seen enough, such as `head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(format!("cannot write the table: {error}")),
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use crate::args::{self, Command};

    use super::*;

    fn checked(arguments: &[&str]) -> Result<(), String> {
        let typed = ["burst-agent", "bench"].iter().chain(arguments).map(Into::into);
        let parsed = args::parse(typed, &Default::default()).unwrap();
        let Command::Bench(args) = parsed.command else { panic!("{:?}", parsed.command) };
        check_reports(&args)
    }

    #[test]
    fn a_report_without_a_place_is_refused_before_the_run() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("report.json");
        assert_eq!(checked(&["--json", inside.to_str().unwrap()]), Ok(()));
        assert_eq!(checked(&["--html", "report.html"]), Ok(()));
        let missing = directory.path().join("missing/report.html");
        assert!(checked(&["--html", missing.to_str().unwrap()]).unwrap_err().starts_with("--html "));
        assert!(checked(&["--json", directory.path().to_str().unwrap()]).unwrap_err().starts_with("--json "));
    }
}
