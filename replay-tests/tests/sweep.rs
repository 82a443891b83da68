//! Every fault at every place of every reference workload.
//!
//! `SWEEP=all cargo test --release -p replay-tests --test sweep` runs all plans; without it, each thirteenth of them.
//! `PLAN=same-name-replace/crash/after-send/1/applied/log-lost cargo test -p replay-tests --test sweep one_plan --
//! --nocapture` tells what happens in one of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use replay_tests::sweep::{Report, Share, Stage, Sweep, Twist};
use replay_tests::workload::{Act, LogFate, Runs, Step, When, Workload};
use replay_tests::{replay, workload};

/// Of so many plans one is run, unless all are asked for.
const EVERY: u64 = 13;
/// Shares of a workload, so that no thread is left with the longest one alone.
const SHARES: u64 = 8;
/// Failures that are told of.
const FAILURES_TOLD: usize = 40;

fn every() -> u64 {
    if std::env::var_os("SWEEP").is_some_and(|sweep| sweep == "all") { 1 } else { EVERY }
}

/// Runs the plans of all workloads on all cores; reports by the workload's place.
fn run_all(sweeps: &[Sweep], every: u64) -> BTreeMap<usize, Report> {
    let jobs: Vec<(usize, u64)> =
        (0..sweeps.len()).flat_map(|sweep| (0..SHARES).map(move |index| (sweep, index))).collect();
    let next = AtomicUsize::new(0);
    let reports: Mutex<BTreeMap<usize, Report>> = Mutex::default();
    let work = || {
        while let Some((sweep, index)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = sweeps[*sweep].run(Share { index: *index, of: SHARES, every });
            reports.lock().expect("no thread panics with it").entry(*sweep).or_default().add(report);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    reports.into_inner().expect("no thread panics with it")
}

#[test]
fn every_fault_at_every_place_comes_to_the_same_end() {
    let sweeps: Vec<Sweep> = workload::all().into_iter().map(Sweep::of).collect();
    let mut all = Report::default();
    for (sweep, report) in run_all(&sweeps, every()) {
        println!("{:<22} {report}", sweeps[sweep].name());
        all.add(report);
    }
    println!("{:<22} {all}", "all");
    for failure in all.failures.iter().take(FAILURES_TOLD) {
        println!("PLAN={}: {}", failure.plan, failure.wrong.join("; "));
    }
    assert!(all.failures.is_empty(), "{} plans fail", all.failures.len());
}

/// Cuts of a history that are tried, unless all are asked for.
const CUTS: usize = 24;

/// Recovering from any first part of a log and applying the rest leads to where the whole log leads; so it does from
/// a snapshot taken at the cut.
#[test]
fn every_cut_of_every_history_leads_to_the_same_state() {
    for workload in workload::all() {
        let name = workload.name;
        let histories = Sweep::of(workload).histories().expect("memory works");
        let frames: Vec<usize> = histories.iter().map(Vec::len).collect();
        println!("{name:<22} {frames:?} frames");
        for history in histories {
            let step = if every() == 1 { 1 } else { history.len() / CUTS + 1 };
            let checked = replay::check_cuts(&history, (0..=history.len()).step_by(step));
            checked.unwrap_or_else(|difference| panic!("{name}: {difference}"));
        }
    }
}

/// The alarm works: where no agent could know better, the second body is noticed. The cloud loses a pod before
/// anybody was told that it had run, and the log is lost with it.
#[test]
fn a_second_body_is_noticed() {
    let pod = || "web#1".to_owned();
    let step = |when, act| Step { when, act };
    let steps = vec![
        step(When::Ms(100), Act::Bind { pod: pod(), runs: Runs::UntilTold { stop_s: 1 } }),
        step(When::Made(pod()), Act::Stop),
        step(When::Ms(10), Act::Lose(pod())),
        step(When::Ms(10), Act::Start { log: LogFate::Lost }),
    ];
    let workload = Workload { name: "canary", steps, alike: false };
    let ended = Stage::new(&Arc::new(workload), Twist::None, true).run(&mut |_, _| {});
    assert_eq!(ended.breaches, ["S1: web#1 is made for the 2. time"]);
}

#[test]
fn one_plan() {
    let name =
        std::env::var("PLAN").unwrap_or_else(|_| "create/crash/after-send/0/applied/log-lost".to_owned());
    let (workload, _) = name.split_once('/').expect("a plan is workload/kind/…");
    let found = workload::all().into_iter().find(|one| one.name == workload);
    let sweep = Sweep::of(found.expect("there is such a workload"));
    let report = sweep.run_one(&name);
    assert_eq!(report.history, sweep.run_one(&name).history, "a plan is one history");
    println!("{}", report.history.join("\n"));
    assert_eq!(report.plans.values().sum::<u64>(), 1, "there is one plan of the name {name}");
    for failure in &report.failures {
        println!("PLAN={}: {}", failure.plan, failure.wrong.join("; "));
    }
    assert!(report.failures.is_empty());
}
