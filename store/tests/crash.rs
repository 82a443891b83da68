//! Crashes and failures at every single operation, compared with a map of what was attempted and what was
//! acknowledged.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{State, append, options, record_of};
use engine::{Record, Seq};
use store::{Backend, Error, Faults, Log, Memory, Name, Options, Reader, Recovery, Source, Survive};

/// Segments of a few frames, so that a short script seals, snapshots and retains.
const SEGMENT_BYTES: u64 = 2_000;
const TEXT_BYTES: usize = 300;
const FRAMES: u64 = 24;

fn small() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, history_bytes: 0, ..options() }
}

/// What the script attempted, and how far it was acknowledged.
#[derive(Default)]
struct Model {
    attempted: BTreeMap<u64, Record>,
    acknowledged: u64,
}

fn state_at(seq: u64) -> State {
    (seq, seq * seq)
}

/// Appends to the log, takes snapshots and retains, until done or until the disk fails.
fn run(backend: &Arc<dyn Backend>, model: &mut Model) -> Result<(), Error> {
    let (mut log, recovery): (Log, Recovery<State>) = Log::open_on(backend.clone(), small())?;
    for frame in 0..FRAMES {
        let first = recovery.last.0 + frame * 2 + 1;
        let records = [record_of(first, TEXT_BYTES), record_of(first + 1, TEXT_BYTES)];
        model.attempted.extend(records.iter().map(|record| (record.seq.0, record.clone())));
        model.acknowledged = append(&mut log, &records)?.last.0;
        if frame % 5 == 4 {
            log.snapshot(Seq(model.acknowledged), state_at(model.acknowledged))?;
        }
    }
    log.settle()
}

/// How far what is done beside the writer stays behind it: not at all, by less than a segment, by more than one.
const LAGS: [u64; 6] = [0, 1, 2, 3, 5, 20];

/// Opens what is left and holds it against the model. Returns what the opening said.
fn check(memory: &Memory, model: &Model, context: &str) -> Recovery<State> {
    // Opened before the agent starts, and read after.
    let reader = Reader::open_on(Arc::new(memory.clone())).unwrap();
    let backend: Arc<dyn Backend> = Arc::new(memory.clone());
    let (mut log, recovery): (Log, Recovery<State>) = Log::open_on(backend, small()).unwrap();
    if recovery.loss.is_none() {
        assert!(reader.lost_before().is_none(), "{context}");
        let read = reader.frames().map(|frame| frame.unwrap_or_else(|error| panic!("{context}: {error}")));
        assert_eq!(read.last().map_or(Seq(0), |frame| frame.last()), recovery.last, "{context}");
    }
    let (first, last) = (recovery.first.0, recovery.last.0);
    let present = common::records_after(&log, first - 1);
    let attempted = model.attempted.range(first..last.max(first - 1) + 1);
    let attempted: Vec<Record> = attempted.map(|(_, record)| record.clone()).collect();
    assert_eq!(present, attempted, "{context}");
    match &recovery.state {
        Some((seq, state)) => {
            assert_eq!(*state, state_at(seq.0), "{context}");
            assert!(seq.next() >= recovery.first && *seq <= recovery.last, "{context}");
        }
        None => assert_eq!(first, 1, "{context}: records without a state to apply them to"),
    }
    let next = [record_of(last + 1, 10)];
    assert_eq!(append(&mut log, &next).unwrap().last, Seq(last + 1), "{context}");
    recovery
}

fn operations_of_a_run(lag: u64) -> u64 {
    let memory = Memory::new();
    memory.set_faults(Faults { lag, ..Faults::default() });
    run(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut Model::default()).unwrap();
    memory.operations()
}

/// A place whose disk fails at an operation, and what was attempted there.
fn failing(fail_at: u64, lag: u64) -> (Memory, Model) {
    let (memory, mut model) = (Memory::new(), Model::default());
    memory.set_faults(Faults { fail_at: Some(fail_at), lag, ..Faults::default() });
    run(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut model).unwrap_err();
    (memory, model)
}

