//! What became of each pod, as its creator sees it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::Micros;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::load::Options;
use crate::load::figures::Durations;

/// What became of one pod; times since the start of the load.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    sent: Option<Duration>,
    created: Option<Duration>,
    running: Option<Duration>,
    gone: Option<Duration>,
    failed: bool,
}

/// How many pods got how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The API server took them.
    pub created: u32,
    /// They were seen running.
    pub running: u32,
    /// They failed, or could not be created.
    pub failed: u32,
    /// They are gone again.
    pub gone: u32,
    /// They could not be created, and so will not go either.
    pub refused: u32,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { created, running, failed, gone, .. } = self;
        write!(f, "{created} were created, {running} ran, {failed} failed, {gone} are gone")
    }
}

/// What is known of one pod by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It runs.
    Running,
    /// It ended, badly.
    Failed,
    /// Its API object is not there any more.
    Gone,
}

#[derive(Debug)]
struct Inner {
    tracks: Vec<Track>,
    lateness: Durations,
    refusal: Option<String>,
    complaint: Option<String>,
}

/// Follows all pods of a run.
#[derive(Debug)]
pub struct Tracker {
    inner: Mutex<Inner>,
    counts: watch::Sender<Counts>,
    start: Instant,
    /// The wall clock at the start: leads from the times in the agent's log to ours.
    origin: Micros,
}

/// What a tracker saw in the end.
#[derive(Clone, Debug, Default)]
pub struct Sights {
    /// How many pods got how far.
    pub counts: Counts,
    /// From the moment a pod's creation was sent until it was seen running.
    pub until_running: Durations,
    /// By how much creations were sent later than planned: large figures mean that this side, and not the
    /// agent, was slow.
    pub lateness: Durations,
    /// When each pod was there, in order, since the start of the load.
    pub created: Vec<Duration>,
    /// When each pod was seen running, in order, since the start of the load.
    pub running: Vec<Duration>,
    /// From the first creation until the last pod ran.
    pub took: Duration,
    /// Pods that are gone and were neither seen running nor seen failed: they were deleted before anybody
    /// could see more of them.
    pub unseen: u32,
    /// The first reason why a pod was not created.
    pub refusal: Option<String>,
}

impl Tracker {
    /// Of `pods` pods, from now on.
    #[must_use]
    pub fn new(pods: u32) -> Tracker {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let inner = Inner {
            tracks: vec![Track::default(); pods as usize],
            lateness: Durations::default(),
            refusal: None,
            complaint: None,
        };
        Tracker {
            inner: Mutex::new(inner),
            counts: watch::Sender::new(Counts::default()),
            start: Instant::now(),
            origin: Micros(wall.as_micros() as u64),
        }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The wall clock now, as the agent's log would have it.
    #[must_use]
    pub fn wall(&self) -> Micros {
        self.origin + self.now().as_micros() as u64
    }

    /// A time of the agent's log as a time since the start; `None` when it was before.
    #[must_use]
    pub fn since_start(&self, at: Micros) -> Option<Duration> {
        at.0.checked_sub(self.origin.0).map(Duration::from_micros)
    }

    /// How many pods got how far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until so many got so far.
    pub async fn wait_for(&self, done: impl FnMut(&Counts) -> bool) {
        // The sender is ours: it cannot be gone.
        let _ = self.counts.subscribe().wait_for(done).await;
    }

    /// The creation of a pod was sent, `late` after its time.
    pub fn sent(&self, place: u32, at: Duration, late: Duration) {
        let mut inner = self.inner.lock();
        inner.lateness.note(late);
        if let Some(track) = inner.tracks.get_mut(place as usize) {
            track.sent = Some(at);
        }
    }

    /// The API server took a pod.
    pub fn created(&self, place: u32, at: Duration) {
        self.change(place, |track, counts| {
            track.created = Some(at);
            counts.created += 1;
        });
    }

    /// The API server did not take a pod.
    pub fn refused(&self, place: u32, reason: &str) {
        self.inner.lock().refusal.get_or_insert_with(|| reason.to_owned());
        self.change(place, |track, counts| {
            if !track.failed {
                track.failed = true;
                counts.failed += 1;
                counts.refused += 1;
            }
        });
    }

    /// A pod was seen. Only what is new about it counts.
    pub fn saw(&self, place: u32, sight: Sight, at: Duration) {
        self.change(place, |track, counts| match sight {
            Sight::Running if track.running.is_none() => {
                track.running = Some(at);
                counts.running += 1;
            }
            Sight::Failed if !track.failed => {
                track.failed = true;
                counts.failed += 1;
            }
            Sight::Gone if track.gone.is_none() => {
                track.gone = Some(at);
                counts.gone += 1;
            }
            Sight::Running | Sight::Failed | Sight::Gone => {}
        });
    }

    /// A pod that does not run says why. One of them is enough to tell what is wrong.
    pub fn complains(&self, words: String) {
        self.inner.lock().complaint = Some(words);
    }

    /// What the last pod that complained said.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.inner.lock().complaint.clone()
    }

