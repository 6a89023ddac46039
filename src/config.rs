//! The configuration: flags win over environment, file and defaults, in this order.
//!
//! [`options`] names every option once, [`layers`] finds the values, and resolving an options struct checks them into
//! [`Settings`], which [`crate::service::backends`] is built from.

pub mod environment;
#[cfg(feature = "cli")]
pub mod file;
#[cfg(feature = "cli")]
mod http;
#[cfg(feature = "cli")]
pub mod layers;
#[cfg(feature = "cli")]
pub mod options;
pub mod redact;
pub mod redis_url;
mod settings;
#[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "some of it is for options alone"))]
mod target;
pub mod values;

use std::fmt;
use std::path::PathBuf;

pub use settings::{
    Backends, ClientCertificate, FulfillerTarget, HttpTarget, LogFormat, LogSettings, Propagation, QueueTarget,
    ReconcileSettings, Secret, SecretUrl, Settings, Simulation, StoreTarget,
};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Given on the command line.
    CommandLine,
    /// The names of the variables it was read from.
    Environment(String),
    /// The configuration file and the line in it.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment(variables) => f.write_str(variables),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why there is no valid configuration. Says which option, where it was set, and what would be right; never shows a
/// value that may hold a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that the option does not take.
    #[error("--{option}{}: {problem}", set_in(.origin))]
    Value {
        /// The option's name without the dashes.
        option: String,
        /// Where the value was set.
        origin: Origin,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The configuration file can't be read.
    #[error("configuration file {}: {problem}", path.display())]
    File {
        /// As it was named.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A line of the configuration file is not right.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// As it was named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A variable of the environment that is not UTF-8.
    #[error("environment variable {0} is not UTF-8")]
    NotUtf8(String),
}

/// What `run` would start with in this environment: its variables, the file that they name, and the defaults. For
/// programs that embed the worker ([`crate::service::Service`]).
///
/// # Errors
/// Names the option, and where its value was set.
#[cfg(feature = "cli")]
pub fn from_environment(environment: &environment::Environment) -> Result<(Settings, LogSettings), layers::LayerError> {
    use clap::{Args, Command, FromArgMatches};
    use options::RunOptions;

    let command = Command::new("worker").subcommand(RunOptions::augment_args(Command::new("run")));
    let (matches, origins) = layers::parse(&command, &["worker", "run"].map(Into::into), environment)?;
    let options = RunOptions::from_arg_matches(matches.subcommand().map_or(&matches, |(_, chosen)| chosen));
    Ok(options.map_err(layers::LayerError::Usage)?.resolve(&origins)?)
}

/// Says where to look, when that isn't the command line that was just typed.
fn set_in(origin: &Origin) -> String {
    match origin {
        Origin::CommandLine => String::new(),
        elsewhere => format!(" ({elsewhere})"),
    }
}
