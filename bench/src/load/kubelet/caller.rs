//! Whoever asks the agent: with a client certificate of `system:masters`, on a new connection for each thing.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;

use super::identity::HOST;
use super::transport::{Session, Streaming, connect, failed, web_socket};
use crate::load::Error;

/// The newest protocol of commands.
const PROTOCOL: &str = "v5.channel.k8s.io";

/// How the agent is reached.
#[derive(Clone)]
pub(super) struct Caller {
    pub address: SocketAddr,
    pub config: Arc<ClientConfig>,
}

impl Caller {
    /// A connection after its handshake.
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>, Error> {
        let stream = connect(self.address).await?;
        let name = ServerName::try_from(HOST).map_err(failed("name the agent"))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await.map_err(failed("speak TLS with the agent"))
    }

    /// A connection for requests.
    pub async fn session(&self) -> Result<Session, Error> {
        Session::on(self.connect().await?).await
    }

    /// The log of a pod's container.
    pub async fn log(&self, pod: &str, query: &str) -> Result<Streaming, Error> {
        Streaming::open(self.session().await?, &log_path(pod, query), None).await
    }

    /// `cat` in a pod's container.
    pub async fn cat(&self, pod: &str) -> Result<WebSocketStream<TlsStream<TcpStream>>, Error> {
        let path = format!("/exec/default/{pod}/main?command=cat&input=1&output=1&error=1");
        web_socket(self.connect().await?, &path, PROTOCOL, None).await
    }
}

/// Where the log of a pod's container is.
pub(super) fn log_path(pod: &str, query: &str) -> String {
    format!("/containerLogs/default/{pod}/main?{query}")
}
