//! `disk-full`: no room on the log's disk, for bytes or for files.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::breach::{Breach, Result, doing};
use crate::mount::Mount;
use crate::run::{Lived, Tally};
use crate::scene::Scene;

const DISK_BYTES: u64 = 96 << 20;
const DISK_FILES: u64 = 200;

/// Left on the full disk at most.
const LEFT_BYTES_MAX: u64 = 64 << 10;

/// How long an agent with the load may take to need more room than there is.
const FULL_PATIENCE: Duration = Duration::from_secs(60);

const WHILE_MAX: Duration = Duration::from_millis(800);

/// What the system says.
const REASON: &str = "No space left on device";

/// Fills the disk again and again: under a running agent, or before one starts.
pub async fn live(scene: &mut Scene, times: u32, tally: &mut Tally) -> Lived {
    let disk = scene.directory().join("disk");
    let _mount = Mount::memory(&disk, DISK_BYTES, DISK_FILES)?;
    scene.log = disk.join("log");
    let lived = fill_again_and_again(scene, times, &disk, tally).await;
    lived.inspect_err(|_| scene.save_log())
}

async fn fill_again_and_again(scene: &mut Scene, times: u32, disk: &Path, tally: &mut Tally) -> Lived {
    for _ in 0..times {
        let mut agent = scene.agent().await?;
        agent.ready().await?;
        scene.wait_up_to(WHILE_MAX).await;
        let durable = agent.durable().await.unwrap_or_default();
        if scene.dice.happens(50) {
            fill_with_bytes(disk, scene.dice.below(LEFT_BYTES_MAX))?;
            expect_reason(&mut agent).await?;
            tally.add("ran out of bytes", 1);
        } else {
            agent.kill().await?;
            fill_with_files(disk)?;
            expect_reason(&mut scene.agent().await?).await?;
            tally.add("started without room for files", 1);
        }
        let audit = scene.audit(durable).await?;
        tally.add("events acknowledged", durable.min(audit.records));
        fs::remove_dir_all(disk.join("filler")).map_err(doing("make room again"))?;
    }
    let mut agent = scene.agent().await?;
    agent.ready().await?;
    tally.took("settled in", scene.settle().await?);
    scene.finish(agent).await
}

/// The agent ends by itself, and says why.
async fn expect_reason(agent: &mut crate::agent::Agent) -> Result<()> {
    let status = agent.ended(FULL_PATIENCE).await?;
    if status.code() == Some(1) && agent.said().contains(REASON) {
        return Ok(());
    }
    let breach = agent.ended_badly(status);
    Err(Breach::new(format!("on a full disk {breach}")))
}

fn fill_with_bytes(disk: &Path, left_bytes: u64) -> Result<()> {
    let filler = disk.join("filler");
    let fill = || -> std::io::Result<()> {
        fs::create_dir_all(&filler)?;
        let mut file = File::create(filler.join("bytes"))?;
        let block = [0; 4096];
        // Until there is no room.
        while file.write_all(&block).is_ok() {}
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(left_bytes))
    };
    fill().map_err(doing("fill the disk"))
}

fn fill_with_files(disk: &Path) -> Result<()> {
    let filler = disk.join("filler");
    fs::create_dir_all(&filler).map_err(doing("fill the disk"))?;
    let full = (0..=DISK_FILES).any(|number| File::create(filler.join(number.to_string())).is_err());
    if full { Ok(()) } else { Err(Breach::new("the disk does not get full of files")) }
}

/// Why there can be no such disk here.
pub fn missing() -> Option<String> {
    crate::mount::missing(|at| Mount::memory(at, DISK_BYTES, DISK_FILES).map(drop))
}
