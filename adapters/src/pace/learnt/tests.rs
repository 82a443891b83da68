use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Refuses a call and rests for as long as is asked, or a while; returns the end of the rest.
fn refuse(learnt: &mut Learnt, now: Instant, asked: Option<Duration>) -> Instant {
    let unasked = learnt.refused(now, COMPANY_MIN);
    let until = now + asked.unwrap_or(unasked);
    learnt.rests(until, asked);
    // As in a burst: the others that were on their way are refused as well.
    (0..20).for_each(|_| learnt.refused_too());
    until
}

/// What is known after a hundred calls were let through at once and the next one was not, and the end of the rest.
fn of_a_hundred(start: Instant, asked: Option<Duration>) -> (Learnt, Instant) {
    let mut learnt = Learnt::new(start);
    (0..100).for_each(|_| learnt.passed(start, false));
    let resumed = refuse(&mut learnt, start, asked);
    (learnt, resumed)
}

fn rate(learnt: &Learnt, now: Instant) -> f64 {
    learnt.limit.as_ref().map_or(f64::INFINITY, |limit| limit.rate(now))
}

#[test]
fn the_rate_comes_back_stays_and_leaves_ever_faster() {
    let (learnt, resumed) = of_a_hundred(Instant::now(), Some(s(300)));
    let at = |at| rate(&learnt, resumed + s(at)).round();
    assert_eq!([0, 2, 4, 6, 8, 20].map(at), [97.0, 100.0, 101.0, 109.0, 134.0, 1178.0]);
}

#[test]
fn what_a_rest_held_up_goes_at_once_after_it() {
    let (mut learnt, resumed) = of_a_hundred(Instant::now(), Some(s(5)));
    let at_once = (0..1_000).take_while(|_| {
        let now = learnt.earliest(resumed) == resumed;
        learnt.take(resumed);
        now
    });
    assert_eq!(at_once.count(), 97, "of a window, not of the whole rest");
}

#[test]
fn answers_that_a_refusal_overtook_count() {
    let start = Instant::now();
    let mut learnt = Learnt::new(start);
    (0..40).for_each(|_| learnt.passed(start, false));
    refuse(&mut learnt, start, Some(s(1)));
    (0..60).for_each(|_| learnt.passed(start, true));
    learnt.take(start + s(1));
    let limit = learnt.limit.as_ref().expect("a limit");
    assert_eq!((limit.per_second, limit.saved), (100.0, Some(96)));
}

#[test]
fn what_was_saved_up_at_first_is_not_taken_for_the_rate() {
    let (mut learnt, resumed) = of_a_hundred(Instant::now(), Some(s(1)));
    learnt.take(resumed);
    (0..150).for_each(|_| learnt.passed(resumed, false));
    refuse(&mut learnt, resumed + s(1), None);
    let limit = learnt.limit.as_ref().expect("a limit");
    assert_eq!(limit.per_second, 75.0, "a hundred and fifty in two seconds");
}

#[test]
fn so_many_at_once_as_were_too_many_do_not_go_again() {
    let (mut learnt, mut resumed) = of_a_hundred(Instant::now(), Some(s(1)));
    let mut saved = Vec::new();
    for _ in 0..4 {
        learnt.take(resumed);
        saved.push(learnt.limit.as_ref().expect("a limit").saved_at_first);
        (0..10).for_each(|_| learnt.passed(resumed, false));
        resumed = refuse(&mut learnt, resumed, Some(s(1)));
    }
    assert!(rate(&learnt, resumed) > 40.0, "of the rate that says nothing: {}", rate(&learnt, resumed));
    for _ in 0..2 {
        learnt.take(resumed);
        saved.push(learnt.limit.as_ref().expect("a limit").saved_at_first);
        (0..50).for_each(|_| learnt.passed(resumed, false));
        resumed = refuse(&mut learnt, resumed + s(1), Some(s(1)));
    }
    assert_eq!(saved, [97, 47, 23, 11, 8, 16], "eight were not too many");
}

#[test]
fn the_refusal_of_a_lonely_call_shows_no_limit() {
    let start = Instant::now();
    let mut learnt = Learnt::new(start);
    let company: Vec<u32> = (0..3).map(|at| learnt.take(start + s(1) / 2 * at)).collect();
    assert_eq!(company, [1, 2, 2]);
    assert_eq!(learnt.refused(start + s(1), COMPANY_MIN - 1), UNASKED_MIN);
    assert!(learnt.limit.is_none());
}

#[test]
fn one_refusal_among_many_calls_let_through_shows_no_limit() {
    let start = Instant::now();
    let mut learnt = Learnt::new(start);
    (0..100).for_each(|_| learnt.passed(start, false));
    let unasked = learnt.refused(start, COMPANY_MIN);
    learnt.rests(start + unasked, None);
    (0..5).for_each(|_| learnt.refused_too());
    let at_once = (0..1_000).filter(|_| learnt.earliest(start + unasked) == start + unasked);
    assert_eq!(at_once.count(), 1_000);
}

#[test]
fn rests_that_nobody_asked_for_grow_while_nothing_gets_through() {
    let (mut learnt, mut now) = of_a_hundred(Instant::now(), None);
    let mut rests = Vec::new();
    for _ in 0..8 {
        now += s(10);
        rests.push(learnt.refused(now, COMPANY_MIN).as_millis());
    }
    assert_eq!(rests, [400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
    learnt.passed(now, false);
    assert_eq!(learnt.refused(now, COMPANY_MIN), UNASKED_MIN);
}

#[test]
fn many_refusals_do_not_stop_a_class_and_none_for_long_frees_it() {
    let start = Instant::now();
    let mut learnt = Learnt::new(start);
    let mut resumed = start;
    for refusal in 0..50 {
        resumed = refuse(&mut learnt, start + s(refusal), None);
    }
    assert_eq!(rate(&learnt, resumed), RATE_MIN);
    assert!(rate(&learnt, resumed + s(10)) > 100.0, "it finds its way up");
    learnt.take(resumed + s(59));
    assert!(learnt.limit.is_some());
    assert_eq!(learnt.earliest(resumed + s(60)), resumed + s(60));
    assert!(learnt.limit.is_none());
}

#[test]
fn a_window_counts_what_is_in_it() {
    let start = Instant::now();
    let mut window = Window::new(start);
    for at_ms in [0, 5, 500, 995] {
        window.add(start + Duration::from_millis(at_ms));
    }
    let counts: Vec<u32> =
        [999, 1_009, 1_499, 1_990, 2_100].map(|ms| window.count(start + Duration::from_millis(ms))).into();
    assert_eq!(counts, [4, 2, 2, 0, 0]);
    window.add(start + Duration::from_secs(1_000_000));
    assert_eq!(window.count(start + Duration::from_secs(1_000_000)), 1);
}
