//! The source of each value, and the errors that name it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "cli")]
use super::exposed;
use super::postgres_url::Variables;
use super::secret::Secret;

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    CommandLine,
    /// Variables, by their names.
    Environment(String),
    /// The file that a variable names.
    SecretFile {
        /// The name of the variable.
        variable: String,
        /// The path as it was given.
        path: PathBuf,
    },
    /// A credential of systemd, by its file.
    Credential(PathBuf),
    /// A line of the configuration file.
    File {
        /// The path as it was given.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
    /// Another source, and the variables that fill its gaps, by their names.
    Filled(Box<Origin>, Vec<String>),
    /// Another option, by its name without the dashes: queue and store share an embedded file.
    SameAs(&'static str),
    /// No source has a value.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment(variables) => f.write_str(variables),
            Self::SecretFile { variable, path } => write!(f, "{variable}={}", path.display()),
            Self::Credential(path) => write!(f, "credential {}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Filled(origin, variables) => write!(f, "{origin}, {}", variables.join(", ")),
            Self::SameAs(option) => write!(f, "as --{option}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why the configuration is not valid. Names the option and the source, and describes the valid values. Never shows a
/// value that may hold a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value that the option does not take.
    #[error("--{option}{}: {problem}", set_in(.origin))]
    Value {
        /// The option's name without the dashes.
        option: String,
        /// The source of the value.
        origin: Origin,
        /// The problem, and the valid values.
        problem: String,
    },
    /// The configuration file can't be read.
    #[error("configuration file {}: {problem}", path.display())]
    File {
        /// The path as it was given.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A line of the configuration file is not valid.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The path as it was given.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The problem.
        problem: String,
    },
    /// A variable of the environment that is not UTF-8.
    #[error("environment variable {0} is not UTF-8")]
    NotUtf8(String),
    /// A variable and the one that names a file with its value are both set.
    #[error("{0} and {1} are both set; keep one of them")]
    Both(String, String),
    /// A file that should hold a secret does not.
    #[error("{origin}: {problem}")]
    Secret {
        /// What names the file, and the file.
        origin: Origin,
        /// The problem.
        problem: String,
    },
    /// Queue or store are not configured, and must be.
    #[error("{0}")]
    NotSet(String),
}

/// The source in brackets, unless it is the command line.
fn set_in(origin: &Origin) -> String {
    match origin {
        Origin::CommandLine => String::new(),
        elsewhere => format!(" ({elsewhere})"),
    }
}

/// The sources of all values of one invocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    origins: BTreeMap<String, Origin>,
    empty_variables: Vec<String>,
    libpq: Variables,
    queue_password: Option<Secret>,
    secret_files: Vec<(String, PathBuf)>,
}

impl Origins {
    /// Of one option, by its name without the dashes.
    pub fn of(&self, option: &str) -> Origin {
        self.origins.get(option).cloned().unwrap_or(Origin::Default)
    }

    pub(super) fn set(&mut self, option: &str, origin: Origin) {
        self.origins.insert(option.to_owned(), origin);
    }

    /// Variables of queue and store that are there and empty.
    pub(super) fn empty_variables(&self) -> &[String] {
        &self.empty_variables
    }

    pub(super) fn note_empty<'a>(&mut self, variables: impl Iterator<Item = &'a str>) {
        self.empty_variables.extend(variables.map(str::to_owned));
    }

    /// libpq's variables, which fill the gaps of a Postgres store.
    pub(super) fn libpq(&self) -> &Variables {
        &self.libpq
    }

    /// Notes libpq's variables, and `used`, those of them that fill gaps of the store.
    pub(super) fn fill_store(&mut self, variables: Variables, used: Vec<String>) {
        self.libpq = variables;
        if !used.is_empty() {
            self.set("store", Origin::Filled(Box::new(self.of("store")), used));
        }
    }

    /// The password of a queue whose URL has none.
    pub(super) fn queue_password(&self) -> Option<&Secret> {
        self.queue_password.as_ref()
    }

    /// Notes the password that fills the gap in the queue's URL.
    pub(super) fn fill_queue(&mut self, password: String, origin: &Origin) {
        self.queue_password = Some(Secret::new(password));
        self.set("queue", Origin::Filled(Box::new(self.of("queue")), vec![origin.to_string()]));
    }

    pub(super) fn note_secret_files(&mut self, files: impl IntoIterator<Item = (String, PathBuf)>) {
        self.secret_files.extend(files);
    }

    /// A warning for each file with a secret that others can read.
    #[cfg(feature = "cli")]
    pub fn exposed_secrets(&self) -> impl Iterator<Item = String> {
        self.secret_files.iter().filter_map(|(name, path)| exposed::warning(name, path))
    }

    /// An error about an option's value.
    pub(super) fn error(&self, option: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Value { option: option.to_owned(), origin: self.of(option), problem: problem.into() }
    }
}
