//! Every plan of a workload, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use store::{Frame, MachineError};

use super::cluster::{Author, Cluster};
use super::judge::judge;
use super::old::Old;
use super::plan::{Crash, Fault, Plan};
use super::stage::{CallFate, Death, Ended, Place, Stage, Twist};
use super::twice::{self, Twice};
use crate::workload::{LogFate, Workload};

/// Which plans are run: each `every`th, and of these each `of`th from `index` on.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The first.
    pub index: u64,
    /// How many shares there are.
    pub of: u64,
    /// 1 for all plans.
    pub every: u64,
}

/// A plan that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its name.
    pub plan: String,
    /// What is wrong.
    pub wrong: Vec<String>,
}

/// What became of a share.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Plans that were run, by kind.
    pub plans: BTreeMap<&'static str, u64>,
    /// The most polls that one of them took to come to rest.
    pub polls_to_rest: u32,
    /// Those that went wrong.
    pub failures: Vec<Failure>,
    /// The history of the last plan, if it was to be told.
    pub history: Vec<String>,
}

impl Report {
    /// Counts another one in.
    pub fn add(&mut self, other: Report) {
        other.plans.into_iter().for_each(|(kind, count)| *self.plans.entry(kind).or_default() += count);
        self.polls_to_rest = self.polls_to_rest.max(other.polls_to_rest);
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plans: u64 = self.plans.values().sum();
        write!(f, "{plans:>6} plans, at rest within {:>2} polls:", self.polls_to_rest)?;
        self.plans.iter().try_for_each(|(kind, count)| write!(f, " {kind} {count}"))
    }
}

/// All plans of a workload.
pub struct Sweep {
    workload: Arc<Workload>,
    /// The run without a fault.
    pub reference: Ended,
    old: Old,
}

fn nobody(_: &Stage, _: Place) {}

impl Sweep {
    /// Runs the workload without a fault.
    ///
    /// # Panics
    /// If that goes wrong by itself.
    #[must_use]
    pub fn of(workload: Workload) -> Sweep {
        let workload = Arc::new(workload);
        let mut old = Old::default();
        let stage = Stage::new(&workload, Twist::None, true);
        let reference = stage.run(&mut |stage, place| old.note(stage, place, workload.alike));
        assert!(
            reference.breaches.is_empty(),
            "{}, without a fault: {:?}\n{}",
            workload.name,
            reference.breaches,
            reference.history.join("\n")
        );
        Sweep { workload, reference, old }
    }

    /// The workload's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.workload.name
    }

    /// Runs a share of all plans.
    #[must_use]
    pub fn run(&self, share: Share) -> Report {
        self.run_chosen(Choice::Share { share, singles: 0, pairs: 0 }, false)
    }

    /// Runs the plan of a name, with its history.
    #[must_use]
    pub fn run_one(&self, name: &str) -> Report {
        self.run_chosen(Choice::Name(name.to_owned()), true)
    }

    /// Runs all plans of a kind.
    #[must_use]
    pub fn run_kind(&self, kind: &str) -> Report {
        self.run_chosen(Choice::Kind(kind.to_owned()), false)
    }

    /// Whole logs: of the run without a fault, and of runs in which the agent died once or more and kept its log.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn histories(&self) -> Result<Vec<Vec<Frame>>, MachineError> {
        let commits = self.reference.commits;
        let mut histories = Vec::new();
        for die_at in [u64::MAX, commits / 5, commits / 3, commits / 2] {
            let mut stage = Stage::new(&self.workload, Twist::None, false);
            stage.keep_history();
            let mut second = None;
            let first = stage.run(&mut |stage, place| {
                if place == Place::AfterSync(die_at) {
                    let log = stage.log_after(LogFate::Kept);
                    second = Some(stage.after(Death { log, ..Death::default() }));
                }
            });
            let run = second.map_or(first, |stage| stage.run(&mut nobody));
            histories.push(run.frames()?);
        }
        Ok(histories)
    }

    fn run_chosen(&self, choice: Choice, tell: bool) -> Report {
        let report = Report::default();
        let mut runner = Runner { sweep: self, choice, twice: Twice::default(), report, tell };
        let mut heard = BTreeSet::new();
        let mut stage = Stage::new(&self.workload, Twist::None, tell);
        stage.keep_copies();
        let _ = stage.run(&mut |stage, place| match place {
            Place::BeforeAppend(_) | Place::AfterSync(_) => runner.crashes(stage, place, None),
            Place::AfterSend(number) => {
                let fates = CallFate::ALL.into_iter();
                fates.for_each(|fate| runner.crashes(stage, place, Some((number, fate))));
            }
            Place::AfterHeard(revision) if heard.insert(revision) => runner.old_lists(stage, revision),
            Place::AfterHeard(_) => {}
        });
        for twist in twists(&self.reference) {
            runner.consider(Fault::Twist(twist), || Stage::new(&self.workload, twist, tell));
        }
        runner.report
    }
}

/// Which plans are run.
enum Choice {
    /// Those of a share. Pairs go with their first death, and are numbered by themselves.
    Share { share: Share, singles: u64, pairs: u64 },
    /// The one of a name.
    Name(String),
    /// Those of a kind.
    Kind(String),
}

impl Choice {
    fn takes(&mut self, plan: &Plan) -> bool {
        match self {
            Choice::Share { share, pairs, .. } if plan.fault.is_pair() => {
                *pairs += 1;
                (*pairs - 1).is_multiple_of(share.every)
            }
            Choice::Share { share, singles, .. } => {
                let number = *singles;
                *singles += 1;
                number.is_multiple_of(share.every) && number / share.every % share.of == share.index
            }
            Choice::Name(name) => plan.to_string() == *name,
            Choice::Kind(kind) => plan.fault.kind() == kind,
        }
    }

