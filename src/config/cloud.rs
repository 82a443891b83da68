//! Options: the cloud, our place in it, and the network of the pods there.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use adapters::cci::{CciConfig, NetworkConfig, Profile};
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use engine::size::SizePolicy;
use reqwest::Url;

use crate::config::PodOptions;
use crate::config::error::ConfigError;
use crate::config::sources::Settings;
use crate::config::values::{between, cloud_id, dns_label, is_bare, is_dns_label, is_loopback, proxy_url};

/// The options about the cloud as they were given; [`Cloud`] is what they mean together.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cloud")]
pub struct CloudOptions {
    /// Id of the cluster, unique among the clusters that use the same cloud project: it marks what is ours.
    #[arg(long, value_name = "ID", value_parser = cluster_id)]
    pub cluster_id: String,
    /// Directory with the credentials as files: access-key and secret-key (and security-token), or username,
    /// password and domain.
    #[arg(long, value_name = "DIR")]
    pub cci_credentials_dir: PathBuf,
    /// Region of the cloud, such as cn-north-4: gives the endpoints and the project unless they are given.
    #[arg(long, value_name = "REGION", value_parser = dns_label)]
    pub cci_region: Option<String>,
    /// Endpoint of CCI; without it https://cci.REGION.myhuaweicloud.com.
    #[arg(long, value_name = "URL")]
    pub cci_endpoint: Option<Endpoint>,
    /// Endpoint of IAM, where tokens come from; without it https://iam.REGION.myhuaweicloud.com.
    #[arg(long, value_name = "URL")]
    pub iam_endpoint: Option<Endpoint>,
    /// Name of the project; without it the region's own project, which is named like the region.
    #[arg(long, value_name = "NAME", value_parser = cloud_id)]
    pub cci_project: Option<String>,
    /// Id of the project.
    #[arg(long, value_name = "ID", value_parser = cloud_id)]
    pub cci_project_id: String,
    /// Id of the account (domain) that the project belongs to.
    #[arg(long, value_name = "ID", value_parser = cloud_id)]
    pub cci_domain_id: String,
    /// Namespace in CCI, for this agent alone; without it that of the add-on: cce-burst-CLUSTER_ID, or
    /// bursting-CLUSTER_ID in CCI 2.0. Created if it is absent.
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub cci_namespace: Option<String>,
    /// Which generation of CCI is spoken.
    #[arg(long, value_enum, value_name = "PROFILE", default_value_t = ProfileName::Cci1)]
    pub cci_profile: ProfileName,
    /// How pods are sized; without it as the newest add-on of the generation does.
    #[arg(long, value_name = "POLICY", value_parser = size_policy())]
    pub cci_size_policy: Option<SizePolicy>,
    #[command(flatten)]
    pub pods: PodOptions,
    /// How long one call may take.
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = between::<u32>(1_000, 300_000, "milliseconds"))]
    pub cci_request_timeout_ms: u32,
    /// HTTP proxy for all calls to the cloud. Proxies that the environment names are not used.
    #[arg(long, value_name = "URL", value_parser = proxy_url)]
    pub cci_proxy: Option<String>,

    /// Name of the network in the namespace. Created if it is absent, from the options that follow.
    #[arg(long, value_name = "NAME", default_value = "cce-burst-net", value_parser = dns_label, help_heading = NETWORK)]
    pub cci_network_name: String,
    /// Id of the VPC of the pods. CCI 2.0 knows it from the subnet.
    #[arg(long, value_name = "ID", value_parser = cloud_id, help_heading = NETWORK)]
    pub cci_vpc_id: Option<String>,
    /// Neutron id of the network (not that of the VPC subnet). CCI 2.0 knows it from the subnet.
    #[arg(long, value_name = "ID", value_parser = cloud_id, help_heading = NETWORK)]
    pub cci_network_id: Option<String>,
    /// Neutron id of the subnet (not that of the VPC subnet).
    #[arg(long, value_name = "ID", value_parser = cloud_id, help_heading = NETWORK)]
    pub cci_subnet_id: String,
    /// Id of the security group of the pods.
    #[arg(long, value_name = "ID", value_parser = cloud_id, help_heading = NETWORK)]
    pub cci_security_group: String,
    /// Availability zone, such as cn-north-4a; without it anywhere in the region. CCI 2.0 has no such setting.
    #[arg(long, value_name = "ZONE", value_parser = cloud_id, help_heading = NETWORK)]
    pub cci_availability_zone: Option<String>,
    /// Address range of the subnet, such as 192.168.0.0/24. CCI 2.0 has no such setting.
    #[arg(long, value_name = "CIDR", value_parser = network_cidr, help_heading = NETWORK)]
    pub cci_network_cidr: Option<String>,
}

const NETWORK: &str = "Cloud network";

/// The cloud, our place in it, and how we prove who we are.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// Where it is and what in it is ours.
    pub cci: CciConfig,
    /// Which generation of CCI is spoken.
    pub profile: ProfileName,
    /// Where the credentials are.
    pub credentials_dir: PathBuf,
}

/// The name of a generation of CCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// CCI 1.0, which the add-on in the field drives.
    #[value(name = "cci-1.0")]
    Cci1,
    /// CCI 2.0, with flavors, where the service goes.
    #[value(name = "cci-2.0")]
    Cci2,
}

impl ProfileName {
    /// What that generation is like.
    pub fn profile(self) -> Profile {
        match self {
            ProfileName::Cci1 => Profile::CCI_1_0,
            ProfileName::Cci2 => Profile::CCI_2_0,
        }
    }
}

