//! `burst-agent demo`: a cluster, a cloud and the agent in one process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::serve::cci::CloudHandle;
use bench::serve::kubernetes::KubernetesOptions;
use bench::world::cloud::{CloudOptions, PodNetwork};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::args::demo::DemoArgs;
use crate::args::{self, Command, EXIT_USAGE};
use crate::config::RunConfig;
use crate::run::{self, Addresses};
use crate::runtime::runtime;
use crate::simulate::{self, Simulation, rand_seed};
use crate::telemetry;

/// How long the pods of `--once` may take to come, and again to go, beyond what their number takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often `--once` looks whether its pods have come or gone.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the demo.
pub fn run(args: DemoArgs) -> ExitCode {
    if let Err(error) = telemetry::start(args.logging.log_format, &args.logging.log_level) {
        eprintln!("burst-agent: {error}");
        return ExitCode::FAILURE;
    }
    match runtime().block_on(demo(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("burst-agent: the demo failed: {error}");
            exit_code(&error)
        }
    }
}

/// An option that cannot be followed is not a demo that failed.
fn exit_code(error: &Failure) -> ExitCode {
    match error.downcast_ref::<run::Error>() {
        Some(error) => ExitCode::from(error.exit_code()),
        None if error.is::<simulate::Error>() => ExitCode::from(EXIT_USAGE),
        None => ExitCode::FAILURE,
    }
}

async fn demo(args: DemoArgs) -> Result<(), Failure> {
    let stop = run::stop_on_signal();
    let scratch = tempfile::tempdir()?;
    // The worlds outlive the agent: it says good-bye to both.
    let worlds_stop = CancellationToken::new();
    let _end_worlds = worlds_stop.clone().drop_guard();
    let mut simulation = Simulation::default();
    // A kept log may know the pods of another demo: these are others.
    let mut cluster = KubernetesOptions::default();
    cluster.cluster.seed = rand_seed();
    // Nobody is there to approve the certificate of the kubelet API.
    cluster.auto_approve = true;
    simulation.serve_cluster(args.cluster, cluster, &worlds_stop).await?;
    let cloud = CloudOptions {
        only: Some(simulate::generation(args.profile)),
        capacities: args.cloud_capacity.clone().unwrap_or_default(),
        pod_network: PodNetwork::Loopback,
        ..CloudOptions::default()
    };
    simulation.serve_cloud(args.cloud, cloud, 1, &worlds_stop).await?;
    simulation.write_kubeconfig("--kubeconfig", &args.kubeconfig)?;
    let credentials = scratch.path().join("credentials");
    simulation.write_credentials(&credentials)?;

    let log_dir = args.log_dir.clone().unwrap_or_else(|| scratch.path().join("log"));
    let client_ca = scratch.path().join("client-ca.crt");
    simulation.write_client_ca("the demo's client CA", &client_ca)?;
    let config = agent_config(&args, &simulation, &credentials, &client_ca, &log_dir)?;
    let agent_stop = stop.child_token();
    let (sender, reachable) = oneshot::channel();
    let mut agent = tokio::spawn(run::serve(config, agent_stop.clone(), Some(sender)));
    // An agent that ends before it can be reached says why.
    let Ok(addresses) = reachable.await else { return Err(early(agent.await)) };

    let cluster = Cluster::of(&simulation)?;
    let summary = tokio::select! {
        ended = &mut agent => return Err(early(ended)),
        summary = show(&args, &cluster, &simulation, addresses, &stop) => summary?,
    };
    agent_stop.cancel();
    agent.await??;
    if let Some(mut summary) = summary {
        summary["log"] = json!(args.log_dir);
        println!("{summary}");
        if summary["leftovers"] != json!(0) {
            return Err("something was left in the cloud".into());
        }
    }
    Ok(())
}

fn early(ended: Result<Result<(), run::Error>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Ok(())) => "the agent ended early".into(),
        Ok(Err(error)) => error.into(),
        Err(error) => error.into(),
    }
}

