//! Reads the log of a running agent through its admin interface.

use std::io::{self, Cursor, Read};
use std::time::Duration;

use engine::Seq;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::runtime::{self, Runtime};

use crate::replay::error::Error;

/// An agent on this machine that does not accept a connection for so long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An agent that sends nothing for so long in the middle of its log hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an agent's complaint is told.
const COMPLAINT_CHARS_MAX: usize = 200;

/// The frames after `after` as the agent sends them, as bytes for [`store::FrameDecoder`].
///
/// # Errors
/// [`Error::Agent`] when it cannot be reached or does not send them.
pub fn frames_after(agent: &Url, after: Seq) -> Result<Body, Error> {
    let url = frames_url(agent, after);
    let failed = |reason: String| Error::Agent { url: url.clone(), reason };
    // The reader waits for the network and does nothing else meanwhile: one thread is enough.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let response = runtime.block_on(async {
        let mut response = client()?.get(url.clone()).send().await?;
        if response.status() == StatusCode::OK {
            return Ok(Ok(response));
        }
        let complaint = response.chunk().await?.unwrap_or_default();
        let complaint = String::from_utf8_lossy(&complaint);
        let complaint: String = complaint.trim().chars().take(COMPLAINT_CHARS_MAX).collect();
        Ok(Err(format!("{} {complaint}", response.status()).trim_end().to_owned()))
    });
    let response = response.map_err(|error: reqwest::Error| failed(with_causes(&error.without_url())))?;
    let response = response.map_err(failed)?;
    Ok(Body { runtime, response, chunk: Cursor::default() })
}

fn frames_url(agent: &Url, after: Seq) -> Url {
    let mut url = agent.clone();
    url.set_path(&format!("{}/log/frames", agent.path().trim_end_matches('/')));
    url.set_query(Some(&format!("after={}", after.0)));
    url
}

/// Only loopback is to be reached: no proxy, and nobody sends us elsewhere.
fn client() -> reqwest::Result<Client> {
    // A client is made ready for TLS even where none is spoken. It is no matter who did it first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build()
}

/// reqwest's own words leave out the cause, such as a refused connection.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What the agent sends, one chunk in memory at a time.
pub struct Body {
    runtime: Runtime,
    response: Response,
    chunk: Cursor<Vec<u8>>,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let chunk = self.runtime.block_on(self.response.chunk());
            match chunk.map_err(|error| io::Error::other(with_causes(&error.without_url())))? {
                Some(chunk) => self.chunk = Cursor::new(chunk.into()),
                None => return Ok(0),
            }
        }
    }
}
