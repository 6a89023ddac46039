//! Why a command ended without having done its work.

use std::fmt;

use crate::admin::AccessError;
use crate::config::ConfigError;
#[cfg(feature = "otlp")]
use crate::observe::trace::export::TraceError;
use crate::service::backends::StartError;

#[derive(Debug)]
pub(super) enum Failure {
    /// clap's own errors, and what it shows for `--help` and `--version`.
    Clap(clap::Error),
    /// Wrong usage, configuration or input: exit code 2.
    Usage(String),
    /// Failed at work: exit code 1.
    Work(String),
    /// Could not look, where that is another answer than having found something: exit code 2.
    Unseen(String),
    /// The reader of our output has closed it, as `head` does. No error.
    OutputClosed,
}

impl Failure {
    /// At work, for the reason that `error` gives.
    pub(super) fn work(error: impl fmt::Display) -> Self {
        Self::Work(error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            #[cfg(feature = "otlp")]
            StartError::Traces(TraceError::Thread(_)) => Self::work(error),
            StartError::Access(AccessError::Thread(_)) => Self::work(error),
            StartError::Access(_)
            | StartError::Fulfiller(_)
            | StartError::Traces(_)
            | StartError::Lacking(..)
            | StartError::Unusable(..) => Self::Usage(error.to_string()),
            _ => Self::work(error),
        }
    }
}
