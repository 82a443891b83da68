//! Where a node is reached, and what it can do: read from its object.

use serde_json::Value;

use crate::world::cluster::{Cluster, Kind, Object, Status};

/// What a kubelet listens on when its node does not say (`--kubelet-port`).
const DEFAULT_PORT: u16 = 10_250;

/// `--kubelet-preferred-address-types`: an address before a name, which nothing here may know. (kube-apiserver by itself
/// begins with the name; `kubeadm` sets it to this.)
const PREFERRED: [&str; 4] = ["InternalIP", "ExternalIP", "Hostname", "InternalDNS"];

/// The feature by which a node takes WebSockets itself (`ExtendWebSocketsToKubelet`, beta in 1.36).
const WEB_SOCKETS: &str = "ExtendWebSocketsToKubelet";

/// How to reach a node's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Endpoint {
    /// The node's name.
    pub node: String,
    /// Its address, without a port.
    pub host: String,
    /// The port of its API.
    pub port: u16,
    /// Whether it takes WebSockets for exec, attach and port-forward.
    pub web_sockets: bool,
    /// Whether it speaks TLS: everything but another port asked for by `nodes/NAME:PORT/proxy`.
    pub tls: bool,
}

impl Endpoint {
    /// The endpoint of the node of this name.
    ///
    /// # Errors
    /// 404 when there is no such node; 500 when it has no address.
    pub fn of(cluster: &Cluster, node: &str) -> Result<Endpoint, Status> {
        let kind = Kind::of("nodes").expect("nodes are in the table of kinds");
        Endpoint::of_node(cluster.get(kind, "", node)?)
    }

    /// The endpoint of a node. Whether the node is ready plays no part, as in the real one.
    pub fn of_node(node: &Object) -> Result<Endpoint, Status> {
        let addresses =
            node.value.pointer("/status/addresses").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let of_type = |wanted: &&str| {
            addresses.iter().find(|one| one["type"] == **wanted).and_then(|one| one["address"].as_str())
        };
        let Some(host) = PREFERRED.iter().find_map(of_type) else {
            let part = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
            let told = |one| format!("{{{} {}}}", part(one, "type"), part(one, "address"));
            let known = addresses.iter().map(told).collect::<Vec<_>>().join(" ");
            return Err(Status::internal(format!(
                "no preferred addresses found; known addresses: [{known}]"
            )));
        };
        let declared = declared_port(node);
        let features = node.value.pointer("/status/declaredFeatures").and_then(Value::as_array);
        Ok(Endpoint {
            node: node.name().to_owned(),
            host: host.to_owned(),
            port: if declared == 0 { DEFAULT_PORT } else { declared },
            web_sockets: features
                .is_some_and(|features| features.iter().any(|feature| feature == WEB_SOCKETS)),
            tls: true,
        })
    }

    /// `HOST:PORT`, with brackets about an IPv6 address.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The port that a node says its API has; 0 when it does not say.
pub(in super::super) fn declared_port(node: &Object) -> u16 {
    let port = node.value.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Value::as_u64);
    port.and_then(|port| u16::try_from(port).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(status: Value) -> Object {
        let value = json!({ "metadata": { "name": "n" }, "status": status });
        Object::new(Kind::of("nodes").unwrap(), 1, value)
    }

    #[test]
    fn a_node_is_reached_by_its_internal_address_and_the_port_it_says() {
        let addresses = json!([
            { "type": "Hostname", "address": "n" },
            { "type": "ExternalIP", "address": "192.0.2.1" },
            { "type": "InternalIP", "address": "fd00::1" },
        ]);
        let endpoint = Endpoint::of_node(&node(json!({ "addresses": addresses }))).unwrap();
        assert_eq!((endpoint.authority().as_str(), endpoint.web_sockets), ("[fd00::1]:10250", false));
        let status = json!({
            "addresses": addresses,
            "daemonEndpoints": { "kubeletEndpoint": { "Port": 1234 } },
            "declaredFeatures": ["Another", "ExtendWebSocketsToKubelet"],
        });
        let endpoint = Endpoint::of_node(&node(status)).unwrap();
        assert_eq!((endpoint.port, endpoint.web_sockets), (1234, true));
    }

    #[test]
    fn a_node_without_an_address_is_told_as_recorded() {
        let refused = Endpoint::of_node(&node(json!({}))).unwrap_err();
        assert_eq!((refused.code, refused.reason), (500, ""));
        assert_eq!(refused.message, "no preferred addresses found; known addresses: []");
    }
}
