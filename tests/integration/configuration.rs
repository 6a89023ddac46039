//! `docs/CONFIGURATION.md` says what the code says: every option, its variables, key, default, values and meaning.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use fulfillment_worker::cli;
use fulfillment_worker::config::environment::{self, Environment};
use fulfillment_worker::config::layers::{self, LayerError};
use fulfillment_worker::config::{ConfigError, options};

const FILE: &str = "docs/CONFIGURATION.md";

const INTRODUCTION: &str = "\
# Configuration

Every option, generated from the code: `UPDATE_GOLDEN=1 cargo test --test integration configuration` writes this file.

Command line > environment > file > default. The file is TOML; `--config` or `FULFILLMENT_CONFIG` names it. Its keys are
the options without the dashes, its values strings, numbers or booleans, and an unknown key is an error. An empty variable
counts as not set. Of several variables, the first one that is set wins. `fulfillment-worker config` shows the value and
the source of each option.

**Secrets.** `NAME[_FILE]` stands for two variables: the secret itself, or the path of a file with it; both set is an error.
After them counts the credential of a systemd unit: the file of `$CREDENTIALS_DIRECTORY` that is named as the variable in lower
case, with dashes and without `fulfillment-`, such as `queue`, `redis-url`, `postgres-password` or `fulfiller-token`. The password
of a queue whose URL has none is `REDIS_PASSWORD[_FILE]`; that of a store, `PGPASSWORD[_FILE]`. `OTEL_EXPORTER_OTLP_HEADERS[_FILE]`
and `OTEL_EXPORTER_OTLP_TRACES_HEADERS[_FILE]` work likewise. Of a file counts one line of at most 64 KiB, without its end; one
that is empty, missing or can't be read is an error with exit code 2. A pipe works if it ends within 5 seconds. The command line,
environment and file of options keep their copies of what is in them: secrets are wiped from memory where the worker drops its own.

`run` and `config` warn of a file with a secret that others can read or change: one with more than mode 0600, or 0640 if it is
root's, unless it is in `/run/secrets` or `/run/credentials`, or on a read-only tmpfs as a volume of Kubernetes is. The files of
`--fulfiller-token-file`, `--fulfiller-secret-file`, `--fulfiller-ca`, `--fulfiller-certificate` and `--fulfiller-key` are
[read again](OBSERVABILITY.md#signals) when they change.

`--queue` and `--store` have a default for a first try only: a file in the working folder, used with a warning where
standard error is a terminal. Elsewhere (a container, a service, a cron job) a command that needs them exits with code 2 if
they are not set, so that a worker whose secret is missing or empty doesn't look healthy. A server for one of them and
nothing for the other is that error everywhere. `--store sqlite:PATH` written down embeds both, anywhere.

With `--server`, commands ask a running worker and need neither ([API](API.md#the-command-line-through-a-worker)). A `--queue` or
`--store` that is typed wins over a server that is set elsewhere.
";

#[test]
fn every_option_is_documented_as_it_is() {
    let text = page();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&file, &text).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    let differing: Vec<&str> =
        text.lines().filter(|line| !written.lines().any(|other| other == *line)).take(5).collect();
    assert!(
        text == written,
        "{FILE} differs from the code, first in {differing:#?}; run `UPDATE_GOLDEN=1 cargo test --test integration configuration`"
    );
}

/// `run` with all its options, then every command with those that no command before has in the same way.
fn page() -> String {
    let all = cli::command();
    let run = all.find_subcommand("run").unwrap();
    let of_run: Vec<(&Arg, String)> = run.get_arguments().map(|arg| (arg, row(&["run"], run, arg))).collect();
    let mut page = INTRODUCTION.to_owned();
    write_section(&mut page, &["run"], run, &of_run);
    let mut shown: Vec<(String, String)> = of_run.into_iter().map(|(_, row)| ("run".to_owned(), row)).collect();
    for (words, command) in commands(&all, &[]) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if ["run", "config"].contains(&words[0]) {
            continue;
        }
        let is_configurable = |arg: &&Arg| ["demo", "warehouse"].contains(&words[0]) || is_layered(arg);
        let rows = command.get_arguments().filter(is_configurable).map(|arg| (arg, row(&words, command, arg)));
        let (same, own): (Vec<_>, Vec<_>) = rows.partition(|(_, row)| shown.iter().any(|(_, other)| other == row));
        if !own.is_empty() || !same.is_empty() {
            write_section(&mut page, &words, command, &own);
        }
        let mut as_others: Vec<(&str, Vec<String>)> = Vec::new();
        for (arg, row) in &same {
            let of = shown.iter().find(|(_, other)| other == row).map_or("run", |(of, _)| of.as_str());
            let name = format!("`--{}`", arg.get_long().unwrap());
            match as_others.iter_mut().find(|(other, _)| *other == of) {
                Some((_, names)) => names.push(name),
                None => as_others.push((of, vec![name])),
            }
        }
        for (of, names) in as_others {
            writeln!(page, "\nAs `{of}`: {}.", names.join(", ")).unwrap();
        }
        shown.extend(own.into_iter().map(|(_, row)| (words.join(" "), row)));
    }
    page
}

/// Every command that has no subcommands, by its words.
fn commands<'a>(command: &'a Command, above: &[String]) -> Vec<(Vec<String>, &'a Command)> {
    let below = command.get_subcommands().flat_map(|command| {
        let words = [above, &[command.get_name().to_owned()]].concat();
        if command.has_subcommands() { commands(command, &words) } else { vec![(words, command)] }
    });
    below.collect()
}

