//! Variables that tell a pod where the Services of its namespace are, as a kubelet makes them (virtual-kubelet rule
//! VK-E11): the pods of a namespace have one ConfigMap of them, which stands before all that they name themselves.

use std::collections::BTreeMap;

use engine::{ObjectVersion, Uid};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::kubernetes::lean::null_is_default;

/// Where the API server's own Service is.
pub(crate) const KUBERNETES_NAMESPACE: &str = "default";

/// Its name: every pod is told of it.
pub(crate) const KUBERNETES_SERVICE: &str = "kubernetes";

/// What `clusterIP` says of a Service without an address.
const HEADLESS: &str = "None";

/// What a ConfigMap may hold (Kubernetes, ConfigMaps).
const VARIABLES_BYTES_MAX: usize = 1 << 20;

/// Of which Services a pod is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceVariables {
    /// Of those of its namespace, and of the API server's.
    Links,
    /// Of the API server's alone.
    Kubernetes,
}

impl ServiceVariables {
    /// What `spec.enableServiceLinks` asks for.
    pub(crate) fn of(enable_service_links: Option<bool>) -> ServiceVariables {
        match enable_service_links {
            Some(false) => ServiceVariables::Kubernetes,
            Some(true) | None => ServiceVariables::Links,
        }
    }

    /// The name of these variables among those of a namespace.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ServiceVariables::Links => "links",
            ServiceVariables::Kubernetes => KUBERNETES_SERVICE,
        }
    }
}

/// What is read of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    #[serde(deserialize_with = "null_is_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(rename = "clusterIP", deserialize_with = "null_is_default")]
    cluster_ip: String,
    #[serde(deserialize_with = "null_is_default")]
    ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Port {
    #[serde(deserialize_with = "null_is_default")]
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    protocol: String,
    port: u16,
}

/// The variables of these Services; of two of one name the later one counts.
///
/// # Errors
/// When they are more than a ConfigMap holds.
pub(crate) fn variables(services: &[Service]) -> Result<BTreeMap<String, String>, String> {
    let by_name: BTreeMap<&str, &Service> =
        services.iter().map(|service| (service.metadata.name.as_str(), service)).collect();
    let mut variables = BTreeMap::new();
    for service in by_name.values() {
        service.tell(&mut variables);
    }
    let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > VARIABLES_BYTES_MAX {
        return Err(format!(
            "its Services make {bytes} bytes of variables, and a ConfigMap holds {VARIABLES_BYTES_MAX}; \
             set enableServiceLinks to false in pods that do not need them"
        ));
    }
    Ok(variables)
}

/// Which variables these are: equal ones are not written again.
pub(crate) fn version(variables: &BTreeMap<String, String>) -> ObjectVersion {
    let text = serde_json::to_vec(variables).unwrap_or_default();
    ObjectVersion {
        uid: Uid("service-variables".into()),
        resource_version: format!("{:032x}", xxh3_128(&text)),
    }
}

impl Service {
    fn tell(&self, variables: &mut BTreeMap<String, String>) {
        let (address, ports) = (self.spec.cluster_ip.as_str(), &self.spec.ports);
        let Some(first) = ports.first().filter(|_| !address.is_empty() && address != HEADLESS) else {
            return;
        };
        let name = in_variable(&self.metadata.name);
        let mut tell = |variable: String, value: String| {
            variables.insert(variable, value);
        };
        tell(format!("{name}_SERVICE_HOST"), address.to_owned());
        tell(format!("{name}_SERVICE_PORT"), first.port.to_string());
        for Port { name: port_name, port, .. } in ports.iter().filter(|port| !port.name.is_empty()) {
            tell(format!("{name}_SERVICE_PORT_{}", in_variable(port_name)), port.to_string());
        }
        // The style of container links, which the first port has a short form in as well.
        tell(format!("{name}_PORT"), first.url(address));
        for port in ports {
            let prefix = format!("{name}_PORT_{}_{}", port.port, port.protocol().to_uppercase());
            tell(prefix.clone(), port.url(address));
            tell(format!("{prefix}_PROTO"), port.protocol());
            tell(format!("{prefix}_PORT"), port.port.to_string());
            tell(format!("{prefix}_ADDR"), address.to_owned());
        }
    }
}

