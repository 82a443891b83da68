//! A process that writes a log is killed again and again, while it seals, stores snapshots and makes databases
//! ready. It is this very test, run again with a directory to write to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{State, append, record, small_segments};
use engine::{Record, Seq};
use store::{Durability, Log, Options, Reader};

/// The directory to write to, for the process that is to be killed.
const DIRECTORY: &str = "STORE_TEST_DIRECTORY";
const KILLS: u64 = 25;
const RECORDS_PER_FRAME: u64 = 10;
const RECORDS_PER_SNAPSHOT: u64 = 400;

fn options() -> Options {
    Options { durability: Durability::Process, ..small_segments() }
}

#[test]
fn killed_again_and_again() {
    match std::env::var_os(DIRECTORY) {
        Some(directory) => write(Path::new(&directory)),
        None => kill_again_and_again(),
    }
}

/// Writes until it is killed, and says how far it was acknowledged.
fn write(directory: &Path) -> ! {
    let (mut log, recovery) = Log::open::<State>(directory, options()).unwrap();
    let mut last = recovery.last.0;
    loop {
        let records: Vec<Record> = (last + 1..=last + RECORDS_PER_FRAME).map(record).collect();
        last = append(&mut log, &records).unwrap().last.0;
        println!("{last}");
        std::io::stdout().flush().unwrap();
        if last.is_multiple_of(RECORDS_PER_SNAPSHOT) {
            log.snapshot(Seq(last), (last, last * last)).unwrap();
        }
    }
}

fn kill_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut dropped = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_again_and_again", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The test harness has its say as well.
        let mut lines = lines.filter_map(|line| line.unwrap().parse::<u64>().ok());
        // Not the same number twice, so that it is hit at different places.
        let frames = 20 + kill * 7 % 60;
        let acknowledged = lines.nth(frames as usize).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = lines.last().unwrap_or(acknowledged);
        check(directory.path(), acknowledged, &mut dropped);
    }
    assert!(dropped > 0, "it never came to a retention");
}

/// What was acknowledged is there, and nothing else is missing.
fn check(directory: &Path, acknowledged: u64, dropped: &mut u64) {
    let reader = Reader::open(directory).unwrap();
    assert!(reader.lost_before().is_none() && reader.remarks().is_empty(), "{:?}", reader.remarks());
    let first = reader.first().0;
    *dropped = (*dropped).max(first - 1);
    let records: Vec<Record> = reader.frames().flat_map(|frame| frame.unwrap().records().unwrap()).collect();
    assert!(records.last().unwrap().seq.0 >= acknowledged);
    assert!(records.iter().zip(first..).all(|(found, seq)| *found == record(seq)));
    if first > 1 {
        let start = reader.start::<State>(Seq(0), options().state_version).unwrap().unwrap();
        assert_eq!(start.state, Some((start.applied.0, start.applied.0 * start.applied.0)));
    }
    let (_, recovery) = Log::open::<State>(directory, options()).unwrap();
    assert!(recovery.loss.is_none(), "{}", recovery.loss.unwrap());
    assert_eq!(recovery.last, records.last().unwrap().seq);
}