/// What the chosen generation needs, and the others do not, and was not set.
pub fn lacking(settings: &Settings) -> Vec<ConfigError> {
    let chosen = settings.value("cci-profile");
    let named = |profile: &Profile| chosen.is_some_and(|name| name == profile.name);
    let profile = Profile::ALL.into_iter().find(named).unwrap_or_default();
    [("cci-vpc-id", "vpc_id"), ("cci-network-id", "network_id")]
        .into_iter()
        .filter(|(key, placeholder)| profile.needs(placeholder) && settings.value(key).is_none())
        .map(|(key, _)| ConfigError::Missing { key: key.to_owned(), hint: String::new() })
        .collect()
}

/// Reads the name of a sizing policy.
pub fn size_policy() -> impl TypedValueParser<Value = SizePolicy> {
    let named = |name: String| SizePolicy::ALL.into_iter().find(|policy| policy.name() == name);
    PossibleValuesParser::new(SizePolicy::ALL.map(SizePolicy::name))
        .map(move |name| named(name).expect("the names are those of the policies"))
}

/// Longest cluster id: the namespace that is named after it, with the longest prefix of all generations, is a DNS label
/// of 63 characters.
const CLUSTER_ID_CHARS_MAX: usize = 63 - Profile::CCI_1_0.namespace_prefix.len();

fn cluster_id(text: &str) -> Result<String, String> {
    if is_dns_label(text, CLUSTER_ID_CHARS_MAX) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "give 1 to {CLUSTER_ID_CHARS_MAX} lower-case letters, digits and dashes, no dash at either end"
    ))
}

/// The address of a cloud service, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        // Credentials and tokens travel to an endpoint: in the clear only where nobody can listen.
        let is_private = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
        match Url::parse(text) {
            Ok(url) if is_private(&url) && is_bare(&url) && url.path() == "/" => {
                Ok(Endpoint(url.as_str().trim_end_matches('/').to_owned()))
            }
            Ok(_) | Err(_) => Err("give https:// and a host, without user, path or query, such as \
                                   https://cci.cn-north-4.myhuaweicloud.com; http:// is for loopback only"
                .to_owned()),
        }
    }
}

/// Addresses that CCI keeps for itself.
const RESERVED: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 247, 0, 0), 16);

fn network_cidr(text: &str) -> Result<String, String> {
    let range =
        text.split_once('/').and_then(|(address, bits)| Some((address.parse().ok()?, bits.parse().ok()?)));
    match range {
        Some((address, bits)) if bits <= 32 && overlaps((address, bits), RESERVED) => {
            Err("10.247.0.0/16 is reserved by CCI: give a range outside of it".to_owned())
        }
        Some((_, bits)) if bits <= 32 => Ok(text.to_owned()),
        Some(_) | None => Err("give an IPv4 range, such as 192.168.0.0/24".to_owned()),
    }
}

/// Whether two ranges (an address and the bits of its prefix) share an address.
fn overlaps(one: (Ipv4Addr, u32), other: (Ipv4Addr, u32)) -> bool {
    let mask = u32::MAX.checked_shl(32 - one.1.min(other.1)).unwrap_or(0);
    u32::from(one.0) & mask == u32::from(other.0) & mask
}

impl CloudOptions {
    /// What the options mean together for a node, unless something is lacking.
    pub fn check(
        &self,
        node_name: &str,
        settings: &Settings,
        errors: &mut Vec<ConfigError>,
    ) -> Option<Cloud> {
        let profile = self.cci_profile.profile();
        let size_policy = self.cci_size_policy.unwrap_or_else(|| profile.size_policy());
        if let Err(remedy) = profile.check_policy(size_policy) {
            errors.push(ConfigError::Conflict { place: settings.place("cci-size-policy"), remedy });
        }
        let service = |name: &str| {
            let region = self.cci_region.as_ref()?;
            Some(Endpoint(format!("https://{name}.{region}.myhuaweicloud.com")))
        };
        let Some(endpoint) = self.cci_endpoint.clone().or_else(|| service("cci")) else {
            errors.push(ConfigError::Missing {
                key: "cci-endpoint".to_owned(),
                hint: ", or a region with cci-region".to_owned(),
            });
            return None;
        };
        // Without any, the client says so when it is to log in with a password.
        let iam_endpoint = self.iam_endpoint.clone().or_else(|| service("iam"));
        let namespace = || profile.namespace_of(&self.cluster_id);
        let cci = CciConfig {
            endpoint: endpoint.0,
            iam_endpoint: iam_endpoint.map_or_else(String::new, |endpoint| endpoint.0),
            project_name: self.cci_project.clone().or_else(|| self.cci_region.clone()).unwrap_or_default(),
            project_id: self.cci_project_id.clone(),
            namespace: self.cci_namespace.clone().unwrap_or_else(namespace),
            network: self.network(),
            cluster_id: self.cluster_id.clone(),
            node: node_name.to_owned(),
            pods: self.pods.choices(size_policy),
            request_timeout: Duration::from_millis(self.cci_request_timeout_ms.into()),
            proxy: self.cci_proxy.clone(),
            plain_http: false,
        };
        Some(Cloud { cci, profile: self.cci_profile, credentials_dir: self.cci_credentials_dir.clone() })
    }

    fn network(&self) -> NetworkConfig {
        NetworkConfig {
            name: self.cci_network_name.clone(),
            security_group: self.cci_security_group.clone(),
            vpc_id: self.cci_vpc_id.clone().unwrap_or_default(),
            network_id: self.cci_network_id.clone().unwrap_or_default(),
            subnet_id: self.cci_subnet_id.clone(),
            cidr: self.cci_network_cidr.clone(),
            availability_zone: self.cci_availability_zone.clone(),
            domain_id: self.cci_domain_id.clone(),
        }
    }
}
