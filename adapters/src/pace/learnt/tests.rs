use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What is known after a hundred calls were let through at once and the next one was not.
fn of_a_hundred(start: Instant, asked: Option<Duration>) -> Learnt {
    let mut learnt = Learnt::new(start);
    (0..100).for_each(|_| learnt.passed(start));
    assert_eq!(learnt.refused(start, asked), asked.unwrap_or(UNASKED_MIN));
    learnt
}

fn rate(learnt: &Learnt, now: Instant) -> f64 {
    learnt.limit.as_ref().map_or(f64::INFINITY, |limit| limit.rate(now))
}

#[test]
fn the_rate_comes_back_stays_and_leaves_ever_faster() {
    let start = Instant::now();
    let learnt = of_a_hundred(start, None);
    let rates: Vec<u32> =
        [0, 2, 4, 6, 8, 20].into_iter().map(|at| rate(&learnt, start + s(at)).round() as u32).collect();
    assert_eq!(rates, [93, 98, 98, 104, 124, 1097]);
}

#[test]
fn what_a_rest_held_up_goes_at_once_after_it() {
    let start = Instant::now();
    let mut learnt = of_a_hundred(start, Some(s(5)));
    let resumed = start + s(5);
    let at_once = (0..1_000).take_while(|_| {
        let now = learnt.earliest(resumed) == resumed;
        learnt.take(resumed);
        now
    });
    assert_eq!(at_once.count(), 93, "of a window, not of the whole rest");
}

#[test]
fn what_cannot_be_saved_up_is_not_asked_for_again() {
    let start = Instant::now();
    let mut learnt = of_a_hundred(start, Some(s(1)));
    let before = learnt.limit.as_ref().expect("a limit").per_second;
    (0..10).for_each(|_| learnt.passed(start + s(1)));
    learnt.refused(start + s(1), Some(s(1)));
    let limit = learnt.limit.as_ref().expect("a limit");
    assert_eq!((limit.saved, limit.per_second), (8, before));
}

#[test]
fn rests_that_nobody_asked_for_grow_while_nothing_gets_through() {
    let mut now = Instant::now();
    let mut learnt = of_a_hundred(now, None);
    let mut rests = Vec::new();
    for _ in 0..8 {
        now += s(10);
        rests.push(learnt.refused(now, None).as_millis());
    }
    assert_eq!(rests, [400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
    learnt.passed(now);
    assert_eq!(learnt.refused(now, None), UNASKED_MIN);
}

#[test]
fn one_refusal_does_not_stop_a_class_and_none_for_long_frees_it() {
    let start = Instant::now();
    let mut learnt = Learnt::new(start);
    for refusal in 0..50 {
        learnt.refused(start + s(refusal), None);
    }
    let last = start + s(49);
    assert_eq!(rate(&learnt, last), RATE_MIN);
    assert!(rate(&learnt, last + s(10)) > 100.0, "it finds its way up");
    learnt.take(last + s(60));
    assert_eq!(learnt.earliest(last + s(60)), last + s(60));
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
