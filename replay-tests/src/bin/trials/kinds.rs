//! The kinds of trials.

use crate::run::{Lived, Plan, Tally};
use crate::scene::Scene;
use crate::{kill};

/// What is done to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Kind {
    /// SIGKILL at any time.
    Kill,
    FailPoint,
}

impl Kind {
    pub fn name(self) -> &'static str { "kill" }
    pub fn missing(self, _: &Plan) -> Option<String> { None }
    pub fn trials_a_life(self) -> u32 { 50 }
    pub async fn live(self, scene: &mut Scene, trials: u32, tally: &mut Tally) -> Lived {
        kill::live(scene, trials, tally).await
    }
}
