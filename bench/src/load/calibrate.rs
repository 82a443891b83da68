//! What this machine can do at all, measured in front of each run: figures of two machines are compared
//! through these.

use std::io::{Seek, SeekFrom, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::load::Error;
use crate::load::figures::{Durations, Figures};

/// Writes that are made durable: about two seconds on a slow disk.
const SYNCS: usize = 200;

/// Bytes of each such write: a usual group of records.
const SYNC_BYTES: usize = 4 * 1024;

/// Calls to a server on loopback.
const ROUND_TRIPS: usize = 500;

/// Calls that are not counted: connections and caches are made by then.
const WARM_UP_ROUND_TRIPS: usize = 50;

/// What the server answers: as long as a short status.
const ANSWER: &str = "a server that does nothing but answer, with as many bytes as a short status object has, \
                      shows what a call costs before anybody has done anything for it on either side of it.";

/// What this machine can do at all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// To make a write of 4 KiB durable, where the log is.
    pub fdatasync_p50_ms: f64,
    /// The slowest hundredth of these.
    pub fdatasync_p99_ms: f64,
    /// A call over HTTP on loopback that does nothing, one at a time.
    pub http_round_trip_p50_ms: f64,
    /// The slowest hundredth of these.
    pub http_round_trip_p99_ms: f64,
}

impl Calibration {
    /// Measures for a second or two.
    ///
    /// # Errors
    /// When `directory` cannot be written, or loopback does not work.
    pub async fn measure(directory: &Path) -> Result<Calibration, Error> {
        let directory = directory.to_owned();
        let syncs = tokio::task::spawn_blocking(move || syncs(&directory)).await;
        let failed = |source| Error::io("measure the disk", source);
        let syncs = syncs.map_err(|error| failed(error.into()))?.map_err(failed)?;
        let round_trips = round_trips().await?;
        let ms = |figure: Option<f64>| figure.unwrap_or_default();
        Ok(Calibration {
            fdatasync_p50_ms: ms(syncs.p50_ms),
            fdatasync_p99_ms: ms(syncs.p99_ms),
            http_round_trip_p50_ms: ms(round_trips.p50_ms),
            http_round_trip_p99_ms: ms(round_trips.p99_ms),
        })
    }
}

fn syncs(directory: &Path) -> std::io::Result<Figures> {
    let mut file = tempfile::tempfile_in(directory)?;
    let mut durations = Durations::default();
    let block = [0x5a; SYNC_BYTES];
    // As a log does it after its file has grown: over space that is there already.
    for _ in 0..SYNCS {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        durations.note(start.elapsed());
    }
    Ok(durations.figures())
}

async fn round_trips() -> Result<Figures, Error> {
    let failed = |source| Error::io("measure loopback", source);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mut server = JoinSet::new();
    server.spawn(async { axum::serve(listener, Router::new().route("/", get(|| async { ANSWER }))).await });

    let (client, url) = (plain_client()?, format!("http://{address}/"));
    let mut durations = Durations::default();
    for call in 0..WARM_UP_ROUND_TRIPS + ROUND_TRIPS {
        let start = Instant::now();
        get_text(&client, &url).await?;
        if call >= WARM_UP_ROUND_TRIPS {
            durations.note(start.elapsed());
        }
    }
    Ok(durations.figures())
}

/// How long a server on this machine may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// A client for servers on loopback. Proxies are for the world outside.
pub(crate) fn plain_client() -> Result<reqwest::Client, Error> {
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_PATIENCE).build();
    client.map_err(|error| Error::io("make an HTTP client", std::io::Error::other(error)))
}

/// Reads a text.
pub(crate) async fn get_text(client: &reqwest::Client, url: &str) -> Result<String, Error> {
    let answer = async { client.get(url).send().await?.error_for_status()?.text().await };
    answer.await.map_err(|error| Error::io("talk to a server on this machine", std::io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_machine_shows_what_it_can_do() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let calibration = Calibration::measure(directory.path()).await.unwrap();
        assert!(calibration.http_round_trip_p50_ms > 0.0, "{calibration:?}");
        assert!(calibration.http_round_trip_p50_ms <= calibration.http_round_trip_p99_ms, "{calibration:?}");
        assert!(calibration.fdatasync_p50_ms <= calibration.fdatasync_p99_ms, "{calibration:?}");
        assert!(directory.path().read_dir().unwrap().next().is_none(), "nothing is left behind");
    }
}
