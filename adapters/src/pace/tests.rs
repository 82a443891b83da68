use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::*;

/// The other side's limit.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// A bucket of a second's worth that fills up steadily.
    Bucket,
    /// A count that begins anew with each second.
    Window,
}

/// The other side, with a limit of so many calls a second.
#[derive(Debug)]
struct Service {
    limit: Limit,
    per_second: f64,
    start: Instant,
    /// Calls left.
    level: f64,
    at: Duration,
    /// What it says to a call too many.
    retry_after_ms: Option<u32>,
    passed: u32,
    refused: u32,
}

impl Service {
    fn new(limit: Limit, per_second: u32, retry_after_ms: Option<u32>) -> Service {
        let (per_second, start) = (f64::from(per_second), Instant::now());
        let (level, at) = (per_second, Duration::ZERO);
        Service { limit, per_second, start, level, at, retry_after_ms, passed: 0, refused: 0 }
    }

    fn call(&mut self) -> bool {
        let at = self.start.elapsed();
        self.level = match self.limit {
            Limit::Bucket => {
                let filled = (at - self.at).as_secs_f64() * self.per_second;
                (self.level + filled).min(self.per_second)
            }
            Limit::Window if at.as_secs() > self.at.as_secs() => self.per_second,
            Limit::Window => self.level,
        };
        self.at = at;
        let passes = self.level >= 1.0;
        if passes {
            self.level -= 1.0;
            self.passed += 1;
        } else {
            self.refused += 1;
        }
        passes
    }

    /// The part of what it would have let through that was used.
    fn used(&self) -> f64 {
        let elapsed_s = self.at.as_secs_f64();
        let seconds = match self.limit {
            Limit::Bucket => 1.0 + elapsed_s,
            Limit::Window => elapsed_s.ceil(),
        };
        f64::from(self.passed) / (self.per_second * seconds)
    }
}

/// Makes calls without a pause until so many were let through.
async fn press(pace: &Arc<Pace>, quota: &Arc<Mutex<Service>>, calls: u32) {
    press_at(pace, quota, calls, Duration::from_millis(10)).await;
}

/// The same, when a call and its answer are under way for so long.
async fn press_at(pace: &Arc<Pace>, quota: &Arc<Mutex<Service>>, calls: u32, latency: Duration) {
    let in_flight = Arc::new(Semaphore::new(Rate::default().in_flight_max));
    while quota.lock().passed < calls {
        let place = in_flight.clone().acquire_owned().await.expect("it is never closed");
        let permit = pace.permit().await;
        let (pace, quota) = (pace.clone(), quota.clone());
        tokio::spawn(async move {
            sleep(latency / 2).await;
            let passes = quota.lock().call();
            sleep(latency / 2).await;
            match passes {
                true => pace.passed(permit),
                false => pace.refused(permit, quota.lock().retry_after_ms),
            }
            drop(place);
        });
    }
}

/// Presses for a minute's worth of calls: the part of the limit that was used, and of the calls that were refused.
async fn used_and_refused(
    limit: Limit,
    per_second: u32,
    latency_ms: u64,
    retry_after_ms: Option<u32>,
) -> (f64, f64) {
    let pace = Arc::new(Pace::new(Rate::default()));
    let quota = Arc::new(Mutex::new(Service::new(limit, per_second, retry_after_ms)));
    press_at(&pace, &quota, 60 * per_second, Duration::from_millis(latency_ms)).await;
    let quota = quota.lock();
    (quota.used(), f64::from(quota.refused) / f64::from(quota.refused + quota.passed))
}

