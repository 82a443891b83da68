//! A container's log, as a stream (CCI API, read the log of a pod).

use std::time::Duration;

use bytes::Bytes;
use engine::CloudName;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use reqwest::header::{DATE, HeaderMap};
use tokio::time::timeout;

use super::client::CciClient;
use super::opened::NotOpened;
use super::transport::Call;

/// How long a log that is not followed may stand still: it is there already, and the cloud only has to read it.
const STALL: Duration = Duration::from_secs(60);

/// What is asked for of a log: the parameters that CCI has. It has no time to begin at, only an age.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Which container.
    pub container: String,
    /// Whether to go on as lines are written.
    pub follow: bool,
    /// Whether to read of the container before the last restart.
    pub previous: bool,
    /// Whether each line begins with its time.
    pub timestamps: bool,
    /// No lines that are older than this, in seconds.
    pub since_s: Option<u64>,
    /// So many of the last lines.
    pub tail_lines: Option<u64>,
    /// So many bytes at most.
    pub limit_bytes: Option<u64>,
}

impl LogOptions {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("container", self.container.clone())];
        let flags = [("follow", self.follow), ("previous", self.previous), ("timestamps", self.timestamps)];
        query.extend(
            flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (name, "true".to_owned())),
        );
        let numbers = [
            ("sinceSeconds", self.since_s),
            ("tailLines", self.tail_lines),
            ("limitBytes", self.limit_bytes),
        ];
        query.extend(numbers.into_iter().filter_map(|(name, number)| Some((name, number?.to_string()))));
        query
    }
}

/// A log as it comes. Dropping it ends the call.
#[derive(Debug)]
pub struct LogStream {
    body: Incoming,
    stall: Option<Duration>,
    /// The cloud's clock when it answered, seconds since the epoch; `None` when it did not say.
    pub answered_at_s: Option<i64>,
}

/// A log that ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log was cut off: {0}")]
pub struct Cut(pub &'static str);

impl LogStream {
    /// The next bytes, as much as is read ahead of the cloud at most; `None` at the end. They are passed on as they were read, without a copy. May be
    /// dropped at any time.
    ///
    /// # Errors
    /// When the connection ends before the log does, or when a log that is not followed stands still.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        let piece = piece(&mut self.body);
        match self.stall {
            Some(stall) => timeout(stall, piece).await.map_err(|_| Cut("nothing came for a minute"))?,
            None => piece.await,
        }
    }
}

async fn piece(body: &mut Incoming) -> Result<Option<Bytes>, Cut> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Cut("the connection to the cloud ended"))?;
        // Trailers say nothing of a log.
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

impl CciClient {
    /// Opens the log of a container of a cloud pod.
    ///
    /// A log that is followed has no deadline once it is answered: its lines come when they are written.
    ///
    /// # Errors
    /// When the cloud does not give it, with its words.
    pub async fn open_log(&self, name: &CloudName, options: &LogOptions) -> Result<LogStream, NotOpened> {
        let path = format!("{}/log", self.pod_path(name));
        let call = Call { query: options.query(), ..Call::get(path) };
        let response = self.transport.open(&call, &HeaderMap::new(), self.config.request_timeout).await?;
        if !response.status().is_success() {
            return Err(NotOpened::of_the_cloud("the answer is no log"));
        }
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        let answered_at_s = date.and_then(|date| parser.parse_timestamp(date).ok()).map(|at| at.as_second());
        Ok(LogStream { body: response.into_body(), stall: (!options.follow).then_some(STALL), answered_at_s })
    }
}
