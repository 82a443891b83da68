//! `freeze`: SIGSTOP, a second agent meanwhile, and SIGCONT.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::agent::Agent;
use crate::audit::Audit;
use crate::breach::{Breach, Result, Sort, doing};
use crate::run::{Lived, Tally};
use crate::scene::{STOP_PATIENCE, Scene};

/// How long one agent is alone, and how long two are at it.
const WHILE_MAX: Duration = Duration::from_secs(2);

/// What a second agent on the same log must say.
const REFUSAL: &str = "in use";

/// Freezes an agent again and again, each time with another one beside it.
pub async fn live(scene: &mut Scene, freezes: u32, tally: &mut Tally) -> Lived {
    scene.judge.expect_several();
    let mut agent = scene.agent().await?;
    for freeze in 0..freezes {
        agent.ready().await?;
        scene.wait_up_to(WHILE_MAX).await;
        agent.signal(Signal::STOP);
        if freeze % 2 == 0 {
            refused(scene).await?;
            tally.add("refused on the same log", 1);
            agent.signal(Signal::CONT);
        } else {
            agent = beside(scene, agent, freeze).await?;
            tally.add("side by side on two logs", 1);
        }
        scene.check()?;
    }
    tally.took("settled in", scene.settle().await?);
    tally.add("made again by the other", scene.judge.excused(Sort::Duplicate) as u64);
    tally.add("made again after the release", scene.judge.excused(Sort::Orphan) as u64);
    let durable = agent.durable().await.unwrap_or_default();
    scene.stop(&mut agent).await?;
    // Others did a part, so not every cause is here; but what is here is whole.
    let audit = Audit::of(&scene.start.program, &scene.log).await?;
    if !audit.clean || audit.records < durable {
        return Err(Breach::of(Sort::Lost, format!("the log is not as it was left: {}", audit.said)));
    }
    Ok(())
}

/// A second agent on the same log is refused, and touches nothing.
async fn refused(scene: &mut Scene) -> Result<()> {
    let before = contents(&scene.log)?;
    let mut second = scene.agent().await?;
    let status = second.ended(STOP_PATIENCE).await?;
    let said = second.said();
    if status.code() != Some(1) || !said.contains(REFUSAL) {
        return Err(Breach::new(format!("a second agent on the same log ended ({status}) and said: {said}")));
    }
    if contents(&scene.log)? != before {
        return Err(Breach::of(Sort::Lost, "a second agent on the same log changed it"));
    }
    Ok(())
}

/// A second agent with a log of its own takes the node's pods too; then the first one wakes. Nothing keeps them apart
/// yet but the names and marks in the cloud. One of them dies in the end.
async fn beside(scene: &mut Scene, first: Agent, number: u32) -> Result<Agent> {
    let log = scene.directory().join(format!("log-{number}"));
    let start = scene.start.clone();
    let mut second = scene.another(&start, &log).await?;
    second.ready().await?;
    scene.wait_up_to(WHILE_MAX).await;
    first.signal(Signal::CONT);
    scene.wait_up_to(WHILE_MAX).await;
    if scene.dice.happens(50) {
        second.kill().await?;
        Ok(first)
    } else {
        first.kill().await?;
        scene.log = log;
        Ok(second)
    }
}

/// Every file of a directory, with what is in it.
fn contents(directory: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut entries = vec![directory.to_owned()];
    while let Some(path) = entries.pop() {
        if path.is_dir() {
            let inside = fs::read_dir(&path).map_err(doing("read the log's directory"))?;
            entries.extend(inside.filter_map(|entry| Some(entry.ok()?.path())));
        } else {
            let bytes = fs::read(&path).map_err(doing("read the log"))?;
            files.push((path.display().to_string(), bytes));
        }
    }
    files.sort();
    Ok(files)
}
