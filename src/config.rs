//! The configuration: flags win over environment, file and defaults, in this order.
//!
//! [`options`] names every option once, [`layers`] finds the values, and resolving an options struct checks them into
//! [`Settings`], which [`crate::service::backends`] is built from.

pub mod environment;
pub mod file;
mod http;
pub mod layers;
pub mod options;
mod origin;
pub mod redact;
pub mod redis_url;
mod secret;
mod settings;
mod target;
pub mod values;

use std::ffi::OsString;

use clap::{Args, Command, FromArgMatches};

use environment::Environment;
use layers::LayerError;
use options::RunOptions;
pub use origin::{ConfigError, Origin, Origins};
pub use secret::{Secret, SecretUrl};
pub use settings::{
    Backends, ClientCertificate, FulfillerTarget, HttpTarget, LogFormat, LogSettings, Propagation, QueueTarget,
    ReconcileSettings, Settings, Simulation, StoreTarget,
};

/// The configuration of `run` in this environment: its variables, the file that they name, and the defaults. For
/// programs that embed the worker ([`crate::service::Service`]).
///
/// # Errors
/// Names the option, and the source of its value.
pub fn from_environment(environment: &Environment) -> Result<(Settings, LogSettings), LayerError> {
    let command = Command::new("worker").subcommand(RunOptions::augment_args(Command::new("run")));
    let (matches, origins) = layers::parse(&command, &["worker", "run"].map(OsString::from), environment)?;
    let options = RunOptions::from_arg_matches(matches.subcommand().map_or(&matches, |(_, chosen)| chosen));
    Ok(options.map_err(LayerError::Usage)?.resolve(&origins)?)
}
