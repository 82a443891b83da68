//! Options: how fast calls are made. Pacing takes no decision, and so is not part of the log.

use std::num::NonZeroU32;

use adapters::execute::Rates;
use adapters::pace::Rate;

use crate::config::values::between;

/// Calls to the API server under way together: it answers within milliseconds, and its priority queues count
/// what waits in them.
const KUBERNETES_IN_FLIGHT_MAX: usize = 64;

/// Notices under way together: they are for people.
const NOTICES_IN_FLIGHT_MAX: usize = 8;

/// Reads of the cloud's events, which are for people as well: a handful of its calls, whatever ails how many pods.
const EVENT_READS: Rate = Rate {
    per_second: Some(NonZeroU32::new(2).expect("not zero")),
    burst: NonZeroU32::new(4).expect("not zero"),
    in_flight_max: 2,
};

/// How fast calls are made, by class. The limits of CCI are not published and differ by account, so by default
/// nothing of ours stands before them: what the cloud refuses with 429 rests for as long as it says and goes on at
/// the rate that was let through. The API server defends itself in the same way; of notices only a few are under
/// way at a time.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Pacing (calls per second, 0 is no limit; a burst may go at once)")]
pub struct Pacing {
    /// Calls that create something in the cloud.
    #[arg(long, value_name = "PER_S", default_value_t = 0, value_parser = rate())]
    pub cloud_create_rate: u32,
    /// Calls of that kind that may go at once.
    #[arg(long, value_name = "N", default_value = "40", value_parser = burst())]
    pub cloud_create_burst: NonZeroU32,
    /// Calls that delete something in the cloud.
    #[arg(long, value_name = "PER_S", default_value_t = 0, value_parser = rate())]
    pub cloud_delete_rate: u32,
    /// Calls of that kind that may go at once.
    #[arg(long, value_name = "N", default_value = "40", value_parser = burst())]
    pub cloud_delete_burst: NonZeroU32,
    /// Calls that read from the cloud.
    #[arg(long, value_name = "PER_S", default_value_t = 0, value_parser = rate())]
    pub cloud_read_rate: u32,
    /// Calls of that kind that may go at once.
    #[arg(long, value_name = "N", default_value = "40", value_parser = burst())]
    pub cloud_read_burst: NonZeroU32,
    /// Calls to the API server, but for notices.
    #[arg(long, value_name = "PER_S", default_value_t = 0, value_parser = rate())]
    pub kubernetes_rate: u32,
    /// Calls of that kind that may go at once.
    #[arg(long, value_name = "N", default_value = "100", value_parser = burst())]
    pub kubernetes_burst: NonZeroU32,
    /// Notices for people, as Kubernetes Events.
    #[arg(long, value_name = "PER_S", default_value_t = 0, value_parser = rate())]
    pub notice_rate: u32,
    /// Calls of that kind that may go at once.
    #[arg(long, value_name = "N", default_value = "500", value_parser = burst())]
    pub notice_burst: NonZeroU32,
    /// Cloud calls of one class that may wait for an answer at the same time. Each is a connection; fewer than
    /// a burst has pods make some of them wait for others' answers.
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = between::<u32>(1, 16_384, "calls"))]
    pub max_in_flight: u32,
}

impl Pacing {
    /// The rates as the executor takes them.
    pub fn rates(&self) -> Rates {
        let rate = |rate: u32, burst: NonZeroU32, in_flight_max: usize| Rate {
            per_second: NonZeroU32::new(rate),
            burst,
            in_flight_max,
        };
        let cloud = |per_second, burst| rate(per_second, burst, self.max_in_flight as usize);
        Rates {
            cloud_create: cloud(self.cloud_create_rate, self.cloud_create_burst),
            cloud_delete: cloud(self.cloud_delete_rate, self.cloud_delete_burst),
            cloud_read: cloud(self.cloud_read_rate, self.cloud_read_burst),
            kubernetes: rate(self.kubernetes_rate, self.kubernetes_burst, KUBERNETES_IN_FLIGHT_MAX),
            notice: rate(self.notice_rate, self.notice_burst, NOTICES_IN_FLIGHT_MAX),
            cloud_events: EVENT_READS,
        }
    }
}

fn rate() -> impl Fn(&str) -> Result<u32, String> + Clone {
    between(0, 10_000, "calls per second")
}

fn burst() -> impl Fn(&str) -> Result<NonZeroU32, String> + Clone {
    between(NonZeroU32::MIN, BURST_MAX, "calls")
}

/// What the slowest side could work off in minutes; more is no pace.
const BURST_MAX: NonZeroU32 = NonZeroU32::new(10_000).expect("not zero");
