//! `burst-agent replay`: folds a recorded log through the reducer again, compares what is decided with what
//! was decided, and tells what happened. It reaches out to nothing but, on demand, the agent that has the log.

mod agent;
mod check;
mod error;
mod gap;
mod line;
mod pass;
mod source;
mod story;
mod summary;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, BufWriter, ErrorKind, IsTerminal};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::replay::{PodSelector, ReplayArgs};
use error::Error;
use pass::{Ended, Pass};
use source::Source;

/// How much of what is told is written at a time.
const OUT_BYTES: usize = 64 * 1024;

/// Runs the command. Ends with 0 when every decision is as in the log, and with 1 when one is not or the log is
/// damaged; the reason is then the last line on standard error.
pub fn run(args: ReplayArgs) -> ExitCode {
    match replay(&args).and_then(|ended| report(&args, &ended)) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, such as `head`.
        Err(Error::Write(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("burst-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn replay(args: &ReplayArgs) -> Result<Ended, Error> {
    let source = match (&args.log, &args.from_agent) {
        (Some(directory), _) => Source::directory(directory)?,
        (None, Some(url)) => Source::agent(url)?,
        (None, None) => unreachable!("the command line asks for one of them"),
    };
    if args.verify {
        source.remarks().iter().for_each(|remark| eprintln!("burst-agent: {remark}"));
    }
    let progress = progress_bar(args, source.total_bytes);
    let out = BufWriter::with_capacity(OUT_BYTES, io::stdout().lock());
    let ended = Pass::new(args, source, out).run(|bytes| progress.inc(bytes));
    progress.finish_and_clear();
    ended
}

/// Says on standard error what is not part of the answer.
fn report(args: &ReplayArgs, ended: &Ended) -> Result<(), Error> {
    let summary = &ended.summary;
    if let (Some(pod), true) = (&args.pod, ended.silent) {
        let pod = match pod {
            PodSelector::Name { namespace, name } => format!("{namespace}/{name}"),
            PodSelector::Uid(uid) => uid.to_string(),
        };
        let after = summary.from_snapshot.map(|seq| format!(" after #{seq}")).unwrap_or_default();
        eprintln!("burst-agent: no record{after} is about the pod {pod}");
    }
    let mut gaps: Vec<Error> = summary.gaps.iter().cloned().map(Error::Gap).collect();
    let differs = summary.difference.clone();
    let differs = differs.map(|difference| Error::Differs { difference, sections: args.verify });
    if let Some(error) = differs.or_else(|| gaps.pop()) {
        gaps.iter().for_each(|gap| eprintln!("burst-agent: {gap}"));
        return Err(error);
    }
    if args.verify && (args.pod.is_some() || args.effects) {
        eprintln!(
            "burst-agent: {} records verified: the decisions of {} frames and the state at {} marks are the log's",
            summary.records, summary.frames_compared, summary.states_compared
        );
    }
    Ok(())
}

/// A bar, where somebody sees it and it does not write into what is told.
fn progress_bar(args: &ReplayArgs, total_bytes: Option<u64>) -> ProgressBar {
    let tells = args.pod.is_some() || args.effects;
    if args.no_progress || !io::stderr().is_terminal() || (tells && io::stdout().is_terminal()) {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total_bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:40} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {binary_bytes}, {binary_bytes_per_sec}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is sound"))
}