/// Whether environment or file can set it.
fn is_layered(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|option| option == "config" || options::settable().iter().any(|name| name == option))
}

fn write_section(page: &mut String, words: &[&str], command: &Command, rows: &[(&Arg, String)]) {
    writeln!(page, "\n## `{}`\n\n{}.", words.join(" "), command.get_about().unwrap()).unwrap();
    let mut heading = Some("-");
    for (arg, row) in rows {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            let title = heading.map(|heading| format!("\n### {heading}\n")).unwrap_or_default();
            writeln!(page, "{title}\n| Option | Variables | Key | Default | Values | Meaning |").unwrap();
            writeln!(page, "| --- | --- | --- | --- | --- | --- |").unwrap();
        }
        writeln!(page, "{row}").unwrap();
    }
}

fn row(words: &[&str], command: &Command, arg: &Arg) -> String {
    let option = arg.get_long().unwrap();
    let code = |text: &str| format!("`{text}`");
    let has_file = command.get_arguments().any(|arg| arg.get_long() == Some("config"));
    let value = arg.get_value_names().filter(|_| takes_value(arg) && arg.get_possible_values().is_empty());
    let value = value.map(|names| format!(" {}", names[0])).unwrap_or_default();
    let variables = if is_layered(arg) { environment::variables(option) } else { Vec::new() };
    let variable = |name: &str| code(&format!("{name}{}", if environment::is_secret(name) { "[_FILE]" } else { "" }));
    let variables = variables.iter().map(|names| names.split(", ").map(variable).collect::<Vec<_>>().join(", "));
    let default =
        arg.get_default_values().iter().filter(|_| takes_value(arg)).map(|value| code(&value.to_string_lossy()));
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let cells = [
        code(&format!("--{option}{value}")),
        variables.collect::<Vec<_>>().join("; "),
        if is_layered(arg) && has_file && option != "config" { code(option) } else { String::new() },
        default.collect::<Vec<_>>().join(" "),
        values(words, arg),
        help.replace('\n', " ").replace('|', "\\|"),
    ];
    format!("| {} |", cells.join(" | "))
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// The values that an option takes: those it lists, or what its parser says of a value that is none.
fn values(words: &[&str], arg: &Arg) -> String {
    let listed: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|_| takes_value(arg))
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}`: {help}", value.get_name()),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if !listed.is_empty() {
        return listed.join("; ");
    }
    let option = arg.get_long().unwrap_or_default();
    let wrong = ["9000000h", "99999999999999", "\u{1}"].into_iter();
    wrong.filter_map(|wrong| problem(words, option, wrong)).find_map(|problem| range(&problem)).unwrap_or_default()
}

/// What is wrong with a value, in the words of the command line.
fn problem(words: &[&str], option: &str, value: &str) -> Option<String> {
    let arguments: Vec<OsString> = ["fulfillment-worker"]
        .iter()
        .chain(words)
        .map(OsString::from)
        .chain([format!("--{option}={value}").into()])
        .collect();
    match layers::parse(&cli::command(), &arguments, &Environment::default()) {
        Err(LayerError::Config(ConfigError::Value { problem, .. })) => Some(problem),
        _ => None,
    }
}

/// The valid values that a problem names.
fn range(problem: &str) -> Option<String> {
    if let Some((_, range)) = problem.split_once(" is not in ") {
        return Some(range.replace("..=", " to "));
    }
    let (_, valid) = problem.rsplit_once("must be ")?;
    let valid = valid.strip_prefix("from ").unwrap_or(valid);
    Some(valid.split("; expected ").next().unwrap_or(valid).replace("; or", ", or"))
}
