//! Where each value was set, which every error about one says.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

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

/// Says where to look, when that isn't the command line that was just typed.
fn set_in(origin: &Origin) -> String {
    match origin {
        Origin::CommandLine => String::new(),
        elsewhere => format!(" ({elsewhere})"),
    }
}

/// Where the values of one invocation come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Of one option, by its name without the dashes.
    pub fn of(&self, option: &str) -> Origin {
        self.0.get(option).cloned().unwrap_or(Origin::Default)
    }

    pub(super) fn set(&mut self, option: &str, origin: Origin) {
        self.0.insert(option.to_owned(), origin);
    }

    /// An error about an option's value.
    pub(super) fn error(&self, option: &str, problem: String) -> ConfigError {
        ConfigError::Value { option: option.to_owned(), origin: self.of(option), problem }
    }
}
