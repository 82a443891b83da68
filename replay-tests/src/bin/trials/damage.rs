//! `damage`: the files of a killed agent's log are flipped, cut, zeroed or taken away, one at a time.
//!
//! One log is recorded and copied again and again, while both sides live on: to the agent that starts on a damaged
//! copy, both have moved on, and one change is waiting for it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent::Agent;
use crate::audit::Audit;
use crate::breach::{Breach, Result, Sort, doing};
use crate::dice::Dice;
use crate::run::{Lived, Tally};
use crate::scene::{Scene, copy};

/// How the log is recorded.
const LIVES: u32 = 3;
const LIFE: Duration = Duration::from_secs(2);

/// An agent is started on one of so many damaged logs; the others are read by `replay` alone, which takes a tenth of
/// the time.
const STARTED_OF: u64 = 4;

const BLOCKS: [u64; 3] = [64, 512, 4_096];

/// Damages copies of one log.
pub async fn live(scene: &mut Scene, times: u32, tally: &mut Tally) -> Lived {
    let records = record(scene).await?;
    let whole = scene.log.clone();
    scene.log = scene.directory().join("damaged");
    for _ in 0..times {
        copy(&whole, &scene.log).map_err(doing("copy the log"))?;
        let (what, how) = damage(&scene.log, &mut scene.dice).map_err(doing("damage the log"))?;
        tally.add(what, 1);
        let told = |breach: Breach| Breach::of(breach.sort, format!("{how}: {breach}"));
        read(scene, records, tally).await.map_err(told)?;
        if scene.dice.below(STARTED_OF) == 0 {
            start(scene, records, tally).await.map_err(told)?;
        }
        fs::remove_dir_all(&scene.log).map_err(doing("remove a copy"))?;
    }
    Ok(())
}

/// Has agents write a log with snapshots, sealed segments and an open one; returns the number of its last record.
async fn record(scene: &mut Scene) -> Result<u64> {
    for life in 0..LIVES {
        let mut agent = scene.agent().await?;
        agent.ready().await?;
        tokio::time::sleep(LIFE).await;
        if life + 1 < LIVES {
            scene.stop(&mut agent).await?;
            // Before more of it is dropped.
            scene.audit(0).await?;
            continue;
        }
        scene.settle().await?;
        let durable = agent.durable().await.unwrap_or_default();
        agent.kill().await?;
        return Ok(scene.audit(durable).await?.records);
    }
    Err(Breach::new("nothing was recorded"))
}

/// `replay` sees what is lost.
async fn read(scene: &Scene, records: u64, tally: &mut Tally) -> Result<()> {
    let audit = Audit::of(&scene.start.program, &scene.log).await?;
    if audit.clean && audit.records < records {
        let what = format!("{} of {records} records are left, and the replay does not say so", audit.records);
        return Err(Breach::of(Sort::Lost, what));
    }
    tally.add(if audit.clean { "harmless" } else { "told by replay" }, 1);
    Ok(())
}

/// An agent starts, says what is lost, and does what there is to do.
async fn start(scene: &mut Scene, records: u64, tally: &mut Tally) -> Result<()> {
    scene.load.replace_one(&mut scene.dice);
    let mut agent = scene.agent().await?;
    agent.ready().await?;
    let read = records_read(&agent)?;
    let said = agent.said();
    if read < records && !said.contains("the log has lost") {
        let what = format!("{read} of {records} records were read, and the agent does not say so");
        return Err(Breach::of(Sort::Lost, what));
    }
    if said.contains("panicked") {
        return Err(Breach::new(format!("a panic: {said}")));
    }
    tally.took("right again after", scene.until_settled().await?);
    agent.kill().await?;
    tally.add("starts", 1);
    Ok(())
}

fn records_read(agent: &Agent) -> Result<u64> {
    let said = agent.said();
    let read = said
        .split_once("the log is read records=")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    read.ok_or_else(|| Breach::new(format!("the agent does not say how many records it read: {said}")))
}

/// Damages one file; says in which way, and exactly how.
fn damage(log: &Path, dice: &mut Dice) -> std::io::Result<(&'static str, String)> {
    let mut files = files(log)?;
    // Nothing is ever read from these.
    files.retain(|path| !path.ends_with("lock") && !path.ends_with("conf"));
    files.sort();
    let path = dice.pick(&files);
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let at = dice.below(length);
    let (what, how) = match dice.below(8) {
        0..3 => {
            let bit = 1 << dice.below(8);
            ("bits flipped", flip(&file, at, bit)?)
        }
        3..5 => {
            file.set_len(at)?;
            ("files cut", format!("cut at byte {at} of {length}"))
        }
        5..7 => {
            let block = (*dice.pick(&BLOCKS)).min(length - at);
            file.write_all_at(&vec![0; block as usize], at)?;
            ("blocks zeroed", format!("{block} bytes from byte {at} on zeroed"))
        }
        _ => {
            fs::remove_file(path)?;
            ("files taken away", "taken away".to_owned())
        }
    };
    Ok((what, format!("{} {how}", path.strip_prefix(log).unwrap_or(path).display())))
}

fn flip(file: &File, at: u64, bit: u8) -> std::io::Result<String> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ bit], at)?;
    Ok(format!("bit {bit:#x} of byte {at} flipped"))
}

/// All files below a directory.
fn files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