/// The agent's options, read as if they had been typed: the demo runs what a user runs.
fn agent_config(
    args: &DemoArgs,
    simulation: &Simulation,
    credentials: &Path,
    client_ca: &Path,
    log_dir: &Path,
) -> Result<RunConfig, Failure> {
    let Some((cloud, address)) = &simulation.cloud else { return Err("no cloud".into()) };
    let accepted = cloud.credentials();
    let endpoint = format!("http://{address}");
    let path = |path: &Path| path.as_os_str().to_owned();
    let options: [(&str, OsString); 20] = [
        ("--kubeconfig", path(&args.kubeconfig)),
        ("--cluster-id", "demo".into()),
        // Everybody's pods may come: this cluster has no other node.
        ("--node-taints", "".into()),
        ("--cci-profile", args.profile.profile().name.into()),
        ("--cci-endpoint", endpoint.clone().into()),
        ("--iam-endpoint", endpoint.into()),
        ("--cci-project", accepted.project.into()),
        ("--cci-project-id", accepted.project_id.into()),
        ("--cci-domain-id", "demo-domain".into()),
        ("--cci-credentials-dir", path(credentials)),
        ("--cci-vpc-id", "demo-vpc".into()),
        ("--cci-network-id", "demo-network".into()),
        ("--cci-subnet-id", "demo-subnet".into()),
        ("--cci-security-group", "demo-security-group".into()),
        ("--log-dir", path(log_dir)),
        ("--poll-period-ms", "1000".into()),
        ("--listen", args.listen.to_string().into()),
        ("--admin-listen", args.admin_listen.to_string().into()),
        ("--kubelet-listen", args.kubelet_listen.to_string().into()),
        ("--client-ca-file", path(client_ca)),
    ];
    let typed = ["burst-agent", "run"].into_iter().map(OsString::from);
    let typed = typed.chain(options.into_iter().flat_map(|(flag, value)| [flag.into(), value]));
    // Options of the user's own agent in the environment are not meant for the demo.
    let parsed = args::parse(typed, &Default::default()).map_err(|stop| format!("{stop:?}"))?;
    match parsed.command {
        Command::Run(args) => RunConfig::new(*args)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ").into()),
        Command::Replay(_)
        | Command::Explain(_)
        | Command::Bench(_)
        | Command::Demo(_)
        | Command::Simulate(_)
        | Command::Completions(_) => Err("the demo typed another command".into()),
    }
}

/// The cluster as a user reaches it.
struct Cluster {
    http: reqwest::Client,
    nodes: String,
    pods: String,
}

impl Cluster {
    fn of(simulation: &Simulation) -> Result<Cluster, Failure> {
        let Some((_, address)) = &simulation.cluster else { return Err("no cluster".into()) };
        let root = format!("http://{address}/api/v1");
        Ok(Cluster {
            http: reqwest::Client::builder().no_proxy().build()?,
            nodes: format!("{root}/nodes"),
            pods: format!("{root}/namespaces/default/pods"),
        })
    }

    async fn create(&self, name: &str) -> Result<(), Failure> {
        let resources = json!({"cpu": "250m", "memory": "1Gi"});
        let body = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "demo"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "main", "image": "swr.example.com/demo/web:1",
                    "ports": [{"containerPort": 8080}],
                    "resources": {"requests": resources, "limits": resources},
                }],
            },
        });
        let request = self.http.post(&self.pods).header("content-type", "application/json");
        request.body(body.to_string()).send().await?.error_for_status()?;
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), Failure> {
        self.http.delete(format!("{}/{name}", self.pods)).send().await?.error_for_status()?;
        Ok(())
    }

    async fn get(&self, url: &str) -> Result<Value, Failure> {
        let answer = self.http.get(url).send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// Whether the node takes pods.
    async fn has_ready_node(&self) -> Result<bool, Failure> {
        let nodes = self.get(&self.nodes).await?;
        let conditions = nodes["items"][0]["status"]["conditions"].as_array().map(Vec::as_slice);
        let ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
        Ok(conditions.unwrap_or_default().iter().any(ready))
    }

    /// How many of our pods there are, and how many of them are in a phase.
    async fn count(&self, phase: &str) -> Result<(u32, u32), Failure> {
        let list = self.get(&format!("{}?labelSelector=app%3Ddemo", self.pods)).await?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_phase = items.iter().filter(|pod| pod["status"]["phase"] == phase).count();
        Ok((items.len() as u32, of_phase as u32))
    }
}

