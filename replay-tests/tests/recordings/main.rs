//! Lists and watches as a real API server sent them, through the real watch into log and reducer.
//!
//! The server serves one recorded line at a time and ends the watch; that the watch asks for the next one
//! says that it has reported the last one. So every run takes the same course, and its log is the same to the
//! byte.
//!
//! `UPDATE_EXPECT=1 cargo test -p replay-tests --test recordings` writes the `.expected` files.

mod server;
mod stage;

use std::path::{Path, PathBuf};

use engine::PodRef;
use expect_test::{expect, expect_file};
use replay_tests::{replay, words};
use store::Frame;

use stage::Stage;

/// A body that a real API server sent, every name and address in it invented. Most are those of the adapters'
/// tests; `bodies/` has the pages of the list that those leave out.
macro_rules! recording {
    (adapters, $name:literal) => {
        include_str!(concat!("../../../adapters/tests/recordings/kubernetes/", $name))
    };
    ($name:literal) => {
        include_str!(concat!("bodies/", $name))
    };
}

const WATCH: &str = recording!(adapters, "pods-by-node.watch.jsonl");
const FORCED: &str = recording!(adapters, "pods-force-delete.watch.jsonl");
const EXPIRED: &str = recording!(adapters, "pods-watch-410.watch.jsonl");
const PAGES: [&str; 4] = [
    recording!(adapters, "pods-page-1.list.json"),
    recording!("pods-page-2.list.json"),
    recording!("pods-page-3.list.json"),
    recording!(adapters, "pods-page-4.list.json"),
];

/// Frames from one cut of a run's log to the next: all of them would take long and say little more.
const FRAMES_PER_CUT: usize = 11;

/// A list with no items, as recorded but for the resource version.
fn empty_list(resource_version: u32) -> String {
    format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{resource_version}"}},"items":[]}}"#
    )
}

fn expected(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/expected").join(format!("{name}.expected"))
}

fn text_of(frames: &[Frame]) -> String {
    let replayed = replay::replay(frames, true).expect("the log replays");
    replayed.turns.iter().map(|(record, decisions)| words::turn(record, decisions)).collect()
}

fn bytes_of(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.as_bytes()).copied().collect()
}

/// How often a body was made for each pod, by the first characters of its UID.
fn made(stage: &Stage) -> String {
    let made = stage.world.made().iter();
    made.map(|(uid, count)| format!("{} {count}x", &uid.0[..4])).collect::<Vec<_>>().join(", ")
}

/// The log of a whole run, held against its golden file, and cut in many places.
fn check_log(stage: &Stage, name: &str) {
    let frames = stage.agent.frames().expect("a log");
    expect_file![expected(name)].assert_eq(&text_of(&frames));
    let cuts = (0..=frames.len()).step_by(FRAMES_PER_CUT);
    replay::check_cuts(&frames, cuts).unwrap_or_else(|difference| panic!("{name}: {difference}"));
}

/// Nothing is left of anything, on either side.
fn check_empty(stage: &Stage, context: &str) {
    assert_eq!(stage.world.bodies(), Vec::<&PodRef>::new(), "{context}");
    assert_eq!(stage.world.blind_creates(), 0, "{context}");
    let rows = stage.agent.state().pods().filter(|row| row.is_anywhere());
    let rows: Vec<_> = rows.map(|row| row.pod().to_string()).collect();
    assert_eq!(rows, Vec::<String>::new(), "{context}");
    assert_eq!(stage.agent.state().outstanding().count(), 0, "{context}");
}

async fn a_whole_watch() -> Stage {
    let mut stage = Stage::start().await;
    stage.list(&[&empty_list(262)]).await;
    for line in WATCH.lines() {
        stage.watch(line).await;
    }
    stage.rest().await;
    stage
}

/// Seven pods, two incarnations of one name among them, from binding to the end of each.
#[tokio::test]
async fn a_whole_watch_makes_and_ends_each_pod_once() {
    let stage = a_whole_watch().await;
    check_empty(&stage, "at the end");
    expect!["0fb9 1x, 2ac8 1x, 42c3 1x, 59a4 1x, 5f3a 1x, 6415 1x, 8304 1x"].assert_eq(&made(&stage));
    expect!["19 written, [] not"].assert_eq(&format!("{} written, {:?} not", stage.written, stage.unwritten));
    check_log(&stage, "watch");
}

/// The log was lost: what the cloud has is found again by its mark, and only what is new is made.
#[tokio::test]
async fn a_list_of_a_living_cluster_is_adopted() {
    let mut stage = Stage::start_beside(&PAGES).await;
    stage.list(&PAGES).await;
    for line in WATCH.lines().skip_while(|line| !line.contains(r#""resourceVersion":"499""#)) {
        stage.watch(line).await;
    }
    stage.watch(EXPIRED.trim_end()).await;
    stage.list(&[&empty_list(969)]).await;
    stage.rest().await;
    check_empty(&stage, "at the end");
    expect!["59a4 1x"].assert_eq(&made(&stage));
    expect!["7 written, [] not"].assert_eq(&format!("{} written, {:?} not", stage.written, stage.unwritten));
    check_log(&stage, "list");
}

/// Nobody plays the kubelet: pods are deleted by force, under the agent's hands.
#[tokio::test]
async fn forced_deletions_leave_nothing_in_the_cloud() {
    let mut stage = Stage::start().await;
    stage.kubelet = false;
    stage.list(&[&empty_list(930)]).await;
    for line in FORCED.lines() {
        stage.watch(line).await;
    }
    stage.watch(EXPIRED.trim_end()).await;
    stage.list(&[&empty_list(969)]).await;
    stage.rest().await;
    check_empty(&stage, "at the end");
    expect!["0c51 1x, 2411 1x, 36bd 1x, 4470 1x, 85f6 1x, d785 1x, daf0 1x"].assert_eq(&made(&stage));
    expect!["0 written, [] not"].assert_eq(&format!("{} written, {:?} not", stage.written, stage.unwritten));
    check_log(&stage, "forced");
}

#[tokio::test]
async fn the_same_recording_twice_is_the_same_log() {
    let (first, second) = (a_whole_watch().await, a_whole_watch().await);
    let frames = first.agent.frames().expect("a log");
    assert_eq!(bytes_of(&frames), bytes_of(&second.agent.frames().expect("a log")));
    assert_eq!(first.agent.state(), second.agent.state());
}

/// An agent that dies before a report is in its log, or before it acts on it, comes to the same end.
#[tokio::test]
async fn a_death_at_any_line_makes_no_second_body() {
    let undisturbed = a_whole_watch().await;
    for line in 0..WATCH.lines().count() {
        let mut stage = Stage::start().await;
        stage.list(&[&empty_list(262)]).await;
        for (number, text) in WATCH.lines().enumerate() {
            stage.watch(text).await;
            if number == line {
                if line.is_multiple_of(2) {
                    stage.hear_and_die().await
                } else {
                    stage.die().await
                }
                stage.list_again().await;
            }
        }
        stage.rest().await;
        check_empty(&stage, &format!("killed after line {line}"));
        assert_eq!(stage.world.made(), undisturbed.world.made(), "killed after line {line}");
        assert_eq!(stage.unwritten, Vec::<String>::new(), "killed after line {line}");
    }
}
