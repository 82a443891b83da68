//! A cluster and a cloud that are served here, and the agent as a process between them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use bench::serve::cci::{self, CloudHandle, PodListeners};
use bench::serve::kubernetes::{self, Kubernetes, KubernetesOptions};
use bench::world::cloud::{CloudOptions, PodNetwork};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

pub const NODE: &str = "virtual-kubelet";
/// A test that waits longer has failed; nothing depends on how long it really takes.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// Looks until it is so.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
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

/// A healthy cloud that takes no time for anything.
pub fn quick_cloud() -> CloudOptions {
    CloudOptions {
        start_latency_ms: 0,
        namespace_ready_ms: 0,
        network_ready_ms: 0,
        ..CloudOptions::default()
    }
}

/// Both sides, served here.
pub struct World {
    client: kube::Client,
    /// The cluster.
    pub cluster: Arc<Kubernetes>,
    /// Where it is.
    pub cluster_address: SocketAddr,
    /// The cloud.
    pub cloud: CloudHandle,
    cloud_address: SocketAddr,
    scratch: tempfile::TempDir,
    asked: Asked,
    _stop: DropGuard,
}

impl World {
    /// Serves both.
    pub async fn start() -> World {
        World::of(KubernetesOptions::default(), quick_cloud()).await
    }

    /// Serves both as these options say.
    pub async fn of(cluster: KubernetesOptions, cloud: CloudOptions) -> World {
        let (scratch, stop) = (tempfile::tempdir().expect("a directory"), CancellationToken::new());
        let cluster = Kubernetes::new(cluster);
        let has_pods_here = cloud.pod_network == PodNetwork::Loopback;
        let cloud = CloudHandle::new(cloud, 1);
        let listen = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (at_cluster, at_cloud) = (listen().await, listen().await);
        let cluster_address = at_cluster.local_addr().expect("an address");
        let cloud_address = at_cloud.local_addr().expect("an address");
        tokio::spawn(kubernetes::serve(at_cluster, cluster.clone(), stop.clone()));
        tokio::spawn(cci::serve(at_cloud, cloud.clone(), stop.clone()));
        if has_pods_here {
            tokio::spawn(cci::serve_pods(cloud.clone(), PodListeners::default(), stop.clone()));
        }
        let (proxy, asked) = (listen().await, Asked::default());
        let proxy_address = proxy.local_addr().expect("an address");
        tokio::spawn(relay(proxy, cluster_address, asked.clone()));
        let path = |name: &str| scratch.path().join(name);
        // The agent goes through the proxy, and the test does not.
        for (name, address) in [("kubeconfig", proxy_address), ("direct", cluster_address)] {
            fs::write(path(name), kubernetes::kubeconfig(address)).expect("it is written");
        }
        let client =
            adapters::kubernetes::connect(Some(&path("direct")), None).await.expect("a client").client;
        write_credentials(&cloud, &scratch.path().join("credentials"));
        fs::write(path("client-ca.pem"), cluster.node_access().client_ca_pem).expect("it is written");
        let _stop = stop.drop_guard();
        World { client, cluster, cluster_address, cloud, cloud_address, scratch, asked, _stop }
    }

    /// Starts the agent without a kubelet API, with more options.
    pub fn agent(&self, more: &[&str]) -> Agent {
        self.agent_at("none", more)
    }

    /// Starts the agent with a kubelet API at an address, which knows the cluster's client certificate, with more options.
    pub fn agent_at(&self, kubelet: &str, more: &[&str]) -> Agent {
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
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--kubelet-listen", kubelet])
            .arg("--client-ca-file")
            .arg(path("client-ca.pem"))
            .args(more)
            .stderr(words)
            .spawn()
            .expect("the agent starts");
        Agent(agent)
    }

