//! Connections to the address of one pod.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kubelet::lookup::PodView;
use crate::kubelet::{Refused, StreamLimits};

/// Said where packets do not come through, which is nothing that the client can mend.
const NETWORK: &str = "the burst agent dials the pod itself, so it must run where the pods' VPC and subnets are reachable \
                       and their security group lets it in";

/// Where a pod is reached.
pub(super) struct Dial {
    /// Namespace and name.
    pod: String,
    address: IpAddr,
    within: Duration,
}

impl Dial {
    /// The first address that the pod has.
    ///
    /// # Errors
    /// It has none yet, or one at which no pod can be.
    pub(super) fn to(pod: &PodView, limits: &StreamLimits) -> Result<Dial, Refused> {
        let addresses = pod.status.iter().flat_map(|status| &status.pod_ips);
        let pod = pod.pod.to_string();
        let Some(address) = addresses.filter_map(|address| address.parse::<IpAddr>().ok()).next() else {
            return Err(Refused::bad_request(format!(
                "pod {pod} has no address yet: try again when it is running"
            )));
        };
        let address = address.to_canonical();
        let simulated = address.is_loopback() && limits.forward_to_loopback;
        if !simulated && !may_be_a_pod(address) {
            return Err(Refused::bad_request(format!(
                "pod {pod} is said to have the address {address}, at which no pod can be: it is not dialled"
            )));
        }
        Ok(Dial { pod, address, within: limits.dial })
    }

    /// A connection to a port of the pod.
    ///
    /// # Errors
    /// What was tried, what came of it, and what can be done about it, in one line.
    pub(super) async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let to = SocketAddr::new(self.address, port);
        let reason = match timeout(self.within, TcpStream::connect(to)).await {
            Ok(Ok(connection)) => {
                // What is typed is sent at once; without it, only slower.
                let _ = connection.set_nodelay(true);
                return Ok(connection);
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                "connection refused: nothing listens on that port at the pod's address".to_owned()
            }
            Ok(Err(error)) => format!("{error}; {NETWORK}"),
            Err(_) => format!("no answer within {} s; {NETWORK}", self.within.as_secs()),
        };
        Err(format!("error forwarding port {port} to pod {}: dialled {to}: {reason}", self.pod))
    }
}

/// Whether the agent may dial the address. The cloud names it: it must not lead to the agent's own host, nor to the
/// metadata service of the machine it runs on.
fn may_be_a_pod(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::may_be_a_pod;

    #[test]
    fn only_addresses_at_which_a_pod_can_be_are_dialled() {
        let may = |address: &str| may_be_a_pod(address.parse().unwrap());
        assert!(may("10.0.0.7") && may("192.168.3.4") && may("fd00::7"));
        assert!(!may("127.0.0.1") && !may("::1") && !may("0.0.0.0") && !may("::"));
        assert!(!may("169.254.169.254") && !may("fe80::1") && !may("224.0.0.1") && !may("255.255.255.255"));
    }
}
