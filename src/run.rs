//! `burst-agent run`: wires the log, the reducer and both sides together. No decisions here.

mod admin;
mod commit;
mod kubelet;
mod lookup;
mod troubles;
mod wiring;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use adapters::execute::Executor;
use adapters::kubelet::PodLookup;
use adapters::{Clock, Seen};
use engine::{Event, Features};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::args::EXIT_USAGE;
use crate::args::run::RunArgs;
use crate::config::RunConfig;
use crate::runtime::runtime;
use crate::telemetry::{self, Check, Metrics, Readiness};
use commit::RunLoop;

/// Reports that may wait for the run loop. At a hundred bytes to a kilobyte each this is at most some ten
/// megabytes; beyond it the watch waits, and the API server with it.
const REPORTS_MAX: usize = 10_000;

/// How long calls in flight may take to end after a signal. Their outcomes save the next start a look-up
/// each; together with the last snapshot the whole end stays below ten seconds.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the agent ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be opened or written.
    #[error("log directory {}: {source}", directory.display())]
    Log {
        /// Its directory.
        directory: std::path::PathBuf,
        /// What is wrong.
        source: store::MachineError,
    },
    /// The log was written for somebody else.
    #[error("log {}: it belongs to {found}, but the options say {wanted}; give this agent a directory of its own", directory.display())]
    ForeignLog {
        /// Its directory.
        directory: std::path::PathBuf,
        /// Whose it is.
        found: String,
        /// Who we are.
        wanted: String,
    },
    /// The API server cannot be reached as configured.
    #[error(transparent)]
    Kubernetes(#[from] adapters::kubernetes::ConnectError),
    /// The cloud cannot be reached as configured.
    #[error("cloud: {0}")]
    Cloud(#[from] adapters::cci::Error),
    /// The kubelet API cannot be opened as configured.
    #[error(transparent)]
    Kubelet(#[from] adapters::kubelet::SettingError),
    /// An address cannot be served.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

impl Error {
    /// What the process ends with: 2 for an option or a file that cannot be used, 1 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Kubernetes(_) | Error::Cloud(_) | Error::Kubelet(_) => EXIT_USAGE,
            Error::Log { .. } | Error::ForeignLog { .. } | Error::Listen { .. } => 1,
        }
    }
}

/// Where a running agent can be reached.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Health and metrics.
    pub serving: SocketAddr,
    /// The admin interface.
    pub admin: SocketAddr,
    /// The kubelet API, where it is served.
    pub kubelet: Option<SocketAddr>,
}

/// Runs the agent until a signal.
pub fn run(args: RunArgs) -> ExitCode {
    let config = match RunConfig::new(args) {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("burst-agent: {error}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if let Err(error) = telemetry::start(config.logging.log_format, &config.logging.log_level) {
        eprintln!("burst-agent: {error}");
        return ExitCode::FAILURE;
    }
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let runtime = runtime();
    let ended = runtime.block_on(async {
        let stop = stop_on_signal();
        serve(config, stop, None).await
    });
    // What still blocks, such as a name server that does not answer, is not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the agent ends: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// A token that SIGTERM or SIGINT cancels; a second signal ends the process at once.
pub fn stop_on_signal() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled on every Unix");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be handled on every Unix");
    tokio::spawn(async move {
        let mut signals = 0;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            signals += 1;
            if signals > 1 {
                eprintln!("burst-agent: a second signal: ending at once");
                std::process::exit(130);
            }
            tracing::info!("a signal: ending");
            cancel.cancel();
        }
    });
    stop
}

