//! The child process that is measured: the real agent.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load::calibrate::{get_text, plain_client};
use crate::load::children::Child;
use crate::load::machine::peak_resident_bytes;
use crate::load::options::durability_name;
use crate::load::simulator::Place;
use crate::load::target::NODE;
use crate::load::{Error, Options};

/// How long the agent may take until it has read both sides.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How often the agent is asked whether it is ready.
const READY_PERIOD: Duration = Duration::from_millis(50);

/// How much of the log the agent keeps: all of it, for it is what is measured.
const LOG_KEEP: &str = "1Ti";

const NAME: &str = "agent";

/// The agent in a process of its own.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    source: UsageSource,
}

/// What the agent took of the machine so far. What cannot be told on this machine is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Processor time.
    pub cpu_s: Option<f64>,
    /// Memory now.
    pub resident_bytes: Option<u64>,
    /// The most memory that it ever took.
    pub peak_resident_bytes: Option<u64>,
}

/// What the agent took of the machine before, during and after a load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Taken {
    /// Before the first pod came.
    pub before: Usage,
    /// When the last pod had done what it should.
    pub after: Usage,
    /// Some time later, when all pods run and nothing happens; absent where they were deleted.
    pub rest: Option<Usage>,
}

/// Where the agent tells what it takes.
#[derive(Clone, Debug)]
pub struct UsageSource {
    client: reqwest::Client,
    /// Of health and metrics.
    address: String,
    pid: Option<u32>,
}

impl Agent {
    /// Starts the agent and waits until it has read both sides.
    ///
    /// # Errors
    /// When it does not come that far, with what it said.
    pub async fn start(
        options: &Options,
        place: &Place,
        kubeconfig: &Path,
        scratch: &Path,
        log_directory: &Path,
    ) -> Result<Agent, Error> {
        let ports = free_ports().map_err(|source| Error::io("find free ports", source))?;
        let arguments = arguments(options, place, kubeconfig, log_directory, ports);
        let child = Child::start(NAME, &options.program, arguments, scratch).await?;
        let address = format!("http://127.0.0.1:{}", ports[0]);
        let source = UsageSource { client: plain_client()?, address, pid: child.pid() };
        let mut agent = Agent { source, child };
        agent.wait_until_ready().await?;
        Ok(agent)
    }

    async fn wait_until_ready(&mut self) -> Result<(), Error> {
        let Agent { child, source } = self;
        let (start, readiness) = (Instant::now(), format!("{}/readyz", source.address));
        loop {
            let asked = tokio::select! {
                error = child.ended() => return Err(error),
                asked = get_text(&source.client, &readiness) => asked,
            };
            match asked {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > READY_PATIENCE => {
                    return Err(child.not_ready(READY_PATIENCE, error.to_string()));
                }
                Err(_) => tokio::time::sleep(READY_PERIOD).await,
            }
        }
    }

    /// Waits until it ends by itself, which it should not.
    pub async fn ended(&mut self) -> Error {
        self.child.ended().await
    }

    /// Where it tells what it takes of the machine.
    #[must_use]
    pub fn usage(&self) -> UsageSource {
        self.source.clone()
    }

    /// Adds the agent's last words to an error that it may have caused.
    #[must_use]
    pub fn explain(&self, mut error: Error) -> Error {
        if let Error::Incomplete { last_words, .. } = &mut error {
            *last_words = self.child.last_words();
        }
        error
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn stop(self) -> Result<(), Error> {
        self.child.stop().await
    }
}

impl UsageSource {
    /// The agent's process id.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// What the agent took so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn read(&self) -> Result<Usage, Error> {
        let text = get_text(&self.client, &format!("{}/metrics", self.address)).await?;
        Ok(Usage {
            cpu_s: metric(&text, "process_cpu_seconds_total"),
            resident_bytes: metric(&text, "process_resident_memory_bytes").map(|bytes| bytes as u64),
            peak_resident_bytes: self.pid.and_then(peak_resident_bytes),
        })
    }

    /// What the agent takes once it has given back what the load needed: the least memory that it comes down to.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn read_at_rest(&self) -> Result<Usage, Error> {
        let mut least = self.read().await?;
        let mut no_smaller = 0;
        for _ in 0..REST_LOOKS_MAX {
            tokio::time::sleep(REST_PERIOD).await;
            let now = self.read().await?;
            if now.resident_bytes < least.resident_bytes {
                (least, no_smaller) = (now, 0);
            } else {
                no_smaller += 1;
            }
            if no_smaller == REST_LOOKS {
                break;
            }
        }
        Ok(least)
    }
}

/// How often memory is looked at while it is given back.
const REST_PERIOD: Duration = Duration::from_millis(500);

/// How many looks in a row that find it no smaller are enough: together longer than an allocator holds on to what is free.
const REST_LOOKS: u32 = 6;

/// How many looks at most: something else is going on then, and the figure is what it is.
const REST_LOOKS_MAX: u32 = 40;

/// A metric without labels.
fn metric(text: &str, name: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.split(' ').next()?.parse().ok()
}

/// Ports that nobody listens on. Somebody may take one before the agent does; the agent then says so.
fn free_ports() -> std::io::Result<[u16; 2]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [listen()?, listen()?];
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    Ok([port(&listeners[0])?, port(&listeners[1])?])
}

fn arguments(
    options: &Options,
    place: &Place,
    kubeconfig: &Path,
    log_directory: &Path,
    [listen, admin]: [u16; 2],
) -> Vec<OsString> {
    let flags: Vec<(&str, OsString)> = vec![
        ("--kubeconfig", kubeconfig.into()),
        ("--cluster-id", "bench".into()),
        ("--node-name", NODE.into()),
        ("--cci-endpoint", place.cloud.clone().into()),
        ("--iam-endpoint", place.cloud.clone().into()),
        ("--cci-credentials-dir", place.credentials.clone().into()),
        ("--cci-project", place.project.clone().into()),
        ("--cci-project-id", place.project_id.clone().into()),
        ("--cci-domain-id", "bench-domain".into()),
        ("--cci-vpc-id", "bench-vpc".into()),
        ("--cci-network-id", "bench-network".into()),
        ("--cci-subnet-id", "bench-subnet".into()),
        ("--cci-security-group", "bench-security-group".into()),
        ("--log-dir", log_directory.into()),
        ("--log-keep-bytes", LOG_KEEP.into()),
        ("--durability", durability_name(options.durability).into()),
        ("--listen", format!("127.0.0.1:{listen}").into()),
        ("--admin-listen", format!("127.0.0.1:{admin}").into()),
        ("--kubelet-listen", "none".into()),
        ("--log-format", "text".into()),
    ];
    // What the user says of the agent wins, as if it had been typed last.
    let given =
        |flag: &str| options.agent_arguments.iter().any(|argument| argument.split('=').next() == Some(flag));
    let flags = flags.into_iter().filter(|(flag, _)| !given(flag));
    let mut arguments: Vec<OsString> = vec!["run".into()];
    arguments.extend(flags.flat_map(|(flag, value)| [flag.into(), value]));
    arguments.extend(options.agent_arguments.iter().map(OsString::from));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_by_their_whole_names() {
        let text = "# HELP process_cpu_seconds Total\nprocess_cpu_seconds_total 1.25\nprocess_cpu_seconds_total_x 7\n";
        assert_eq!(metric(text, "process_cpu_seconds_total"), Some(1.25));
        assert_eq!(metric(text, "process_cpu_seconds"), None);
    }
}
