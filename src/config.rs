//! What the agent runs with. Every option is defined once, in a group of this module, and is at once a flag,
//! an environment variable and a key of the configuration file: [`sources`] finds the value that counts,
//! clap checks it, and [`RunConfig::new`] checks what depends on several of them.

mod cloud;
mod credentials;
mod decisions;
mod error;
mod file;
#[cfg(test)]
mod fuzz_targets;
mod kubelet;
mod kubernetes;
mod log;
mod node;
mod pacing;
mod pods;
mod serving;
mod sources;
pub mod values;

#[cfg(test)]
mod tests;

pub use cloud::{Cloud, CloudOptions, ProfileName, size_policy};
pub use credentials::refuse_credential_flags;
pub use decisions::Decisions;
pub use error::ConfigError;
#[cfg(test)]
pub use error::variable;
pub use kubelet::KubeletApi;
pub use kubernetes::Kubernetes;
pub use log::{Durability, Log};
pub use node::{CapacitySource, Node};
pub use pacing::Pacing;
pub use pods::PodOptions;
pub use serving::{LogLevel, Logging, Serving};
pub use sources::{Environment, Settings, environment, resolve};

use engine::{Identity, Policy};

use crate::args::run::RunArgs;

/// Everything `run` needs to know, checked.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The cluster.
    pub kubernetes: Kubernetes,
    /// The virtual node.
    pub node: Node,
    /// The cloud.
    pub cloud: Cloud,
    /// The log.
    pub log: Log,
    /// The thresholds of decisions.
    pub policy: Policy,
    /// How fast calls are made.
    pub pacing: Pacing,
    /// The kubelet API.
    pub kubelet: KubeletApi,
    /// What is served.
    pub serving: Serving,
    /// What the program says of itself.
    pub logging: Logging,
    /// What looks like a mistake but stops nothing: to be logged at the start.
    pub warnings: Vec<String>,
}

impl RunConfig {
    /// Checks what depends on several options. What depends on one was checked when it was read.
    ///
    /// # Errors
    /// All contradictions and gaps, each with its remedy.
    pub fn new(args: RunArgs) -> Result<RunConfig, Vec<ConfigError>> {
        let RunArgs {
            config: _,
            kubernetes,
            node,
            cloud,
            log,
            decisions,
            pacing,
            kubelet,
            serving,
            logging,
            settings,
        } = args;
        let mut errors = Vec::new();
        let cloud = cloud.check(&node.node_name, &settings, &mut errors);
        if let Some(cloud) = &cloud {
            node.check(&cloud.profile.profile(), &settings, &mut errors);
        }
        let policy = decisions.check(&settings, &mut errors);
        kubelet.check(&settings, &mut errors);
        serving.check(&settings, &mut errors);
        match cloud {
            Some(cloud) if errors.is_empty() => Ok(RunConfig {
                kubernetes,
                node,
                cloud,
                log,
                policy,
                pacing,
                kubelet,
                serving,
                logging,
                warnings: settings.warnings,
            }),
            Some(_) | None => Err(errors),
        }
    }

    /// Who this agent is, as its log says.
    pub fn identity(&self) -> Identity {
        Identity {
            cluster_id: self.cloud.cci.cluster_id.clone(),
            node: self.node.node_name.clone(),
            cloud_namespace: self.cloud.cci.namespace.clone(),
            profile: self.cloud.profile.profile().name.to_owned(),
        }
    }
}
