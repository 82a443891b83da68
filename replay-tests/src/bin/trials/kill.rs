//! `kill`: SIGKILL at any time, again and again.

use std::time::Duration;

use crate::run::{Lived, Tally};
use crate::scene::Scene;
use crate::segments::Segments;

/// The longest that an agent lives after it is ready.
const LIFE_MAX: Duration = Duration::from_millis(1_000);

/// So many die while they recover.
const EARLY_PERCENT: u64 = 30;
const EARLY_MAX: Duration = Duration::from_millis(120);

/// Kills agents of one log, and then lets one live.
pub async fn live(scene: &mut Scene, kills: u32, tally: &mut Tally) -> Lived {
    let (mut acknowledged, mut last, mut segments) = (0, 0, Segments::default());
    for _ in 0..kills {
        let mut agent = scene.agent().await?;
        if scene.dice.happens(EARLY_PERCENT) {
            scene.wait_up_to(EARLY_MAX).await;
        } else {
            agent.ready().await?;
            scene.wait_up_to(LIFE_MAX).await;
        }
        let durable = agent.durable().await.unwrap_or_default();
        agent.kill().await?;
        tally.add("kills", 1);
        let audit = scene.audit(durable).await?;
        segments.look(&scene.log, last, tally);
        last = audit.records;
        acknowledged = durable.max(acknowledged);
    }
    tally.add("events acknowledged", acknowledged);
    let mut agent = scene.agent().await?;
    agent.ready().await?;
    tally.took("settled in", scene.settle().await?);
    scene.finish(agent).await
}
