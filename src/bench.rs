//! `burst-agent bench`: the load test. What it does is in `bench::load`; here its options are read and its
//! reports written.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use bench::load::{self, Measurements, Options, html, table};

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
    let written = options(&args).and_then(|options| {
        let measured = runtime().block_on(async { load::run(&options, stop_on_signal()).await });
        write(&args, &measured.map_err(|error| error.to_string())?)
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("burst-agent: the load test failed: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn options(args: &BenchArgs) -> Result<Options, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    Ok(Options {
        program,
        pods: args.pods,
        rate: args.rate,
        delete_after_s: args.delete_after_s,
        seed: args.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0),
        timeout_s: args.timeout_s,
        cloud_latency_ms: args.cloud_latency_ms,
        cloud_rate_limit: args.cloud_rate_limit,
        pod_start_ms: args.pod_start_ms,
        faults: args.faults.clone(),
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
    let table = table::render(&measurements.report);
    match std::io::stdout().write_all(table.as_bytes()) {
        Ok(()) => Ok(()),
        // The reader has seen enough, such as `head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(format!("cannot write the table: {error}")),
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