impl Port {
    fn protocol(&self) -> String {
        if self.protocol.is_empty() { "tcp".to_owned() } else { self.protocol.to_lowercase() }
    }

    fn url(&self, address: &str) -> String {
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        format!("{}://{host}:{}", self.protocol(), self.port)
    }
}

fn in_variable(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn services(list: serde_json::Value) -> Vec<Service> {
        serde_json::from_value(list).unwrap()
    }

    #[test]
    fn a_service_is_told_in_both_styles() {
        let redis = json!({"metadata": {"name": "redis-primary"}, "spec": {"clusterIP": "10.0.0.11", "ports": [
            {"port": 6379, "protocol": "TCP", "name": "client"}, {"port": 53, "protocol": "UDP", "name": "dns-udp"}
        ]}});
        let told = variables(&services(json!([redis]))).unwrap();
        let lines: Vec<String> = told.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "REDIS_PRIMARY_PORT=tcp://10.0.0.11:6379",
            "REDIS_PRIMARY_PORT_53_UDP=udp://10.0.0.11:53",
            "REDIS_PRIMARY_PORT_53_UDP_ADDR=10.0.0.11",
            "REDIS_PRIMARY_PORT_53_UDP_PORT=53",
            "REDIS_PRIMARY_PORT_53_UDP_PROTO=udp",
            "REDIS_PRIMARY_PORT_6379_TCP=tcp://10.0.0.11:6379",
            "REDIS_PRIMARY_PORT_6379_TCP_ADDR=10.0.0.11",
            "REDIS_PRIMARY_PORT_6379_TCP_PORT=6379",
            "REDIS_PRIMARY_PORT_6379_TCP_PROTO=tcp",
            "REDIS_PRIMARY_SERVICE_HOST=10.0.0.11",
            "REDIS_PRIMARY_SERVICE_PORT=6379",
            "REDIS_PRIMARY_SERVICE_PORT_CLIENT=6379",
            "REDIS_PRIMARY_SERVICE_PORT_DNS_UDP=53",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn an_address_of_version_six_stands_in_brackets_in_a_url() {
        let service =
            json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "fd00::1", "ports": [{"port": 80}]}});
        let told = variables(&services(json!([service]))).unwrap();
        assert_eq!((&*told["S_PORT"], &*told["S_SERVICE_HOST"]), ("tcp://[fd00::1]:80", "fd00::1"));
    }

    #[test]
    fn what_has_no_address_or_no_port_is_not_told() {
        let service = |spec| json!({"metadata": {"name": "s"}, "spec": spec});
        let list = json!([
            service(json!({"clusterIP": "None", "ports": [{"port": 80}]})),
            service(json!({"type": "ExternalName", "externalName": "example.org"})),
            service(json!({"clusterIP": "", "ports": [{"port": 80}]})),
            service(json!({"clusterIP": "10.0.0.1", "ports": null})),
            {"metadata": null, "spec": null},
        ]);
        for one in services(list) {
            assert_eq!(variables(&[one]).unwrap(), BTreeMap::new());
        }
    }

    #[test]
    fn more_than_a_config_map_holds_is_refused_with_the_remedy() {
        let service = |number: u32| {
            json!({"metadata": {"name": format!("service-with-a-long-name-{number}")},
                   "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}})
        };
        let many: Vec<_> = (0..4_000).map(service).collect();
        let refused = variables(&services(many.into())).unwrap_err();
        assert!(refused.contains("enableServiceLinks"), "{refused}");
    }

    #[test]
    fn a_version_follows_from_what_is_told() {
        let of = |address: &str| {
            let spec = json!({"clusterIP": address, "ports": [{"port": 80}]});
            version(&variables(&services(json!([{"metadata": {"name": "s"}, "spec": spec}]))).unwrap())
        };
        assert_eq!(of("10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
