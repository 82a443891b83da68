//! The program that is tried, as a process.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use bench::load::children::Child;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::breach::{Breach, Result, doing};
use crate::load::NODE;
use crate::world::World;

/// How long an agent may take to listen, and to have read both sides.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How long one that was killed, or has a reason to end, may take.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// How an agent is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// Another program before it, with its arguments, that becomes it or traces it.
    pub before: Vec<OsString>,
    /// Options beside the usual ones, or in place of them.
    pub options: Vec<OsString>,
}

impl Start {
    /// The program alone.
    pub fn of(program: &Path) -> Start {
        Start { program: program.to_owned(), before: Vec::new(), options: Vec::new() }
    }
}

/// A running agent.
pub struct Agent {
    child: Child,
    words: PathBuf,
    serving: Option<String>,
}

impl Agent {
    /// Starts one; what it says goes to `scratch`.
    pub async fn start(start: &Start, world: &World, log: &Path, scratch: &Path) -> Result<Agent> {
        fs::create_dir_all(scratch).map_err(doing("make a directory"))?;
        let mut words = start.before.clone();
        words.push(start.program.clone().into());
        words.extend(arguments(world, log, &start.options));
        let program = PathBuf::from(words.remove(0));
        let child = Child::start("agent", &program, words, scratch).await?;
        Ok(Agent { child, words: scratch.join("agent.stderr"), serving: None })
    }

    /// Waits until it has read both sides.
    pub async fn ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            match self.ask("/readyz").await {
                Some(answer) if answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200") => {
                    return Ok(());
                }
                answer if start.elapsed() > READY_PATIENCE => {
                    let answer =
                        answer.as_deref().and_then(|answer| answer.lines().last()).unwrap_or("nothing");
                    return Err(Breach::new(format!("the agent is not ready after 60 s; it says: {answer}")));
                }
                Some(_) | None => {}
            }
            if let Ok(status) = tokio::time::timeout(LOOK_PERIOD, self.child.end()).await {
                return Err(self.ended_badly(status?));
            }
        }
    }

    /// The last record that it says is durable; `None` when it does not answer.
    pub async fn durable(&mut self) -> Option<u64> {
        let answer = self.ask("/metrics").await?;
        let value = answer.lines().find_map(|line| line.strip_prefix("burst_agent_durable_seq "))?;
        value.trim().parse().ok()
    }

    /// Asks it over HTTP.
    async fn ask(&mut self, path: &str) -> Option<String> {
        let address = self.serving()?.to_owned();
        let asked = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        tokio::time::timeout(ANSWER_PATIENCE, asked).await.ok()?.ok()
    }

    /// Where it serves, once it has said so.
    fn serving(&mut self) -> Option<&str> {
        if self.serving.is_none() {
            let said = self.said();
            let address = said.split_once("serving=")?.1.split_whitespace().next()?;
            self.serving = Some(address.to_owned());
        }
        self.serving.as_deref()
    }

    /// All that it said.
    pub fn said(&self) -> String {
        fs::read(&self.words).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its process id, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.child.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Kills it.
    pub async fn kill(mut self) -> Result<()> {
        self.signal(Signal::KILL);
        let status = self.ended(END_PATIENCE).await?;
        if status.signal() == Some(Signal::KILL.as_raw()) { Ok(()) } else { Err(self.ended_badly(status)) }
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self, patience: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(patience, self.child.end()).await {
            Ok(status) => Ok(status?),
            Err(_) => Err(Breach::new(format!("the agent has not ended after {} s", patience.as_secs()))),
        }
    }

    /// That it ended, and what it said last.
    pub fn ended_badly(&self, status: ExitStatus) -> Breach {
        Breach::new(format!("the agent ended ({status}); its last words:\n{}", self.child.last_words()))
    }
}

/// Quick polls and short delays, so that a trial takes seconds; all else as it comes.
fn arguments(world: &World, log: &Path, others: &[OsString]) -> Vec<OsString> {
    let credentials = world.cloud.credentials();
    let cloud = format!("http://{}", world.cloud_address);
    let flags: [(&str, OsString); 24] = [
        ("--kubeconfig", world.kubeconfig.clone().into()),
        ("--cluster-id", "trials".into()),
        ("--node-name", NODE.into()),
        ("--cci-endpoint", cloud.clone().into()),
        ("--iam-endpoint", cloud.into()),
        ("--cci-credentials-dir", world.credentials.clone().into()),
        ("--cci-project", credentials.project.into()),
        ("--cci-project-id", credentials.project_id.into()),
        ("--cci-domain-id", "trials-domain".into()),
        ("--cci-vpc-id", "trials-vpc".into()),
        ("--cci-network-id", "trials-network".into()),
        ("--cci-subnet-id", "trials-subnet".into()),
        ("--cci-security-group", "trials-group".into()),
        ("--cci-request-timeout-ms", "1000".into()),
        ("--log-dir", log.into()),
        ("--log-keep-bytes", "1Ti".into()),
        ("--min-free-bytes", "0".into()),
        ("--poll-period-ms", "500".into()),
        // The lists of this cloud do not lag.
        ("--create-lag-ms", "5000".into()),
        ("--retry-base-ms", "100".into()),
        ("--retry-cap-ms", "2000".into()),
        ("--listen", "127.0.0.1:0".into()),
        ("--admin-listen", "127.0.0.1:0".into()),
        ("--kubelet-listen", "none".into()),
    ];
    let mut arguments: Vec<OsString> = vec!["run".into()];
    let flags = flags.into_iter().filter(|(flag, _)| !others.iter().any(|other| other == flag));
    arguments.extend(flags.flat_map(|(flag, value)| [flag.into(), value]));
    arguments.extend(others.iter().cloned());
    arguments
}