/// Runs the agent until `stop`, and tells where it can be reached once it can.
///
/// # Errors
/// [`Error`]: the log is as durable as it says, and the next start goes on from it.
pub async fn serve(
    config: RunConfig,
    stop: CancellationToken,
    reachable: Option<oneshot::Sender<Addresses>>,
) -> Result<(), Error> {
    let metrics = Arc::new(Metrics::new());
    let readiness = Readiness::default();
    let serving = listen(config.serving.listen).await?;
    let admin = listen(config.serving.admin_listen).await?;
    let kubelet = kubelet::port(&config.kubelet).await?;
    let addresses = Addresses {
        serving: local(&serving, &config)?,
        admin: local(&admin, &config)?,
        kubelet: kubelet.as_ref().map(|kubelet| local(kubelet, &config)).transpose()?,
    };

    let clients = wiring::clients(&config).await?;
    let (lookup, questions) = PodLookup::channel();
    let node_address = kubelet::node_address(&config, &clients);
    let front = match kubelet {
        Some(listener) => {
            let front = kubelet::front(&config, &clients, node_address, lookup, Arc::clone(&metrics))?;
            Some((listener, front))
        }
        None => None,
    };
    let machine = commit::open(&config)?;
    readiness.set(Check::LogRecovered, true);
    let clock = Clock::starting_at(machine.state().at());
    let (reports, incoming) = tokio::sync::mpsc::channel::<Seen>(REPORTS_MAX);

    // The servers outlive `stop`: whoever watches the agent end sees it until it has.
    let ended = CancellationToken::new();
    let _end_servers = ended.clone().drop_guard();
    let pods = telemetry::pods::registry(clients.pod_sizes());
    tokio::spawn(telemetry::serve(serving, Arc::clone(&metrics), pods, readiness.clone(), ended.clone()));
    tokio::spawn(admin::serve(admin, machine.log().tap(), reports.clone(), clock, ended));
    if let Some(reachable) = reachable {
        // Whoever asked may have gone; the agent runs all the same.
        let _ = reachable.send(addresses);
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster = config.cloud.cci.cluster_id,
        node = config.node.node_name,
        serving = %addresses.serving,
        admin = %addresses.admin,
        "the agent starts"
    );

    let shown = wiring::Shown { address: node_address, kubelet_port: addresses.kubelet.map(|at| at.port()) };
    let sides = wiring::connect(clients, &config, shown, machine.state(), &reports, clock);
    let executor = Executor::start(sides.world, &config.pacing.rates(), reports.clone(), clock, stop.clone());
    let mut run_loop = RunLoop::new(
        machine,
        config.log.log_snapshot_records,
        executor.clone(),
        clock,
        metrics,
        readiness,
        commit::Incoming { reports: incoming, questions },
    );
    let log = |source| Error::Log { directory: config.log.log_dir.clone(), source };
    run_loop.begin(started(&config), &config.policy).map_err(log)?;

    let counts = sides.watch.counts();
    tokio::spawn(sides.node.run_heartbeat(reports.clone(), clock, stop.clone()));
    tokio::spawn(sides.watch.run(stop.clone()));
    let front = front.map(|(listener, front)| tokio::spawn(front.serve(listener, stop.clone())));
    tokio::spawn(sides.object_watch.run(stop.clone()));
    drop(reports);
    run_loop.run(&stop, &counts).await.map_err(log)?;
    let served = async {
        if let Some(front) = front {
            // Sessions say that they were cut off. It fails when it panicked: then they cannot.
            let _ = front.await;
        }
    };
    let drained = async {
        // What is still in flight after this has an unknown fate: the next start looks it up.
        let _ = tokio::time::timeout(DRAIN, async { tokio::join!(executor.drained(), served) }).await;
    };
    run_loop.drain(drained).await.map_err(log)?;
    tracing::info!("the agent has ended");
    Ok(())
}

fn started(config: &RunConfig) -> Event {
    Event::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        features: Features::CURRENT,
        boot_id: uuid::Uuid::new_v4().as_u64_pair().0,
        identity: config.identity(),
        wall_clock_ms: Clock::wall().0 / 1_000,
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

fn local(listener: &TcpListener, config: &RunConfig) -> Result<SocketAddr, Error> {
    let address = config.serving.listen;
    listener.local_addr().map_err(|source| Error::Listen { address, source })
}