/// Creates the pods; with `--once` also waits for them, deletes them, and sums up.
async fn show(
    args: &DemoArgs,
    cluster: &Cluster,
    simulation: &Simulation,
    addresses: Addresses,
    stop: &CancellationToken,
) -> Result<Option<Value>, Failure> {
    // Pods that come before the node would begin with a warning that nothing takes them.
    until("the node is ready", 0, stop, || cluster.has_ready_node()).await?;
    let began = Instant::now();
    let names: Vec<String> = (0..args.pods).map(|i| format!("demo-{i}")).collect();
    for name in &names {
        cluster.create(name).await?;
    }
    if !args.once {
        welcome(&args.kubeconfig, addresses);
        stop.cancelled().await;
        return Ok(None);
    }
    until("all pods run", args.pods, stop, async || Ok(cluster.count("Running").await?.1 == args.pods))
        .await?;
    let running_s = began.elapsed().as_secs_f64();
    for name in &names {
        cluster.delete(name).await?;
    }
    until("all pods are gone", args.pods, stop, async || Ok(cluster.count("Running").await?.0 == 0)).await?;
    let Some((cloud, _)) = &simulation.cloud else { return Err("no cloud".into()) };
    let (leftovers, billed_s) = billing(cloud);
    Ok(Some(json!({
        "pods": args.pods,
        "all_running_s": running_s,
        "all_gone_s": began.elapsed().as_secs_f64(),
        "leftovers": leftovers,
        "billed_s": billed_s,
    })))
}

/// Pods still in the cloud, and the seconds of all pods that it bills.
fn billing(cloud: &CloudHandle) -> (usize, u64) {
    cloud.with(|cloud, _| {
        let bill = cloud.billing();
        (bill.pods, bill.billed_s)
    })
}

async fn until(
    what: &str,
    pods: u32,
    stop: &CancellationToken,
    mut holds: impl AsyncFnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let patience = PATIENCE + Duration::from_millis(20) * pods;
    let began = Instant::now();
    while !holds().await? {
        if stop.is_cancelled() {
            return Err("interrupted".into());
        }
        if began.elapsed() > patience {
            return Err(format!("waited {} s in vain until {what}", patience.as_secs()).into());
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
    Ok(())
}

fn welcome(kubeconfig: &Path, addresses: Addresses) {
    let kubeconfig: PathBuf = std::path::absolute(kubeconfig).unwrap_or_else(|_| kubeconfig.to_owned());
    println!(
        "A cluster, a cloud and the agent are running. In another terminal:\n\n\
         \x20 export KUBECONFIG={}\n\
         \x20 kubectl get nodes,pods -o wide\n\
         \x20 kubectl describe pod demo-0\n\
         \x20 kubectl logs -f demo-0\n\
         \x20 kubectl exec -it demo-0 -- sh\n\
         \x20 kubectl port-forward demo-0 8080\n\
         \x20 kubectl top pods\n\
         \x20 kubectl delete pod demo-0\n\n\
         \x20 burst-agent replay --from-agent http://{} --pod default/demo-0\n\
         \x20 curl http://{}/metrics\n\n\
         Ctrl-C ends it.",
        kubeconfig.display(),
        addresses.admin,
        addresses.serving,
    );
}

#[cfg(test)]
mod tests {
    use clap::{Parser, ValueEnum};

    use super::*;
    use crate::config::ProfileName;

    /// The whole way in both generations: pods that come, run and go, and nothing that is left in the cloud.
    #[tokio::test(flavor = "multi_thread")]
    async fn pods_come_and_go_in_every_generation() {
        // A second test of this process has installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        for profile in ProfileName::value_variants() {
            let directory = tempfile::tempdir().unwrap();
            let kubeconfig = directory.path().join("kubeconfig").display().to_string();
            let name = profile.profile().name;
            let typed = ["burst-agent", "demo", "--once", "--profile", name, "--kubeconfig", &kubeconfig];
            let Command::Demo(args) = args::Args::try_parse_from(typed).unwrap().command else { panic!() };
            demo(args).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_log_that_somebody_else_writes_is_named_with_its_writer() {
        let directory = tempfile::tempdir().unwrap();
        let options = store::Options { free_floor_bytes: 0, ..store::Options::default() };
        let _log = store::Log::open::<engine::State>(&directory.path().join("log"), options).unwrap();
        let option = |name: &str| directory.path().join(name).display().to_string();
        let typed =
            ["burst-agent", "demo", "--log-dir", &option("log"), "--kubeconfig", &option("kubeconfig")];
        let Command::Demo(demo_args) = args::Args::try_parse_from(typed).unwrap().command else { panic!() };
        let error = demo(demo_args).await.unwrap_err().to_string();
        assert!(error.ends_with(&format!("is in use by process {}", std::process::id())), "{error}");
    }
}