    /// Whether some of the pairs may be taken that begin as this plan does, which is one of those `taken` or not.
    fn opens(&self, plan: &Plan, first: &Crash, taken: bool) -> bool {
        match self {
            Choice::Share { .. } => taken,
            Choice::Name(name) => name.starts_with(&format!("{}/crash-twice/{first}/then/", plan.workload)),
            Choice::Kind(kind) => kind == "crash-twice",
        }
    }
}

struct Runner<'a> {
    sweep: &'a Sweep,
    choice: Choice,
    twice: Twice,
    report: Report,
    tell: bool,
}

impl Runner<'_> {
    fn consider(&mut self, fault: Fault, stage: impl FnOnce() -> Stage) {
        let plan = self.plan(fault);
        if self.choice.takes(&plan) {
            self.judge(&plan, stage().run(&mut nobody));
        }
    }

    fn plan(&self, fault: Fault) -> Plan {
        Plan { workload: self.sweep.workload.name, fault }
    }

    fn judge(&mut self, plan: &Plan, run: Ended) {
        *self.report.plans.entry(plan.fault.kind()).or_default() += 1;
        self.report.polls_to_rest = self.report.polls_to_rest.max(run.polls_to_rest);
        let wrong = judge(plan, &self.sweep.reference, &run);
        if !wrong.is_empty() {
            self.report.failures.push(Failure { plan: plan.to_string(), wrong });
        }
        if self.tell {
            self.report.history = run.history;
        }
    }

    /// The deaths that can be died at a place.
    ///
    /// A crash after the append and before the sync is one of these: where the unsynced suffix survives it is that
    /// after the sync, and where it does not it is that before the append, as no effect has left at either.
    fn crashes(&mut self, stage: &Stage, place: Place, call: Option<(u64, CallFate)>) {
        for log in LogFate::ALL {
            let first = Crash { place, call: call.map(|(_, fate)| fate), log };
            let plan = self.plan(Fault::Crash(first));
            let is_new = self.twice.is_new(stage, &first, call, self.sweep.workload.alike);
            let taken = self.choice.takes(&plan);
            let opened = is_new && self.choice.opens(&plan, &first, taken);
            if !taken && !opened {
                continue;
            }
            let next = stage.after(Death { log: stage.log_after(log), call, ..Death::default() });
            let mut left = if opened { twice::BOUNDARIES } else { 0 };
            let run = next.run(&mut |stage, place| self.dies_again(&first, stage, place, &mut left));
            if taken {
                self.judge(&plan, run);
            }
        }
    }

    /// The deaths that can be died at a place of a recovery, of which there are so many left to be tried.
    fn dies_again(&mut self, first: &Crash, stage: &Stage, place: Place, left: &mut usize) {
        let fates = twice::fates(place);
        if *left == 0 || fates.is_empty() {
            return;
        }
        *left -= 1;
        let number = if let Place::AfterSend(number) = place { number } else { 0 };
        for call in fates {
            for log in twice::LOGS {
                let second = Crash { place, call: *call, log };
                self.consider(Fault::CrashTwice { first: *first, second }, || {
                    let call = call.map(|fate| (number, fate));
                    stage.after(Death { log: stage.log_after(log), call, ..Death::default() })
                });
            }
        }
    }

    /// Deaths after which the first list of one side is an old one.
    fn old_lists(&mut self, stage: &Stage, heard: u64) {
        let sweep = self.sweep;
        let old = &sweep.old;
        let lists = old.lists.get(&heard).into_iter().flatten();
        let clouds = old.clouds.get(&heard).into_iter().flatten();
        for log in [LogFate::Kept, LogFate::Lost] {
            for list in lists.clone().copied() {
                self.consider(Fault::StaleList { list, heard, log }, || {
                    let log = stage.log_after(log);
                    stage.after(Death { log, first_list: Some(list), ..Death::default() })
                });
            }
            // Where a look-up is of the past too, nothing true is left to be read by one who has lost his log.
            let is_blind = log == LogFate::Lost && stage.world.cloud.look_lag_ms > 0;
            for list in clouds.clone().copied().filter(|_| !is_blind) {
                self.consider(Fault::StaleCloud { list, heard, log }, || {
                    let log = stage.log_after(log);
                    let first_cloud_list = Some(old.cloud_lists[list].clone());
                    stage.after(Death { log, first_cloud_list, ..Death::default() })
                });
            }
        }
    }
}

// === twists ===

/// What else can go wrong in the run of a workload.
fn twists(reference: &Ended) -> Vec<Twist> {
    let cluster = &reference.world.cluster;
    let mut twists = Vec::new();
    for revision in 1..=cluster.revision() {
        twists.push(Twist::Cut { from: revision, to: revision });
        if let Some(by) = overwritten(cluster, revision) {
            twists.push(Twist::Skip(revision));
            twists.push(Twist::Cut { from: revision, to: by });
        }
    }
    let lose = |call| CallFate::ALL.into_iter().map(move |fate| Twist::Lose { call, fate });
    twists.extend((0..reference.calls).flat_map(lose));
    twists
}

/// The change that overwrites one, if it does not depend on the agent having seen it: another's, of the same pod.
fn overwritten(cluster: &Cluster, revision: u64) -> Option<u64> {
    let pod = &cluster.change(revision)?.pod;
    let next = (revision + 1..=cluster.revision())
        .find(|next| cluster.change(*next).is_some_and(|change| change.pod == *pod))?;
    cluster.change(next).filter(|change| change.author == Author::Other).map(|_| next)
}
