//! What waits in the agent, and on the way, when nobody reads a log on.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use super::caller::log_path;
use super::memory::{at_rest, settled};
use super::scene::Stage;
use super::transport::Streaming;
use crate::load::Error;

/// How long nothing comes once everything has that was on the way.
const DRY: Duration = Duration::from_millis(500);

/// What waits for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StalledFigures {
    /// How many logs nobody reads on.
    pub streams: u32,
    /// By how much the agent's memory grew for each, beyond the same connection at rest.
    pub agent_bytes_per_stream: Option<u64>,
    /// What the cloud could send of each before it had to wait: the agent's memory, and what the kernel holds of three
    /// connections' ends.
    pub sent_bytes_per_stream: u64,
}

/// Opens logs, reads nothing of them, looks at the agent's memory, and reads what is on the way in a world that sends
/// no more.
pub(super) async fn logs(stage: &Stage, count: u32, follow: bool) -> Result<StalledFigures, Error> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        let mut session = stage.caller.session().await?;
        session.whole("/healthz", None).await?;
        sessions.push(session);
    }
    let before = at_rest(stage, count).await?;
    let mut streams = Vec::new();
    for (number, session) in sessions.into_iter().enumerate() {
        let query = if follow { "follow=true" } else { "" };
        streams.push(Streaming::open(session, &log_path(&stage.pod(number), query), None).await?);
    }
    let after = settled(stage).await;
    let world = stage.hold_the_world();
    let drained = join_all(streams.iter_mut().map(drain)).await;
    drop(world);
    let sent = drained.into_iter().sum::<Result<u64, Error>>()?;
    let grown = before.zip(after).map(|(before, after)| after.saturating_sub(before) / u64::from(count));
    Ok(StalledFigures {
        streams: count,
        agent_bytes_per_stream: grown,
        sent_bytes_per_stream: sent / u64::from(count),
    })
}

/// Reads what still comes.
async fn drain(stream: &mut Streaming) -> Result<u64, Error> {
    let mut came = 0;
    while let Ok(read) = timeout(DRY, stream.next()).await {
        let Some(bytes) = read? else { break };
        came += bytes.len() as u64;
    }
    Ok(came)
}
