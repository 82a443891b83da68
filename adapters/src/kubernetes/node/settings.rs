//! What the operator may say about the node.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Key of the taint that keeps ordinary pods off the node (virtual-kubelet rule VK-N7).
pub const PROVIDER_TAINT_KEY: &str = "virtual-kubelet.io/provider";

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaintEffect {
    /// They are not bound to the node.
    NoSchedule,
    /// They are bound to it only when there is no other.
    PreferNoSchedule,
    /// They are not bound to it, and are evicted from it.
    NoExecute,
}

impl TaintEffect {
    /// The effect in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TaintEffect::NoSchedule => "NoSchedule",
            TaintEffect::PreferNoSchedule => "PreferNoSchedule",
            TaintEffect::NoExecute => "NoExecute",
        }
    }
}

/// A taint of the node, written `key=value:effect` or `key:effect` as kubectl does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, or empty.
    pub value: String,
    /// What it does.
    pub effect: TaintEffect,
}

/// A text is not a taint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a taint: key=value:effect, with effect NoSchedule, PreferNoSchedule or NoExecute")]
pub struct ParseTaintError(String);

impl FromStr for Taint {
    type Err = ParseTaintError;

    fn from_str(text: &str) -> Result<Taint, ParseTaintError> {
        let refused = || ParseTaintError(text.to_owned());
        let (selector, effect) = text.rsplit_once(':').ok_or_else(refused)?;
        let effects = [TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute];
        let effect = effects.into_iter().find(|known| known.as_str() == effect).ok_or_else(refused)?;
        let (key, value) = selector.split_once('=').unwrap_or((selector, ""));
        if key.is_empty() {
            return Err(refused());
        }
        Ok(Taint { key: key.to_owned(), value: value.to_owned(), effect })
    }
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equals = if self.value.is_empty() { "" } else { "=" };
        write!(f, "{}{equals}{}:{}", self.key, self.value, self.effect.as_str())
    }
}

/// How the node presents itself.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Its name.
    pub name: String,
    /// Its labels; that which marks a virtual node comes on top.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// What it offers, such as `cpu`, `memory` and `pods`, as Kubernetes quantities. All of it is allocatable.
    pub capacity: BTreeMap<String, String>,
    /// Address at which the API server reaches the agent's kubelet API; `None` when there is none.
    pub internal_ip: Option<String>,
    /// Port of the kubelet API; `None` when it is not served.
    pub kubelet_port: Option<u16>,
    /// `status.nodeInfo.kubeletVersion`: what `kubectl get nodes` shows.
    pub version: String,
    /// `status.nodeInfo.operatingSystem`.
    pub operating_system: String,
    /// `status.nodeInfo.architecture`.
    pub architecture: String,
}

impl NodeSettings {
    /// A node of that name with the customary labels and taint of a virtual node, and room for a thousand
    /// pods.
    #[must_use]
    pub fn named(name: impl Into<String>) -> NodeSettings {
        let name = name.into();
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let labels = [
            ("kubernetes.io/role", "agent"),
            ("kubernetes.io/hostname", name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("node.kubernetes.io/instance-type", "virtual-kubelet"),
            // What pods that are to burst ask for beside `type`, with the add-on (CCI 2.0, public notes).
            ("bursting.cci.io/node-type", "virtual-kubelet"),
        ];
        let capacity = [("cpu", "1k"), ("memory", "4000Gi"), ("ephemeral-storage", "40Ti"), ("pods", "1k")];
        NodeSettings {
            labels: labels.into_iter().map(owned).collect(),
            taints: vec![Taint {
                key: PROVIDER_TAINT_KEY.to_owned(),
                value: "huawei".to_owned(),
                effect: TaintEffect::NoSchedule,
            }],
            capacity: capacity.into_iter().map(owned).collect(),
            internal_ip: None,
            kubelet_port: None,
            version: concat!("v", env!("CARGO_PKG_VERSION"), "-burst-agent").to_owned(),
            operating_system: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_written_as_kubectl_writes_them() {
        for text in ["virtual-kubelet.io/provider=huawei:NoSchedule", "spot:NoExecute"] {
            let taint: Taint = text.parse().expect("a taint");
            assert_eq!(taint.to_string(), text);
        }
        for text in ["", "key=value", "key=value:Never", "=value:NoSchedule"] {
            assert!(text.parse::<Taint>().is_err(), "{text}");
        }
    }
}
