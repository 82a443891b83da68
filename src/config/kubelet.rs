//! Options: the kubelet API, by which logs, exec, port-forward and metrics of the node's pods are asked for.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::config::error::ConfigError;
use crate::config::sources::Settings;
use crate::config::values::{between, socket_address};

/// The kubelet API. Names follow those of the kubelet.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kubelet API")]
pub struct KubeletApi {
    /// Address of the kubelet API (HTTPS), by which the API server asks for logs, exec, port-forward and metrics; none does
    /// without. Its port is the one that the node tells the cluster.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:10250")]
    pub kubelet_listen: KubeletListen,
    /// Certificate of the kubelet API, as PEM; read again when it changes. Without it the agent asks the cluster for one, by a
    /// CertificateSigningRequest of kubernetes.io/kubelet-serving that somebody has to approve.
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of that certificate, as PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Certificate authorities of those who may come with a client certificate, as PEM: the API server does. Who they are is
    /// what the certificate says, what they may do is asked of the cluster.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Whether those may come who have a token that the cluster knows (TokenReview), as metrics-server does.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub authentication_token_webhook: bool,
    /// How long a stream of logs, exec or port-forward may be without traffic.
    #[arg(long, value_name = "S", default_value_t = 4 * 3600, value_parser = between::<u32>(60, 7 * 86_400, "seconds"))]
    pub streaming_connection_idle_timeout_s: u32,
}

/// Where the kubelet API listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KubeletListen(pub Option<SocketAddr>);

impl FromStr for KubeletListen {
    type Err = String;

    fn from_str(text: &str) -> Result<KubeletListen, String> {
        match text {
            "none" => Ok(KubeletListen(None)),
            text => socket_address(text)
                .map(|address| KubeletListen(Some(address)))
                .map_err(|remedy| format!("{remedy}, or none")),
        }
    }
}

impl fmt::Display for KubeletListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl KubeletApi {
    /// Sees that nobody could come unasked, and that nobody is kept out by half a certificate.
    pub fn check(&self, settings: &Settings, errors: &mut Vec<ConfigError>) {
        if self.kubelet_listen.0.is_none() {
            return;
        }
        if self.client_ca_file.is_none() && !self.authentication_token_webhook {
            errors.push(ConfigError::Conflict {
                place: settings.place("authentication-token-webhook"),
                remedy: "the kubelet API would have no means to tell who comes: give client-ca-file, leave this at true, or \
                         set kubelet-listen to none"
                    .to_owned(),
            });
        }
        let half = match (&self.tls_cert_file, &self.tls_private_key_file) {
            (Some(_), None) => Some(("tls-cert-file", "tls-private-key-file")),
            (None, Some(_)) => Some(("tls-private-key-file", "tls-cert-file")),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some((given, missing)) = half {
            errors.push(ConfigError::Conflict {
                place: settings.place(given),
                remedy: format!("a certificate and its key go together: give {missing} as well"),
            });
        }
    }
}
