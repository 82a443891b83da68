//! `clock`: the wall clock is stepped under a running agent, by libfaketime.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::agent::Start;
use crate::breach::doing;
use crate::run::{Lived, Tally};
use crate::scene::Scene;

/// Where Debian's package `faketime` has it, on the machines that we know.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

const DAY_S: i64 = 24 * 3_600;
const STEPS_S: [i64; 5] = [0, 3_600, -3_600, 400 * DAY_S, -400 * DAY_S];

const WHILE_MAX: Duration = Duration::from_millis(1_500);

/// Steps the clock again and again; some agents are killed after it.
pub async fn live(scene: &mut Scene, steps: u32, tally: &mut Tally) -> Lived {
    let clock = scene.directory().join("clock");
    let set = |offset_s: i64| {
        // As a whole, because it is read at any time.
        let next = clock.with_extension("next");
        fs::write(&next, format!("{offset_s:+}"))
            .and_then(|()| fs::rename(&next, &clock))
            .map_err(doing("step the clock"))
    };
    set(0)?;
    let library = library().unwrap_or_default();
    let variable = |name: &str, value: &str| format!("{name}={value}").into();
    scene.start = Start {
        before: vec![
            "env".into(),
            variable("LD_PRELOAD", library),
            variable("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string()),
            variable("FAKETIME_NO_CACHE", "1"),
            variable("DONT_FAKE_MONOTONIC", "1"),
        ],
        ..scene.start.clone()
    };
    let mut agent = scene.agent().await?;
    for _ in 0..steps {
        agent.ready().await?;
        scene.wait_up_to(WHILE_MAX).await;
        set(*scene.dice.pick(&STEPS_S))?;
        scene.wait_up_to(WHILE_MAX).await;
        tally.add("steps", 1);
        if scene.dice.happens(40) {
            let durable = agent.durable().await.unwrap_or_default();
            agent.kill().await?;
            scene.audit(durable).await?;
            agent = scene.agent().await?;
        }
        scene.check()?;
    }
    agent.ready().await?;
    tally.took("settled in", scene.settle().await?);
    let tokens = scene.world.cloud.with(|cloud, _| cloud.tokens_issued());
    tally.add("tokens issued", tokens);
    scene.finish(agent).await
}

/// The library, if it is there.
pub fn library() -> Option<&'static str> {
    LIBRARIES.into_iter().find(|path| Path::new(path).exists())
}
