//! `burst-agent explain`.

use std::path::{Path, PathBuf};

use engine::size::SizePolicy;

use crate::args::replay::Output;
use crate::config::{PodOptions, ProfileName, size_policy};

const EXAMPLES: &str = "\
Examples:
  burst-agent explain -f pod.yaml
      would it run, in what size, and what would be sent
  helm template ./chart | burst-agent explain -f - --json | jq 'select(.admitted | not)'
      what of a chart would be refused, and why
  burst-agent explain -f deployment.yaml --policy cci-1.0/1.2.4
      the same by the rules of an older add-on
  burst-agent explain -f deployment.yaml --profile cci-2.0
      the same in CCI 2.0, which has flavors

Exit code: 0 when everything is admitted, 1 when something is refused, 2 when something cannot be read.";

/// The options of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// File with Pods or what makes them, in YAML or JSON; - is standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Which generation of CCI is spoken; without it that of the policy, or cci-1.0.
    #[arg(long, value_enum, value_name = "PROFILE")]
    pub profile: Option<ProfileName>,
    /// How pods are sized; without it as the newest add-on of the generation does.
    #[arg(long, value_name = "POLICY", value_parser = size_policy())]
    pub policy: Option<SizePolicy>,
    #[command(flatten)]
    pub pods: PodOptions,
    /// How to write the answer.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
    /// The same as --output json.
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

impl ExplainArgs {
    /// How the answer is written.
    pub fn output(&self) -> Output {
        if self.json { Output::Json } else { self.output }
    }

    /// Whether standard input is read.
    pub fn is_standard_input(&self) -> bool {
        self.file == Path::new("-")
    }
}
