//! A log that came with its times, over as many calls as it takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{Answer, ContainerState, Outcome, Phase, PodStatus};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::lines::{Lines, Place};
use super::query::Asked;
use super::waits::Waits;
use crate::Clock;
use crate::cci::{CciClient, Cut, LogOptions, LogStream, NotOpened, Why};
use crate::kubelet::places::{Reopening, Taking};
use crate::kubelet::{Kubelet, PodLookup, PodView, Target};

/// How much earlier a log is read again than where it was cut, and than a time that is asked for: the clock by which the
/// cloud reckons an age may differ this much from the one that answers, and times may go back a little.
const OVERLAP_S: i64 = 10;

/// Refusals in a row after which the log is given up: with the waits between them, some six minutes.
const REFUSALS_MAX: u32 = 20;

/// A log whose lines come with their times.
pub(in crate::kubelet) struct Follow {
    cloud: Arc<CciClient>,
    lookup: PodLookup,
    pod: PodView,
    options: LogOptions,
    lines: Lines,
    source: Source,
    /// How long it may be silent, and when it was not: a stream that is opened anew is no sign of life.
    idle: Duration,
    given_at: Instant,
    /// When the first call was answered, by the cloud's clock and ours.
    opened: (i64, Instant),
    /// The cloud's clock when it answered last, and ours then.
    clock: (i64, Instant),
    /// How often the container had been restarted at the first call, where that is known.
    restarts: Option<u32>,
    waits: Waits,
    refusals: u32,
    /// Turns to ask the cloud again.
    reopening: Reopening,
    _taking: Taking,
}

/// Where the next bytes come from.
enum Source {
    Open {
        stream: Box<LogStream>,
        at: Instant,
        /// Whether nothing comes after its end.
        is_last: bool,
    },
    /// The stream ended: when the container ended, at a limit of the cloud's own, or cut off.
    Ended { was_cut: bool },
    /// Nothing comes any more.
    Over,
}

