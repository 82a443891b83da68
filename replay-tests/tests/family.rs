//! Failures that others of this kind of program have had, one test each: what happened there, and what holds here.
//! The names are those of the reports. Each is told by the same two worlds as the sweep, whose checkers (one body for
//! a UID, the right incarnation, no deletion without proof, released last, forward only) stand at every step.

use std::sync::Arc;

use engine::Phase;
use replay_tests::sweep::{Ended, Place, Stage, Sweep, Twist};
use replay_tests::workload::{self, Act, LogFate, Runs, Step, When, Workload};

const SERVES: Runs = Runs::UntilTold { stop_s: 1 };
const LINGERS: Runs = Runs::UntilTold { stop_s: 600 };

fn step(when: When, act: Act) -> Step {
    Step { when, act }
}

fn ms(ms: u64, act: Act) -> Step {
    step(When::Ms(ms), act)
}

fn running(pod: &str, act: Act) -> Step {
    step(When::Running(pod.to_owned()), act)
}

fn bind(pod: &str, runs: Runs) -> Act {
    Act::Bind { pod: pod.to_owned(), runs }
}

fn delete(pod: &str, grace_s: u32) -> Act {
    Act::Delete { pod: pod.to_owned(), grace_s }
}

/// Plays the steps until all is at rest and quiet; `look` sees every boundary.
fn play_and_look(steps: Vec<Step>, look: &mut dyn FnMut(&Stage)) -> Ended {
    let workload = Arc::new(Workload { name: "family", steps, alike: false });
    let mut stage = Stage::new(&workload, Twist::None, true);
    stage.keep_copies();
    let ended = stage.run(&mut |stage, _: Place| look(stage));
    assert!(ended.breaches.is_empty(), "{:?}\n{}", ended.breaches, ended.history.join("\n"));
    ended
}

fn play(steps: Vec<Step>) -> Ended {
    play_and_look(steps, &mut |_| {})
}

fn made(ended: &Ended, pod: &str) -> u32 {
    ended.world.account.made.get(pod).copied().unwrap_or(0)
}

fn bodies(ended: &Ended) -> Vec<String> {
    ended.world.cloud.owners(ended.now).map(|(owner, _)| owner.uid.to_string()).collect()
}

/// virtual-kubelet #762: the agent dies before the status of a pod that has ended reaches the API server. Started
/// again it finds the pod Pending or Running there, believes that it is still to run, and silently runs it a second
/// time.
///
/// Here the pod's name in the cloud follows from its UID, and the two lists come before anything is made: the ended
/// pod is found, and its end is told, whatever is left of the log.
#[test]
fn virtual_kubelet_762_a_pod_that_ended_unseen_is_not_run_again() {
    for log in LogFate::ALL {
        for (exit_code, phase) in [(0, Phase::Succeeded), (3, Phase::Failed)] {
            for seen in [When::Made("job#1".to_owned()), When::Running("job#1".to_owned())] {
                let ended = play(vec![
                    ms(100, bind("job#1", Runs::For { seconds: 6, exit_code })),
                    step(seen, Act::Stop),
                    ms(60_000, Act::Start { log }),
                    step(When::Ended("job#1".to_owned()), Act::Nothing),
                ]);
                assert_eq!(made(&ended, "job#1"), 1);
                assert_eq!(ended.world.cluster.phase("job#1"), Some(phase));
            }
        }
    }
}

/// virtual-kubelet #867 and #907: a pod is deleted and made anew under its name inside the grace period. The timer of
/// the old one then force-deletes by name, and hits the new one.
///
/// Here every call names a UID, and two incarnations are two pods with two names in the cloud. Tried at every second
/// of the grace period, and for each on which side of it the new one comes.
#[test]
fn virtual_kubelet_867_907_the_end_of_one_incarnation_leaves_the_next_alone() {
    for second in 0..=31 {
        for apart_ms in [1, 15, 900] {
            let ended = play(vec![
                ms(100, bind("web#1", LINGERS)),
                running("web#1", delete("web#1", 30)),
                ms(second * 1_000, delete("web#1", 0)),
                ms(apart_ms, bind("web#2", SERVES)),
                running("web#2", Act::Nothing),
                ms(40_000, Act::Nothing),
            ]);
            let account = &ended.world.account;
            assert_eq!((made(&ended, "web#1"), made(&ended, "web#2")), (1, 1));
            assert_eq!(account.ended.get("web#1"), Some(&1));
            assert!(!account.delete_calls.contains_key("web#2"), "nobody asked for the end of the new one");
            assert_eq!(ended.world.cluster.phase("web#2"), Some(Phase::Running));
            assert_eq!(bodies(&ended), ["web#2"]);
        }
    }
}

