//! Makes a failing life short: choices and faults are taken out for as long as the same invariant still breaks.

use std::time::{Duration, Instant};

use super::check::Broken;
use super::fault::Fault;
use super::outcome;
use super::schedule::{Choice, Schedule};

/// The shortest life found in `patience` that breaks the same invariant as `schedule` does.
#[must_use]
pub fn shrink(schedule: &Schedule, broken: &Broken, patience: Duration) -> Schedule {
    let until = Instant::now() + patience;
    let fails =
        |candidate: &Schedule| outcome(candidate).is_err_and(|other| other.invariant == broken.invariant);
    let mut best = schedule.clone();
    let mut parts = 2;
    while Instant::now() < until && !best.choices.is_empty() {
        match without_a_part(&best, parts, until, &fails) {
            Some(shorter) => {
                best = shorter;
                parts = (parts - 1).max(2);
            }
            None if parts >= best.choices.len() => break,
            None => parts = (2 * parts).min(best.choices.len()),
        }
    }
    for fault in Fault::ALL {
        let mut candidate = best.clone();
        candidate.faults.without(*fault);
        if best.faults.has(*fault) && Instant::now() < until && fails(&candidate) {
            best = candidate;
        }
    }
    best
}

/// Takes one of so many parts of the choices out, the last one first: what comes after the breach goes at once.
fn without_a_part(
    best: &Schedule,
    parts: usize,
    until: Instant,
    fails: &impl Fn(&Schedule) -> bool,
) -> Option<Schedule> {
    let length = best.choices.len().div_ceil(parts);
    for start in (0..best.choices.len()).step_by(length).collect::<Vec<_>>().into_iter().rev() {
        let end = (start + length).min(best.choices.len());
        let choices: Vec<Choice> = [&best.choices[..start], &best.choices[end..]].concat();
        let candidate = Schedule { choices, ..best.clone() };
        if fails(&candidate) {
            return Some(candidate);
        }
        if Instant::now() > until {
            return None;
        }
    }
    None
}
