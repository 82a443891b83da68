//! Options: how pods are made.

use adapters::cci::{HostPaths, ImageRules, PodChoices};
use adapters::objects::{ImpliedNeeds, ServiceAccountTokens};
use clap::ValueEnum;
use engine::size::SizePolicy;

/// What an operator chooses beside the size.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Pods")]
pub struct PodOptions {
    /// Which tokens of service accounts pods get.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Tokens::Explicit)]
    pub service_account_tokens: Tokens,
    /// What pods are told of Services in variables such as WEB_SERVICE_HOST.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = Variables::Links)]
    pub service_variables: Variables,
    /// What is put in the place of paths of the host and all below them, as a list /PATH=emptyDir, /PATH=emptyDir:SIZE or
    /// /PATH=none, which leaves the volume and its mounts out. Pods with other paths are refused.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub host_path_replacement: HostPaths,
    /// Registries and paths that images are pulled from in place of others, as a list PREFIX=WITH,…: PREFIX is all that
    /// stands before an image's last slash, and nothing where there is none.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub image_replacement: ImageRules,
}

/// The name of a choice of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Tokens {
    /// Those that a pod's own volumes project. The volume that the API server adds to each pod is left out.
    #[default]
    Explicit,
    /// That volume as well: for each pod a call to the API server and a Secret in the cloud.
    All,
}

/// The name of a choice of variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Variables {
    /// What any node tells: the API server's Service, and unless enableServiceLinks is false those of the namespace.
    #[default]
    Links,
    /// Nothing: no Service is read.
    None,
}

impl PodOptions {
    /// The choices, with how pods are sized.
    pub fn choices(&self, size_policy: SizePolicy) -> PodChoices {
        PodChoices {
            size_policy,
            implied: ImpliedNeeds {
                tokens: match self.service_account_tokens {
                    Tokens::Explicit => ServiceAccountTokens::Explicit,
                    Tokens::All => ServiceAccountTokens::All,
                },
                service_variables: match self.service_variables {
                    Variables::Links => true,
                    Variables::None => false,
                },
            },
            host_paths: self.host_path_replacement.clone(),
            images: self.image_replacement.clone(),
        }
    }
}