/// virtual-kubelet #78 and #978: a pod vanishes in the provider. The agent asks for it in a loop until it is
/// throttled, or never notices and leaves it Running for ever.
///
/// Here a complete list that lacks it is followed by look-ups a poll apart: two polls after the loss the pod is
/// Failed with a reason, after a handful of reads.
#[test]
fn virtual_kubelet_78_978_a_pod_that_vanishes_fails_soon_and_without_a_storm() {
    let (mut lost, mut told) = (None, None);
    let ended = play_and_look(
        vec![
            ms(100, bind("web#1", SERVES)),
            running("web#1", Act::Nothing),
            ms(70_000, Act::Lose("web#1".to_owned())),
            step(When::Ended("web#1".to_owned()), Act::Nothing),
            ms(600_000, Act::Nothing),
        ],
        &mut |stage| {
            let polls = stage.world.account.polls;
            let phase = stage.world.cluster.phase("web#1");
            if phase == Some(Phase::Running) && stage.world.cloud.list(stage.now()).is_empty() {
                lost.get_or_insert(polls);
            }
            if phase == Some(Phase::Failed) {
                told.get_or_insert(polls);
            }
        },
    );
    let (lost, told) = (lost.expect("it was lost"), told.expect("it was told"));
    assert!(told - lost <= 2, "told {} polls after the loss", told - lost);
    let reasons: Vec<_> = ended.world.cluster.pods().map(|(facts, reason)| (facts.phase, reason)).collect();
    assert_eq!(reasons, [(Phase::Failed, "NotFound")]);
    assert_eq!(made(&ended, "web#1"), 1, "no silent second run");
    let look_ups = ended.world.account.look_ups.get("web#1").copied().unwrap_or(0);
    assert!(look_ups <= 4, "{look_ups} look-ups of one pod");
}

/// virtual-kubelet #223: pods that fail are made again in a tight loop, and dozens of paid leftovers stay behind.
///
/// Here a controller replaces a failing pod fifty times: each has one body, and none is left in the end.
#[test]
fn virtual_kubelet_223_failing_pods_leave_nothing_behind() {
    let mut steps = Vec::new();
    for number in 0..50 {
        let pod = format!("crash-{number:02}#1");
        steps.push(ms(10, bind(&pod, Runs::For { seconds: 0, exit_code: 1 })));
        steps.push(step(When::Ended(pod.clone()), delete(&pod, 30)));
    }
    let ended = play(steps);
    let account = &ended.world.account;
    assert_eq!(account.made.len(), 50);
    assert!(account.create_calls.values().all(|calls| *calls == 1), "{:?}", account.create_calls);
    assert_eq!(account.made, account.ended);
    assert!(bodies(&ended).is_empty());
}

/// The other half of virtual-kubelet #223: a creation that the cloud refuses is asked for ever more seldom.
#[test]
fn virtual_kubelet_223_a_refused_creation_is_not_repeated_in_a_loop() {
    let mut calls_at_15_min = 0;
    let ended = play_and_look(
        vec![
            ms(10, Act::Room(Some(0))),
            ms(100, bind("web#1", SERVES)),
            ms(15 * 60_000, Act::Room(None)),
            running("web#1", Act::Nothing),
        ],
        &mut |stage| {
            if stage.world.cloud.room == Some(0) {
                calls_at_15_min = stage.world.account.create_calls.get("web#1").copied().unwrap_or(0);
            }
        },
    );
    assert!((5..=15).contains(&calls_at_15_min), "{calls_at_15_min} creations in fifteen minutes");
    assert_eq!(made(&ended, "web#1"), 1);
}

