//! `completions`: scripts for shells.

use clap::{Args, Command};
use clap_complete::Shell;

use super::failure::Failure;
use super::output;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker completions bash > /etc/bash_completion.d/fulfillment-worker
  fulfillment-worker completions zsh > \"${fpath[1]}/_fulfillment-worker\"
  fulfillment-worker completions fish > ~/.config/fish/completions/fulfillment-worker.fish")]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn completions(arguments: &Arguments, mut command: Command) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    output::print_own(String::from_utf8_lossy(&script).trim_end())
}
