//! `fail-point`: death at a named place of the program, by a build of it that has such places.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::agent::Start;
use crate::breach::{Breach, Result};
use crate::run::{Lived, Tally};
use crate::scene::{STOP_PATIENCE, Scene};
use crate::segments::Segments;

/// The places, and after how many passes at most death comes.
const POINTS: [(&str, u64); 9] = [
    ("before-append", 150),
    ("before-sync", 150),
    ("after-sync", 150),
    ("before-effects", 150),
    ("before-outcome", 100),
    ("in-snapshot", 2),
    ("in-seal", 200),
    ("before-drop", 3),
    ("after-drop", 3),
];

/// How long the place may go without being come by. Then the agent is told to end, which passes some of them.
const PATIENCE: Duration = Duration::from_secs(3);

/// Dies at a place that chance chooses, again and again.
pub async fn live(scene: &mut Scene, deaths: u32, tally: &mut Tally) -> Lived {
    let plain = scene.start.clone();
    let (mut last, mut segments) = (0, Segments::default());
    for _ in 0..deaths {
        let (point, passes_max) = *scene.dice.pick(&POINTS);
        let passes = scene.dice.below(passes_max);
        let armed = Start {
            before: vec!["env".into(), format!("FAILPOINTS={point}={passes}*off->panic").into()],
            ..plain.clone()
        };
        if die(scene, &armed).await? {
            tally.add(point, 1);
        } else {
            tally.add(format!("{point} not come by"), 1);
        }
        let audit = scene.audit(0).await?;
        segments.look(&scene.log, last, tally);
        last = audit.records;
    }
    let mut agent = scene.agent().await?;
    agent.ready().await?;
    tally.took("settled in", scene.settle().await?);
    scene.finish(agent).await
}

/// Whether the agent came by the place.
async fn die(scene: &mut Scene, armed: &Start) -> Result<bool> {
    let log = scene.log.clone();
    let mut agent = scene.another(armed, &log).await?;
    let status = match agent.ended(PATIENCE).await {
        Ok(status) => status,
        Err(_) => {
            agent.signal(Signal::TERM);
            agent.ended(STOP_PATIENCE).await?
        }
    };
    match status.signal() {
        Some(signal) if signal == Signal::ABORT.as_raw() => Ok(true),
        None if status.success() => Ok(false),
        Some(_) | None => Err(agent.ended_badly(status)),
    }
}

/// Why there can be no such death: the program has no such places, or a release has them.
pub fn missing(plan: &crate::run::Plan) -> Result<Option<String>> {
    let has = |path: &std::path::Path| std::fs::read(path).map(|bytes| contains(&bytes, b"FAILPOINTS"));
    if has(&plan.agent).unwrap_or(false) {
        let what = format!("{} is to be a release, and has fail points", plan.agent.display());
        return Err(Breach::new(what));
    }
    let armed = plan.fail_point_agent.display();
    Ok(match has(&plan.fail_point_agent) {
        Ok(true) => None,
        Ok(false) => Some(format!("{armed} has no fail points")),
        Err(error) => Some(format!("no program with fail points: {armed}: {error}")),
    })
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
