//! `sync-error` and `slow-sync`: fdatasync fails, or takes its time, because strace says so.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bench::world::cluster::Kind;

use crate::agent::{Agent, Start};
use crate::breach::{Breach, Result};
use crate::load::NODE;
use crate::run::{Lived, Tally};
use crate::scene::Scene;

/// An error comes after so many calls of one thread at most.
const CALLS_MAX: u64 = 100;

/// How long an agent may take to meet the error, and then to end.
const ERROR_PATIENCE: Duration = Duration::from_secs(60);

/// How long a slow disk is borne, and how slow it is at most.
const SLOW_FOR: Duration = Duration::from_secs(25);
const DELAY_MIN_MS: u64 = 50;
const DELAY_MAX_MS: u64 = 5_000;

/// The lease is renewed every ten seconds, and is good for forty.
const RENEWAL_MAX: Duration = Duration::from_secs(20);

/// No load of ours needs as much.
const MEMORY_MAX_KIB: u64 = 256 << 10;

const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// The program under strace, which leaves it its process id.
fn traced(start: &Start, inject: &str, trace: &Path) -> Start {
    let words = ["strace", "-D", "-f", "-qq", "-e", "trace=fdatasync", "-e"];
    let mut before: Vec<OsString> = words.map(OsString::from).to_vec();
    before.extend([format!("inject=fdatasync:{inject}").into(), "-o".into(), trace.into()]);
    Start { before, ..start.clone() }
}

/// A sync fails, once or for ever: the agent ends and asks no second time.
pub async fn live_with_errors(scene: &mut Scene, errors: u32, tally: &mut Tally) -> Lived {
    let (log, trace) = (scene.log.clone(), scene.directory().join("trace"));
    for _ in 0..errors {
        let when = 1 + scene.dice.below(CALLS_MAX);
        let ever = if scene.dice.happens(50) { "+" } else { "" };
        let start = traced(&scene.start, &format!("error=EIO:when={when}{ever}"), &trace);
        let mut agent = scene.another(&start, &log).await?;
        let status = agent.ended(ERROR_PATIENCE).await?;
        if status.code() != Some(1) || !agent.said().contains("Input/output error") {
            return Err(agent.ended_badly(status));
        }
        let calls = fs::read_to_string(&trace).unwrap_or_default();
        let after = calls.split_once("INJECTED").map_or("", |(_, after)| after);
        if after.contains("fdatasync(") {
            return Err(Breach::new(format!("a failed sync was tried again:\n{calls}")));
        }
        tally.add(if ever.is_empty() { "failed once" } else { "failed for ever" }, 1);
        scene.audit(0).await?;
    }
    let mut agent = scene.agent().await?;
    agent.ready().await?;
    tally.took("settled in", scene.settle().await?);
    scene.finish(agent).await
}

/// A slow disk: the node stays alive, and memory is bounded.
pub async fn live_slowly(scene: &mut Scene, times: u32, tally: &mut Tally) -> Lived {
    let (log, trace) = (scene.log.clone(), scene.directory().join("trace"));
    for _ in 0..times {
        let delay_ms = DELAY_MIN_MS + scene.dice.below(DELAY_MAX_MS - DELAY_MIN_MS);
        let start = traced(&scene.start, &format!("delay_enter={}", 1_000 * delay_ms), &trace);
        let mut agent = scene.another(&start, &log).await?;
        bear(scene, &agent).await?;
        tally.add("slow disks", 1);
        tally.took("delay", Duration::from_millis(delay_ms));
        let durable = agent.durable().await.unwrap_or_default();
        agent.kill().await?;
        scene.audit(durable).await?;
    }
    let mut agent = scene.agent().await?;
    agent.ready().await?;
    tally.took("settled in", scene.settle().await?);
    scene.finish(agent).await
}

async fn bear(scene: &Scene, agent: &Agent) -> Result<()> {
    let (start, mut renewed, mut lease) = (Instant::now(), Instant::now(), None);
    while start.elapsed() < SLOW_FOR {
        let now = renewal(scene);
        if now != lease {
            (renewed, lease) = (Instant::now(), now);
        }
        if renewed.elapsed() > RENEWAL_MAX {
            return Err(Breach::new(format!("the lease was not renewed for {} s", RENEWAL_MAX.as_secs())));
        }
        let memory_kib = agent.pid().and_then(resident_kib).unwrap_or_default();
        if memory_kib > MEMORY_MAX_KIB {
            return Err(Breach::new(format!("the agent takes {memory_kib} KiB")));
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
    if lease.is_some() { scene.check() } else { Err(Breach::new("there is no lease")) }
}

/// When the node's lease was renewed last.
fn renewal(scene: &Scene) -> Option<String> {
    let leases = Kind::of("leases")?;
    scene.world.cluster.read(|cluster| {
        let lease = cluster.get(leases, "kube-node-lease", NODE).ok()?;
        Some(lease.value["spec"]["renewTime"].as_str()?.to_owned())
    })
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// Why strace cannot do that here.
pub fn missing() -> Option<String> {
    let mut command = Command::new("strace");
    command.args(["-qq", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "true"]);
    match command.stdin(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("strace may not trace here ({status})")),
        Err(error) => Some(format!("cannot run strace: {error}")),
    }
}
