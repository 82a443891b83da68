//! A log that came with its times, over as many calls as it takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{Answer, ContainerState, Outcome, Phase, PodStatus};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::lines::Lines;
use super::query::Asked;
use crate::Clock;
use crate::cci::{CciClient, Cut, LogOptions, LogStream, NotOpened, Why};
use crate::kubelet::places::Taking;
use crate::kubelet::{Kubelet, PodLookup, PodView, Target};

/// How much earlier a log is read again than where it was cut, and than a time that is asked for: the clock by which the
/// cloud reckons an age may differ this much from the one that answers.
const OVERLAP_S: i64 = 10;

/// Waits between calls that bring nothing: a cut is mended at once, a cloud that is ill is left in peace.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Refusals in a row after which the log is given up: with the waits between them, eight minutes.
const REFUSALS_MAX: u32 = 20;

/// A log whose lines come with their times.
pub(in crate::kubelet) struct Follow {
    cloud: Arc<CciClient>,
    lookup: PodLookup,
    pod: PodView,
    options: LogOptions,
    lines: Lines,
    /// How long it may be silent.
    idle: Duration,
    stream: Option<LogStream>,
    /// The cloud's clock at the first call, and ours then: the log began to be followed there.
    opened: (i64, Instant),
    /// How often the container had been restarted at the first call, where that is known.
    restarts: Option<u32>,
    /// Whether nothing comes any more.
    is_over: bool,
    waits: u32,
    refusals: u32,
    _taking: Option<Taking>,
}

/// How the container of a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Runs,
    Restarted,
    Ended,
}

impl Follow {
    /// Makes the first call.
    ///
    /// # Errors
    /// When the cloud does not give the log.
    pub(in crate::kubelet) async fn open(
        kubelet: &Kubelet,
        target: &Target,
        asked: &Asked,
        taking: Option<Taking>,
    ) -> Result<Follow, NotOpened> {
        let now_s = Clock::wall().as_s();
        let since_s = asked.since_time.map(|time| age_s(now_s, time)).or(asked.since_s);
        let options = LogOptions {
            container: target.container.clone(),
            follow: asked.follow,
            previous: asked.previous,
            timestamps: true,
            since_s,
            tail_lines: asked.tail_lines,
            // Counted here: what is given has other bytes.
            limit_bytes: None,
        };
        let stream = kubelet.cloud.open_log(&target.pod.cloud_name, &options).await?;
        let opened = (stream.answered_at_s.unwrap_or(now_s), Instant::now());
        let restarts = restarts(target.pod.status.as_ref(), &target.container);
        Ok(Follow {
            cloud: kubelet.cloud.clone(),
            lookup: kubelet.lookup.clone(),
            pod: target.pod.clone(),
            options,
            lines: Lines::new(asked.timestamps, asked.since_time, asked.limit_bytes),
            idle: kubelet.limits.idle,
            stream: Some(stream),
            opened,
            restarts,
            is_over: false,
            waits: 0,
            refusals: 0,
            _taking: taking,
        })
    }

