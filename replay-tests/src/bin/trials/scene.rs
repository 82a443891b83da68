//! A world, a load on it, a judge who looks on, and the agents that are started and ended there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::agent::{Agent, Start};
use crate::audit::Audit;
use crate::breach::{Breach, Result, Sort, doing};
use crate::dice::Dice;
use crate::judge::{Deeds, Judge};
use crate::load::{Load, Traffic, pods};
use crate::world::{Weather, World};

/// How long a healed world may take until both sides are as they must be: G15.
pub const SETTLE_PATIENCE: Duration = Duration::from_secs(60);

/// How long an agent may take to end after a signal.
pub const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// After so long what is waited for is told.
const SLOW: Duration = Duration::from_secs(10);

const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// One life of a world.
pub struct Scene {
    /// Chances of this life.
    pub dice: Dice,
    /// Both sides.
    pub world: World,
    /// What is asked of it.
    pub load: Load,
    /// Who looks on.
    pub judge: Judge,
    /// How an agent is started here.
    pub start: Start,
    /// Where its log is.
    pub log: PathBuf,
    scratch: TempDir,
    starts: u32,
    /// What the log was seen to have decided.
    decided: Mutex<Deeds>,
}

impl Scene {
    /// A new world, in `weather`, with a load on it.
    pub async fn new(dice: Dice, start: Start, weather: &Weather, traffic: Traffic) -> Result<Scene> {
        let mut dice = dice;
        let scratch =
            tempfile::Builder::new().prefix("trial-").tempdir().map_err(doing("make a directory"))?;
        let world = World::serve(dice.number(), weather, scratch.path()).await?;
        let load = Load::begin(world.cluster.clone(), Dice::new(dice.number(), 0), traffic);
        let judge = Judge::begin(&world, load.book.clone());
        let log = scratch.path().join("log");
        Ok(Scene { dice, world, load, judge, start, log, scratch, starts: 0, decided: Mutex::default() })
    }

    /// Where everything of this life is.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Keeps the directory, for whoever wants to know what happened.
    pub fn keep(self) -> PathBuf {
        self.scratch.keep()
    }

    /// Copies the log to where it is kept: the file system that it is on is about to go.
    pub fn save_log(&self) {
        if let Err(error) = copy(&self.log, &self.scratch.path().join("saved-log")) {
            eprintln!("the log could not be saved: {error}");
        }
    }

    /// How many agents were started.
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Starts an agent.
    pub async fn agent(&mut self) -> Result<Agent> {
        let start = self.start.clone();
        let log = self.log.clone();
        self.another(&start, &log).await
    }

    /// Starts an agent in another way.
    pub async fn another(&mut self, start: &Start, log: &Path) -> Result<Agent> {
        self.starts += 1;
        let words = self.scratch.path().join(format!("start-{:04}", self.starts));
        Agent::start(start, &self.world, log, &words).await
    }

    /// Lets at most so much time pass, the same for the same seed.
    pub async fn wait_up_to(&mut self, most: Duration) {
        let wait_us = self.dice.below(most.as_micros() as u64);
        tokio::time::sleep(Duration::from_micros(wait_us)).await;
    }

    /// What the log of a dead agent says is compared with what was done.
    pub async fn audit(&self, durable: u64) -> Result<Audit> {
        let done = self.judge.deeds();
        if !self.log.exists() {
            // The agent died before it had one.
            let nothing = Audit { clean: true, ..Audit::default() };
            return nothing.check(&done, durable).map(|()| nothing);
        }
        let mut audit = Audit::of(&self.start.program, &self.log).await?;
        audit.remember(&mut self.decided.lock());
        // Or before its first record: fine as long as nothing was done or said to be durable.
        audit.clean |= audit.said.contains("no record is in");
        audit.check(&done, durable)?;
        self.check()?;
        Ok(audit)
    }

    /// Nothing was seen so far that must not be.
    pub fn check(&self) -> Result<()> {
        match self.judge.findings().into_iter().next() {
            Some(breach) => Err(breach),
            None => Ok(()),
        }
    }

    /// Heals the world, lets the load rest, and waits until both sides are as they must be.
    pub async fn settle(&self) -> Result<Duration> {
        self.load.rest();
        self.world.heal();
        self.until_settled().await
    }

    /// Waits until both sides are as they must be.
    pub async fn until_settled(&self) -> Result<Duration> {
        let start = Instant::now();
        let mut last = String::new();
        while let Some(why) = self.judge.unsettled() {
            if start.elapsed() > SLOW && why != last {
                eprintln!("after {} s {why}", start.elapsed().as_secs());
                last.clone_from(&why);
            }
            if start.elapsed() > SETTLE_PATIENCE {
                let orphans = self.judge.orphans();
                let sort = if orphans > 0 { Sort::Orphan } else { Sort::Wrong };
                return Err(Breach::of(sort, format!("after 60 s {why}; {orphans} orphans")));
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
        self.check()?;
        Ok(start.elapsed())
    }

    /// Deletes all pods and waits until both sides are empty; ends the agent, and looks at its log.
    pub async fn finish(&self, mut agent: Agent) -> Result<()> {
        self.empty().await?;
        let durable = agent.durable().await.unwrap_or_default();
        self.stop(&mut agent).await?;
        self.audit(durable).await.map(drop)
    }

    /// Deletes all pods and waits until both sides are empty.
    pub async fn empty(&self) -> Result<()> {
        self.load.delete_all();
        self.until_settled().await?;
        match pods(&self.world.cluster).len() {
            0 => Ok(()),
            left => Err(Breach::new(format!("{left} pods are left"))),
        }
    }

    /// Ends an agent by a signal.
    pub async fn stop(&self, agent: &mut Agent) -> Result<ExitStatus> {
        agent.signal(Signal::TERM);
        let status = agent.ended(STOP_PATIENCE).await?;
        if status.success() { Ok(status) } else { Err(agent.ended_badly(status)) }
    }
}

/// Copies a directory.
pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
