//! The configuration: flags win over environment, file and defaults, in this order.
//!
//! [`options`] names every option once, [`layers`] finds the values, and resolving an options struct checks them into
//! [`Settings`], which [`crate::service::backends`] is built from.

#[cfg(unix)]
pub mod admin_path;
mod credentials;
pub mod environment;
#[cfg(unix)]
pub(crate) mod exposed;
#[cfg(feature = "cli")]
pub mod fallback;
#[cfg(feature = "cli")]
pub mod file;
#[cfg(feature = "cli")]
mod http;
#[cfg(feature = "cli")]
pub mod layers;
mod line;
pub mod listen;
pub mod log_filter;
#[cfg(feature = "cli")]
pub mod options;
#[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "only options set them"))]
mod origin;
mod postgres_url;
pub mod redact;
pub mod redis_url;
pub mod require_auth;
mod secret;
mod secret_file;
#[cfg(feature = "cli")]
pub mod server;
mod settings;
mod suggestion;
#[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "some of it is for options alone"))]
mod target;
mod url_parts;
pub mod values;

pub use line::ConfigurationLine;
#[cfg(feature = "cli")]
pub(crate) use line::lines;
pub use listen::{AdminSocket, ListenAddress};
#[cfg(any(feature = "cli", feature = "internals"))]
pub use origin::Origins;
pub use origin::{ConfigError, Origin};
pub use secret::{Secret, SecretUrl};
#[cfg(feature = "demo")]
pub(crate) use secret_file::read_lines as read_secret;
pub use settings::{
    AccessSettings, Backends, ClientCertificate, FulfillerTarget, HttpTarget, LogFormat, LogOrders, LogSettings,
    PageSettings, Propagation, QueueTarget, QueueTls, ReconcileSettings, Settings, Simulation, StoreTarget,
};

#[cfg(feature = "cli")]
use fallback::Fallback;

#[cfg(feature = "cli")]
impl Settings {
    /// The settings that `fulfillment-worker run` would have in this process: its variables, the file that they name, and
    /// the defaults.
    ///
    /// # Errors
    /// Names the option, and the source of its value; or says that queue and store are not configured, unless standard
    /// error is a terminal.
    pub fn from_environment() -> Result<Self, layers::LayerError> {
        Ok(from_environment(&environment::Environment::of_process(), Fallback::detect())?.0)
    }

    /// The defaults, with queue and store embedded in the database file `path`.
    ///
    /// # Errors
    /// None that a path brings about.
    #[cfg(feature = "sqlite")]
    pub fn embedded(path: impl Into<std::path::PathBuf>) -> Result<Self, layers::LayerError> {
        let (mut settings, _) = from_environment(&environment::Environment::default(), Fallback::Embedded)?;
        let path = path.into();
        settings.backends.queue = QueueTarget::Sqlite(path.clone());
        settings.backends.store = StoreTarget::Sqlite(path);
        Ok(settings)
    }
}

/// The configuration of `run` in this environment: its variables, the file that they name, and the defaults. For
/// programs that embed the worker ([`crate::service::Service`]).
///
/// # Errors
/// Names the option, and the source of its value.
#[cfg(feature = "cli")]
pub fn from_environment(
    environment: &environment::Environment,
    fallback: Fallback,
) -> Result<(Settings, LogSettings), layers::LayerError> {
    use clap::{Args, Command, FromArgMatches};
    use options::RunOptions;

    let command = Command::new("worker").subcommand(RunOptions::augment_args(Command::new("run")));
    let (matches, origins) = layers::parse(&command, &["worker", "run"].map(Into::into), environment)?;
    let options = RunOptions::from_arg_matches(matches.subcommand().map_or(&matches, |(_, chosen)| chosen));
    Ok(options.map_err(layers::LayerError::Usage)?.resolve(&origins, fallback)?)
}
