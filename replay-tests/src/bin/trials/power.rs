//! `power`: the log's file system is shut down without its journal, as a loss of power leaves it.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::mount::Mount;
use crate::run::{Lived, Tally};
use crate::scene::Scene;

/// The least that both file systems want.
const DISK_BYTES: u64 = 320 << 20;

const LIFE_MAX: Duration = Duration::from_millis(1_500);

const KINDS: [(&str, &str); 2] = [("ext4", "losses of power on ext4"), ("xfs", "losses of power on xfs")];

/// Pulls the disk away again and again.
pub async fn live(scene: &mut Scene, losses: u32, tally: &mut Tally) -> Lived {
    let disk = scene.directory().join("disk");
    let there: Vec<_> = KINDS.into_iter().filter(|(kind, _)| missing_for(kind).is_none()).collect();
    let (kind, name) = *scene.dice.pick(&there);
    let mount = Mount::image(&disk, kind, DISK_BYTES)?;
    scene.log = disk.join("log");
    let lived = pull_again_and_again(scene, losses, (&mount, name), tally).await;
    lived.inspect_err(|_| scene.save_log())
}

async fn pull_again_and_again(
    scene: &mut Scene,
    losses: u32,
    (mount, name): (&Mount, &'static str),
    tally: &mut Tally,
) -> Lived {
    let mut acknowledged = 0;
    for _ in 0..losses {
        let mut agent = scene.agent().await?;
        agent.ready().await?;
        scene.wait_up_to(LIFE_MAX).await;
        let durable = agent.durable().await.unwrap_or_default();
        // First of all: a sync that races with the loss could be answered wrongly.
        agent.signal(Signal::STOP);
        mount.pull()?;
        agent.kill().await?;
        mount.again()?;
        tally.add(name, 1);
        scene.audit(durable).await?;
        acknowledged = durable.max(acknowledged);
    }
    tally.add("events acknowledged", acknowledged);
    let mut agent = scene.agent().await?;
    agent.ready().await?;
    tally.took("settled in", scene.settle().await?);
    scene.finish(agent).await
}

/// Why a file system of a kind cannot be pulled away here.
fn missing_for(kind: &str) -> Option<String> {
    crate::mount::missing(|at: &Path| Mount::image(at, kind, DISK_BYTES)?.pull())
}

/// Why none can.
pub fn missing() -> Option<String> {
    let whys: Option<Vec<String>> = KINDS.into_iter().map(|(kind, _)| missing_for(kind)).collect();
    whys.map(|whys| whys.join("; "))
}