/// The segments that are there as databases, and those of them that are there as files too.
fn being_sealed(memory: &Memory) -> (usize, usize) {
    let names: Vec<Name> = memory.list().unwrap().iter().map(|entry| entry.name).collect();
    let open: Vec<Seq> = names.iter().filter_map(|name| open(*name)).collect();
    let both = open.iter().filter(|first| names.contains(&Name::Sealed(**first))).count();
    (open.len(), both)
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_acknowledged() {
    let (mut unsealed, mut both) = (0, 0);
    for lag in LAGS {
        let operations = operations_of_a_run(lag);
        assert!(operations > 70, "the script is too tame: {operations}");
        for fail_at in 0..operations {
            for survive in [Survive::Synced, Survive::All, Survive::Torn] {
                let (memory, model) = failing(fail_at, lag);
                let context = format!("operation {fail_at}, lag {lag}, {survive:?}");
                let crashed = memory.crash(survive);
                let found = being_sealed(&crashed);
                unsealed += usize::from(found.0 > 1);
                both += found.1;
                let recovery = check(&crashed, &model, &context);
                assert!(recovery.last.0 >= model.acknowledged, "{context}");
                assert!(recovery.loss.is_none(), "{context}: {}", recovery.loss.unwrap());
            }
        }
    }
    assert!(unsealed > 100 && both > 20, "the crashes come at the wrong times: {unsealed}, {both}");
}

#[test]
fn a_crash_at_any_operation_of_an_opening_changes_nothing() {
    let operations = operations_of_a_run(3);
    let mut places: Vec<(Memory, Model)> = [operations / 3, operations / 2, operations - 1]
        .into_iter()
        .flat_map(|around| (0..6).map(move |less| around - less))
        .map(|fail_at| failing(fail_at, 3))
        .filter(|(memory, _)| being_sealed(memory).0 > 1)
        .collect();
    assert!(places.len() > 3, "{}", places.len());
    let (memory, mut model) = (Memory::new(), Model::default());
    run(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut model).unwrap();
    places.push((memory, model));
    for (place, (memory, model)) in places.into_iter().enumerate() {
        for damage in [false, true] {
            let memory = memory.crash(Survive::Synced);
            if damage {
                let last_sealed =
                    memory.list().unwrap().iter().filter_map(|entry| sealed(entry.name)).max().unwrap();
                memory.damage(Name::Sealed(last_sealed), |bytes| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                });
            }
            disturb_the_opening(&memory, &model, &format!("place {place}, damage: {damage}"));
        }
    }
}

/// Crashes at every operation of an opening lead to what an undisturbed one does.
fn disturb_the_opening(memory: &Memory, model: &Model, context: &str) {
    let undisturbed = check(&memory.crash(Survive::Synced), model, "undisturbed");
    for fail_at in 0.. {
        let context = format!("{context}, opening, {fail_at}");
        let disturbed = memory.crash(Survive::Synced);
        disturbed.set_faults(Faults { fail_at: Some(fail_at), ..Faults::default() });
        let failed = Log::open_on::<State>(Arc::new(disturbed.clone()), small()).is_err();
        let recovery = check(&disturbed.crash(Survive::Synced), model, &context);
        assert_eq!((recovery.first, recovery.last), (undisturbed.first, undisturbed.last), "{context}");
        if !failed {
            assert!(fail_at > 1, "an opening writes");
            break;
        }
    }
}

#[test]
fn a_file_damaged_before_its_database_went_costs_nothing() {
    let mut found = 0;
    for fail_at in 0..operations_of_a_run(3) {
        let (memory, model) = failing(fail_at, 3);
        let memory = memory.crash(Survive::Synced);
        let names: Vec<Name> = memory.list().unwrap().iter().map(|entry| entry.name).collect();
        for first in
            names.iter().filter_map(|name| open(*name)).filter(|first| names.contains(&Name::Sealed(*first)))
        {
            memory.damage(Name::Sealed(first), |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle - 200..middle + 200].fill(0);
            });
            let recovery = check(&memory, &model, &format!("{fail_at}"));
            let loss = recovery.loss.unwrap();
            assert!(
                loss.lost.is_none() && !loss.history_lost && recovery.last.0 >= model.acknowledged,
                "{loss}"
            );
            assert!(loss.to_string().contains(" is damaged, though all its records were found; "), "{loss}");
            found += 1;
        }
    }
    assert!(found > 3, "{found}");
}

