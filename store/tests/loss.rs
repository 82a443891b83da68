//! What an opening says of a log that was not as it was left: what is lost, what was found, what is kept, where
//! it goes on, and where the evidence is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use common::{State, open_segment, sealed, small_segments, written};
use engine::Seq;
use expect_test::{Expect, expect};
use store::{Backend, Log, Memory, Name, Options};

/// Flips a bit in the middle of a part.
fn damage(memory: &Memory, name: Name) {
    memory.damage(name, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

fn check(memory: &Memory, expected: Expect) {
    check_with(memory, small_segments(), expected);
}

fn check_with(memory: &Memory, options: Options, expected: Expect) {
    let (_, recovery) = Log::open_on::<State>(Arc::new(memory.clone()), options).unwrap();
    let told = recovery.loss.map_or("nothing".to_owned(), |loss| loss.to_string());
    assert!(!told.contains('\n'));
    expected.assert_eq(&told);
}

#[test]
fn of_a_whole_log_nothing_is_said() {
    check(&written(), expect!["nothing"]);
    check(&Memory::new(), expect!["nothing"]);
}

#[test]
fn a_damaged_end() {
    let memory = written();
    memory.damage(open_segment(&memory), |bytes| bytes[100] ^= 1);
    check(
        &memory,
        expect![
            "the log has lost records #2001 to #2400: the log ends at #2000, and its head says that it went up to #2400; records #1 to #2000 are kept, and it goes on with #2001 and the state from the snapshot at #1600; what was found is set aside in memory (128210 bytes)"
        ],
    );

    let memory = written();
    memory.remove(open_segment(&memory)).unwrap();
    check(
        &memory,
        expect![
            "the log has lost records #2001 to #2400: the log ends at #2000, and its head says that it went up to #2400; records #1 to #2000 are kept, and it goes on with #2001 and the state from the snapshot at #1600; what was found is set aside in memory (64020 bytes)"
        ],
    );
}

#[test]
fn damage_in_history() {
    let memory = written();
    damage(&memory, Name::Sealed(sealed(&memory)[1]));
    check(
        &memory,
        expect![
            "the log has lost what was before record #621: segment-00000000000000000401.frames is damaged; records #621 to #2400 are kept, and it goes on with #2401 and the state from the snapshot at #1600; what was found is set aside in memory (125698 bytes)"
        ],
    );

    let memory = written();
    memory.remove(Name::Sealed(sealed(&memory)[3])).unwrap();
    check(
        &memory,
        expect![
            "the log has lost what was before record #1601: segment-00000000000000000801.frames ends at #1200, segment-00000000000000001601.frames begins at #1601; snapshot-00000000000000000800.state does not belong to the records that are kept; records #1601 to #2400 are kept, and it goes on with #2401 and the state from the snapshot at #1600; what was found is set aside in memory (189389 bytes)"
        ],
    );

    // Behind the gap no snapshot leads on.
    let memory = written();
    memory.remove(Name::Sealed(sealed(&memory)[3])).unwrap();
    memory.remove(Name::Snapshot(Seq(1_600))).unwrap();
    check(
        &memory,
        expect![
            "the log has lost records #1201 to #2400: segment-00000000000000000801.frames ends at #1200, segment-00000000000000001601.frames begins at #1601; records #1 to #1200 are kept, and it goes on with #1201 and the state from the snapshot at #800; what was found is set aside in memory (191832 bytes)"
        ],
    );

    let memory = written();
    memory.damage(Name::Sealed(Seq(1)), |bytes| bytes[100] ^= 1);
    check(
        &memory,
        expect![
            "the log has lost what was before record #21: segment-00000000000000000001.frames is damaged; records #21 to #2400 are kept, and it goes on with #2401 and the state from the snapshot at #1600; what was found is set aside in memory (62478 bytes)"
        ],
    );
}

#[test]
fn damage_behind_which_no_snapshot_leads_on() {
    let memory = written();
    damage(&memory, Name::Sealed(*sealed(&memory).last().unwrap()));
    check(
        &memory,
        expect![
            "the log has lost records #1801 to #2400: segment-00000000000000001601.frames is damaged; records #1 to #1800 are kept, and it goes on with #1801 and the state from the snapshot at #1600; what was found is set aside in memory (128210 bytes)"
        ],
    );

    let memory = written();
    memory.remove(Name::Snapshot(Seq(800))).unwrap();
    memory.remove(Name::Snapshot(Seq(1_600))).unwrap();
    memory.remove(Name::Sealed(Seq(1))).unwrap();
    check(
        &memory,
        expect![
            "the log has lost records #401 to #2400: no snapshot says how things stood before them; nothing is kept, and it begins anew; what was found is set aside in memory (319072 bytes)"
        ],
    );
}

#[test]
fn damage_on_both_sides_of_a_snapshot() {
    let memory = written();
    damage(&memory, Name::Sealed(sealed(&memory)[1]));
    damage(&memory, Name::Sealed(*sealed(&memory).last().unwrap()));
    check(
        &memory,
        expect![
            "the log has lost records #1801 to #2400 and what was before #621: segment-00000000000000000401.frames is damaged; segment-00000000000000001601.frames is damaged; records #621 to #1800 are kept, and it goes on with #1801 and the state from the snapshot at #1600; what was found is set aside in memory (253908 bytes)"
        ],
    );
}

#[test]
fn a_snapshot_that_cannot_be_used() {
    let memory = written();
    damage(&memory, Name::Snapshot(Seq(1_600)));
    check(
        &memory,
        expect![
            "the log has lost no record: snapshot-00000000000000001600.state is damaged; records #1 to #2400 are kept, and it goes on with #2401 and the state from the snapshot at #800; what was found is set aside in memory (69 bytes)"
        ],
    );

    let memory = written();
    check_with(
        &memory,
        Options { state_version: 2, ..small_segments() },
        expect![
            "the log has lost no record: snapshot-00000000000000000800.state has layout 1 of the state, and this build reads layout 2; snapshot-00000000000000001600.state has layout 1 of the state, and this build reads layout 2; records #1 to #2400 are kept, and it goes on with #2401 and the state that follows from them; what was found is set aside in memory (138 bytes)"
        ],
    );

    let memory = written();
    memory.remove(Name::Sealed(Seq(1))).unwrap();
    check_with(
        &memory,
        Options { state_version: 2, ..small_segments() },
        expect![
            "the log has lost records #401 to #2400: no snapshot says how things stood before them; snapshot-00000000000000000800.state has layout 1 of the state, and this build reads layout 2; snapshot-00000000000000001600.state has layout 1 of the state, and this build reads layout 2; nothing is kept, and it begins anew; what was found is set aside in memory (319210 bytes)"
        ],
    );
}

#[test]
fn nothing_but_the_head_is_left() {
    let memory = written();
    for name in common::names(&memory) {
        memory.remove(name).unwrap();
    }
    check(
        &memory,
        expect![
            "the log has lost records #1 to #2400: no record is left, and its head says that it went up to #2400; nothing is kept, and it begins anew; what was found is set aside in memory (0 bytes)"
        ],
    );
}

#[test]
fn a_damaged_head() {
    let memory = written();
    let mut head = store::Source::head(&memory).unwrap();
    head[30] ^= 1;
    memory.note(&head).unwrap();
    check(
        &memory,
        expect![
            "the log has lost no record: the head is damaged, so that nobody knows whether records are lost at the end; records #1 to #2400 are kept, and it goes on with #2401 and the state from the snapshot at #1600; what was found is set aside in memory (0 bytes)"
        ],
    );
}