/// liqo #2748: the agent is started with caches that are half filled, takes what is missing in them for deleted, and
/// ends the remote pods.
///
/// Here nothing is made or ended before both sides were listed completely (S3, S4: checked at every call that
/// leaves), however long one of them takes, and with or without a log.
#[test]
fn liqo_2748_half_a_view_deletes_nothing() {
    for log in LogFate::ALL {
        for slow in [Act::ListTakes { ms: 90_000 }, Act::Throttle(true)] {
            let ended = play(vec![
                ms(100, bind("stay-a#1", SERVES)),
                ms(10, bind("stay-b#1", SERVES)),
                ms(10, bind("go#1", SERVES)),
                running("stay-a#1", Act::Nothing),
                running("stay-b#1", Act::Nothing),
                running("go#1", Act::Stop),
                ms(1_000, slow),
                ms(10, delete("go#1", 0)),
                ms(10, bind("come#1", SERVES)),
                ms(1_000, Act::Start { log }),
                ms(95_000, Act::Throttle(false)),
                running("come#1", Act::Nothing),
            ]);
            assert_eq!(bodies(&ended).len(), 3);
            let account = &ended.world.account;
            assert_eq!(account.ended.keys().collect::<Vec<_>>(), ["go#1"]);
            assert!(account.made.values().all(|made| *made == 1));
        }
    }
}

/// k8s-runpod-kubelet #4: a pod is deleted while the agent is down; when it starts, it makes the pod again.
///
/// Here a pod is made only if a list of this start shows it, bound and not deleting: what the log remembers of it is
/// no reason.
#[test]
fn runpod_kubelet_4_a_pod_deleted_meanwhile_is_not_made_at_the_start() {
    for log in LogFate::ALL {
        for grace_s in [0, 30] {
            // One that ran, and one that was asked for and never made.
            let ran = play(vec![
                ms(100, bind("web#1", SERVES)),
                running("web#1", Act::Stop),
                ms(1_000, delete("web#1", grace_s)),
                ms(1_000, Act::Start { log }),
                step(When::Gone("web#1".to_owned()), Act::Nothing),
            ]);
            assert_eq!(made(&ran, "web#1"), 1);
            assert_eq!(ran.world.account.create_calls.get("web#1"), Some(&1));
            assert!(bodies(&ran).is_empty());

            let waited = play(vec![
                ms(10, Act::Room(Some(0))),
                ms(100, bind("web#1", SERVES)),
                step(When::Refused("web#1".to_owned()), Act::Stop),
                ms(10, Act::Room(None)),
                ms(1_000, delete("web#1", grace_s)),
                ms(1_000, Act::Start { log }),
                step(When::Gone("web#1".to_owned()), Act::Nothing),
            ]);
            assert_eq!(made(&waited, "web#1"), 0);
            assert_eq!(waited.world.account.create_calls.get("web#1"), Some(&1), "none after the start");
        }
    }
}

fn sweep_of(name: &str) -> Sweep {
    let found = workload::all().into_iter().find(|one| one.name == name);
    Sweep::of(found.unwrap_or_else(|| panic!("there is no workload {name}")))
}

fn all_well(sweep: &Sweep, kind: &str, at_least: u64) {
    let report = sweep.run_kind(kind);
    assert!(report.plans[kind] >= at_least, "{:?}", report.plans);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

/// Sieve, stale state (cass-operator 559 and the like): the controller is started again against an API server that
/// lags, sees a set of pods as it once was, and deletes the volumes of those that live.
///
/// Here: the restart of a stateful set, with every list that it ever had, read after every change since.
#[test]
fn sieve_stale_state_ends_nobody_who_lives() {
    all_well(&sweep_of("stateful-restart"), "stale-list", 50);
}

/// Sieve, unobserved state (rabbitmq-operator 648 and the like): a change that is overwritten before the controller
/// looks is one that it never acts on.
///
/// Here: a name that is given away twice inside its grace periods, with every change unseen, alone and together with
/// those up to the one that overwrites it.
#[test]
fn sieve_unobserved_state_is_made_good() {
    let sweep = sweep_of("same-name-replace");
    all_well(&sweep, "skip", 2);
    all_well(&sweep, "cut", 10);
}

/// Sieve, intermediate state (nifikop 49 and the like): the controller dies between two writes that belong together,
/// and what is half done stays so.
///
/// Here: deletions that overtake creations, with a death at every boundary.
#[test]
fn sieve_intermediate_state_is_finished() {
    all_well(&sweep_of("delete-before-created"), "crash", 100);
}
