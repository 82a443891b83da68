//! Connections to the address of one pod.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kubelet::lookup::PodView;
use crate::kubelet::server::KEPT_BYTES;
use crate::kubelet::{Refused, StreamLimits};
use crate::pod_address::may_be_a_pod;

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
        if !may_be_a_pod(address, limits.forward_to_loopback) {
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
                // And what waits in it has the bound that it has at the port.
                let socket = SockRef::from(&connection);
                let _ = socket.set_recv_buffer_size(KEPT_BYTES);
                let _ = socket.set_send_buffer_size(KEPT_BYTES);
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
