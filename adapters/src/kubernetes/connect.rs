//! Makes the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::transport::describe;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be silent: longer than a watch without a change, which has its own deadline. It
/// ends what nobody waits for any more.
const READ_TIMEOUT: Duration = Duration::from_secs(150);
/// How long a request may take to leave.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a name server may take to tell where the API server is.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// No client can be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig that was named cannot be used.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
    /// Nothing was named; there is no usable kubeconfig, and the process is not in a cluster either.
    #[error("no kubeconfig ({kubeconfig}), and not in a cluster ({in_cluster})")]
    Nowhere {
        /// What is wrong with the kubeconfig.
        kubeconfig: String,
        /// What is missing of the cluster's environment.
        in_cluster: kube::config::InClusterError,
    },
    /// The credentials or certificates cannot be used.
    #[error("client: {0}")]
    Client(String),
}

/// The way to a cluster.
pub struct Connection {
    /// Speaks to its API server.
    pub client: Client,
    /// Address of this machine from which the API server is reached, and at which it so reaches this machine, unless there
    /// is something between them; `None` when that cannot be told.
    pub own_address: Option<IpAddr>,
}

/// The way to the cluster that `kubeconfig` names, in its current context or in `context`. Without a path:
/// the kubeconfig that kubectl would use, else the cluster that the process runs in.
///
/// Needs the process's crypto provider to be installed, for plain HTTP as well.
///
/// # Errors
///
/// [`ConnectError`]: a person must act. That the API server does not answer is not noticed here.
pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Connection, ConnectError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let named = match kubeconfig {
        Some(path) => match Kubeconfig::read_from(path) {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
            Err(error) => Err(error),
        },
        None => Config::from_kubeconfig(&options).await,
    };
    let mut config = match named {
        Ok(config) => config,
        Err(error) if kubeconfig.is_some() || context.is_some() => {
            return Err(ConnectError::Kubeconfig(words(&error)));
        }
        Err(error) => Config::incluster()
            .map_err(|in_cluster| ConnectError::Nowhere { kubeconfig: words(&error), in_cluster })?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    // The time that a connection was idle does not count against the next answer on it.
    config.reset_reader_on_write = true;
    config.default_retry = false;
    let own_address = own_address(&config.cluster_url).await;
    let client = Client::try_from(config).map_err(|error| ConnectError::Client(describe(&error)))?;
    Ok(Connection { client, own_address })
}

/// The address that packets to a server leave from. None is sent: a UDP socket only picks its route.
async fn own_address(server: &http::Uri) -> Option<IpAddr> {
    let host = server.host()?.trim_matches(['[', ']']);
    let place = (host, server.port_u16().unwrap_or(443));
    let found =
        tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(place)).await.ok()?.ok()?.next()?;
    let any: IpAddr =
        if found.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = tokio::net::UdpSocket::bind((any, 0)).await.ok()?;
    socket.connect(found).await.ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// A YAML error quotes the lines at fault, which may be a token.
fn words(error: &KubeconfigError) -> String {
    if let KubeconfigError::Parse(_) = error {
        return "it is not the YAML of a kubeconfig".to_owned();
    }
    crate::cut(&error.to_string())
}
