//! What a stop leaves (virtual-kubelet rules VK-B4 and VK-B5): the node and its pods on both sides as they are, and a word
//! of why it ended.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use bench::serve::cci::{self, CloudHandle};
use bench::serve::kubernetes::{self, Kubernetes, KubernetesOptions};
use bench::world::cloud::CloudOptions;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const NODE: &str = "virtual-kubelet";
const PODS: usize = 3;

/// A test that waits longer has failed; nothing depends on how long it really takes.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_PERIOD: Duration = Duration::from_millis(10);

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Both sides, served here.
struct World {
    client: kube::Client,
    cloud: CloudHandle,
    cloud_address: SocketAddr,
    scratch: tempfile::TempDir,
    stop: CancellationToken,
}

impl World {
    async fn start() -> World {
        let (scratch, stop) = (tempfile::tempdir().expect("a directory"), CancellationToken::new());
        let cluster: Arc<Kubernetes> = Kubernetes::new(KubernetesOptions::default());
        let quick = CloudOptions {
            start_latency_ms: 0,
            namespace_ready_ms: 0,
            network_ready_ms: 0,
            ..CloudOptions::default()
        };
        let cloud = CloudHandle::new(quick, 1);
        let listen = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (at_cluster, at_cloud) = (listen().await, listen().await);
        let cluster_address = at_cluster.local_addr().expect("an address");
        let cloud_address = at_cloud.local_addr().expect("an address");
        tokio::spawn(kubernetes::serve(at_cluster, cluster, stop.clone()));
        tokio::spawn(cci::serve(at_cloud, cloud.clone(), stop.clone()));
        let kubeconfig = scratch.path().join("kubeconfig");
        fs::write(&kubeconfig, kubernetes::kubeconfig(cluster_address)).expect("it is written");
        let client = adapters::kubernetes::connect(Some(&kubeconfig), None).await.expect("a client");
        write_credentials(&cloud, &scratch.path().join("credentials"));
        World { client, cloud, cloud_address, scratch, stop }
    }

    fn agent(&self) -> Agent {
        let path = |name: &str| self.scratch.path().join(name);
        let cloud = format!("http://{}", self.cloud_address);
        let credentials = self.cloud.credentials();
        let words = File::create(path("stderr")).expect("a file");
        let agent = Command::new(env!("CARGO_BIN_EXE_burst-agent"))
            .arg("run")
            .arg("--kubeconfig")
            .arg(path("kubeconfig"))
            .arg("--cci-credentials-dir")
            .arg(path("credentials"))
            .arg("--log-dir")
            .arg(path("log"))
            .args([
                "--cluster-id",
                "c1",
                "--node-name",
                NODE,
                "--cci-endpoint",
                &cloud,
                "--iam-endpoint",
                &cloud,
            ])
            .args(["--cci-project", &credentials.project, "--cci-project-id", &credentials.project_id])
            .args([
                "--cci-domain-id",
                "d",
                "--cci-vpc-id",
                "v",
                "--cci-network-id",
                "n",
                "--cci-subnet-id",
                "s",
            ])
            .args(["--cci-security-group", "g", "--poll-period-ms", "500", "--min-free-bytes", "0"])
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .stderr(words)
            .spawn()
            .expect("the agent starts");
        Agent(agent)
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let request =
            http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(body.to_string().into_bytes()).expect("a request");
        self.client.request(request).await.expect("the cluster answers")
    }

    async fn pods(&self) -> Vec<Value> {
        let list = self.ask("GET", "/api/v1/namespaces/default/pods", &Value::Null).await;
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// The pods of the cloud by their identity, each with whether it is to end.
    fn bodies(&self) -> Vec<(String, bool)> {
        let mut bodies: Vec<_> = self
            .cloud
            .with(|cloud, _| cloud.pods().map(|pod| (pod.uid().to_owned(), pod.is_deleting())).collect());
        bodies.sort();
        bodies
    }
}

/// The agent; one that a test leaves behind is killed.
struct Agent(Child);

impl Agent {
    async fn ended(&mut self) -> ExitStatus {
        until("the agent ends", async || self.0.try_wait().expect("it is our child")).await
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write_credentials(cloud: &CloudHandle, directory: &Path) {
    fs::create_dir(directory).expect("a directory");
    let credentials = cloud.credentials();
    for (name, secret) in [
        ("username", &credentials.user),
        ("password", &credentials.password),
        ("domain", &credentials.domain),
    ] {
        let path = directory.join(name);
        fs::write(&path, secret).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_the_node_and_its_pods_and_says_why() {
    let world = World::start().await;
    let mut agent = world.agent();
    for number in 0..PODS {
        let size = json!({ "cpu": "1", "memory": "2Gi" });
        let container = json!({ "name": "main", "image": "web:1", "resources": { "limits": size } });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("web-{number}") },
            "spec": { "nodeName": NODE, "containers": [container] },
        });
        world.ask("POST", "/api/v1/namespaces/default/pods", &pod).await;
    }
    let is_running = |pod: &Value| pod["status"]["phase"] == "Running";
    until("all pods run", async || {
        let pods = world.pods().await;
        (pods.len() == PODS && pods.iter().all(is_running)).then_some(())
    })
    .await;
    let node = world.ask("GET", &format!("/api/v1/nodes/{NODE}"), &Value::Null).await;
    let bodies = world.bodies();
    assert_eq!(bodies.len(), PODS);

    let pid = Pid::from_raw(agent.0.id() as i32).expect("a process");
    kill_process(pid, Signal::TERM).expect("it is ours");
    let status = agent.ended().await;
    assert!(status.success(), "{status}");

    let after = world.ask("GET", &format!("/api/v1/nodes/{NODE}"), &Value::Null).await;
    assert_eq!(after["metadata"]["uid"], node["metadata"]["uid"]);
    assert_eq!(after["spec"], node["spec"], "its taints are as they were");
    let pods = world.pods().await;
    assert_eq!(pods.len(), PODS);
    for pod in &pods {
        assert!(is_running(pod) && pod["metadata"].get("deletionTimestamp").is_none(), "{pod}");
    }
    assert_eq!(world.bodies(), bodies, "what runs in the cloud goes on");
    let said = fs::read_to_string(world.scratch.path().join("stderr")).expect("it is text");
    assert!(said.contains("a signal: ending"), "{said}");
    world.stop.cancel();
}
