//! Options: the virtual node, as the cluster sees it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use adapters::cci::Profile;
use adapters::kubernetes::{NodeSettings, Taint};
use clap::ValueEnum;

use crate::config::error::ConfigError;
use crate::config::sources::Settings;
use crate::config::values::{ip_address, is_dns_label, node_name};

/// The virtual node.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Node")]
pub struct Node {
    /// Name of the virtual node. With CCI 2.0 the default is bursting-node.
    #[arg(long, value_name = "NAME", default_value = Profile::CCI_1_0.node_name, default_value_if("cci_profile", Profile::CCI_2_0.name, Profile::CCI_2_0.node_name), value_parser = node_name)]
    pub node_name: String,
    /// Labels of the node beside the standard ones, as a list KEY=VALUE,…
    #[arg(long, value_name = "LABELS", default_value = "", hide_default_value = true)]
    pub node_labels: Labels,
    /// Taints of the node, as a list KEY=VALUE:EFFECT,… Only pods that tolerate them come here.
    #[arg(long, value_name = "TAINTS", default_value = "virtual-kubelet.io/provider=huawei:NoSchedule")]
    pub node_taints: Taints,
    /// CPU that the node offers to the scheduler. The default is as good as no limit, as CCI's own node has it.
    #[arg(long, value_name = "QUANTITY", default_value = "200k")]
    pub node_cpu: Quantity,
    /// Memory that the node offers to the scheduler.
    #[arg(long, value_name = "QUANTITY", default_value = "1600000Gi")]
    pub node_memory: Quantity,
    /// Number of pods that the node offers to the scheduler.
    #[arg(long, value_name = "QUANTITY", default_value = "200k")]
    pub node_pods: Quantity,
    /// Where the CPU, memory and number of pods that the node offers come from.
    #[arg(long, value_enum, value_name = "SOURCE", default_value_t = CapacitySource::Configured)]
    pub node_capacity: CapacitySource,
    /// Internal IP address of the node, where the API server asks for logs and exec; without it the one from which the API
    /// server is reached, which is right for a pod.
    #[arg(long, value_name = "IP", value_parser = ip_address)]
    pub node_internal_ip: Option<IpAddr>,
}

/// What the capacity of the node follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CapacitySource {
    /// The options node-cpu, node-memory and node-pods.
    #[default]
    Configured,
    /// The quotas of the namespace in the cloud, read every five minutes, and those options for what they do not limit.
    Quota,
}

impl Node {
    /// Sees that the cloud can say what the node is to follow.
    pub fn check(&self, profile: &Profile, settings: &Settings, errors: &mut Vec<ConfigError>) {
        if self.node_capacity == CapacitySource::Quota && !profile.has_quotas {
            let remedy = format!(
                "{} has no quotas that could be read; leave it at configured, and give node-cpu, node-memory and \
                 node-pods",
                profile.name
            );
            errors.push(ConfigError::Conflict { place: settings.place("node-capacity"), remedy });
        }
    }

    /// The node as it presents itself to the cluster: the customary one but for the options.
    pub fn settings(&self) -> NodeSettings {
        let customary = NodeSettings::named(&self.node_name);
        let mut labels = customary.labels;
        labels.extend(self.node_labels.0.clone());
        let mut capacity = customary.capacity;
        let offers = [("cpu", &self.node_cpu), ("memory", &self.node_memory), ("pods", &self.node_pods)];
        capacity.extend(offers.map(|(resource, quantity)| (resource.to_owned(), quantity.0.clone())));
        NodeSettings { labels, taints: self.node_taints.0.clone(), capacity, ..customary }
    }
}

/// Most labels or taints that an option may list: the scheduler looks at each for each pod.
const ENTRIES_MAX: usize = 64;

/// Labels by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub BTreeMap<String, String>);

impl FromStr for Labels {
    type Err = String;

    fn from_str(text: &str) -> Result<Labels, String> {
        let mut labels = BTreeMap::new();
        for (place, entry) in entries(text)? {
            let label =
                entry.split_once('=').filter(|(key, value)| is_label_key(key) && is_label_value(value));
            let (key, value) = label
                .ok_or_else(|| format!("entry {place} is no label: give KEY=VALUE, such as team=shop"))?;
            if labels.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("give {key} once"));
            }
        }
        Ok(Labels(labels))
    }
}

/// Taints of a node, each key and effect once, as the API demands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taints(pub Vec<Taint>);

impl FromStr for Taints {
    type Err = String;

    fn from_str(text: &str) -> Result<Taints, String> {
        let mut taints: Vec<Taint> = Vec::new();
        for (place, entry) in entries(text)? {
            let taint: Option<Taint> = entry.parse().ok();
            let taint = taint.filter(|taint| is_label_key(&taint.key) && is_label_value(&taint.value)).ok_or_else(|| {
                format!(
                    "entry {place} is no taint: give KEY=VALUE:EFFECT or KEY:EFFECT with an effect of NoSchedule, \
                     PreferNoSchedule or NoExecute"
                )
            })?;
            if taints.iter().any(|known| known.key == taint.key && known.effect == taint.effect) {
                return Err(format!("give {}:{} once", taint.key, taint.effect.as_str()));
            }
            taints.push(taint);
        }
        Ok(Taints(taints))
    }
}

/// The entries of a list with their places from 1; an empty text is an empty list.
fn entries(text: &str) -> Result<Vec<(usize, &str)>, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let entries: Vec<(usize, &str)> = (1..).zip(entries).collect();
    if entries.len() > ENTRIES_MAX {
        return Err(format!("give at most {ENTRIES_MAX} entries"));
    }
    Ok(entries)
}

/// `prefix/name` or `name`, as the API server accepts it.
fn is_label_key(key: &str) -> bool {
    const PREFIX_CHARS_MAX: usize = 253;
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_prefix = |prefix: &str| {
        prefix.len() <= PREFIX_CHARS_MAX
            && prefix.split('.').all(|label| is_dns_label(label, PREFIX_CHARS_MAX))
    };
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_prefix)
}

fn is_label_value(value: &str) -> bool {
    const VALUE_CHARS_MAX: usize = 63;
    value.len() <= VALUE_CHARS_MAX
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && [value.chars().next(), value.chars().last()].iter().flatten().all(char::is_ascii_alphanumeric)
}

/// A Kubernetes quantity, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity(pub String);

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Quantity, String> {
        const SUFFIXES: [&str; 14] =
            ["", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let is_number =
            !digits.is_empty() && digits.len() <= 18 && digits.chars().all(|c| c.is_ascii_digit());
        if is_number && SUFFIXES.contains(&&text[digits.len()..]) {
            return Ok(Quantity(text.to_owned()));
        }
        Err("give a Kubernetes quantity, such as 200k, 500m or 64Gi".to_owned())
    }
}