#[test]
fn what_is_being_sealed_is_read_all_the_same() {
    for lag in LAGS {
        let memory = Memory::new();
        memory.set_faults(Faults { lag, ..Faults::default() });
        let keeping = Options { history_bytes: u64::MAX, ..small() };
        let (mut log, _) = Log::open_on::<State>(Arc::new(memory.clone()), keeping).unwrap();
        for seq in 1..=60 {
            let _ = append(&mut log, &[record_of(seq, TEXT_BYTES)]).unwrap();
            let expected: Vec<Record> = (1..=seq).map(|seq| record_of(seq, TEXT_BYTES)).collect();
            for from in [0, seq / 2, seq - 1] {
                assert_eq!(common::records_after(&log, from), expected[from as usize..], "lag {lag}, {seq}");
            }
            let reader = Reader::open_on(Arc::new(memory.clone())).unwrap();
            let read = reader.frames().flat_map(|frame| frame.unwrap().records().unwrap());
            assert_eq!(read.collect::<Vec<_>>(), expected, "lag {lag}, {seq}");
        }
        assert!(log.stats().segments > 5);
    }
}

fn sealed(name: Name) -> Option<Seq> {
    match name {
        Name::Sealed(first) => Some(first),
        Name::Open(_) | Name::Snapshot(_) => None,
    }
}

fn open(name: Name) -> Option<Seq> {
    match name {
        Name::Open(first) => Some(first),
        Name::Sealed(_) | Name::Snapshot(_) => None,
    }
}

#[test]
fn a_disk_that_lies_costs_a_tail_and_the_loss_is_told() {
    for (freeze_at, lag) in (0..FRAMES).flat_map(|freeze_at| LAGS.map(|lag| (freeze_at, lag))) {
        let (memory, mut model) = (Memory::new(), Model::default());
        memory.set_faults(Faults { freeze_at_sync: Some(freeze_at), lag, ..Faults::default() });
        run(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut model).unwrap();
        let recovery = check(&memory.crash(Survive::Synced), &model, &format!("frozen at {freeze_at}"));
        assert!(recovery.last.0 < model.acknowledged || recovery.loss.is_none());
        if recovery.last.0 < model.acknowledged {
            let lost = (recovery.last.next(), Seq(model.acknowledged));
            assert_eq!(recovery.loss.unwrap().lost, Some(lost), "{freeze_at}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_never_stops_an_opening_and_is_told_when_it_costs() {
    let (memory, mut model) = (Memory::new(), Model::default());
    run(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut model).unwrap();
    let memory = memory.crash(Survive::Synced);
    for entry in memory.list().unwrap() {
        for step in 0..23 {
            let damaged = memory.crash(Survive::Synced);
            damaged.damage(entry.name, |bytes| {
                let at = (bytes.len() - 1) * step / 22;
                bytes[at] ^= 1 << (step % 8);
            });
            let recovery = check(&damaged, &model, &format!("{:?}, step {step}", entry.name));
            assert_eq!(damaged.aside().contains(&entry.name), recovery.loss.is_some());
            assert!(
                recovery.loss.is_some() || matches!(entry.name, Name::Open(_)),
                "{:?} {step}",
                entry.name
            );
        }
    }
}

#[test]
fn a_failed_sync_poisons_the_log_for_good() {
    let memory = Memory::new();
    let (mut log, _): (Log, Recovery<State>) = Log::open_on(Arc::new(memory.clone()), small()).unwrap();
    let _ = append(&mut log, &[record_of(1, 10)]).unwrap();
    memory.set_faults(Faults { fail_at: Some(1), ..Faults::default() });
    let error = append(&mut log, &[record_of(2, 10)]).unwrap_err();
    assert_eq!(error.to_string(), "could not append to the log: the disk has failed");
    memory.set_faults(Faults::default());
    assert!(matches!(append(&mut log, &[record_of(2, 10)]), Err(Error::Poisoned)));
    assert!(matches!(log.snapshot(Seq(1), state_at(1)), Err(Error::Poisoned)));
    assert!(matches!(log.settle(), Err(Error::Poisoned)));
    assert!(log.frames_after(Seq(0)).is_err());
}
