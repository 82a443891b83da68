//! `log-lost`: the log is deleted while nobody looks.

use std::fs;
use std::time::Duration;

use crate::breach::doing;
use crate::run::{Lived, Tally};
use crate::scene::Scene;

const LIFE_MAX: Duration = Duration::from_secs(2);

/// Kills agents and deletes what they knew, again and again.
pub async fn live(scene: &mut Scene, losses: u32, tally: &mut Tally) -> Lived {
    for _ in 0..losses {
        let mut agent = scene.agent().await?;
        agent.ready().await?;
        scene.wait_up_to(LIFE_MAX).await;
        agent.kill().await?;
        fs::remove_dir_all(&scene.log).map_err(doing("delete the log"))?;
        tally.add("logs deleted", 1);
        scene.check()?;
    }
    let mut agent = scene.agent().await?;
    agent.ready().await?;
    tally.took("settled in", scene.settle().await?);
    scene.empty().await?;
    scene.stop(&mut agent).await.map(drop)
}
