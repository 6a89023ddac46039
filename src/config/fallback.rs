//! What becomes of queue and store when no source names them.
//!
//! On a terminal they are embedded, with a warning, so that a first try needs no options. Elsewhere that is an error: a
//! worker whose secret is empty would otherwise look healthy beside orders that it never sees. A server for one of them
//! alone is an error everywhere, since the worker would find no row for any message.

use std::io::{self, IsTerminal};

use super::environment;
use super::origin::{ConfigError, Origin, Origins};

/// Whether queue and store may be embedded although nothing says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// They may.
    Embedded,
    /// They may not: an option has to name them.
    Refused,
}

impl Fallback {
    /// Embedded where somebody sees the warning: standard error is a terminal.
    pub fn detect() -> Self {
        if io::stderr().is_terminal() { Self::Embedded } else { Self::Refused }
    }

    /// Checks that `needed`, some of `queue` and `store`, are configured or may fall back.
    pub(super) fn check(self, origins: &Origins, needed: &[&'static str]) -> Result<(), ConfigError> {
        let is_set = |option: &&str| origins.of(option) != Origin::Default;
        let missing: Vec<&str> = needed.iter().copied().filter(|option| !is_set(option)).collect();
        let other = ["queue", "store"].into_iter().find(|option| is_set(option));
        let problem = match (missing.as_slice(), other) {
            ([], _) => return Ok(()),
            ([option], Some(other)) => format!("--{option} is not set, though --{other} is ({})", origins.of(other)),
            (_, None) if self == Self::Embedded => return Ok(()),
            ([option], None) => format!("--{option} is not set"),
            _ => "neither --queue nor --store is set".to_owned(),
        };
        let variables: Vec<String> = missing.iter().map(|option| some_variable(option)).collect();
        let empty = match origins.empty_variables() {
            [] => String::new(),
            [one] => format!(", and {one} is empty"),
            several => format!(", and {} are empty", several.join(", ")),
        };
        Err(ConfigError::NotSet(format!(
            "{problem}{empty}; set {}, or write --{} sqlite:PATH to embed {}",
            variables.join(" and "),
            missing.last().copied().unwrap_or("store"),
            if missing.len() == 1 { "it in a file" } else { "both in one file" },
        )))
    }
}

/// The variables that most people set; of the parts of a URL the first one.
fn some_variable(option: &str) -> String {
    let names = environment::variables(option);
    let given = names.get(1..).filter(|given| !given.is_empty()).unwrap_or(&names);
    given.iter().filter_map(|name| name.split(", ").next()).collect::<Vec<_>>().join(" or ")
}

/// The warning where queue and store are embedded because nothing is configured; `None` otherwise.
pub fn warning(origins: &Origins) -> Option<&'static str> {
    let is_unset = |option| origins.of(option) == Origin::Default;
    (is_unset("queue") && is_unset("store")).then_some(
        "nothing is configured, so queue and store are embedded in ./fulfillment.db; set --queue and --store, or write \
         --store sqlite:fulfillment.db if you mean it",
    )
}
