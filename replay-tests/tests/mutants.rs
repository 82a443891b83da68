//! The judge judged: every deliberate fault of `engine::mutant` has to be caught by lives of the simulator, or else by
//! the sweep, and without a fault the same lives have to pass.
//!
//! ```sh
//! cargo test --release -p replay-tests --features mutants --test mutants -- --nocapture
//! ```

#![cfg(feature = "mutants")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use engine::mutant::{Mutant, set};
use replay_tests::sim::live;
use replay_tests::sweep::{Share, Sweep};
use replay_tests::workload;

/// Lives in which a fault has to be caught; `SEEDS=50` asks for fewer.
const SEEDS: u64 = 1_000;

/// Lives that are lived at once.
const THREADS: usize = 2;

/// When no life has ended for so long, one goes on for ever: no thread can be stopped, but the process can.
const LIFE_MAX: Duration = Duration::from_secs(120);

static LIVES: AtomicU64 = AtomicU64::new(0);

/// Ends the process when lives do not.
fn watch(over: &Receiver<()>) {
    let mut lives = u64::MAX;
    while over.recv_timeout(LIFE_MAX) == Err(RecvTimeoutError::Timeout) {
        let ended = LIVES.load(Ordering::Relaxed);
        if ended == lives {
            eprintln!("a life does not end under the mutant behind the last one told");
            std::process::exit(1);
        }
        lives = ended;
    }
}

/// What the first life said that failed.
struct Caught {
    /// How many lives it took.
    seeds: u64,
    words: String,
}

/// What a life panicked with; a first line, at most so long.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    const CHARS_MAX: usize = 200;
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panics");
    text.lines().next().unwrap_or_default().chars().take(CHARS_MAX).collect()
}

/// Lives seeds from `first` on until one fails; the lowest of those that do.
fn first_failure(first: u64, seeds: u64) -> Option<Caught> {
    let next = AtomicU64::new(first);
    let found: Mutex<Option<Caught>> = Mutex::new(None);
    let is_found = AtomicBool::new(false);
    let lives = || {
        while !is_found.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let life = catch_unwind(|| drop(live(seed)));
            LIVES.fetch_add(1, Ordering::Relaxed);
            if let Err(panic) = life {
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                if found.as_ref().is_none_or(|found| seed < found.seeds) {
                    *found = Some(Caught { seeds: seed + 1, words: words(&*panic) });
                }
                is_found.store(true, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(lives)).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("panics are caught"));
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The first of so many lives that fails with a mutant and not without: what fails either way caught nothing.
fn caught(mutant: Mutant, seeds: u64) -> Option<Caught> {
    let mut first = 0;
    loop {
        set(Some(mutant));
        let failed = first_failure(first, seeds);
        set(None);
        let failed = failed?;
        if first_failure(failed.seeds - 1, failed.seeds).is_none() {
            return Some(failed);
        }
        first = failed.seeds;
    }
}

/// The first plan of the sweep that ends otherwise than the run without a fault and without a mutant. Every so many
/// plans are tried, and all with `SWEEP=all`.
fn swept(sweeps: &[Sweep], mutant: Mutant) -> Option<String> {
    const EVERY: u64 = 13;
    let every = if std::env::var_os("SWEEP").is_some_and(|sweep| sweep == "all") { 1 } else { EVERY };
    set(Some(mutant));
    let failure = sweeps.iter().find_map(|sweep| {
        let share = Share { index: 0, of: 1, every };
        match catch_unwind(AssertUnwindSafe(|| sweep.run(share))) {
            Ok(report) => report.failures.into_iter().next().map(|failure| failure.plan),
            Err(panic) => Some(format!("{}: {}", sweep.name(), words(&*panic))),
        }
    });
    set(None);
    LIVES.fetch_add(1, Ordering::Relaxed);
    failure
}

/// One test, because the switch is one for the process.
#[test]
fn every_mutant_is_caught() {
    let (_over, over) = channel();
    thread::spawn(move || watch(&over));
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let judged = catch_unwind(judge);
    std::panic::set_hook(told);
    if let Err(panic) = judged {
        panic!("{}", words(&*panic));
    }
}

fn judge() {
    let canary = caught(Mutant::Canary, 1).expect("the alarm is broken");
    assert_eq!(canary.seeds, 1, "the canary lives for {} lives", canary.seeds);

    let mutants = Mutant::ALL.iter().filter(|mutant| **mutant != Mutant::Canary);
    let named = std::env::var("MUTANT").ok();
    let seeds_max = std::env::var("SEEDS").map_or(SEEDS, |text| text.parse().expect("SEEDS is a number"));
    let mutants = mutants.filter(|mutant| {
        named.as_ref().is_none_or(|names| names.split(',').any(|name| format!("{mutant:?}") == name))
    });
    let sweeps: Vec<Sweep> = workload::all().into_iter().map(Sweep::of).collect();
    let (mut all, mut missed) = (0, Vec::new());
    let mut seeds: Vec<u64> = Vec::new();
    for mutant in mutants {
        all += 1;
        let how = if let Some(caught) = caught(*mutant, seeds_max) {
            seeds.push(caught.seeds);
            format!("{:>5}  {}", caught.seeds, caught.words)
        } else if let Some(plan) = swept(&sweeps, *mutant) {
            format!("sweep  {plan}")
        } else {
            missed.push(*mutant);
            "    -  not caught".to_owned()
        };
        println!("{:<24} {:<4} {how}", format!("{mutant:?}"), mutant.breaks());
    }
    let (found, most) = (all - missed.len(), seeds.iter().copied().max().unwrap_or(0));
    let mean = seeds.iter().sum::<u64>() as f64 / seeds.len().max(1) as f64;
    println!(
        "{found} of {all} mutants caught, {} of them by lives: {mean:.1} seeds in the mean, {most} at most",
        seeds.len()
    );

    // The seeds that it took are good ones: nothing is caught where nothing is wrong.
    if let Some(Caught { seeds, words }) = first_failure(0, most.max(100)) {
        panic!("without a mutant seed {} fails: {words}", seeds - 1);
    }
    assert!(missed.is_empty(), "not caught within {seeds_max} seeds: {missed:?}");
}
