//! Crashes and failures at every single operation, compared with a map of what was attempted and what was
//! acknowledged.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{State, append, options, record_of};
use engine::{Record, Seq};
use store::{Backend, Error, Faults, Log, Memory, Name, Options, Recovery, Source, Survive};

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
            log.snapshot(Seq(model.acknowledged), &state_at(model.acknowledged))?;
            log.retain()?;
        }
    }
    Ok(())
}

/// Opens what is left and holds it against the model. Returns what the opening said.
fn check(memory: &Memory, model: &Model, context: &str) -> Recovery<State> {
    let backend: Arc<dyn Backend> = Arc::new(memory.clone());
    let (mut log, recovery): (Log, Recovery<State>) = Log::open_on(backend, small()).unwrap();
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

fn operations_of_a_run() -> u64 {
    let memory = Memory::new();
    run(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut Model::default()).unwrap();
    memory.operations()
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_acknowledged() {
    let operations = operations_of_a_run();
    assert!(operations > 70, "the script is too tame: {operations}");
    for fail_at in 0..operations {
        for survive in [Survive::Synced, Survive::All, Survive::Torn] {
            let (memory, mut model) = (Memory::new(), Model::default());
            memory.set_faults(Faults { fail_at: Some(fail_at), ..Faults::default() });
            run(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut model).unwrap_err();
            let context = format!("operation {fail_at}, {survive:?}");
            let recovery = check(&memory.crash(survive), &model, &context);
            assert!(recovery.last.0 >= model.acknowledged, "{context}");
            assert!(recovery.loss.is_none(), "{context}: {}", recovery.loss.unwrap());
        }
    }
}

#[test]
fn a_crash_at_any_operation_of_an_opening_changes_nothing() {
    for damage in [false, true] {
        let (memory, mut model) = (Memory::new(), Model::default());
        run(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut model).unwrap();
        let memory = memory.crash(Survive::Synced);
        if damage {
            let last_sealed =
                memory.list().unwrap().iter().filter_map(|entry| sealed(entry.name)).max().unwrap();
            memory.damage(Name::Sealed(last_sealed), |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        }
        let undisturbed = check(&memory.crash(Survive::Synced), &model, "undisturbed");
        for fail_at in 0.. {
            let disturbed = memory.crash(Survive::Synced);
            disturbed.set_faults(Faults { fail_at: Some(fail_at), ..Faults::default() });
            let failed = Log::open_on::<State>(Arc::new(disturbed.clone()), small()).is_err();
            let recovery = check(&disturbed.crash(Survive::Synced), &model, &format!("opening, {fail_at}"));
            assert_eq!((recovery.first, recovery.last), (undisturbed.first, undisturbed.last), "{fail_at}");
            if !failed {
                assert!(fail_at > 1, "an opening writes");
                break;
            }
        }
    }
}

fn sealed(name: Name) -> Option<Seq> {
    match name {
        Name::Sealed(first) => Some(first),
        Name::Open(_) | Name::Snapshot(_) => None,
    }
}

#[test]
fn a_disk_that_lies_costs_a_tail_and_the_loss_is_told() {
    for freeze_at in 0..FRAMES {
        let (memory, mut model) = (Memory::new(), Model::default());
        memory.set_faults(Faults { freeze_at_sync: Some(freeze_at), ..Faults::default() });
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
    assert!(matches!(log.snapshot(Seq(1), &state_at(1)), Err(Error::Poisoned)));
    assert!(matches!(log.retain(), Err(Error::Poisoned)));
    assert!(log.frames_after(Seq(0)).is_err());
}