    /// Asks the cluster, as anybody but the agent.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).await.expect("the cluster answers")
    }

    /// The same, of what may be refused.
    pub async fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, kube::Error> {
        let request =
            http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(body.to_string().into_bytes()).expect("a request");
        self.client.request(request).await
    }

    /// The pods of the cluster.
    pub async fn pods(&self) -> Vec<Value> {
        let list = self.ask("GET", "/api/v1/namespaces/default/pods", &Value::Null).await;
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Binds a pod with one container to the node; what it needs beside that is in `more`.
    pub async fn bind(&self, name: &str, more: Value) {
        let size = json!({ "cpu": "1", "memory": "2Gi" });
        let container = json!({ "name": "main", "image": "web:1", "resources": { "limits": size } });
        let mut spec = json!({ "nodeName": NODE, "containers": [container] });
        if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
            spec.extend(more);
        }
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec });
        self.ask("POST", "/api/v1/namespaces/default/pods", &pod).await;
    }

    /// Waits until there are so many pods, and all of them run.
    pub async fn until_running(&self, count: usize) -> Vec<Value> {
        until("all pods run", async || {
            let pods = self.pods().await;
            let run = pods.iter().all(|pod| pod["status"]["phase"] == "Running");
            (pods.len() == count && run).then_some(pods)
        })
        .await
    }

    /// What the agent has said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.scratch.path().join("stderr")).expect("it is text")
    }

    /// Every file of the agent's log.
    pub fn log_files(&self) -> Vec<Vec<u8>> {
        let mut directories = vec![self.scratch.path().join("log")];
        let mut files = Vec::new();
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => directories.push(path),
                    false => files.push(fs::read(path).expect("it can be read")),
                }
            }
        }
        files
    }

    /// What the agent has asked the cluster, each method and path once.
    pub fn asked(&self) -> BTreeSet<(String, String)> {
        self.asked.lock().clone()
    }

    /// The pods of the cloud by their identity, each with whether it is to end.
    pub fn bodies(&self) -> Vec<(String, bool)> {
        let mut bodies: Vec<_> = self
            .cloud
            .with(|cloud, _| cloud.pods().map(|pod| (pod.uid().to_owned(), pod.is_deleting())).collect());
        bodies.sort();
        bodies
    }
}

/// Methods and paths.
type Asked = Arc<Mutex<BTreeSet<(String, String)>>>;

/// Passes bytes on in both directions, and reads along which requests there are.
async fn relay(listener: TcpListener, to: SocketAddr, asked: Asked) {
    while let Ok((client, _)) = listener.accept().await {
        let asked = asked.clone();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(to).await else { return };
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let (mut heard, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
            while let Ok(count @ 1..) = from_client.read(&mut piece).await {
                heard.extend_from_slice(&piece[..count]);
                note_requests(&mut heard, &asked);
                if to_server.write_all(&piece[..count]).await.is_err() {
                    break;
                }
            }
            back.abort();
        });
    }
}

/// Notes the request lines in what was heard, and keeps what may be the beginning of one.
fn note_requests(heard: &mut Vec<u8>, asked: &Asked) {
    const LINE_BYTES_MAX: usize = 4_096;
    let text = String::from_utf8_lossy(heard).into_owned();
    for line in text.split("\r\n") {
        // The body of one request ends where the line of the next one begins.
        let Some(rest) = line.strip_suffix(" HTTP/1.1") else { continue };
        let Some((before, path)) = rest.rsplit_once(' ') else { continue };
        let method =
            ["GET", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|method| before.ends_with(method));
        if let Some(method) = method {
            asked.lock().insert((method.to_owned(), path.to_owned()));
        }
    }
    let keep = heard.len().min(LINE_BYTES_MAX);
    heard.drain(..heard.len() - keep);
}

/// The agent; one that a test leaves behind is killed.
pub struct Agent(Child);

impl Agent {
    /// Asks it to end, and waits until it has.
    pub async fn end(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.0.id() as i32).expect("a process");
        kill_process(pid, Signal::TERM).expect("it is ours");
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
