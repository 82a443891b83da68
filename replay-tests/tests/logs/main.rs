//! Recorded logs against this build.
//!
//! Each directory of `logs/` is a log in the agent's own format, made by the story of its name; beside it
//! stands what it says, record by record, with the decisions. `burst-agent replay replay-tests/logs/NAME
//! --effects` reads it as well.
//!
//! * `UPDATE_LOGS=1 cargo test -p replay-tests --test logs` records the logs that are **missing**, and no
//!   other: a log that a build can no longer replay is a finding, not a file to be made anew. (Until the first
//!   release no log is anybody's: a decision may change without a feature that switches it, and its story is
//!   recorded anew.)
//! * `UPDATE_EXPECT=1` writes the `.expected` files, which a change of words may need; the decisions
//!   themselves are held by the digests in the logs.

mod stories;
mod story;

use std::path::{Path, PathBuf};
use std::{env, fs};

use engine::{Seq, State};
use expect_test::expect_file;
use replay_tests::replay::{self, Difference, Replayed};
use replay_tests::words;
use store::{Batch, Frame, Log, Memory, Options, Pushed, Reader, STATE_VERSION};

use story::Story;

/// A recorded log.
struct Recorded {
    name: &'static str,
    /// Makes it.
    tell: fn() -> Story,
    /// How its writer laid out the state: its marks say something to builds that do it alike.
    state_version: u32,
}

const fn recorded(name: &'static str, tell: fn() -> Story) -> Recorded {
    Recorded { name, tell, state_version: 8 }
}

const LOGS: [Recorded; 15] = [
    recorded("life", stories::life),
    recorded("unknown-create", stories::unknown_create),
    recorded("same-name", stories::same_name),
    recorded("restart", stories::restart),
    recorded("orphan", stories::orphan),
    recorded("throttled", stories::throttled),
    recorded("vanished", stories::vanished),
    recorded("brake", stories::brake),
    recorded("refusals", stories::refusals),
    recorded("arrears", stories::arrears),
    recorded("sold-out", stories::sold_out),
    recorded("cloud-away", stories::cloud_away),
    recorded("quarrels", stories::quarrels),
    recorded("updated", stories::updated),
    recorded("trouble", stories::trouble),
];

/// The one file of a recorded log: a sealed segment that begins with the first record.
const SEGMENT: &str = "segment-00000000000000000001.frames";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("logs")
}

fn bytes_of(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.as_bytes()).copied().collect()
}

impl Recorded {
    fn frames(&self) -> Vec<Frame> {
        let directory = directory().join(self.name);
        let path = directory.join(SEGMENT);
        if env::var_os("UPDATE_LOGS").is_some() && !path.exists() {
            fs::create_dir_all(&directory).expect("a directory");
            fs::write(&path, bytes_of(&(self.tell)().into_frames())).expect("a file");
        }
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        replay::decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn replay(&self, frames: &[Frame]) -> Replayed {
        let marks = self.state_version == STATE_VERSION;
        replay::replay(frames, marks).unwrap_or_else(|difference| panic!("{}: {difference}", self.name))
    }
}

#[test]
fn every_log_replays_to_the_decisions_it_was_written_with() {
    for log in &LOGS {
        let frames = log.frames();
        let replayed = log.replay(&frames);
        assert!(log.state_version != STATE_VERSION || replayed.marks > 2, "{}", log.name);
        let mut text = String::new();
        let mut turns = replayed.turns.iter();
        for frame in &frames {
            let mut at = None;
            for (record, decisions) in turns.by_ref().take(frame.header.count as usize) {
                let began = replayed.turns[0].0.at;
                if at.replace(record.at) != Some(record.at) {
                    text += &format!("+{} ms\n", record.at.ms_since(began));
                }
                text += &words::turn(record, decisions);
            }
        }
        expect_file![directory().join(format!("{}.expected", log.name))].assert_eq(&text);
    }
}

#[test]
fn no_log_is_without_a_story() {
    let mut found: Vec<String> = fs::read_dir(directory())
        .expect("the logs")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    found.sort();
    let names = LOGS.iter().flat_map(|log| [log.name.to_owned(), format!("{}.expected", log.name)]);
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(found, names);
}

#[test]
fn the_same_story_told_twice_is_the_same_log() {
    for log in &LOGS {
        let (first, second) = ((log.tell)().into_frames(), (log.tell)().into_frames());
        assert_eq!(bytes_of(&first), bytes_of(&second), "{}", log.name);
    }
}

#[test]
fn a_reader_finds_in_the_directory_what_the_decoder_finds_in_the_file() {
    for log in &LOGS {
        let reader = Reader::open(&directory().join(log.name)).expect("a log");
        assert_eq!(reader.first(), Seq(1));
        let frames: Vec<Frame> = reader.frames().collect::<Result<_, _>>().expect("whole frames");
        assert_eq!(frames, log.frames(), "{}", log.name);
    }
}

#[test]
fn every_cut_recovers_and_the_rest_leads_to_the_same_state() {
    for log in &LOGS {
        let frames = log.frames();
        let checked = replay::check_cuts(&frames, 0..=frames.len());
        checked.unwrap_or_else(|difference| panic!("{}: {difference}", log.name));
    }
}

/// The alarm works: a frame whose records lead elsewhere than its digest says is found, and named.
#[test]
fn a_build_that_decides_otherwise_is_found() {
    for log in &LOGS {
        let frames = log.frames();
        let altered = |frame: &Frame| {
            let mut records = frame.records().expect("records");
            let decided = matches!(records[0].event, engine::Event::EffectFinished { .. });
            if decided && frame.header.first.0 > 4 {
                // As if this build forgot to act on an outcome.
                records[0].event = engine::Event::Tick;
            }
            (frame.header.decisions, frame.header.state.clone(), records)
        };
        let place = std::sync::Arc::new(Memory::new());
        let (mut copy, _) = Log::open_on::<State>(place, Options::default()).expect("a log");
        for frame in &frames {
            let (decisions, mark, records) = altered(frame);
            let mut batch = Batch::new();
            for record in &records {
                assert_eq!(batch.push(record).expect("it fits"), Pushed::Added);
            }
            let _ = copy.append(&mut batch, decisions, mark).expect("memory takes all");
        }
        let copied: Vec<Frame> =
            copy.frames_after(Seq(0)).expect("a log").collect::<Result<_, _>>().expect("whole frames");
        let difference = replay::replay(&copied, true).expect_err(log.name);
        assert!(!matches!(difference, Difference::Machine(_)), "{}: {difference}", log.name);
    }
}
