//! The kinds of trials.

use crate::agent::Start;
use crate::breach::Result;
use crate::dice::Dice;
use crate::run::{Lived, Plan, Tally};
use crate::scene::Scene;
use crate::world::Weather;
use crate::{clock, damage, disk_full, fail_point, freeze, kill, log_lost, power, segments, sync, term};

/// What is done to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The log is deleted behind the back of whoever looks on, who has to notice.
    Canary,
    /// SIGKILL at any time.
    Kill,
    /// Death at a named place of the program; needs a build with the feature `fail-points`.
    FailPoint,
    /// SIGSTOP and SIGCONT, with a second agent meanwhile.
    Freeze,
    /// SIGTERM in the middle of everything, at times twice.
    Term,
    /// No room for bytes or files on the log's disk; needs leave to mount.
    DiskFull,
    /// fdatasync fails, once or for ever; needs strace.
    SyncError,
    /// fdatasync takes up to five seconds; needs strace.
    SlowSync,
    /// Bits flipped, files cut, blocks zeroed, files taken away.
    Damage,
    /// The log's file system loses power; needs leave to mount, and xfs_io.
    Power,
    /// The log is deleted.
    LogLost,
    /// The wall clock is stepped; needs libfaketime.
    Clock,
}

impl Kind {
    /// All kinds with their names, how many of their trials share a world, and how many a short run has.
    pub const ALL: [(Kind, &'static str, u32, u32); 12] = [
        (Kind::Canary, "canary", 1, 1),
        (Kind::Kill, "kill", 100, 12),
        (Kind::FailPoint, "fail-point", 50, 10),
        (Kind::Freeze, "freeze", 10, 2),
        (Kind::Term, "term", 25, 6),
        (Kind::DiskFull, "disk-full", 10, 2),
        (Kind::SyncError, "sync-error", 20, 2),
        (Kind::SlowSync, "slow-sync", 2, 0),
        (Kind::Damage, "damage", 500, 30),
        (Kind::Power, "power", 10, 4),
        (Kind::LogLost, "log-lost", 10, 3),
        (Kind::Clock, "clock", 20, 4),
    ];

    fn row(self) -> (Kind, &'static str, u32, u32) {
        let row = Kind::ALL.into_iter().find(|(kind, ..)| *kind == self);
        row.expect("every kind has its row")
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// How many trials share a world.
    pub fn trials_a_life(self) -> u32 {
        self.row().2
    }

    /// How many trials a short run has.
    pub fn short(self) -> u32 {
        self.row().3
    }

    /// Why this machine cannot do it; `None` when it can.
    pub fn missing(self, plan: &Plan) -> Result<Option<String>> {
        Ok(match self {
            Kind::Canary | Kind::Kill | Kind::Freeze | Kind::Term | Kind::Damage | Kind::LogLost => None,
            Kind::FailPoint => fail_point::missing(plan)?,
            Kind::DiskFull => disk_full::missing(),
            Kind::SyncError | Kind::SlowSync => sync::missing(),
            Kind::Power => power::missing(),
            Kind::Clock => clock::library().is_none().then(|| "there is no libfaketime".to_owned()),
        })
    }

    /// How it differs from the others before it begins.
    pub fn prepare(self, plan: &Plan, weather: &mut Weather, dice: &mut Dice) -> Start {
        let mut start = Start::of(if self == Kind::FailPoint { &plan.fail_point_agent } else { &plan.agent });
        match self {
            Kind::Term => {
                // Calls that hang for longer than an end may take.
                weather.timeout_ms = 20_000;
                start.options = vec!["--cci-request-timeout-ms".into(), "30000".into()];
            }
            Kind::Kill | Kind::FailPoint | Kind::Damage => {
                start.options = segments::options(dice).iter().map(Into::into).collect();
            }
            Kind::Canary
            | Kind::Freeze
            | Kind::DiskFull
            | Kind::SyncError
            | Kind::SlowSync
            | Kind::Power
            | Kind::LogLost
            | Kind::Clock => {}
        }
        start
    }

    /// Some trials in one world.
    pub async fn live(self, scene: &mut Scene, trials: u32, tally: &mut Tally) -> Lived {
        match self {
            Kind::Canary => log_lost::live_unnoticed(scene, trials, tally).await,
            Kind::Kill => kill::live(scene, trials, tally).await,
            Kind::FailPoint => fail_point::live(scene, trials, tally).await,
            Kind::Freeze => freeze::live(scene, trials, tally).await,
            Kind::Term => term::live(scene, trials, tally).await,
            Kind::DiskFull => disk_full::live(scene, trials, tally).await,
            Kind::SyncError => sync::live_with_errors(scene, trials, tally).await,
            Kind::SlowSync => sync::live_slowly(scene, trials, tally).await,
            Kind::Damage => damage::live(scene, trials, tally).await,
            Kind::Power => power::live(scene, trials, tally).await,
            Kind::LogLost => log_lost::live(scene, trials, tally).await,
            Kind::Clock => clock::live(scene, trials, tally).await,
        }
    }
}
