//! What is measured, set up: a simulated world, the agent with its port open, and pods that run.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use rustix::process::Signal;
use rustls::ClientConfig;
use serde_json::json;
use store::Durability;
use tokio::time::{sleep, timeout};

use super::KubeletOptions;
use super::caller::Caller;
use super::cloud::Cloud;
use super::identity::Identity;
use super::transport::{failed, wrong};
use crate::load::agent::{Agent, UsageSource};
use crate::load::manifest;
use crate::load::simulator::Simulator;
use crate::load::target::{NODE, Target};
use crate::load::{Error, Options, machine};
use crate::world::cloud::{LOG_BYTES, LOG_EVERY_MS};

/// Pods: as many as the agent's bounds of one pod ask for, when streams go to all in turn.
pub(super) const PODS: usize = 4;

/// How often each pod writes a line, after its big log.
const LINE_EVERY_MS: u32 = 100;

/// How long the pods may take to run.
const RUN_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Everything that runs.
pub(super) struct Scene {
    pub agent: Agent,
    pub stage: Stage,
}

/// What measurements need.
pub(super) struct Stage {
    pub caller: Caller,
    /// Connects to the agent as nobody.
    pub stranger: Arc<ClientConfig>,
    pub cloud: Cloud,
    pub usage: UsageSource,
    simulator: Simulator,
    run: String,
}

impl Scene {
    /// Starts everything, and waits until the pods run and have logs.
    pub async fn set(options: &KubeletOptions, scratch: &Path) -> Result<Scene, Error> {
        let identity = Identity::new()?;
        let address = free_address().map_err(|source| Error::io("find a free port", source))?;
        let load = load_options(options, &identity, address, scratch)?;
        let log = scratch.join("log");
        std::fs::create_dir_all(&log).map_err(|source| Error::io("make a directory", source))?;
        let simulator = Simulator::start(&load, scratch).await?;
        let kubeconfig = simulator.place().kubeconfig.clone();
        let target = Target::new(&load, &kubeconfig).await?;
        let agent = Agent::start(&load, simulator.place(), &kubeconfig, scratch, &log).await?;
        run_pods(&target, options.log_bytes).await?;
        let mut cloud = Cloud::sign_in(simulator.place()).await?;
        cloud.look().await?;
        let stage = Stage {
            caller: Caller { address, config: identity.master },
            stranger: identity.stranger,
            cloud,
            usage: agent.usage(),
            simulator,
            run: target.run().to_owned(),
        };
        Ok(Scene { agent, stage })
    }

    /// Ends everything.
    pub async fn stop(self) -> Result<(), Error> {
        self.agent.stop().await?;
        self.stage.simulator.stop().await
    }
}

impl Stage {
    /// The pod for the stream of this number: each in turn.
    pub fn pod(&self, number: usize) -> String {
        manifest::pod_name(&self.run, (number % PODS) as u32)
    }

    /// The agent's memory now.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.usage.pid().and_then(machine::resident_bytes)
    }

    /// The most memory that the agent ever had.
    pub fn peak_resident_bytes(&self) -> Option<u64> {
        self.usage.pid().and_then(machine::peak_resident_bytes)
    }

    /// Stops cluster and cloud where they are, until this is dropped.
    pub fn hold_the_world(&self) -> Held<'_> {
        self.simulator.signal(Signal::STOP);
        Held(&self.simulator)
    }
}

/// A world in which nothing happens.
pub(super) struct Held<'a>(&'a Simulator);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

/// The load test's own options, of which only what the processes are started with counts.
fn load_options(
    options: &KubeletOptions,
    identity: &Identity,
    address: SocketAddr,
    scratch: &Path,
) -> Result<Options, Error> {
    let file = |name: &str, text: &str| -> Result<PathBuf, Error> {
        let path = scratch.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed("write a certificate"))?;
        Ok(path)
    };
    let option = |name: &str, value: &OsStr| format!("--{name}={}", value.to_string_lossy());
    let mut agent_arguments = vec![
        option("kubelet-listen", address.to_string().as_ref()),
        option("client-ca-file", file("client-ca.crt", &identity.authority_pem)?.as_os_str()),
        option("tls-cert-file", file("kubelet.crt", &identity.certificate_pem)?.as_os_str()),
        option("tls-private-key-file", file("kubelet.key", &identity.key_pem)?.as_os_str()),
    ];
    agent_arguments.extend(options.agent_arguments.iter().cloned());
    Ok(Options {
        program: options.program.clone(),
        pods: PODS as u32,
        rate: 0,
        delete_after_s: None,
        seed: options.seed,
        timeout_s: 0,
        cloud_latency_ms: 0,
        cloud_rate_limit: 0,
        pod_start_ms: 0,
        faults: None,
        kubeconfig: None,
        namespace: None,
        log_directory: None,
        durability: Durability::Process,
        agent_arguments,
        progress: false,
    })
}

/// Somebody may take the port before the agent does; the agent then says so.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

async fn run_pods(target: &Target, log_bytes: u64) -> Result<(), Error> {
    let pods: Api<Pod> = Api::namespaced(target.client().clone(), target.namespace());
    let names = (0..PODS as u32).map(|place| manifest::pod_name(target.run(), place)).collect::<Vec<_>>();
    for name in &names {
        let mut pod = manifest::pod(name, target.run(), NODE);
        pod["spec"]["containers"][0]["env"] = json!([
            {"name": LOG_BYTES, "value": log_bytes.to_string()},
            {"name": LOG_EVERY_MS, "value": LINE_EVERY_MS.to_string()},
        ]);
        let pod = serde_json::from_value(pod).map_err(failed("write a pod"))?;
        pods.create(&PostParams::default(), &pod).await.map_err(Error::kubernetes("create a pod"))?;
    }
    let waiting = async {
        for name in &names {
            loop {
                let pod = pods.get(name).await.map_err(Error::kubernetes("read a pod"))?;
                match pod.status.and_then(|status| status.phase).as_deref() {
                    Some("Running") => break,
                    Some("Failed") => return Err(wrong("run a pod", format!("{name} failed"))),
                    _ => sleep(LOOK_PERIOD).await,
                }
            }
        }
        Ok(())
    };
    let too_slow =
        |_| Error::TooSlow { what: "the start of the pods".to_owned(), waited_s: RUN_PATIENCE.as_secs() };
    timeout(RUN_PATIENCE, waiting).await.map_err(too_slow)?
}
