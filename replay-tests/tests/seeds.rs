//! Lives in which everything goes wrong, each repeated by its seed: `SEED=17 cargo test -p replay-tests --test
//! seeds one_seed -- --nocapture` tells what happened.

use std::panic::catch_unwind;

use replay_tests::sim::live;

/// Lives in a test run; `SEEDS=100000` asks for more.
const SEEDS: u64 = 2_000;

/// Seeds that once found something.
const FOUND: [u64; 0] = [];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn a_seed_is_one_life() {
    for seed in 0..20 {
        assert_eq!(live(seed), live(seed), "seed {seed}");
    }
}

#[test]
fn every_seed_keeps_the_invariants_and_comes_to_rest() {
    let failed: Vec<u64> = FOUND
        .into_iter()
        .chain(0..number("SEEDS").unwrap_or(SEEDS))
        .filter(|seed| catch_unwind(|| live(*seed)).is_err())
        .collect();
    assert!(
        failed.is_empty(),
        "{} seeds fail, the first of them {:?}",
        failed.len(),
        &failed[..failed.len().min(9)]
    );
}

#[test]
fn one_seed() {
    let life = live(number("SEED").unwrap_or(0));
    println!("{}", life.history.join("\n"));
    assert!(life.history.len() > 50, "much happens in a life");
}
