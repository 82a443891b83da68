//! Every log that the agents of a life leave, cut after every record: an agent that starts on what is before the cut
//! goes on as the one did that was not cut.
//!
//! `CUTS=300 cargo test --release -p replay-tests --test cuts` cuts the logs of so many lives.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use replay_tests::sim::{Broken, Cuts, Schedule, cut_everywhere};

/// That of the agent itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Lives in a test run, and how many steps they have: without optimization a whole one takes three seconds.
const LIVES: u64 = 24;
const STEPS: usize = 400;

/// How many lives are lived, and how long they are.
fn wanted() -> (u64, usize) {
    let lives = std::env::var("CUTS").ok();
    let lives = lives.map(|text| text.parse().unwrap_or_else(|_| panic!("CUTS={text} is no number")));
    lives.map_or((LIVES, STEPS), |lives| (lives, usize::MAX))
}

#[test]
fn every_cut_of_every_log_of_a_life_leads_to_the_same_state() {
    let (lives, steps) = wanted();
    let (next, found) = (AtomicU64::new(0), Mutex::new((Cuts::default(), Vec::<(u64, Broken)>::new())));
    let cut = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < lives) {
            let mut schedule = Schedule::of(seed);
            schedule.choices.truncate(steps);
            let cuts = cut_everywhere(&schedule);
            let mut found = found.lock().expect("no thread panics with it");
            match cuts {
                Ok(cuts) => {
                    found.0.logs += cuts.logs;
                    found.0.cuts += cuts.cuts;
                }
                Err(broken) => found.1.push((seed, broken)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(cut);
        }
    });
    let (cuts, broken) = found.into_inner().expect("no thread panics with it");
    println!("{} lives: {} cuts of {} logs", lives, cuts.cuts, cuts.logs);
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(cuts.logs > lives, "logs are lost in these lives");
}
