//! Runs the trials of a kind, counts, and says what was breached.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench::world::cloud::FaultRules;

use crate::breach::{Breach, Result, Sort};
use crate::dice::Dice;
use crate::kinds::Kind;
use crate::load::Traffic;
use crate::scene::Scene;
use crate::world::Weather;

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program.
    pub agent: PathBuf,
    /// The same program with fail points, if there is one.
    pub fail_point_agent: PathBuf,
    /// What everything left to chance follows from.
    pub seed: u64,
    /// Only this one of the worlds that share the trials.
    pub life: Option<u32>,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<String, u64>,
    times: BTreeMap<&'static str, Vec<Duration>>,
    breaches: BTreeMap<Sort, u64>,
}

impl Tally {
    /// So many more.
    pub fn add(&mut self, what: impl Into<String>, count: u64) {
        *self.counts.entry(what.into()).or_default() += count;
    }

    /// One time more.
    pub fn took(&mut self, what: &'static str, time: Duration) {
        self.times.entry(what).or_default().push(time);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> =
            self.counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
        for (what, times) in &self.times {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64();
            parts.push(format!("{what} p50 {:.2} s, p99 {:.2} s, max {:.2} s", at(50), at(99), at(100)));
        }
        for (sort, name) in Sort::ALL {
            parts.push(format!("{name} {}", self.breaches.get(&sort).unwrap_or(&0)));
        }
        f.write_str(&parts.join(", "))
    }
}

/// Runs so many trials of a kind; true when nothing was breached.
pub async fn run(plan: &Plan, kind: Kind, trials: u32) -> bool {
    let name = kind.name();
    match kind.missing(plan) {
        Ok(None) => {}
        Ok(Some(why)) => {
            println!("{name}: skipped: {why}");
            return true;
        }
        Err(breach) => {
            println!("BREACH {name}: {breach}");
            return false;
        }
    }
    let (start, mut tally) = (Instant::now(), Tally::default());
    let mut done = 0;
    for life in 0.. {
        let count = kind.trials_a_life().min(trials - done);
        if count == 0 {
            break;
        }
        if plan.life.is_none_or(|only| only == life) {
            live(plan, kind, life, done..done + count, &mut tally).await;
        }
        done += count;
    }
    let seconds = start.elapsed().as_secs();
    println!("{name}: trials {trials}, {tally}; {seconds} s, seed {}", plan.seed);
    tally.breaches.is_empty()
}

/// The trials that share a world.
async fn live(plan: &Plan, kind: Kind, life: u32, trials: std::ops::Range<u32>, tally: &mut Tally) {
    let name = kind.name();
    let told =
        format!("{name}: trials {} to {} (life {life}, seed {})", trials.start + 1, trials.end, plan.seed);
    let mut dice = Dice::new(plan.seed, life);
    let mut weather = weather(&mut dice);
    let start = kind.prepare(plan, &mut weather, &mut dice);
    let traffic = Traffic { changes_per_s: 20 + dice.below(80), names: 20 + dice.below(60) };
    let mut scene = match Scene::new(dice, start, &weather, traffic).await {
        Ok(scene) => scene,
        Err(breach) => return report(&told, &breach, None, tally),
    };
    let lived = kind.live(&mut scene, trials.end - trials.start, tally).await;
    tally.add("pods", scene.load.book.lock().endings.len() as u64);
    tally.add("bodies", scene.judge.deeds().created.len() as u64);
    match lived.and_then(|()| scene.check()) {
        Ok(()) => eprintln!("{told}: {tally}"),
        Err(breach) => report(&told, &breach, Some(scene), tally),
    }
}

fn report(told: &str, breach: &Breach, scene: Option<Scene>, tally: &mut Tally) {
    *tally.breaches.entry(breach.sort).or_default() += 1;
    let kept = match scene {
        Some(scene) => {
            let start = scene.starts();
            format!(
                "start {start}; its log, and what each start said, are kept in {}",
                scene.keep().display()
            )
        }
        None => "nothing was kept".to_owned(),
    };
    println!("BREACH {told}: {breach}; {kept}");
}

/// What may go wrong in the cloud, in how many of a thousand calls at most, and for how often if not for ever. All
/// of it leaves the agent able to find out; answers that come ten minutes late are the simulator's, which has the
/// time. A second token that is refused within a minute is not replaced before that is over, on purpose.
const FAULTS: [(&str, u64, &str); 9] = [
    ("throttle", 50, ""),
    ("error-before", 50, ""),
    ("error-after", 50, ""),
    ("timeout-before", 30, ""),
    ("timeout-after", 30, ""),
    ("cut-list", 30, ""),
    ("html", 20, ""),
    ("truncated", 20, ""),
    ("token-expired", 10, "*1"),
];

/// Half of the faults, each as often as chance wants it.
fn weather(dice: &mut Dice) -> Weather {
    let mut rules = Vec::new();
    for (fault, most, limit) in FAULTS {
        if dice.happens(50) {
            rules.push(format!("{fault}={}{limit}", dice.below(most) as f64 / 1_000.0));
        }
    }
    let faults: FaultRules = rules.join(",").parse().expect("the rules are written as they are read");
    Weather {
        cloud_latency_ms: *dice.pick(&[0, 5, 50, 200]),
        cluster_latency_ms: *dice.pick(&[0, 0, 5, 50]),
        timeout_ms: 500,
        faults,
    }
}

/// What a life comes to.
pub type Lived = Result<()>;
