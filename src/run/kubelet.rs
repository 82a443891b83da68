//! The kubelet API, from options to an open port.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use adapters::kubelet::{
    CertificateSource, ConnectionLimits, Front, FrontSettings, Kubelet, OwnPages, PodLookup, StreamLimits,
};
use tokio::net::TcpListener;

use super::wiring::Clients;
use super::{Error, listen};
use crate::config::values::is_loopback_url;
use crate::config::{KubeletApi, RunConfig};
use crate::telemetry::Metrics;

/// The port, taken before anything else is touched: a second agent on this machine learns here that there is one.
///
/// # Errors
/// [`Error::Listen`].
pub async fn port(options: &KubeletApi) -> Result<Option<TcpListener>, Error> {
    match options.kubelet_listen.0 {
        Some(address) => listen(address).await.map(Some),
        None => Ok(None),
    }
}

/// The address under which the node shows itself: the one that was given, else the one from which the API server is reached,
/// unless nobody else could reach that.
pub fn node_address(config: &RunConfig, clients: &Clients) -> Option<IpAddr> {
    let is_here = is_loopback_url(&config.cloud.cci.endpoint);
    let found = clients.own_address.filter(|address| !address.is_loopback() || is_here);
    let address = config.node.node_internal_ip.or(found);
    if address.is_none() && config.kubelet.kubelet_listen.0.is_some() {
        tracing::warn!(
            "it cannot be told at which address the API server reaches this process, so that logs, exec and metrics will not \
             work: give node-internal-ip"
        );
    }
    address
}

/// What answers at the port.
///
/// # Errors
/// [`Error::Kubelet`]: a person must act.
pub fn front(
    config: &RunConfig,
    clients: &Clients,
    address: Option<IpAddr>,
    lookup: PodLookup,
    metrics: Arc<Metrics>,
) -> Result<Front, Error> {
    let (options, node) = (&config.kubelet, &config.node.node_name);
    let certificate = match (&options.tls_cert_file, &options.tls_private_key_file) {
        (Some(certificate), Some(key)) => {
            CertificateSource::Files { certificate: certificate.clone(), key: key.clone() }
        }
        (_, _) => CertificateSource::Request {
            // Under its name as well, which is the first that an API server looks for unless it is told otherwise.
            addresses: address.iter().map(ToString::to_string).chain([node.clone()]).collect(),
        },
    };
    let settings = FrontSettings {
        node: node.clone(),
        certificate,
        client_ca: options.client_ca_file.clone(),
        token_review: options.authentication_token_webhook,
        connections: ConnectionLimits::default(),
    };
    let limits = StreamLimits {
        idle: Duration::from_secs(options.streaming_connection_idle_timeout_s.into()),
        // The pods of a cloud on this machine are on it as well.
        forward_to_loopback: is_loopback_url(&config.cloud.cci.endpoint),
        ..StreamLimits::default()
    };
    let kubelet = Kubelet::new(lookup, Arc::clone(&clients.cloud), limits);
    let (text, count) = (Arc::clone(&metrics), Arc::clone(&metrics));
    let own = OwnPages {
        metrics: Arc::new(move || text.text().unwrap_or_default()),
        healthz: Arc::new(|| Ok(())),
        answered: Arc::new(move |page, status| count.kubelet_answered(page, status.as_u16())),
    };
    let front = Front::new(settings, clients.kubernetes.clone(), Arc::new(kubelet), own)?;
    let open = front.open_count();
    metrics.kubelet_served(move || open.now());
    Ok(front)
}
