//! The child process that simulates the cloud, and the cluster unless there is a real one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::load::children::Child;
use crate::load::{Error, Options};

/// How long the simulator may take to serve.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Longest line in which the simulator tells where it is: two addresses and two paths.
const PLACE_BYTES_MAX: u64 = 64 * 1024;

const NAME: &str = "simulator";

/// Where the simulated world is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// Address of the cloud.
    pub cloud: String,
    /// A kubeconfig for the simulated cluster.
    #[serde(default, deserialize_with = "path_or_none")]
    pub kubeconfig: PathBuf,
    /// A directory with the credentials that the cloud accepts.
    pub credentials: PathBuf,
    /// The project that they are for.
    pub project: String,
    /// Its id.
    pub project_id: String,
}

fn path_or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(Option::<PathBuf>::deserialize(deserializer)?.unwrap_or_default())
}

/// A simulated world in a process of its own.
#[derive(Debug)]
pub struct Simulator {
    child: Child,
    place: Place,
}

impl Simulator {
    /// Starts one and waits until it serves.
    ///
    /// # Errors
    /// When it does not, with what it said.
    pub async fn start(options: &Options, scratch: &Path) -> Result<Simulator, Error> {
        let mut child = Child::start(NAME, &options.program, arguments(options, scratch), scratch).await?;
        let mut line = String::new();
        if let Some(stdout) = child.take_stdout() {
            let mut lines = BufReader::new(stdout.take(PLACE_BYTES_MAX));
            let read = tokio::time::timeout(START_PATIENCE, lines.read_line(&mut line)).await;
            match read {
                Ok(Ok(0)) => return Err(child.ended().await),
                Ok(Ok(_)) => {}
                Ok(Err(source)) => return Err(Error::io("read where the simulator is", source)),
                Err(_) => return Err(child.not_ready(START_PATIENCE, "it does not tell where it is")),
            }
        }
        match serde_json::from_str(&line) {
            Ok(place) => Ok(Simulator { child, place }),
            Err(error) => {
                Err(child.not_ready(Duration::ZERO, format!("where it is, is not to be understood: {error}")))
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn stop(self) -> Result<(), Error> {
        self.child.stop().await
    }
}

fn arguments(options: &Options, scratch: &Path) -> Vec<OsString> {
    let serve = if options.kubeconfig.is_some() { "cloud" } else { "both" };
    let mut arguments: Vec<OsString> = vec!["simulate".into()];
    let mut add = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
    add("--serve", serve.into());
    add("--cluster", "127.0.0.1:0".into());
    add("--cloud", "127.0.0.1:0".into());
    add("--kubeconfig-out", scratch.join("kubeconfig").into());
    add("--credentials-out", scratch.join("credentials").into());
    add("--cloud-latency-ms", options.cloud_latency_ms.to_string().into());
    add("--cloud-rate-limit", options.cloud_rate_limit.to_string().into());
    add("--pod-start-ms", options.pod_start_ms.to_string().into());
    add("--seed", options.seed.to_string().into());
    if let Some(faults) = &options.faults {
        add("--faults", faults.into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_with_and_without_a_cluster() {
        let both = r#"{"cluster":"http://127.0.0.1:1","cloud":"http://127.0.0.1:2","kubeconfig":"/k","credentials":"/c","project":"p","project_id":"P"}"#;
        let place: Place = serde_json::from_str(both).unwrap();
        assert_eq!(
            (place.cloud.as_str(), place.kubeconfig.as_path()),
            ("http://127.0.0.1:2", Path::new("/k"))
        );
        let cloud = r#"{"cluster":null,"cloud":"http://127.0.0.1:2","kubeconfig":null,"credentials":"/c","project":"p","project_id":"P"}"#;
        assert_eq!(serde_json::from_str::<Place>(cloud).unwrap().kubeconfig, Path::new(""));
    }
}
