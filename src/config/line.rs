//! The configuration as it is shown to people: each option with its value and its source.

#[cfg(feature = "cli")]
use clap::ArgMatches;
use serde::Serialize;

#[cfg(feature = "cli")]
use super::options;
#[cfg(feature = "cli")]
use super::origin::Origins;
#[cfg(feature = "cli")]
use super::settings::{FulfillerTarget, Settings};

/// An option, its value and where that comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigurationLine {
    /// Without the dashes.
    pub option: String,
    /// As it was given or was understood, without passwords; `None` without value and default.
    pub value: Option<String>,
    /// Such as `command line`, the names of variables, a line of a file, or `default`.
    pub source: String,
}

/// Every option of `run`, in the order of its help. `matches` are those of the command.
#[cfg(feature = "cli")]
pub(crate) fn lines(matches: &ArgMatches, settings: &Settings, origins: &Origins) -> Vec<ConfigurationLine> {
    let line = |option: String| ConfigurationLine {
        value: shown_value(&option, matches, settings),
        source: origins.of(&option).to_string(),
        option,
    };
    options::names().into_iter().map(line).collect()
}

#[cfg(feature = "cli")]
fn shown_value(option: &str, matches: &ArgMatches, settings: &Settings) -> Option<String> {
    if ["fulfiller-token", "fulfiller-secret"].contains(&option) {
        return matches.contains_id(&option.replace('-', "_")).then(|| "***".to_owned());
    }
    match (option, &settings.fulfiller) {
        ("queue", _) => Some(settings.backends.queue.to_string()),
        ("store", _) => Some(settings.backends.store.to_string()),
        ("fulfiller", FulfillerTarget::Http(target)) => Some(target.url.to_string()),
        _ => {
            let values = matches.get_raw(&option.replace('-', "_"))?.map(|value| value.to_string_lossy());
            Some(values.collect::<Vec<_>>().join(","))
        }
    }
}