    /// The next bytes of the log; `None` at its end. May be dropped at any time, and goes on where it was.
    ///
    /// # Errors
    /// When the rest cannot be had.
    pub(in crate::kubelet) async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        loop {
            if self.lines.is_full() || self.is_over && self.stream.is_none() {
                return Ok(None);
            }
            let Some(stream) = &mut self.stream else {
                self.open_again().await?;
                continue;
            };
            let Ok(read) = timeout(self.idle, stream.next()).await else {
                return Err(Cut("no line was written for longer than a stream may be idle"));
            };
            match read {
                Ok(Some(bytes)) => {
                    let given = self.lines.feed(&bytes);
                    if !given.is_empty() {
                        self.waits = 0;
                        return Ok(Some(given));
                    }
                }
                Ok(None) if self.is_over || !self.options.follow || self.options.previous => {
                    return Ok(Some(self.end()).filter(|rest| !rest.is_empty()));
                }
                Err(cut) if !self.options.follow => return Err(cut),
                // In good order when the container ends, and at the cloud's own limits.
                Ok(None) => match self.standing().await {
                    Standing::Runs => self.stream = None,
                    Standing::Restarted | Standing::Ended => {
                        return Ok(Some(self.end()).filter(|rest| !rest.is_empty()));
                    }
                },
                Err(_) => self.stream = None,
            }
        }
    }

    fn end(&mut self) -> Bytes {
        (self.stream, self.is_over) = (None, true);
        self.lines.finish()
    }

    /// Goes on where the log was cut, after a wait.
    async fn open_again(&mut self) -> Result<(), Cut> {
        sleep((WAIT_MIN * 2_u32.saturating_pow(self.waits.min(16))).min(WAIT_MAX)).await;
        self.waits += 1;
        let place = self.lines.place();
        let (from, is_start) = match place.time() {
            Some(time) => (time, false),
            None if place.is_start() => (Timestamp::from_second(self.opened.0).unwrap_or_default(), true),
            // Lines without a time cannot be told from those that were given.
            None => return Err(Cut("the log was cut where it has no times")),
        };
        // What is left of a container that was started anew meanwhile is in its previous log.
        let is_previous = match self.standing().await {
            Standing::Runs | Standing::Ended => false,
            Standing::Restarted => true,
        };
        let now_s = self.opened.0 + self.opened.1.elapsed().as_secs() as i64;
        let options = LogOptions {
            previous: is_previous,
            follow: !is_previous,
            since_s: Some(age_s(now_s, from)),
            tail_lines: None,
            ..self.options.clone()
        };
        match self.cloud.open_log(&self.pod.cloud_name, &options).await {
            Ok(stream) => {
                self.stream = Some(stream);
                (self.refusals, self.is_over) = (0, is_previous);
                if is_start {
                    self.lines.drop_before(Some(from));
                }
                self.lines.read_again();
            }
            // Its log is gone with it, or it is about to begin anew.
            Err(NotOpened { why: Why::Absent | Why::Asked, .. }) => self.is_over = true,
            Err(NotOpened { why: Why::Throttled | Why::Cloud, .. }) => {
                self.refusals += 1;
                if self.refusals >= REFUSALS_MAX {
                    return Err(Cut("the cloud does not give the log any more"));
                }
            }
        }
        Ok(())
    }

    /// How the container stands, by the cloud's own word where it can be had: our state is a little older.
    async fn standing(&self) -> Standing {
        let pod = &self.pod.pod;
        let known = match self.lookup.find(&pod.namespace, &pod.name).await {
            Ok(Some(view)) if view.pod.uid == pod.uid => view.status,
            Ok(_) | Err(_) => return Standing::Ended,
        };
        let status = match self.cloud.look_up_pod(&self.pod.cloud_name, pod).await {
            Outcome::Done(Answer::CloudPod(facts)) => Some(facts.status.clone()),
            Outcome::Done(_) => return Standing::Ended,
            Outcome::Refused(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => known,
        };
        standing(status.as_ref(), &self.options.container, self.restarts)
    }
}

/// The age that reaches back to a time, with the overlap; at least the one second that can be asked for.
fn age_s(now_s: i64, time: Timestamp) -> u64 {
    let age_s = now_s.saturating_sub(time.as_second()).saturating_add(OVERLAP_S);
    age_s.max(1).unsigned_abs()
}

fn restarts(status: Option<&PodStatus>, name: &str) -> Option<u32> {
    Some(super::container(status?, name)?.restart_count)
}

fn standing(status: Option<&PodStatus>, name: &str, restarts: Option<u32>) -> Standing {
    let Some(status) = status else { return Standing::Runs };
    let Some(container) = super::container(status, name) else {
        let is_over = matches!(status.phase, Phase::Succeeded | Phase::Failed);
        return if is_over { Standing::Ended } else { Standing::Runs };
    };
    match container.state {
        _ if restarts.is_some_and(|before| container.restart_count > before) => Standing::Restarted,
        ContainerState::Running { .. } => Standing::Runs,
        ContainerState::Waiting { .. } | ContainerState::Terminated { .. } => Standing::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_reaches_back_to_the_time_and_is_never_nothing() {
        let time = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(age_s(1_000, time(900)), 110);
        assert_eq!(age_s(1_000, time(5_000)), 1, "a time to come");
        assert_eq!(age_s(1_000, time(-62_135_596_800)), 62_135_597_810);
    }
}
