use super::*;

const LOG: &str = "2026-01-02T03:04:05.000000001Z one\n\
    2026-01-02T03:04:06.000000001Z two\n\
    2026-01-02T03:04:06.000000001Z two again\n\
    2026-01-02T03:04:06.000000001Z \n\
    2026-01-02T03:04:07Z three and some more words than the time has bytes, which is forty at most\n\
    2026-01-02T03:04:08+00:00 four\n";

fn bare() -> String {
    LOG.lines().map(|line| format!("{}\n", line.split_once(' ').unwrap().1)).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn times_are_given_only_to_who_asked_for_them() {
    assert_eq!(text(&Lines::new(true, None, None).feed(LOG.as_bytes())), LOG);
    assert_eq!(text(&Lines::new(false, None, None).feed(LOG.as_bytes())), bare());
}

/// Cut anywhere, and read again from any line at or before the cut: the same, without loss and without doubles.
#[test]
fn a_log_goes_on_where_it_was_cut() {
    let starts: Vec<usize> = LOG
        .lines()
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len() + 1;
            Some(start)
        })
        .collect();
    for with_stamps in [true, false] {
        let whole = if with_stamps { LOG.to_owned() } else { bare() };
        for cut in 0..=LOG.len() {
            for start in starts.iter().filter(|start| **start <= cut) {
                let mut lines = Lines::new(with_stamps, None, None);
                let mut given = text(&lines.feed(&LOG.as_bytes()[..cut]));
                // Whoever asks by the time of a line gets all lines of that time.
                let time = match lines.place() {
                    Place::Time(time) => Some(time),
                    Place::Start | Place::NoTime => None,
                };
                let first_of_time = starts.iter().copied().find(|start| {
                    let stamp = LOG[*start..].split(' ').next().unwrap();
                    time.is_some() && stamp.parse().ok() == time
                });
                if first_of_time.is_some_and(|first| *start > first) || time.is_none() && *start > 0 {
                    continue;
                }
                lines.read_again();
                for piece in LOG.as_bytes()[*start..].chunks(7) {
                    given.push_str(&text(&lines.feed(piece)));
                }
                assert_eq!(given, whole, "cut at {cut}, read again from {start}, times: {with_stamps}");
            }
        }
    }
}

#[test]
fn a_line_that_is_gone_when_the_log_is_read_again_does_not_run_into_the_next() {
    let mut lines = Lines::new(false, None, None);
    let given = text(&lines.feed(&LOG.as_bytes()[..33]));
    lines.read_again();
    let rest = text(&lines.feed(&LOG.as_bytes()[LOG.find("2026-01-02T03:04:07Z").unwrap()..]));
    assert_eq!(given + &rest, format!("on\n{}", &bare()[bare().find("three").unwrap()..]));
}

#[test]
fn earlier_lines_are_dropped_wherever_they_stand() {
    let since = "2026-01-02T03:04:06Z".parse().ok();
    let mut lines = Lines::new(false, since, None);
    assert_eq!(text(&lines.feed(LOG.as_bytes())), bare()[4..]);
    assert_eq!(text(&lines.feed(b"2026-01-02T03:04:05Z late\n2026-01-02T03:04:09Z new\n")), "new\n");
}

/// Standard output and standard error have a writer each.
const DISORDERED: &str = "2026-01-02T03:04:05Z a\n\
    2026-01-02T03:04:04.5Z b\n\
    2026-01-02T03:04:05Z c\n\
    2026-01-02T03:04:04Z d\n\
    2026-01-02T03:04:05+00:00 e\n\
    2026-01-02T03:04:06Z f\n";

#[test]
fn lines_whose_times_go_back_are_neither_lost_nor_given_twice_after_a_cut() {
    for cut in 1..=DISORDERED.len() {
        let mut lines = Lines::new(true, None, None);
        let mut given = text(&lines.feed(&DISORDERED.as_bytes()[..cut]));
        lines.read_again();
        given.push_str(&text(&lines.feed(DISORDERED.as_bytes())));
        assert_eq!(given, DISORDERED, "cut at {cut}");
        lines.read_again();
        assert_eq!(text(&lines.feed(DISORDERED.as_bytes())), "", "cut at {cut}, and once more");
    }
}

