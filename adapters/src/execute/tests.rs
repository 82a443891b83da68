use engine::{Answer, EffectId, EffectKind, LaterReason, Seq};
use tokio::time::Instant;

use super::*;

/// A world that answers by a script and remembers when it was asked.
struct Scripted<S> {
    script: S,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl<S: Fn(usize, &Effect) -> Outcome + Send + Sync + 'static> Perform for Scripted<S> {
    async fn perform(&self, effect: &Effect, turn: Turn<'_>) -> Outcome {
        let place = {
            let mut asked = self.asked.lock();
            asked.push(Instant::now());
            asked.len() - 1
        };
        let outcome = (self.script)(place, effect);
        turn.note(&outcome);
        if let Outcome::Unknown { .. } = &outcome {
            turn.rest(7_000);
        }
        outcome
    }
}

const DONE: Outcome = Outcome::Done(Answer::Nothing);

fn throttled(wait_ms: Option<u32>) -> Outcome {
    Outcome::Later { wait_ms, reason: LaterReason::Throttled, message: String::new() }
}

/// A poll, told from others by its number.
fn poll(number: u32) -> Effect {
    let id = EffectId { seq: Seq(1), position: number };
    Effect { id, attempt: 1, kind: EffectKind::ListCloudPods, causes: Vec::new() }
}

/// Hands out the effects together and returns when each call was made, in milliseconds.
async fn carried_out(
    effects: Vec<Effect>,
    script: impl Fn(usize, &Effect) -> Outcome + Send + Sync + 'static,
) -> Vec<u128> {
    let (asked, start) = (Arc::default(), Instant::now());
    let world = Scripted { script, asked: Arc::clone(&asked) };
    let (reports, mut outcomes) = tokio::sync::mpsc::channel(effects.len());
    let (clock, stop) = (Clock::starting_at(Micros(0)), CancellationToken::new());
    let executor = Executor::start(world, &Rates::default(), reports, clock, stop.clone());
    let count = effects.len();
    effects.into_iter().for_each(|effect| executor.submit(effect, Micros(0)));
    for _ in 0..count {
        outcomes.recv().await.expect("an outcome for each");
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(1), executor.drained()).await.expect("nothing is left behind");
    let asked = asked.lock();
    asked.iter().map(|at| at.duration_since(start).as_millis()).collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_nothing_of_the_class_goes_before_its_time() {
    let asked = carried_out((0..50).map(poll).collect(), |place, _| match place {
        0 => throttled(Some(7_000)),
        _ => DONE,
    })
    .await;
    assert_eq!(asked.len(), 50);
    assert_eq!(asked[0], 0);
    assert!(asked[1] >= 7_000, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_asked_for_with_an_unknown_fate_is_kept() {
    let asked = carried_out((0..50).map(poll).collect(), |place, _| match place {
        0 => Outcome::Unknown { message: "overloaded".into() },
        _ => DONE,
    })
    .await;
    assert!(asked[1] >= 7_000, "{asked:?}");
}
