//! The exporter inside a pod, asked over the pod network. No credential goes there, and no redirect or proxy is followed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, StatusCode};

use super::series::Series;
use super::{PodReading, Unread};
use crate::cci::Error;
use crate::cci::config::CciConfig;
use crate::pod_address::may_be_a_pod;

/// How long one pod may take: it is in the same network and has little to say.
const WHOLE_MAX: Duration = Duration::from_secs(2);

/// How long it may take to let us in; a security group that does not lets us wait.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Bytes read of one answer: cAdvisor writes some 100 KiB for a pod of five containers.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one line; a longer one is skipped. Only as much of an answer is held at once.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Asks pods.
pub(in crate::cci) struct Exporters {
    client: Client,
    /// Whether pods may be on this machine, as those of a simulated cloud are. No real pod is.
    local: bool,
}

impl Exporters {
    pub(in crate::cci) fn new(config: &CciConfig) -> Result<Exporters, Error> {
        let client = Client::builder()
            .user_agent(concat!("burst-agent/", env!("CARGO_PKG_VERSION")))
            .timeout(WHOLE_MAX)
            .connect_timeout(CONNECT_MAX)
            // Each pod is another host: kept connections would be as many as there are pods.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(Error::Http)?;
        Ok(Exporters { client, local: config.is_local() })
    }

    /// Reads the exporter of one pod.
    pub(super) async fn read(
        &self,
        address: IpAddr,
        port: u16,
        containers: &[String],
    ) -> Result<PodReading, Unread> {
        if !may_be_a_pod(address, self.local) {
            return Err(Unread("the pod's address is none of a pod".into()));
        }
        let url = format!("http://{}/metrics", SocketAddr::new(address, port));
        let unread = |error: reqwest::Error| Unread(crate::cut(&error.without_url().to_string()));
        let mut response = self.client.get(url).send().await.map_err(unread)?;
        if response.status() != StatusCode::OK {
            return Err(Unread(format!("the exporter answered {}", response.status().as_u16())));
        }
        let (mut lines, mut series, mut bytes) = (Lines::default(), Series::of(containers), 0);
        while let Some(chunk) = response.chunk().await.map_err(unread)? {
            bytes += chunk.len();
            if bytes > BODY_BYTES_MAX {
                return Err(Unread(format!("the exporter has more than {BODY_BYTES_MAX} bytes to say")));
            }
            lines.feed(&chunk, |line| series.line(line));
        }
        lines.feed(b"\n", |line| series.line(line));
        Ok(series.finish())
    }
}

/// Lines out of chunks.
#[derive(Default)]
struct Lines {
    /// The line that has not ended yet.
    begun: Vec<u8>,
    /// Whether it is too long.
    skipped: bool,
}

impl Lines {
    fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(&str)) {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.add(&rest[..end]);
            if let (false, Ok(line)) = (self.skipped, std::str::from_utf8(&self.begun)) {
                each(line);
            }
            self.begun.clear();
            self.skipped = false;
            rest = &rest[end + 1..];
        }
        self.add(rest);
    }

    fn add(&mut self, part: &[u8]) {
        if self.skipped || self.begun.len() + part.len() > LINE_BYTES_MAX {
            self.begun.clear();
            self.skipped = true;
        } else {
            self.begun.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_come_in() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        let text = format!("one\n{long}\n\ntwo\n\u{e9}\nlast\n").into_bytes();
        for size in [1, 2, 7, 4_096, text.len()] {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            text.chunks(size).for_each(|chunk| lines.feed(chunk, |line| seen.push(line.to_owned())));
            assert_eq!(seen, ["one", "", "two", "\u{e9}", "last"], "{size}");
        }
    }
}
