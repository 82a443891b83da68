//! What the API server has said of users: kept for a while, and asked for once however many wait for it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// Reviews that may be on their way at once, of each kind: more would only wait in the API server.
const ON_THEIR_WAY_MAX: usize = 32;

/// A question, as it is kept: a keyed hash, so that nothing that was asked, a token least of all, can be read from
/// memory or guessed at.
pub(super) type Question = [u8; 32];

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoReview {
    /// Too many are asked for. Nothing was sent.
    Busy,
    /// It failed, or took too long. Nothing is kept of it.
    Failed(Arc<str>),
}

/// An answer, and for how long after its question it may be believed.
pub(super) type Reviewed<V> = Result<(V, Duration), String>;

enum Entry<V> {
    Known { answer: V, until: Instant },
    Asked(watch::Receiver<Option<Result<V, NoReview>>>),
}

/// Reviews of one kind.
pub(super) struct Reviews<V> {
    hash: Hmac<Sha256>,
    kept_max: usize,
    entries: Mutex<HashMap<Question, Entry<V>>>,
    rate: DefaultDirectRateLimiter,
    permits: Arc<Semaphore>,
}

impl<V: Clone + Send + Sync + 'static> Reviews<V> {
    /// Keeps `kept_max` answers and asks for so many a second at most, twice as many in a burst. `key` is to be random.
    pub(super) fn new(key: &[u8; 32], kept_max: usize, per_second: NonZeroU32) -> Option<Arc<Reviews<V>>> {
        let quota = Quota::per_second(per_second).allow_burst(per_second.saturating_mul(TWO));
        Some(Arc::new(Reviews {
            hash: Hmac::new_from_slice(key).ok()?,
            kept_max,
            entries: Mutex::default(),
            rate: RateLimiter::direct(quota),
            permits: Arc::new(Semaphore::new(ON_THEIR_WAY_MAX)),
        }))
    }

    /// The question that these parts make.
    pub(super) fn question<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Question {
        let mut hash = self.hash.clone();
        for part in parts {
            // With its length, so that no two lists of parts are one text.
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into_bytes().into()
    }

    /// The answer that is kept, or the one of `review` where it `may` be asked for, which runs to its end even when nobody
    /// waits any more.
    ///
    /// # Errors
    /// [`NoReview`].
    pub(super) async fn ask<F>(
        self: &Arc<Self>,
        question: Question,
        may: impl FnOnce() -> bool,
        review: impl FnOnce() -> F,
    ) -> Result<V, NoReview>
    where
        F: Future<Output = Reviewed<V>> + Send + 'static,
    {
        let mut answer = {
            let mut entries = self.entries.lock();
            match entries.get(&question) {
                Some(Entry::Known { answer, until }) if Instant::now() < *until => return Ok(answer.clone()),
                // One whose sender is gone without a word was ended with its runtime: it is asked again.
                Some(Entry::Asked(answer)) if answer.has_changed().is_ok() => answer.clone(),
                Some(_) | None => {
                    if !may() {
                        return Err(NoReview::Busy);
                    }
                    let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
                        return Err(NoReview::Busy);
                    };
                    if self.rate.check().is_err() {
                        return Err(NoReview::Busy);
                    }
                    let (sender, answer) = watch::channel(None);
                    self.make_room(&mut entries);
                    entries.insert(question, Entry::Asked(answer.clone()));
                    let (reviews, asked_at, review) = (Arc::clone(self), Instant::now(), review());
                    tokio::spawn(async move {
                        let reviewed = review.await;
                        sender.send_replace(Some(reviews.keep(question, asked_at, reviewed)));
                        drop(permit);
                    });
                    answer
                }
            }
        };
        let lost = || NoReview::Failed("it was given up".into());
        let known = answer.wait_for(Option::is_some).await.map_err(|_| lost())?;
        known.clone().unwrap_or_else(|| Err(lost()))
    }

    /// A failure is not kept: the next one asks again.
    fn keep(&self, question: Question, asked_at: Instant, reviewed: Reviewed<V>) -> Result<V, NoReview> {
        let mut entries = self.entries.lock();
        match reviewed {
            Ok((answer, valid)) => {
                let known = Entry::Known { answer: answer.clone(), until: asked_at + valid };
                entries.insert(question, known);
                Ok(answer)
            }
            Err(error) => {
                entries.remove(&question);
                Err(NoReview::Failed(error.into()))
            }
        }
    }

    /// What is over goes first, then what is over soonest: a flood of wrong tokens drives out its own answers, which
    /// are kept for a shorter time, before those of users.
    fn make_room(&self, entries: &mut HashMap<Question, Entry<V>>) {
        if entries.len() < self.kept_max {
            return;
        }
        let now = Instant::now();
        entries.retain(|_, entry| match entry {
            Entry::Known { until, .. } => now < *until,
            Entry::Asked(answer) => answer.has_changed().is_ok(),
        });
        let soonest = |entries: &HashMap<Question, Entry<V>>| {
            let known = entries.iter().filter_map(|(question, entry)| match entry {
                Entry::Known { until, .. } => Some((*until, *question)),
                Entry::Asked(_) => None,
            });
            known.min().map(|(_, question)| question)
        };
        while entries.len() >= self.kept_max
            && let Some(question) = soonest(entries)
        {
            entries.remove(&question);
        }
    }
}

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const DENIED: Duration = Duration::from_secs(30);
    const ALLOWED: Duration = Duration::from_secs(300);

    fn reviews(kept_max: usize) -> Arc<Reviews<bool>> {
        Reviews::new(&[7; 32], kept_max, NonZeroU32::new(1_000).unwrap()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_for_its_time_and_no_longer() {
        let (reviews, asked) = (reviews(10), Arc::new(AtomicUsize::new(0)));
        let ask = async |text: &str, answer: bool, valid: Duration| {
            let asked = Arc::clone(&asked);
            let review = || async move {
                asked.fetch_add(1, Ordering::SeqCst);
                Ok((answer, valid))
            };
            reviews.ask(reviews.question([text]), || true, review).await.unwrap()
        };
        assert!(ask("a", true, ALLOWED).await);
        assert!(!ask("b", false, DENIED).await);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!ask("b", true, ALLOWED).await);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ask("b", true, ALLOWED).await);
        tokio::time::advance(Duration::from_secs(269)).await;
        assert!(ask("a", false, DENIED).await);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!ask("a", false, DENIED).await, "five minutes are over");
        assert_eq!(asked.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn however_many_wait_one_is_asked_and_a_failure_is_not_kept() {
        let (reviews, asked) = (reviews(10), Arc::new(AtomicUsize::new(0)));
        let question = reviews.question(["a"]);
        let (go, gone) = watch::channel(false);
        let ask = || {
            let (reviews, asked, mut gone) = (Arc::clone(&reviews), Arc::clone(&asked), gone.clone());
            async move {
                let review = || async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let _gone = gone.wait_for(|gone| *gone).await;
                    Err("down".to_owned())
                };
                reviews.ask(question, || true, review).await
            }
        };
        let waiting: Vec<_> = (0..50).map(|_| tokio::spawn(ask())).collect();
        // The first poll of each has run once the runtime comes back to us.
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        go.send_replace(true);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Err(NoReview::Failed("down".into())));
        }
        let first = asked.load(Ordering::SeqCst);
        assert_eq!(first, 1);
        assert_eq!(ask().await, Err(NoReview::Failed("down".into())));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn beyond_what_may_be_on_its_way_nothing_is_sent() {
        let reviews = reviews(1_000);
        let mut waiting = Vec::new();
        for number in 0..ON_THEIR_WAY_MAX {
            let reviews = Arc::clone(&reviews);
            let question = reviews.question([number.to_string().as_str()]);
            waiting.push(tokio::spawn(
                async move { reviews.ask(question, || true, std::future::pending).await },
            ));
        }
        while reviews.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let more = reviews.ask(reviews.question(["more"]), || true, || async { Ok((true, ALLOWED)) }).await;
        assert_eq!(more, Err(NoReview::Busy));
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_denials_drives_out_denials() {
        let reviews = reviews(4);
        let ask = async |text: &str, answer: bool| {
            let review = || async move { Ok((answer, if answer { ALLOWED } else { DENIED })) };
            reviews.ask(reviews.question([text]), || true, review).await.unwrap()
        };
        assert!(ask("user", true).await);
        for number in 0..100 {
            assert!(!ask(&number.to_string(), false).await);
            assert!(reviews.entries.lock().len() <= 4);
        }
        assert!(ask("user", false).await, "the user's answer is still there");
    }

    #[test]
    fn two_lists_of_parts_are_two_questions() {
        let reviews = reviews(1);
        assert_ne!(reviews.question(["ab", "c"]), reviews.question(["a", "bc"]));
        assert_ne!(reviews.question(["a"]), reviews.question(["a", ""]));
        assert_eq!(reviews.question(["a", "b"]), reviews.question(["a", "b"]));
    }
}
