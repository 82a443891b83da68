//! `term`: SIGTERM in the middle of everything, and at times a second one.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::run::{Lived, Tally};
use crate::scene::{STOP_PATIENCE, Scene};

const LIFE_MAX: Duration = Duration::from_millis(1_500);

/// A second signal comes so often, and so soon.
const SECOND_PERCENT: u64 = 30;
const SECOND_MAX: Duration = Duration::from_secs(1);

/// What a second signal makes of the exit code.
const AT_ONCE: i32 = 130;

/// Ends agents of one log again and again.
pub async fn live(scene: &mut Scene, ends: u32, tally: &mut Tally) -> Lived {
    for _ in 0..ends {
        let mut agent = scene.agent().await?;
        if scene.dice.happens(80) {
            agent.ready().await?;
        }
        scene.wait_up_to(LIFE_MAX).await;
        let durable = agent.durable().await.unwrap_or_default();
        let (start, second) = (Instant::now(), scene.dice.happens(SECOND_PERCENT));
        agent.signal(Signal::TERM);
        if second {
            scene.wait_up_to(SECOND_MAX).await;
            agent.signal(Signal::TERM);
        }
        let status = agent.ended(STOP_PATIENCE).await?;
        // Before it listens for signals, one ends it as any program.
        let young = durable == 0 && agent.said().is_empty();
        if !(status.success() || second && status.code() == Some(AT_ONCE) || young) {
            return Err(agent.ended_badly(status));
        }
        tally.took(if second { "ended after two in" } else { "ended in" }, start.elapsed());
        scene.audit(durable).await?;
    }
    let mut agent = scene.agent().await?;
    agent.ready().await?;
    tally.took("settled in", scene.settle().await?);
    scene.finish(agent).await
}
