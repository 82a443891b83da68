//! What is found out about a log: that it is as this build would have written it, or where it is not.

use store::{Log, Machine, News, STATE_VERSION};

use super::*;

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
        pods         1: never 1
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

#[test]
fn a_damaged_log_is_told_up_to_the_damage() {
    let mut journal = Journal::ready();
    journal.run_many(0..200);
    let sealed = std::fs::read_dir(journal.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let sealed =
        sealed.filter(|path| path.extension().is_some_and(|ending| ending == "frames")).max().unwrap();
    let mut bytes = std::fs::read(&sealed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&sealed, bytes).unwrap();

    let (told, ended) = replay(&journal, "--verify");
    assert!(told.starts_with("records      "), "{told}");
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
}

#[test]
fn a_trimmed_log_is_told_from_its_snapshot_on() {
    let mut journal = Journal::ready();
    for round in 0..3 {
        journal.run_many(100 * round..100 * (round + 1));
        journal.log.snapshot(journal.state.applied(), &journal.state).unwrap();
        journal.log.retain().unwrap();
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
        let ended = Pass::new(&options_of("--verify"), source.state, &mut out);
        (ended.run(source.frames, source.first, |_| {}).unwrap().summary, String::from_utf8(out).unwrap())
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
