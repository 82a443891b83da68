//! Durable appends against the limit of the same disk in the same run: a plain file, appended to and synced,
//! with the same number of bytes. Goal at 64 records: at least 0.4 of the file's rate.

use std::fs::File;
use std::io::Write;

use divan::Bencher;
use divan::counter::ItemsCount;
use engine::{Event, Micros, PodFacts, Record, Seq};
use store::{Batch, Durability, Log, Options, Pushed};

const BATCHES: [u64; 4] = [1, 8, 64, 512];

/// The length of a record, as a lean observation of a pod has it.
const RECORD_BYTES: usize = 600;

fn main() {
    divan::main();
}

fn record() -> Record {
    let facts = PodFacts { resource_version: "x".repeat(RECORD_BYTES - 40), ..PodFacts::default() };
    Record {
        seq: Seq(0),
        at: Micros(1 << 50),
        seen: Micros(1 << 50),
        event: Event::PodObserved(facts.into()),
    }
}

/// On the disk that the build is on: the system's temporary directory may be memory.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written")
}

fn append(bencher: Bencher<'_, '_>, count: u64, durability: Durability) {
    let directory = directory();
    let options = Options { durability, ..Options::default() };
    let (mut log, _) = Log::open::<()>(directory.path(), options).expect("a new log opens");
    let (mut record, mut batch) = (record(), Batch::new());
    bencher.counter(ItemsCount::new(count)).bench_local(move || {
        let last = log.last().0 + count;
        for seq in log.last().0 + 1..=last {
            record.seq = Seq(seq);
            if batch.push(&record).expect("the record is short") == Pushed::Full {
                let _ = log.append(&mut batch, 0, None).expect("the disk works");
                let pushed = batch.push(&record).expect("the record is short");
                assert_eq!(pushed, Pushed::Added);
            }
        }
        log.append(&mut batch, 0, None).expect("the disk works")
    });
}

#[divan::bench(args = BATCHES)]
fn log_power(bencher: Bencher<'_, '_>, count: u64) {
    append(bencher, count, Durability::Power);
}

#[divan::bench(args = BATCHES)]
fn log_process(bencher: Bencher<'_, '_>, count: u64) {
    append(bencher, count, Durability::Process);
}

#[divan::bench(args = BATCHES)]
fn plain_file(bencher: Bencher<'_, '_>, count: u64) {
    let directory = directory();
    let mut file = File::create(directory.path().join("file")).expect("the directory can be written");
    let bytes = vec![7_u8; RECORD_BYTES * count as usize];
    bencher.counter(ItemsCount::new(count)).bench_local(move || {
        file.write_all(&bytes).expect("the disk works");
        file.sync_data().expect("the disk works");
    });
}
