//! Finds every option's value: command line, else environment, else file, else default.
//!
//! Values from elsewhere are added to the command line, which is then parsed again. So each value goes through the same
//! parser, and each option is defined once.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::environment::Environment;
use super::file::ConfigFile;
use super::origin::{ConfigError, Origin, Origins};
use super::{environment, options, postgres_url, redact, redis_url};

/// Why a command line is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// clap's own: usage errors, and requests for help or version.
    #[error("{}", redact::user_info(&.0.to_string()))]
    Usage(clap::Error),
    /// A value from any source.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Parses `arguments` (the program's name first) with `command`, and adds the values of options that the chosen
/// subcommand has and the command line does not set. Only names of subcommands may stand before the first option.
///
/// # Errors
/// [`LayerError`].
pub fn parse(
    command: &Command,
    arguments: &[OsString],
    environment: &Environment,
) -> Result<(ArgMatches, Origins), LayerError> {
    let typed = command.clone().try_get_matches_from(arguments).map_err(|error| refused(error, &Origins::default()))?;
    let Some((mut name, mut chosen)) = typed.subcommand() else { return Ok((typed, Origins::default())) };
    let mut offering = command.find_subcommand(name);
    let mut words = 2;
    while let Some((deeper, matches)) = chosen.subcommand() {
        (name, chosen) = (deeper, matches);
        offering = offering.and_then(|command| command.find_subcommand(name));
        words += 1;
    }
    let offered: Vec<String> = offering
        .into_iter()
        .flat_map(Command::get_arguments)
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .collect();
    let known = options::settable();
    let file = if offered.iter().any(|option| option == "config") {
        config_file(chosen, environment, &known)?
    } else {
        ConfigFile::default()
    };

    let mut origins = Origins::default();
    let mut filled_in = Vec::new();
    for option in known.iter().filter(|option| offered.contains(option)) {
        if is_typed(chosen, option) {
            origins.set(option, Origin::CommandLine);
        } else if let Some((value, origin)) = beyond_command_line(option, chosen, environment, &file)? {
            filled_in.push(OsString::from(format!("--{option}={value}")));
            origins.set(option, origin);
        }
    }
    for option in ["queue", "store"].iter().filter(|option| offered.iter().any(|offered| offered == *option)) {
        origins.note_empty(environment.empty(option));
    }
    filled_in.extend(share_embedded_file(chosen, &filled_in, &mut origins));
    // Only commands that have the option, and never the default.
    if origins.of("store") != Origin::Default
        && let Some(store) = value("store", chosen, &filled_in).filter(|store| postgres_url::is_postgres(store))
    {
        let variables = environment.libpq()?;
        let used = postgres_url::filled(&store, &variables);
        origins.fill_store(variables, used);
    }
    if origins.of("queue") != Origin::Default
        && let Some(queue) = value("queue", chosen, &filled_in)
        && redis_url::lacks_password(&queue)
        && let Some((password, origin)) = environment.redis_password()?
    {
        origins.fill_queue(password, &origin);
    }
    origins.note_secret_files(secret_files(chosen, &filled_in, environment, &file));
    // Right behind the subcommand, so that no `--` of the user's comes before.
    let (head, tail) = arguments.split_at(words.min(arguments.len()));
    let complete = head.iter().chain(&filled_in).chain(tail);
    let matches = command.clone().try_get_matches_from(complete).map_err(|error| refused(error, &origins))?;
    Ok((matches, origins))
}

fn config_file(chosen: &ArgMatches, environment: &Environment, known: &[String]) -> Result<ConfigFile, ConfigError> {
    let path = match chosen.get_one::<PathBuf>("config") {
        Some(path) => Some(path.clone()),
        None => environment.option("config")?.map(|(path, _)| PathBuf::from(path)),
    };
    path.map_or(Ok(ConfigFile::default()), |path| ConfigFile::read(&path, known))
}

