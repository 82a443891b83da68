//! `log-lost`: the log is deleted while nobody looks.

use std::fs;
use std::time::Duration;

use crate::breach::{Breach, Sort, doing};
use crate::run::{Lived, Tally};
use crate::scene::Scene;

const LIFE_MAX: Duration = Duration::from_secs(2);

const LOOK_PERIOD: Duration = Duration::from_millis(20);

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

/// The canary: the log is deleted behind the auditor's back. If that is not a breach, no trial proves anything.
pub async fn live_unnoticed(scene: &mut Scene, losses: u32, tally: &mut Tally) -> Lived {
    for _ in 0..losses {
        let mut agent = scene.agent().await?;
        agent.ready().await?;
        while scene.judge.deeds().created.is_empty() {
            tokio::time::sleep(LOOK_PERIOD).await;
        }
        let durable = agent.durable().await.unwrap_or_default();
        agent.kill().await?;
        fs::remove_dir_all(&scene.log).map_err(doing("delete the log"))?;
        match scene.audit(durable).await {
            Err(breach) if breach.sort == Sort::Lost => tally.add("alarms", 1),
            Err(breach) => return Err(breach),
            Ok(_) => return Err(Breach::new("a lost log was not noticed: the trials prove nothing")),
        }
    }
    Ok(())
}