#[tokio::test(start_paused = true)]
async fn nearly_all_of_a_limit_is_used_and_few_calls_are_refused() {
    for (per_second, latency_ms, retry_after_ms) in [
        (50, 10, None),
        (100, 10, Some(1_000)),
        (500, 10, Some(1_000)),
        (100, 200, Some(1_000)),
        (500, 200, None),
    ] {
        let of = (per_second, latency_ms, retry_after_ms);
        let (used, refused) = used_and_refused(Limit::Bucket, per_second, latency_ms, retry_after_ms).await;
        assert!(used >= 0.96 && refused <= 0.06, "{of:?}: {used:.3} used, {refused:.3} refused");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_limit_that_counts_by_the_second_most_is_used() {
    for (per_second, retry_after_ms) in
        [(50, None), (100, None), (500, None), (50, Some(1_000)), (500, Some(1_000))]
    {
        let of = (per_second, retry_after_ms);
        let (used, refused) = used_and_refused(Limit::Window, per_second, 10, retry_after_ms).await;
        // Who asks for a second of rest at the end of a second lets the next one go by unused.
        assert!(used >= 0.85 && refused <= 0.05, "{of:?}: {used:.3} used, {refused:.3} refused");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_refusal_there_is_no_limit() {
    let pace = Pace::new(Rate::default());
    let start = Instant::now();
    for _ in 0..10_000 {
        pace.passed(pace.permit().await);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_forgotten_after_a_quiet_time() {
    let pace = Arc::new(Pace::new(Rate::default()));
    let quota = Arc::new(Mutex::new(Service::new(Limit::Bucket, 10, None)));
    press(&pace, &quota, 50).await;
    sleep(Duration::from_secs(61)).await;
    let start = Instant::now();
    for _ in 0..1_000 {
        pace.permit().await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_was_raised_is_found() {
    let pace = Arc::new(Pace::new(Rate::default()));
    let quota = Arc::new(Mutex::new(Service::new(Limit::Bucket, 10, None)));
    press(&pace, &quota, 100).await;
    quota.lock().per_second = 200.0;
    let start = Instant::now();
    press(&pace, &quota, 1_100).await;
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_was_asked_for_is_kept() {
    let pace = Pace::new(Rate::default());
    let start = Instant::now();
    let first = pace.permit().await;
    let late = pace.permit().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    pace.refused(first, Some(7_000));
    assert!(!pace.stands(late), "what was permitted and not sent waits as well");
    pace.refused(late, Some(1_000));
    let next = pace.permit().await;
    assert!(start.elapsed() >= Duration::from_secs(7));
    assert!(pace.stands(next));

    // The answer to an old call: not one rest the more, but its wait is a wait.
    pace.refused(late, Some(3_000));
    assert!(!pace.stands(next));
    pace.permit().await;
    assert!(start.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn callers_have_their_turn_in_the_order_in_which_they_came() {
    let pace = Arc::new(Pace::new(Rate::default()));
    pace.refused(pace.permit().await, Some(1_000));
    let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
    for caller in 0..5 {
        let (pace, sender) = (pace.clone(), sender.clone());
        tokio::spawn(async move {
            pace.permit().await;
            sender.send(caller).expect("somebody listens");
        });
    }
    for caller in 0..5 {
        assert_eq!(order.recv().await, Some(caller));
    }
}

#[test]
fn no_call_goes_beyond_the_configured_rate() {
    use governor::clock::FakeRelativeClock;
    let clock = FakeRelativeClock::default();
    let three = NonZeroU32::new(3).expect("not zero");
    let limiter = RateLimiter::direct_with_clock(Quota::per_second(three).allow_burst(three), clock.clone());
    let mut passed = 0;
    for _ in 0..100 {
        passed += u32::from(limiter.check().is_ok());
        clock.advance(Duration::from_millis(100));
    }
    // Ten seconds at three a second, and the burst at the start.
    assert!((30..=33).contains(&passed), "{passed}");
}

#[tokio::test]
async fn each_class_has_its_own_pace() {
    let paces = Paces::new(|_| Rate::default());
    let [first, others @ ..] = Bucket::ALL;
    paces.of(first).refused(paces.of(first).permit().await, Some(60_000));
    for bucket in others {
        paces.of(bucket).permit().await;
    }
}