#[test]
fn a_late_line_is_given_as_long_as_nothing_is_read_again() {
    let log = "2026-01-02T03:04:05Z a\n2026-01-02T03:03:05Z b\n2026-01-02T03:04:06Z c\n";
    let mut lines = Lines::new(true, None, None);
    assert_eq!(text(&lines.feed(log.as_bytes())), log);
    lines.read_again();
    let more = format!("{log}2026-01-02T03:04:07Z d\n2026-01-02T03:03:07Z e\n");
    assert_eq!(text(&lines.feed(more.as_bytes())), more[log.len()..], "nor once there was a new one");
}

#[test]
fn what_is_remembered_of_a_fast_log_is_bounded() {
    let log: String =
        (0..5_000).map(|line| format!("2026-01-02T03:04:05.{line:09}Z line {line}\n")).collect();
    let mut lines = Lines::new(true, None, None);
    let half = log.len() / 2;
    let mut given = text(&lines.feed(&log.as_bytes()[..half]));
    assert!(lines.recent.len() <= 512);
    lines.read_again();
    given.push_str(&text(&lines.feed(log.as_bytes())));
    assert_eq!(given, log);
}

#[test]
fn no_more_bytes_are_given_than_may_be() {
    for with_stamps in [true, false] {
        let whole = if with_stamps { LOG.to_owned() } else { bare() };
        for limit in 1..=whole.len() {
            let mut lines = Lines::new(with_stamps, None, Some(limit as u64));
            let given: String = LOG.as_bytes().chunks(11).map(|piece| text(&lines.feed(piece))).collect();
            assert_eq!(given, whole[..limit]);
            assert!(lines.is_full());
        }
    }
}

#[test]
fn what_has_no_time_is_passed_on_as_it_is() {
    for log in [
        "plain\n",
        "\n\n",
        "two words\nthree words more",
        &format!("{}\n", "x".repeat(1000)),
        "end",
        "2026-01-02T03:04:0",
    ] {
        for size in [1, 3, 1000] {
            let mut lines = Lines::new(false, None, None);
            let mut given: String =
                log.as_bytes().chunks(size).map(|piece| text(&lines.feed(piece))).collect();
            given.push_str(&text(&lines.finish()));
            assert_eq!(given, *log);
        }
    }
}

/// However an input is cut into pieces, and whatever it is, the same is given; and with times, all of it is.
fn check_lines(input: &[u8]) {
    let read = |with_stamps: bool, size: usize| {
        let mut lines = Lines::new(with_stamps, None, None);
        let mut given: Vec<u8> = input.chunks(size).flat_map(|piece| lines.feed(piece)).collect();
        assert!(lines.head.len() <= STAMP_BYTES_MAX);
        given.extend(lines.finish());
        given
    };
    for with_stamps in [true, false] {
        let whole = read(with_stamps, input.len().max(1));
        assert_eq!(read(with_stamps, 1), whole);
        assert_eq!(read(with_stamps, 13), whole);
        assert!(!with_stamps || whole == input, "with its times, a log is passed on as it is");
    }
    // Cut and read again from the start: nothing twice, nothing lost, as long as times go back by little.
    let mut lines = Lines::new(true, None, None);
    let mut given = lines.feed(&input[..input.len() / 2]).to_vec();
    lines.read_again();
    given.extend(lines.feed(input));
    given.extend(lines.finish());
    let stamps = input
        .split(|byte| *byte == b'\n')
        .map(|line| line.split(|byte| *byte == b' ').next().unwrap_or_default());
    let mut newest = NO_TIME;
    let is_little = stamps.filter_map(stamp).all(|time| {
        newest = newest.max(time);
        newest.duration_since(time).as_secs() < 2
    });
    if is_little {
        assert_eq!(given, input);
    }
}

#[test]
fn fuzz_log_lines() {
    let corpus: [&[u8]; 3] =
        [LOG.as_bytes(), b"plain\n\ntwo words\n", b"2026-01-02T03:04:05Z a\nb\n2026-01-02T03:04:06Z c"];
    corpus.iter().for_each(|log| check_lines(log));
    fuzz::target!(&corpus, check_lines);
}
