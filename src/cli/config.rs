//! `config`: the value of each option, and its source.

use clap::{ArgMatches, Args, Subcommand};

use super::failure::Failure;
use super::format::FormatOptions;
use super::{connect, output};
use crate::config::environment::Environment;
use crate::config::fallback::Fallback;
use crate::config::options::RunOptions;
use crate::config::{ConfigurationLine, Origins, lines};
use crate::observe::trace::export;
use crate::service::{self, StartError};

mod init;

/// Print every option of `run` with its value and source, secrets redacted, or the first error
///
/// Finds what `run` would refuse before it contacts a server, and ends with the same exit code. It opens no database, and
/// doesn't ask whether the port of --listen is free.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker config
      the configuration that `run` would start with
  fulfillment-worker config --config worker.toml --json
      the same for machines: an object with option, value and source for each option
  fulfillment-worker config init worker.toml
      a new file with every option, its meaning and its default

Takes all options of `run`; docs/CONFIGURATION.md describes them.")]
pub(super) struct Arguments {
    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    options: RunOptions,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Arguments),
}

pub(super) fn config(
    arguments: Arguments,
    matches: &ArgMatches,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    if let Some(Command::Init(arguments)) = &arguments.command {
        return init::init(arguments);
    }
    let (settings, _) = arguments.options.resolve(origins, Fallback::detect())?;
    let noted = service::check(&settings)?;
    let traces = export::read(environment).map_err(StartError::from)?;
    for warning in
        connect::warnings(&settings.backends, origins, environment).iter().chain(&traces.warnings).chain(&noted)
    {
        output::note(&format!("note: {warning}"));
    }
    let chosen = matches.subcommand().map_or(matches, |(_, chosen)| chosen);
    let lines = lines(chosen, &settings, origins);
    output::show(arguments.format.is_json(), &lines, || table(&lines))
}

fn table(lines: &[ConfigurationLine]) -> Vec<String> {
    let value = |line: &ConfigurationLine| line.value.clone().unwrap_or_else(|| "-".to_owned());
    let first = lines.iter().map(|line| line.option.len()).max().unwrap_or(0);
    let second = lines.iter().map(|line| value(line).chars().count()).max().unwrap_or(0);
    let rows = lines.iter().map(|line| format!("{:first$}  {:second$}  {}", line.option, value(line), line.source));
    rows.collect()
}
