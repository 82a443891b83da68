//! The agent's memory while something goes on.

use std::time::Duration;

use tokio::time::sleep;

use super::scene::Stage;
use crate::load::Error;

/// How often the memory is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// For how many looks it must stand still: a second is long for a connection on loopback.
const STILL_LOOKS: u32 = 10;

/// For how many looks at most: something else goes on then, and the figure is what it is.
const LOOKS_MAX: u32 = 150;

/// What moves less than this stands still.
const STILL_BYTES: u64 = 256 * 1024;

/// From so many streams on, what each took is worth a wait. Fewer are there to see that all works.
const STREAMS_WORTH_A_WAIT: u32 = 20;

/// The memory before so many streams come, once the agent has given back what those before them needed.
pub(super) async fn at_rest(stage: &Stage, streams: u32) -> Result<Option<u64>, Error> {
    if streams < STREAMS_WORTH_A_WAIT {
        return Ok(stage.resident_bytes());
    }
    Ok(stage.usage.read_at_rest().await?.resident_bytes)
}

/// The memory once it stands still; `None` where it cannot be told.
pub(super) async fn settled(stage: &Stage) -> Option<u64> {
    let (mut last, mut still) = (stage.resident_bytes()?, 0);
    for _ in 0..LOOKS_MAX {
        sleep(LOOK_PERIOD).await;
        let now = stage.resident_bytes()?;
        still = if now.abs_diff(last) < STILL_BYTES { still + 1 } else { 0 };
        if still == STILL_LOOKS {
            return Some(now);
        }
        if still == 0 {
            last = now;
        }
    }
    Some(last)
}

/// The most memory that the agent had while `doing` went on, and what came of that.
pub(super) async fn most<T>(stage: &Stage, doing: impl Future<Output = T>) -> (Option<u64>, T) {
    let mut doing = std::pin::pin!(doing);
    let mut most = stage.resident_bytes();
    loop {
        tokio::select! {
            done = &mut doing => return (most.max(stage.resident_bytes()), done),
            () = sleep(LOOK_PERIOD) => most = most.max(stage.resident_bytes()),
        }
    }
}
