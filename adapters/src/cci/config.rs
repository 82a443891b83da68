//! Where the cloud is and what in it is ours.

use std::net::IpAddr;
use std::time::Duration;

use engine::size::SizePolicy;
use reqwest::Url;

use super::Error;
use super::host_paths::HostPaths;
use super::images::ImageRules;
use crate::objects::ImpliedNeeds;

/// Where CCI is, which project we act in, and the names we go by.
#[derive(Clone, Debug)]
pub struct CciConfig {
    /// Base URL of CCI, such as `https://cci.cn-north-4.myhuaweicloud.com`.
    pub endpoint: String,
    /// Base URL of IAM; used with a password only.
    pub iam_endpoint: String,
    /// Name of the project, usually the region's; tokens are scoped to it. When empty, to `project_id`.
    pub project_name: String,
    /// Id of the project: signed requests name it, and the network needs it.
    pub project_id: String,
    /// The cloud namespace that is ours alone.
    pub namespace: String,
    /// The network that our namespace must have.
    pub network: NetworkConfig,
    /// The Kubernetes cluster's id, as in every mark.
    pub cluster_id: String,
    /// The virtual node's name, as in every mark.
    pub node: String,
    /// How pods are made.
    pub pods: PodChoices,
    /// How long one call may take from the first byte sent to the last one read.
    pub request_timeout: Duration,
    /// Proxy for all calls; none is used unless named here. Without user name and password.
    pub proxy: Option<String>,
    /// Whether an endpoint that is not this machine may be spoken to without TLS: for simulators only.
    pub plain_http: bool,
}

/// How pods are made, as far as an operator chooses.
#[derive(Clone, Debug)]
pub struct PodChoices {
    /// How they are sized: one of the profile's policies.
    pub size_policy: SizePolicy,
    /// What they need beyond what they name.
    pub implied: ImpliedNeeds,
    /// What is put in the place of paths of the host.
    pub host_paths: HostPaths,
    /// Which images they pull in place of others, where they say nothing of it themselves.
    pub images: ImageRules,
}

impl PodChoices {
    /// Nothing but the size, which has to be chosen.
    #[must_use]
    pub fn sized(size_policy: SizePolicy) -> PodChoices {
        PodChoices {
            size_policy,
            implied: ImpliedNeeds::default(),
            host_paths: HostPaths::default(),
            images: ImageRules::default(),
        }
    }
}

/// The network of our namespace (CCI API, create network). The ids are Neutron's, not the VPC service's.
#[derive(Clone, Debug, Default)]
pub struct NetworkConfig {
    /// Name of the network object.
    pub name: String,
    /// Security group of all pods.
    pub security_group: String,
    /// The VPC.
    pub vpc_id: String,
    /// The Neutron network.
    pub network_id: String,
    /// The Neutron subnet.
    pub subnet_id: String,
    /// The subnet's address range; must not overlap 10.247.0.0/16.
    pub cidr: Option<String>,
    /// Where pods are placed; anywhere in the region when not given.
    pub availability_zone: Option<String>,
    /// Id of the account.
    pub domain_id: String,
}

impl NetworkConfig {
    /// The value of a placeholder of a profile's template that speaks of the network.
    pub(super) fn value_of(&self, placeholder: &str) -> Option<&str> {
        match placeholder {
            "network_name" => Some(&self.name),
            "security_group" => Some(&self.security_group),
            "vpc_id" => Some(&self.vpc_id),
            "network_id" => Some(&self.network_id),
            "subnet_id" => Some(&self.subnet_id),
            "cidr" => self.cidr.as_deref(),
            "availability_zone" => self.availability_zone.as_deref(),
            "domain_id" => Some(&self.domain_id),
            _ => None,
        }
    }
}

impl CciConfig {
    /// The value of any placeholder of a profile's template.
    pub(super) fn value_of(&self, placeholder: &str) -> Option<&str> {
        match placeholder {
            "namespace" => Some(&self.namespace),
            "project_id" => Some(&self.project_id),
            other => self.network.value_of(other),
        }
    }

    /// Checks what the calls rely on: names that fit into a path, and a mark that says whose a pod is.
    pub(super) fn check(&self) -> Result<(), Error> {
        for (setting, value) in [("namespace", &self.namespace), ("network name", &self.network.name)] {
            let label = value.len() <= 63
                && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !value.starts_with('-')
                && !value.ends_with('-');
            if value.is_empty() || !label {
                return Err(Error::Setting { setting, reason: format!("{value:?} is not a DNS label") });
            }
        }
        for (setting, value) in
            [("cluster id", &self.cluster_id), ("node", &self.node), ("project id", &self.project_id)]
        {
            if value.is_empty() || value.len() > 253 || !value.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(Error::Setting { setting, reason: format!("{value:?} is not a usable id") });
            }
        }
        Ok(())
    }

    /// Whether the cloud is on this machine, as only a simulated one is.
    pub(super) fn is_local(&self) -> bool {
        bare_url("endpoint", &self.endpoint).is_ok_and(|url| is_loopback(&url))
    }

    /// Reads the base URL of a service. Plain http is for this machine only, unless allowed: it would show
    /// the credentials to everybody on the way.
    pub(super) fn base_url(&self, setting: &'static str, text: &str) -> Result<Url, Error> {
        let url = bare_url(setting, text)?;
        if url.scheme() == "https" || self.plain_http || is_loopback(&url) {
            return Ok(url);
        }
        Err(Error::Setting { setting, reason: "would send credentials without TLS".into() })
    }
}

/// Reads a URL: http or https, without user, query or fragment.
pub(super) fn bare_url(setting: &'static str, text: &str) -> Result<Url, Error> {
    let wrong = |reason: &str| Error::Setting { setting, reason: reason.to_owned() };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must not hold a query or fragment"));
    }
    match url.scheme() {
        "https" | "http" => Ok(url),
        _ => Err(wrong("is neither http nor https")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cci::tests::config;

    #[test]
    fn credentials_never_leave_the_machine_without_tls() {
        let mut config = config("http://unused");
        for (url, accepted) in [
            ("https://cci.example", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost:8080", true),
            ("http://cci.example", false),
            ("http://127.0.0.1.example", false),
            ("https://user:word@cci.example", false),
            ("https://cci.example?token=1", false),
            ("ftp://cci.example", false),
            ("cci.example", false),
        ] {
            assert_eq!(config.base_url("endpoint", url).is_ok(), accepted, "{url}");
        }
        config.plain_http = true;
        assert!(config.base_url("endpoint", "http://cci.example").is_ok());
    }

    #[test]
    fn names_that_go_into_paths_are_labels() {
        assert!(config("http://unused").check().is_ok());
        for namespace in ["", "a/b", "..", "A", "-a", &"a".repeat(64)] {
            let config = CciConfig { namespace: namespace.to_owned(), ..config("http://unused") };
            assert!(config.check().is_err(), "{namespace:?}");
        }
        let nameless = CciConfig { cluster_id: String::new(), ..config("http://unused") };
        assert!(nameless.check().is_err());
    }
}
