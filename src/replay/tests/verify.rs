//! What is found out about a log: that it is as this build would have written it, or where it is not.

use store::{Log, Machine, News, STATE_VERSION};

use super::*;
use crate::replay::summary::Summary;

fn difference(ended: Result<Ended, Error>) -> String {
    ended.unwrap().summary.difference.unwrap().to_string()
}

#[test]
fn another_decision_is_found_in_its_frame_and_ends_the_verification() {
    let mut journal = Journal::ready();
    journal.tell(Event::PodObserved(facts(&pod("web-0", "u1")).into()));
    journal.write_as(0xbad, None);
    journal.tell(Event::Tick);
    journal.write();
    journal.tell(Event::Tick);
    journal.write();

    let (told, ended) = replay(&journal, "--verify");
    expect!["the decisions on record #7 are not the log's (digest 0d732d80c1c5c50e, 0000000000000bad in the log); all is the same until #6; the state at #8 is the log's"].assert_eq(&difference(ended));
    expect![[r#"
        records      8, #1 to #8
        time         2026-03-01T10:15:00.100Z to 2026-03-01T10:15:00.800Z
        agent        node virtual-kubelet of cluster c1
        starts       1, versions: 0.1.0
        decided      5 effects, 0 steps held back
        pods         1: unproven 1
        held         none
        outstanding  1: create_cloud_pod 1
        decisions    DIFFER: the decisions on record #7 are not the log's (digest 0d732d80c1c5c50e, 0000000000000bad in the log); all is the same until #6; the state at #8 is the log's
    "#]].assert_eq(&told);
    let (told, ended) = replay(&journal, "--verify --pod shop/web-0");
    assert!(told.contains("#7") && !told.contains("#8"), "{told}");
    assert!(ended.unwrap().summary.difference.is_some());
    let (_, ended) = replay(&journal, "");
    assert_eq!(ended.as_ref().unwrap().summary.last, Some(9), "without --verify it goes on");
    expect!["the decisions on record #7 are not the log's (digest 0d732d80c1c5c50e, 0000000000000bad in the log); all is the same until #6"].assert_eq(&difference(ended));
}

#[test]
fn another_state_is_found_section_by_section() {
    let mut journal = Journal::ready();
    journal.tell(Event::PodObserved(facts(&pod("web-0", "u1")).into()));
    let mut mark = store::state_mark(&mut journal.state);
    for (name, digest) in &mut mark.sections {
        *digest ^= u64::from(name == "pods" || name == "wakes");
    }
    journal.write_as(journal.state.decisions(), Some(mark));

    let (_, ended) = replay(&journal, "--verify");
    expect!["the state after record #7 is not the log's; all is the same until #6; differing sections of the state at #7: pods, wakes"].assert_eq(&difference(ended));
    assert_eq!(replay(&journal, "").1.unwrap().summary.difference, None, "states are compared on demand");
}

/// The parts of a journal's log whose names end so, in order.
fn parts(journal: &Journal, ending: &str) -> Vec<std::path::PathBuf> {
    let parts = std::fs::read_dir(journal.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut parts: Vec<_> = parts.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    parts.sort();
    parts
}

/// Flips a bit in the middle of a file.
fn damage(part: &std::path::Path) {
    let mut bytes = std::fs::read(part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(part, bytes).unwrap();
}

fn name(part: &std::path::Path) -> String {
    part.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn a_damaged_log_is_told_up_to_the_damage_and_says_what_is_there_and_not_told() {
    let mut journal = Journal::ready();
    journal.run_many(0..200);
    let sealed = parts(&journal, ".frames");
    let damaged = &sealed[sealed.len() / 2];
    damage(damaged);

    let (told, ended) = replay(&journal, "--verify");
    let Summary { gaps, last, .. } = ended.unwrap().summary;
    let (end, next) = (journal.state.applied(), &sealed[sealed.len() / 2 + 1]);
    let next: u64 = name(next)["segment-".len()..][..20].parse().unwrap();
    let line = format!(
        "records #{} to #{} are lost: {} is damaged; what follows, up to {end}, needs a snapshot to be told, and \
         there is none",
        last.unwrap() + 1,
        next - 1,
        name(damaged),
    );
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].to_string(), line);
    assert!(told.contains(&format!("\nLOST         {line}\n")), "{told}");
}

#[test]
fn behind_damage_the_story_goes_on_from_a_snapshot() {
    let mut journal = Journal::ready();
    journal.run_many(0..100);
    let before = journal.state.applied();
    journal.run_many(100..200);
    let snapshot = journal.state.applied();
    journal.log.snapshot(snapshot, journal.state.clone()).unwrap();
    // In flight at the snapshot, and answered behind it.
    journal.tell(Event::PodObserved(facts(&pod("late", "u-late")).into()));
    journal.write();
    journal.log.snapshot(journal.state.applied(), journal.state.clone()).unwrap();
    journal.answer("create_cloud_pod", created(&pod("late", "u-late")));
    journal.write();
    let damaged = format!("segment-{:020}.frames", before.0 + 1);
    damage(&journal.directory.path().join(&damaged));

    let (told, ended) = replay(&journal, "--verify");
    let Summary { gaps, last, difference, records, .. } = ended.unwrap().summary;
    assert_eq!((last, difference), (Some(journal.state.applied().0), None));
    let [gap] = &gaps[..] else { panic!("{told}") };
    assert_eq!((gap.first, gap.last), (before.0 + 1, snapshot.0));
    assert_eq!(records, before.0 + journal.state.applied().0 - snapshot.0);
    let line = gap.to_string();
    assert!(
        line.contains(&format!(
            " are lost: {damaged} is damaged; what follows is told from the snapshot at "
        ))
    );

    let (told, ended) = replay(&journal, "--pod shop/late");
    assert!(told.lines().any(|told| told.ends_with(&line)), "{told}");
    assert!(told.contains("create cloud pod: done") && !told.contains("nobody waited"), "{told}");
    let told_before = replay(&journal, "--pod shop/web-3").0;
    assert!(told_before.lines().count() > 5, "{told_before}");
    let error = crate::replay::report(&options_of("--pod shop/late"), &ended.unwrap()).unwrap_err();
    assert_eq!(error.to_string(), line);

    let (_, ended) = replay(&journal, &format!("--verify --until {}", before.0 + 10));
    let summary = ended.unwrap().summary;
    assert_eq!((summary.last, &summary.gaps), (Some(before.0), &gaps), "it ends before the snapshot");
    let (_, ended) = replay(&journal, &format!("--verify --until {before}"));
    assert!(ended.unwrap().summary.gaps.is_empty());
}

#[test]
fn what_an_opening_kept_of_a_damaged_log_is_told_from_its_snapshot_on() {
    let mut journal = Journal::ready();
    journal.run_many(0..100);
    let before = journal.state.applied();
    journal.run_many(100..300);
    let snapshot = journal.state.applied();
    journal.log.snapshot(snapshot, journal.state.clone()).unwrap();
    journal.run_many(300..400);
    damage(&journal.directory.path().join(format!("segment-{:020}.frames", before.0 + 1)));
    let (last, recovered) = (journal.state.applied(), journal.recover());
    assert!(recovered.first > before && recovered.first < snapshot && recovered.last == last);

    let (told, ended) = replay(&journal, "--verify");
    let Summary { gaps, from_snapshot, last: told_to, .. } = ended.unwrap().summary;
    assert_eq!((gaps, from_snapshot, told_to), (vec![], Some(snapshot.0), Some(last.0)));
    let first = recovered.first;
    let line =
        format!("records before {first} are dropped, and those from {first} to {snapshot} follow from them");
    assert!(told.contains(&line), "{told}");
    let (told, _) = replay(&journal, "--pod shop/web-399");
    assert!(told.lines().next().unwrap().contains(&line), "{told}");
}

#[test]
fn a_tail_that_is_lost_altogether_is_told_and_ends_with_an_error() {
    let mut journal = Journal::ready();
    journal.run_many(0..30);
    let last = journal.state.applied().0;
    let open = std::fs::read_dir(journal.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let open = open.filter(|path| path.is_dir() && name(path).starts_with("segment-"));
    std::fs::remove_dir_all(open.max().unwrap()).unwrap();
    let newest = parts(&journal, ".frames").pop().unwrap();
    std::fs::remove_file(newest).unwrap();

    let args = options_of("--verify");
    let (told, ended) = replay(&journal, "--verify");
    let ended = ended.unwrap();
    let end = ended.summary.last.unwrap();
    assert!(end < last);
    let line = format!(
        "records #{} to #{last} are lost: the log ends at #{end}, and its head says that it went up to #{last}",
        end + 1
    );
    assert!(told.contains(&format!("\nLOST         {line}\n")), "{told}");
    assert_eq!(crate::replay::report(&args, &ended).unwrap_err().to_string(), line);
    let (_, ended) = replay(&journal, &format!("--verify --until {end}"));
    assert!(crate::replay::report(&args, &ended.unwrap()).is_ok(), "up to there nothing is lost");

    for part in parts(&journal, ".frames") {
        std::fs::remove_file(part).unwrap();
    }
    let error = Source::directory(journal.directory.path()).err().unwrap().to_string();
    let line = format!(
        "records #1 to #{last} are lost: no record is left, and its head says that it went up to #{last}"
    );
    assert_eq!(error, line);
}

#[test]
fn records_lost_at_the_front_are_told_unless_a_snapshot_stands_for_them() {
    let mut journal = Journal::ready();
    let mut snapshots = Vec::new();
    for round in 0..2 {
        journal.run_many(100 * round..100 * (round + 1));
        snapshots.push(journal.state.applied());
        journal.log.snapshot(journal.state.applied(), journal.state.clone()).unwrap();
    }
    journal.run_many(200..300);
    let sealed = parts(&journal, ".frames");
    std::fs::remove_file(&sealed[0]).unwrap();
    let (told, ended) = replay(&journal, "--verify");
    let Summary { gaps, from_snapshot, .. } = ended.unwrap().summary;
    assert_eq!((gaps.len(), from_snapshot), (0, Some(snapshots[0].0)));
    let start = format!(
        "start        from the snapshot at {0}: records before #7 are dropped, and those from #7 to {0} follow from them",
        snapshots[0]
    );
    assert!(told.contains(&start), "{told}");

    let beyond = format!("segment-{:020}.frames", snapshots[0].0 + 1);
    for part in sealed[1..].iter().filter(|part| *part.file_name().unwrap().to_string_lossy() <= *beyond) {
        std::fs::remove_file(part).unwrap();
    }
    let Summary { gaps, from_snapshot, .. } = replay(&journal, "--verify").1.unwrap().summary;
    assert_eq!(from_snapshot, Some(snapshots[1].0));
    let reason = gaps[0].to_string();
    let line = format!("records #{} to #", snapshots[0].0 + 1);
    assert!(gaps.len() == 1 && reason.starts_with(&line) && reason.contains("are lost: the log begins at "));

    for part in parts(&journal, ".state") {
        std::fs::remove_file(part).unwrap();
    }
    let error = Source::directory(journal.directory.path()).err().unwrap();
    assert!(matches!(error, Error::NoStart { gap: None, .. }), "{error}");
}

#[test]
fn a_trimmed_log_is_told_from_its_snapshot_on() {
    let mut journal = Journal::keeping(0);
    for round in 0..3 {
        journal.run_many(100 * round..100 * (round + 1));
        journal.log.snapshot(journal.state.applied(), journal.state.clone()).unwrap();
        journal.log.settle().unwrap();
    }
    assert!(journal.log.first() > Seq(1), "nothing was dropped");
    let (told, ended) = replay(&journal, "--verify");
    let summary = ended.unwrap().summary;
    assert_eq!((summary.difference, summary.from_snapshot.is_some()), (None, true));
    assert!(told.contains("from the snapshot at #"), "{told}");
    let (told, _) = replay(&journal, "--pod shop/web-299");
    assert!(told.lines().next().unwrap().contains("told from the snapshot at #"), "{told}");
    let error = replay(&journal, "--until 3").1.unwrap_err().to_string();
    assert!(error.contains("--until lies before that"), "{error}");
}

#[test]
fn what_the_machine_writes_is_verified() {
    let directory = tempfile::tempdir().unwrap();
    let options = store::Options { free_floor_bytes: 0, state_version: STATE_VERSION, ..Default::default() };
    let (log, recovery) = Log::open::<State>(directory.path(), options).unwrap();
    let mut machine = Machine::recover(log, recovery).unwrap();
    let story = Journal::ready();
    let frames = store::Reader::open(story.directory.path()).unwrap().frames();
    let records = frames.flat_map(|frame| frame.unwrap().records().unwrap());
    let mut news: Vec<News> = records.map(|record| News { seen: record.seen, event: record.event }).collect();
    news.extend((0..3_000).map(|_| News { seen: MORNING, event: Event::Tick }));
    while !news.is_empty() {
        let mut some: Vec<News> = news.drain(..news.len().min(700)).collect();
        machine.commit(MORNING, &mut some).unwrap();
        assert!(some.is_empty(), "a frame holds as many");
    }
    let (summary, told) = {
        let source = Source::directory(directory.path()).unwrap();
        let mut out = Vec::new();
        let ended = Pass::new(&options_of("--verify"), source, &mut out).run(|_| {});
        (ended.unwrap().summary, String::from_utf8(out).unwrap())
    };
    assert_eq!((summary.difference, summary.records), (None, 3_006));
    assert!(summary.states_compared > 0, "{told}");
}

#[test]
fn a_record_in_the_middle_of_a_frame_ends_the_replay() {
    let mut journal = Journal::ready();
    journal.run_many(0..1);
    let (told, ended) = replay(&journal, "--pod shop/web-0 --until 8 --verify");
    assert!(told.contains("#8  ") && !told.contains("#9  "), "{told}");
    let summary = ended.unwrap().summary;
    assert_eq!((summary.last, summary.frames_compared), (Some(8), 1));
}