    /// A complete list holds only these pods: those that were created before it was asked for and are not in
    /// it are gone.
    pub fn saw_all(&self, present: &std::collections::BTreeSet<u32>, asked: Duration) {
        let absent: Vec<u32> = {
            let inner = self.inner.lock();
            let tracks = (0..).zip(&inner.tracks);
            tracks
                .filter(|(place, track)| {
                    !present.contains(place) && track.created.is_some_and(|at| at < asked)
                })
                .map(|(place, _)| place)
                .collect()
        };
        absent.into_iter().for_each(|place| self.saw(place, Sight::Gone, asked));
    }

    fn change(&self, place: u32, change: impl FnOnce(&mut Track, &mut Counts)) {
        let mut inner = self.inner.lock();
        if let Some(track) = inner.tracks.get_mut(place as usize) {
            self.counts.send_modify(|counts| change(track, counts));
        }
    }

    /// What was seen.
    #[must_use]
    pub fn sights(&self) -> Sights {
        let inner = self.inner.lock();
        let mut sights =
            Sights { counts: self.counts(), lateness: inner.lateness.clone(), ..Sights::default() };
        for track in &inner.tracks {
            if let (Some(sent), Some(running)) = (track.sent, track.running) {
                sights.until_running.note(running.saturating_sub(sent));
            }
            let unseen = track.gone.is_some() && track.running.is_none() && !track.failed;
            sights.unseen += u32::from(unseen);
            sights.created.extend(track.created);
            sights.running.extend(track.running);
        }
        sights.created.sort_unstable();
        sights.running.sort_unstable();
        let first = inner.tracks.iter().filter_map(|track| track.sent).min().unwrap_or_default();
        sights.took = sights.running.last().copied().unwrap_or_default().saturating_sub(first);
        sights.refusal = inner.refusal.clone();
        sights
    }
}

/// A bar on the terminal that follows a tracker.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    drawing: JoinHandle<()>,
}

/// How often the bar is drawn.
const PROGRESS_PERIOD: Duration = Duration::from_millis(100);

impl Progress {
    /// Draws where standard error is a terminal, and nowhere else.
    #[must_use]
    pub fn begin(tracker: &Arc<Tracker>, options: &Options) -> Progress {
        let bar =
            if options.progress { ProgressBar::new(options.pods.into()) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} running, {msg}");
        bar.set_style(style.expect("the template is a constant that is well formed"));
        let drawing = tokio::spawn({
            let (bar, tracker) = (bar.clone(), Arc::clone(tracker));
            async move {
                loop {
                    let Counts { created, running, failed, gone, .. } = tracker.counts();
                    bar.set_position(running.into());
                    bar.set_message(format!("{created} created, {gone} gone, {failed} failed"));
                    tokio::time::sleep(PROGRESS_PERIOD).await;
                }
            }
        });
        Progress { bar, drawing }
    }

    /// Takes the bar away.
    pub fn end(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.drawing.abort();
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pods_are_counted_once_however_often_they_are_seen() {
        let tracker = Tracker::new(3);
        for place in 0..2 {
            tracker.sent(place, place * MS, Duration::ZERO);
            tracker.created(place, 5 * MS);
        }
        tracker.refused(2, "no room");
        tracker.refused(2, "again");
        for at in [10, 20] {
            tracker.saw(0, Sight::Running, at * MS);
        }
        tracker.saw(1, Sight::Running, 11 * MS);
        tracker.saw(1, Sight::Failed, 12 * MS);
        tracker.saw(7, Sight::Running, 12 * MS);
        tracker.saw_all(&[1].into(), 30 * MS);
        let sights = tracker.sights();
        assert_eq!(sights.counts, Counts { created: 2, running: 2, failed: 2, gone: 1, refused: 1 });
        assert_eq!(sights.took, 11 * MS);
        assert_eq!(sights.running, [10 * MS, 11 * MS]);
        assert_eq!(sights.until_running.figures().count, 2);
        assert_eq!(sights.refusal.as_deref(), Some("no room"));
        assert_eq!(sights.unseen, 0);
    }

    #[test]
    fn pods_that_went_before_they_were_seen_are_told_apart() {
        let tracker = Tracker::new(3);
        for place in 0..3 {
            tracker.created(place, MS);
        }
        tracker.saw(0, Sight::Running, 2 * MS);
        tracker.saw(1, Sight::Failed, 2 * MS);
        assert_eq!(tracker.sights().unseen, 0, "what is there may yet be seen");
        tracker.saw_all(&[].into(), 3 * MS);
        assert_eq!(tracker.sights().unseen, 1);
    }
}
