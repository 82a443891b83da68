//! What a run with a fault is held against: the run of the same workload without one.
//!
//! * **End state**: the same API objects in the same phases for the same reasons, the same cloud pods, and the same
//!   copies of ConfigMaps and Secrets.
//! * **Counts**: for every pod, no more cloud pods made, ended and released than without the fault. A crash excuses
//!   none of them, with or without its log: the name in the cloud, the mark and the two lists are enough. What is
//!   excused is in [`excused`], and nothing else.
//! * **Rest**: the world is in step again within [`POLLS_TO_REST_MAX`] polls of the last thing that others did or
//!   that went wrong, and then there is no call but the poll.
//! * **Fewer** are right where nobody was there to see that something was wanted: of a pod that is gone in the end.

use std::collections::BTreeMap;

use engine::{Phase, PodRef};

use super::account::Counts;
use super::plan::{Crash, Fault, Plan};
use super::stage::{CallFate, Ended, Twist};

/// Polls until all is at rest: the lag of a minute that a cloud is granted before it is believed that a pod which it
/// showed is not there, and two to prove it.
const POLLS_TO_REST_MAX: u32 = 14;

/// What the two sides have of a pod in the end.
type Ends = BTreeMap<String, (Option<(Phase, String)>, Option<Phase>)>;

fn ends(run: &Ended) -> Ends {
    let mut ends = Ends::new();
    for (facts, reason) in run.world.cluster.pods() {
        ends.entry(facts.pod.uid.0.to_string()).or_default().0 = Some((facts.phase, reason.to_owned()));
    }
    for (owner, phase) in run.world.cloud.owners(run.now) {
        let PodRef { uid, .. } = owner;
        ends.entry(uid.0.to_string()).or_default().1 = Some(phase);
    }
    ends
}

/// How many more cloud pods of one name may be made, and so ended, than without the fault.
///
/// One, where a creation arrives after its sender had given it up: no look-up can foresee it (fault row 23). It
/// finds the name taken, or it makes a body of a pod that has one behind it; such a body is ended again (L2). And
/// one, where the API server itself answers a most-recent list with an old one (fault row 8): S1 to S6 hold, and what
/// was made from it is ended again.
fn excused(fault: &Fault) -> u32 {
    match fault {
        Fault::Crash(Crash { call: Some(CallFate::Late), .. })
        | Fault::CrashTwice { first: Crash { call: Some(CallFate::Late), .. }, .. }
        | Fault::StaleList { .. }
        | Fault::Twist(Twist::Lose { fate: CallFate::Late, .. }) => 1,
        Fault::Crash(_)
        | Fault::CrashTwice { .. }
        | Fault::StaleCloud { .. }
        | Fault::Twist(Twist::None | Twist::Skip(_) | Twist::Cut { .. } | Twist::Lose { .. }) => 0,
    }
}

/// What is wrong with a run, all of it.
#[must_use]
pub fn judge(plan: &Plan, reference: &Ended, run: &Ended) -> Vec<String> {
    let mut wrong = run.breaches.clone();
    if !wrong.is_empty() {
        return wrong;
    }
    let (wanted, found) = (ends(reference), ends(run));
    if wanted != found {
        for (uid, end) in wanted.iter().filter(|(uid, end)| found.get(*uid) != Some(end)) {
            wrong.push(format!("end state: {uid} is {:?} and not {end:?}", found.get(uid)));
        }
        for (uid, end) in found.iter().filter(|(uid, _)| !wanted.contains_key(*uid)) {
            wrong.push(format!("end state: {uid} is left over: {end:?}"));
        }
    }
    let (wanted_copies, copies) = (reference.world.objects.copies(), run.world.objects.copies());
    if wanted_copies != copies {
        wrong.push(format!("end state: the copies are {copies:?} and not {wanted_copies:?}"));
    }
    if run.polls_to_rest > POLLS_TO_REST_MAX {
        wrong.push(format!("L1: at rest only after {} polls", run.polls_to_rest));
    }
    let more = excused(&plan.fault);
    let (theirs, ours) = (&reference.world.account, &run.world.account);
    let mut compare = |what: &str, theirs: &Counts, ours: &Counts, more: u32| {
        for uid in theirs.keys().chain(ours.keys()) {
            let (theirs, ours) = (theirs.get(uid).unwrap_or(&0), ours.get(uid).unwrap_or(&0));
            let fewer_is_right = !wanted.contains_key(uid);
            if *ours > theirs + more || (ours < theirs && !fewer_is_right) {
                wrong.push(format!("counts: {uid} is {what} {ours} times and not {theirs}"));
            }
        }
    };
    compare("made", &theirs.made, &ours.made, more);
    compare("ended", &theirs.ended, &ours.ended, more);
    compare("released", &theirs.released, &ours.released, 0);
    wrong.dedup();
    wrong
}
