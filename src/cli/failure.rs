//! Why a command ended without having done what it was asked, and the exit code that tells so.

use std::io;
use std::process::ExitCode;

use super::output;
use crate::config::ConfigError;
use crate::config::redact;
use crate::service::backends::StartError;

/// Exit codes as the contract has them.
const FAILED_AT_WORK: u8 = 1;
const WRONG_USAGE: u8 = 2;

#[derive(Debug)]
pub(super) enum Failure {
    /// clap's own errors, and what it shows for `--help` and `--version`.
    Clap(clap::Error),
    /// Wrong usage, configuration or input.
    Usage(String),
    /// Failed at work.
    Work(String),
    /// Whoever read our output has had enough, as `head` has: no error.
    OutputClosed,
}

impl Failure {
    /// Says it on standard error, and gives the exit code.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::OutputClosed => ExitCode::SUCCESS,
            Self::Usage(message) => {
                output::error(&message);
                ExitCode::from(WRONG_USAGE)
            }
            Self::Work(message) => {
                output::error(&message);
                ExitCode::from(FAILED_AT_WORK)
            }
            Self::Clap(error) => {
                let text = error.render().to_string();
                let shown = redact::user_info(&text);
                // An error quotes what was typed; help and version quote nothing.
                if error.use_stderr() && shown != text {
                    output::note(shown.trim_end());
                } else {
                    // With colours. Where nobody can read it, nothing can be done about it.
                    let _ = error.print();
                }
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE))
            }
        }
    }

    /// From writing to standard output.
    pub(super) fn of_output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Work(format!("can't write to standard output: {error}")),
        }
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
            StartError::Fulfiller(_) | StartError::Traces(_) | StartError::Lacking(..) => {
                Self::Usage(error.to_string())
            }
            _ => Self::Work(error.to_string()),
        }
    }
}