/// How the container of a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Runs,
    /// Once: the rest is its previous log.
    Restarted,
    /// More than once: the rest is gone.
    Forgotten,
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
        taking: Taking,
    ) -> Result<Follow, NotOpened> {
        let now_s = Clock::wall().as_s();
        let options = LogOptions {
            container: target.container.clone(),
            follow: asked.follow,
            previous: asked.previous,
            timestamps: true,
            since_s: asked.since_time.map(|time| age_s(now_s, time)).or(asked.since_s),
            tail_lines: asked.tail_lines,
            // Counted here: what is given has other bytes.
            limit_bytes: None,
        };
        let first = first_call(kubelet, &target.pod, options, asked.since_time);
        let ((stream, options), restarts) = if asked.follow {
            let (first, restarts) = tokio::join!(first, restarts_now(kubelet, target));
            (first?, restarts)
        } else {
            (first.await?, None)
        };
        let at = Instant::now();
        let opened = (stream.answered_at_s.unwrap_or(now_s), at);
        Ok(Follow {
            cloud: kubelet.cloud.clone(),
            lookup: kubelet.lookup.clone(),
            pod: target.pod.clone(),
            lines: Lines::new(asked.timestamps, asked.since_time, asked.limit_bytes),
            source: Source::Open { stream: Box::new(stream), at, is_last: !options.follow },
            options,
            idle: kubelet.limits.idle,
            given_at: at,
            opened,
            clock: opened,
            restarts,
            waits: Waits::default(),
            refusals: 0,
            reopening: kubelet.streams.reopening.clone(),
            _taking: taking,
        })
    }

    /// The next bytes of the log; `None` at its end. May be dropped at any time, and goes on where it was.
    ///
    /// # Errors
    /// When the rest cannot be had, or when nothing was written for too long.
    pub(in crate::kubelet) async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        let left = self.idle.saturating_sub(self.given_at.elapsed());
        let silent = |_| Cut("no line was written for longer than a stream may be idle");
        let given = timeout(left, self.advance()).await.map_err(silent)??;
        self.given_at = Instant::now();
        Ok(given)
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, Cut> {
        loop {
            if self.lines.is_full() {
                return Ok(None);
            }
            let (stream, at, is_last) = match &mut self.source {
                Source::Open { stream, at, is_last } => (stream, *at, *is_last),
                Source::Ended { was_cut } => {
                    let was_cut = *was_cut;
                    self.open_again(was_cut).await?;
                    continue;
                }
                Source::Over => return Ok(Some(self.lines.finish()).filter(|rest| !rest.is_empty())),
            };
            let was_cut = match stream.next().await {
                Ok(Some(bytes)) => {
                    let given = self.lines.feed(&bytes);
                    if !given.is_empty() {
                        self.waits.reset();
                        return Ok(Some(given));
                    }
                    continue;
                }
                Ok(None) if is_last => {
                    self.source = Source::Over;
                    continue;
                }
                Err(cut) if !self.options.follow => return Err(cut),
                Ok(None) => false,
                Err(_) => true,
            };
            self.waits.ended_after(at.elapsed());
            self.source = Source::Ended { was_cut };
        }
    }

    /// Goes on where the log ended, after a wait and in its turn.
    async fn open_again(&mut self, was_cut: bool) -> Result<(), Cut> {
        sleep(self.waits.next()).await;
        let reopening = self.reopening.clone();
        let _turn = reopening.turn().await;
        let is_previous = match self.standing().await {
            Standing::Runs => false,
            // It ended in good order, and the log with it.
            Standing::Ended | Standing::Restarted | Standing::Forgotten if !was_cut => {
                self.source = Source::Over;
                return Ok(());
            }
            Standing::Ended => false,
            Standing::Restarted => true,
            Standing::Forgotten => return Err(Cut("the container was restarted more than once since")),
        };
        let options = self.rest(is_previous)?;
        match self.cloud.open_log(&self.pod.cloud_name, &options).await {
            Ok(stream) => {
                let at = Instant::now();
                self.clock = stream.answered_at_s.map_or(self.clock, |second| (second, at));
                self.source = Source::Open { stream: Box::new(stream), at, is_last: is_previous };
                self.refusals = 0;
                self.lines.read_again();
            }
            Err(NotOpened { why: Why::Absent | Why::Asked, .. }) if is_previous => {
                return Err(Cut("what the container wrote before it was restarted is gone"));
            }
            // Its log is gone with it, or it is about to begin anew.
            Err(NotOpened { why: Why::Absent | Why::Asked, .. }) => self.source = Source::Over,
            Err(NotOpened { why: Why::Throttled | Why::Cloud, wait, .. }) => {
                self.refusals += 1;
                wait.into_iter().for_each(|wait| reopening.rest(wait));
                if self.refusals >= REFUSALS_MAX {
                    return Err(Cut("the cloud does not give the log any more"));
                }
            }
        }
        Ok(())
    }

    /// What is asked for to have what was not given yet.
    fn rest(&mut self, is_previous: bool) -> Result<LogOptions, Cut> {
        let now_s = self.clock.0.saturating_add_unsigned(self.clock.1.elapsed().as_secs());
        let (since_s, tail_lines) = match self.lines.place() {
            Place::Time(time) => (Some(age_s(now_s, time)), None),
            // From when it was opened on, as there is no other way to have the first line.
            Place::Start if self.options.tail_lines == Some(0) => {
                let opened = |second: i64| Timestamp::from_second(second).unwrap_or_default();
                self.lines.drop_before(opened(self.opened.0.saturating_sub(OVERLAP_S)));
                (Some(age_s(now_s, opened(self.opened.0))), None)
            }
            // The same once more.
            Place::Start => {
                let passed_s = self.opened.1.elapsed().as_secs() + 1;
                let since_s = self.options.since_s.map(|since_s| since_s.saturating_add(passed_s));
                (since_s, self.options.tail_lines)
            }
            // Lines without a time cannot be told from those that were given.
            Place::NoTime => return Err(Cut("the log was cut where it has no times")),
        };
        Ok(LogOptions {
            previous: is_previous,
            follow: !is_previous,
            since_s,
            tail_lines,
            ..self.options.clone()
        })
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

/// The first call, and what it asked for at last: once more when the cloud's clock, which reckons the age, turns out to
/// be so far ahead of ours that lines since the time asked for may be missing.
async fn first_call(
    kubelet: &Kubelet,
    pod: &PodView,
    mut options: LogOptions,
    since: Option<Timestamp>,
) -> Result<(LogStream, LogOptions), NotOpened> {
    let stream = kubelet.cloud.open_log(&pod.cloud_name, &options).await?;
    let since_s = since.zip(stream.answered_at_s).map(|(time, now_s)| age_s(now_s, time));
    let Some(since_s) = since_s else { return Ok((stream, options)) };
    if options.since_s.is_some_and(|asked_s| since_s <= asked_s.saturating_add_signed(OVERLAP_S / 2)) {
        return Ok((stream, options));
    }
    drop(stream);
    options.since_s = Some(since_s);
    Ok((kubelet.cloud.open_log(&pod.cloud_name, &options).await?, options))
}

/// How often the container was restarted, by the cloud's own word where it can be had: by our state, which is a little
/// older, the log that is opened could be taken for one before a restart.
async fn restarts_now(kubelet: &Kubelet, target: &Target) -> Option<u32> {
    let restarts = |status: &PodStatus| Some(super::container(status, &target.container)?.restart_count);
    match kubelet.cloud.look_up_pod(&target.pod.cloud_name, &target.pod.pod).await {
        Outcome::Done(Answer::CloudPod(facts)) => restarts(&facts.status),
        Outcome::Done(_) | Outcome::Refused(_) | Outcome::Later { .. } | Outcome::Unknown { .. } => {
            target.pod.status.as_ref().and_then(restarts)
        }
    }
}

/// The age that reaches back to a time, with the overlap; at least the one second that can be asked for.
fn age_s(now_s: i64, time: Timestamp) -> u64 {
    let age_s = now_s.saturating_sub(time.as_second()).saturating_add(OVERLAP_S);
    age_s.max(1).unsigned_abs()
}

fn standing(status: Option<&PodStatus>, name: &str, restarts: Option<u32>) -> Standing {
    let Some(status) = status else { return Standing::Runs };
    let Some(container) = super::container(status, name) else {
        let is_over = matches!(status.phase, Phase::Succeeded | Phase::Failed);
        return if is_over { Standing::Ended } else { Standing::Runs };
    };
    let since = restarts.map_or(0, |before| container.restart_count.saturating_sub(before));
    match (since, &container.state) {
        (0, ContainerState::Running { .. }) => Standing::Runs,
        (0, ContainerState::Waiting { .. } | ContainerState::Terminated { .. }) => Standing::Ended,
        (1, _) => Standing::Restarted,
        (2.., _) => Standing::Forgotten,
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