fn beyond_command_line(
    option: &str,
    chosen: &ArgMatches,
    environment: &Environment,
    file: &ConfigFile,
) -> Result<Option<(String, Origin)>, ConfigError> {
    if let Some(found) = environment.option(option)? {
        return Ok(Some(found));
    }
    // Of a secret that has an option for its file, the credential is that file, which may change.
    if let Some((of_value, of_file)) = environment::kept_in(option)
        && !is_typed(chosen, of_value)
        && !is_typed(chosen, of_file)
        && environment.option(of_value)?.is_none()
        && environment.option(of_file)?.is_none()
        && let Some(path) = environment.credential(&environment::variable(of_value))?
    {
        let origin = Origin::Credential(path.clone());
        return Ok((option == of_file).then(|| (path.to_string_lossy().into_owned(), origin)));
    }
    Ok(file.get(option).map(|(value, line)| (value.clone(), Origin::File { path: file.path.clone(), line: *line })))
}

/// The files that hold secrets, each with what names it.
fn secret_files(
    chosen: &ArgMatches,
    filled_in: &[OsString],
    environment: &Environment,
    file: &ConfigFile,
) -> Vec<(String, PathBuf)> {
    let options = ["fulfiller-token-file", "fulfiller-secret-file", "fulfiller-key"];
    let by_options = options.into_iter().filter(|option| chosen.try_contains_id(&option.replace('-', "_")).is_ok());
    let by_options =
        by_options.filter_map(|option| Some((format!("--{option}"), value(option, chosen, filled_in)?.into())));
    let own = file.holds_secret().then(|| ("--config".to_owned(), file.path.clone()));
    let mut files: Vec<(String, PathBuf)> = by_options.chain(own).chain(environment.secret_files()).collect();
    files.sort_by(|(_, one), (_, other)| one.cmp(other));
    files.dedup_by(|(_, one), (_, other)| one == other);
    files
}

/// The queue as an argument if the store is embedded and no source names the queue, and the other way round: both are then
/// in the same file.
fn share_embedded_file(chosen: &ArgMatches, filled_in: &[OsString], origins: &mut Origins) -> Option<OsString> {
    let of = |option: &str| origins.of(option) != Origin::Default;
    let (named, missing) = match (of("queue"), of("store")) {
        (true, false) => ("queue", "store"),
        (false, true) => ("store", "queue"),
        _ => return None,
    };
    let value = value(named, chosen, filled_in).filter(|value| value.starts_with("sqlite:"))?;
    origins.set(missing, Origin::SameAs(named));
    Some(OsString::from(format!("--{missing}={value}")))
}

/// The value of an option: typed, or from elsewhere.
fn value(option: &str, chosen: &ArgMatches, filled_in: &[OsString]) -> Option<String> {
    let prefix = format!("--{option}=");
    let elsewhere = filled_in.iter().find_map(|argument| argument.to_str()?.strip_prefix(&prefix));
    let typed = || chosen.get_raw(&option.replace('-', "_")).filter(|_| is_typed(chosen, option))?.next()?.to_str();
    elsewhere.or_else(typed).map(str::to_owned)
}

/// clap names arguments after the fields they fill.
fn is_typed(chosen: &ArgMatches, option: &str) -> bool {
    chosen.value_source(&option.replace('-', "_")) == Some(ValueSource::CommandLine)
}

/// Adds to the error about a value where it was set, which clap can't know. Leaves other errors to clap.
fn refused(error: clap::Error, origins: &Origins) -> LayerError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (Some(argument), Some(value)) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) else {
        return LayerError::Usage(error);
    };
    let Some(option) = argument.strip_prefix("--").and_then(|argument| argument.split([' ', '=']).next()) else {
        return LayerError::Usage(error);
    };
    let problem = match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::ValueValidation, _) => std::error::Error::source(&error).map(ToString::to_string),
        // What clap says where an option that takes any path or text got none.
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(valid))) if valid.is_empty() => {
            Some("must not be empty".to_owned())
        }
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(valid))) => {
            Some(format!("must be one of {}", valid.join(", ")))
        }
        _ => None,
    };
    let Some(problem) = problem else { return LayerError::Usage(error) };
    let origin = match origins.of(option) {
        Origin::Default => Origin::CommandLine,
        set => set,
    };
    // Range errors of clap begin with the value.
    let problem = problem.strip_prefix(&format!("{value} ")).unwrap_or(&problem);
    let problem = format!("`{}` {problem}", redact::user_info(value).escape_debug());
    ConfigError::Value { option: option.to_owned(), origin, problem }.into()
}
