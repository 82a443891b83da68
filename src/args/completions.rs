//! `burst-agent completions`.

use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  source <(burst-agent completions bash)
  burst-agent completions zsh > \"${fpath[1]}/_burst-agent\"
  burst-agent completions fish > ~/.config/fish/completions/burst-agent.fish";

/// The options of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// For which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}
