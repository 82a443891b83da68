//! Lives in which everything goes wrong, each repeated by its seed.
//!
//! ```sh
//! SEEDS=100000 cargo test --release -p replay-tests --test seeds every_seed     # so many lives
//! SEED=17 cargo test -p replay-tests --test seeds one_seed -- --nocapture       # what happens in one of them
//! ```
//!
//! `FIRST=` begins with another seed than 0, `THREADS=` takes another number than two.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use replay_tests::sim::{Broken, Failure, Fault, Lived, Schedule, outcome, tell};
use store::{Reader, STATE_VERSION};

/// That of the agent itself: lives are made of a great many small things.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Lives in a test run.
const SEEDS: u64 = 200;

/// Seeds that once found something. What others found before the lives were drawn as now has tests by name in
/// `engine/tests/lifecycle` and in the mirrors of `adapters`.
const FOUND: [u64; 47] = [
    37, 78, 109, 263, 283, 543, 618, 711, 969, 1_571, 2_646, 2_837, 8_980, 16_258, 18_075, 36_488, 39_950,
    55_461, 63_939, 71_491, 72_560, 110_623, 112_497, 136_612, 140_692, 142_444, 155_878, 207_377, 209_570,
    219_915, 237_136, 238_917, 273_311, 308_783, 309_441, 379_111, 434_660, 10_023_124, 10_079_403,
    20_001_201, 20_015_287, 40_683_987, 40_777_441, 40_874_564, 7_348, 8_929, 90_007_938,
];

/// Time to make a failing life short.
const PATIENCE: Duration = Duration::from_secs(60);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// An empty directory for the log of a failing life.
fn place_for(seed: u64) -> PathBuf {
    let place =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{seed}-{}", std::process::id()));
    // Nothing is there but after a run of the same number.
    let _ = std::fs::remove_dir_all(&place);
    place
}

fn commit() -> String {
    let git = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let text = git.ok().filter(|git| git.status.success()).map(|git| git.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// Tells everything of a failure, and leaves its log.
fn report(schedule: &Schedule, broken: &Broken) {
    match Failure::of(schedule, broken, PATIENCE, &place_for(schedule.seed)) {
        Ok(failure) => eprintln!("{failure}\ncommit {}", commit()),
        Err(error) => eprintln!("seed {}: {broken:?}; its log cannot be written: {error}", schedule.seed),
    }
}

/// What many lives came to.
#[derive(Default)]
struct Sum {
    lives: u64,
    starts: u64,
    pods: u64,
    entries: u64,
    wait_ms: u64,
    struck: Vec<u64>,
    failed: BTreeMap<u64, Broken>,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: Result<Lived, Broken>) {
        self.lives += 1;
        match outcome {
            Ok(lived) => {
                self.starts += lived.starts;
                self.pods += lived.pods_most as u64;
                self.entries += lived.history.len() as u64;
                self.wait_ms = self.wait_ms.max(lived.wait_ms);
                self.struck.resize(lived.struck.len(), 0);
                self.struck.iter_mut().zip(&lived.struck).for_each(|(sum, one)| *sum += u64::from(*one > 0));
            }
            Err(broken) => drop(self.failed.insert(seed, broken)),
        }
    }

    fn print(&self, took: Duration) {
        let each = |sum: u64| sum as f64 / self.lives as f64;
        println!(
            "{} lives, {:.0} a second; each with {:.1} starts, up to {:.0} pods at once, {:.0} boundaries; longest \
             wait that the faults left {} s",
            self.lives,
            self.lives as f64 / took.as_secs_f64(),
            each(self.starts),
            each(self.pods),
            each(self.entries),
            self.wait_ms / 1_000,
        );
        for (fault, lives) in Fault::ALL.iter().zip(&self.struck) {
            println!("{:>5.1} % of lives: {fault:?} (rows {})", 100.0 * each(*lives), fault.rows());
        }
    }
}

fn live_all(seeds: impl IntoIterator<Item = u64>) -> Sum {
    let seeds: Vec<u64> = seeds.into_iter().collect();
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..number("THREADS").unwrap_or(2) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let lived = outcome(&Schedule::of(*seed));
                    sum.lock().unwrap_or_else(PoisonError::into_inner).add(*seed, lived);
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_seed_keeps_the_invariants_and_comes_to_rest() {
    let first = number("FIRST").unwrap_or(0);
    let began = Instant::now();
    let sum = live_all(FOUND.into_iter().chain(first..first + number("SEEDS").unwrap_or(SEEDS)));
    sum.print(began.elapsed());
    let some: Vec<_> = sum.failed.iter().take(20).collect();
    if let Some((seed, broken)) = sum.failed.first_key_value() {
        report(&Schedule::of(*seed), broken);
    }
    assert!(sum.failed.is_empty(), "{} lives fail: {some:#?}", sum.failed.len());
}

#[test]
fn the_same_seed_is_the_same_life_to_the_last_byte() {
    for seed in 0..10 {
        let (first, second) = (outcome(&Schedule::of(seed)), outcome(&Schedule::of(seed)));
        assert!(first == second, "seed {seed}: history or snapshot differ");
    }
}

#[test]
fn every_fault_strikes() {
    let sum = live_all(0..200);
    let never: Vec<_> = Fault::ALL.iter().zip(&sum.struck).filter(|(_, lives)| **lives == 0).collect();
    assert!(never.is_empty(), "{never:?}");
}

/// A life in which something still runs when the faults are over, so that it can vanish.
const CANARY: u64 = 5;

/// The canary: a body vanishes for which nothing is to blame. If nobody notices, the silence of the others means
/// nothing.
#[test]
fn a_life_that_must_fail_fails_and_is_told_short_with_a_log_that_the_product_reads() {
    let schedule = Schedule { canary: true, ..Schedule::of(CANARY) };
    let broken = outcome(&schedule).expect_err("the alarm works");
    assert_eq!(broken.invariant, "L1", "{}", broken.detail);
    let failure =
        Failure::of(&schedule, &broken, PATIENCE, &place_for(CANARY)).expect("the log can be written");
    assert_eq!(failure.broken.invariant, "L1");
    assert!(failure.steps.1 < 100, "{:?} steps", failure.steps);
    let reader = Reader::open(&failure.log).expect("the log is there");
    let start = reader.start::<engine::State>(engine::Seq(0), STATE_VERSION).expect("it can be read");
    let start = start.expect("there is a beginning");
    assert!(start.lost.is_empty() && reader.last().0 > 10, "the log ends at {}", reader.last());
    assert!(reader.frames().all(|frame| frame.is_ok()));
}

/// What happens in the life of one seed.
#[test]
fn one_seed() {
    let schedule = Schedule::of(number("SEED").unwrap_or(0));
    let told = tell(&schedule);
    println!("{}", told.story);
    assert!(told.records.len() > 50, "much happens in a life");
    if let Err(broken) = &told.lived {
        report(&schedule, broken);
        panic!("seed {}: {}: {}", schedule.seed, broken.invariant, broken.detail);
    }
}
