//! A running cloud in the hands of a test or a load generator.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::world::cloud::{Cloud, CloudOptions, Credentials};

/// A cloud that follows the clock, shared by the server and whoever looks at it or tampers with it.
#[derive(Clone, Debug)]
pub struct CloudHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cloud: Mutex<Cloud>,
    start: Instant,
    origin_us: u64,
}

impl CloudHandle {
    /// An empty cloud whose clock starts now, with credentials of its own.
    #[must_use]
    pub fn new(options: CloudOptions, seed: u64) -> CloudHandle {
        let secret = || Uuid::new_v4().simple().to_string();
        let credentials = Credentials::with_secrets(secret(), secret(), secret());
        let mut cloud = Cloud::new(options, seed);
        cloud.set_credentials(credentials);
        let origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let handle = CloudHandle {
            shared: Arc::new(Shared {
                cloud: Mutex::new(cloud),
                start: Instant::now(),
                origin_us: microseconds(origin),
            }),
        };
        handle.with(|cloud, now_us| cloud.advance(now_us));
        handle
    }

    /// The cloud's time: microseconds since the epoch. Follows tokio's clock.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.shared.origin_us + microseconds(self.shared.start.elapsed())
    }

    /// Looks at the cloud, or changes it, at the present time. Calls wait meanwhile.
    pub fn with<T>(&self, act: impl FnOnce(&mut Cloud, u64) -> T) -> T {
        let mut cloud = self.shared.cloud.lock();
        let now_us = self.now_us();
        act(&mut cloud, now_us)
    }

    /// What a client needs to be let in.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.with(|cloud, _| cloud.credentials().clone())
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
