//! `config init`: a file for `--config`, with every option.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use clap::{Arg, Args, Command};

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::config::options::RunOptions;

/// Write a commented file for `--config`, with each option, its meaning and its default
///
/// Every option is commented out, so that the file changes nothing until one is taken in. Refuses to write over a file.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker config init                    writes ./fulfillment.toml
  fulfillment-worker config init /etc/worker.toml
  fulfillment-worker config init -                  prints it")]
pub(super) struct Arguments {
    /// The file; `-` is standard output
    #[arg(value_name = "FILE", default_value = "fulfillment.toml")]
    file: PathBuf,
}

pub(super) fn init(arguments: &Arguments) -> Result<(), Failure> {
    let text = commented();
    if arguments.file.as_os_str() == "-" {
        return output::print_own(text.trim_end());
    }
    let path = arguments.file.display();
    // Its owner's alone, as it may come to hold passwords.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&arguments.file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::Work(format!("{path} exists, and is left as it is; name another file")),
        _ => Failure::Work(format!("can't write {path}: {error}")),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| Failure::Work(format!("can't write {path}: {error}")))?;
    output::print(&format!("wrote {path}; try it with `fulfillment-worker config --config {path}`"))
}

/// The file.
fn commented() -> String {
    let mut text = String::from(
        "# Options of `fulfillment-worker run`, for --config. Each is commented out and shows its default; take the # away to set it.\n\
         # Command line > environment > this file > default. `fulfillment-worker config --config FILE` shows what comes of it.\n",
    );
    let command = RunOptions::augment_args(Command::new("options"));
    let mut heading = None;
    for option in command.get_arguments() {
        let Some(name) = option.get_long().filter(|name| *name != "config") else { continue };
        if option.get_help_heading() != heading {
            heading = option.get_help_heading();
            let _ = write!(text, "\n\n# {}\n", heading.unwrap_or("Other options"));
        }
        text.push('\n');
        for line in meaning(option) {
            let _ = writeln!(text, "# {line}");
        }
        let defaults: Vec<String> =
            option.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let _ = if defaults.is_empty() {
            writeln!(text, "# Not set by default.\n#{name} = \"{}\"", placeholder(option))
        } else {
            writeln!(text, "#{name} = {}", value(&defaults.join(",")))
        };
    }
    text
}

/// Numbers and booleans as they are, all else as a string.
fn value(default: &str) -> String {
    let is_number = !default.is_empty() && default.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        return default.to_owned();
    }
    // A string of JSON is one of TOML.
    serde_json::to_string(default).unwrap_or_default()
}

fn placeholder(option: &Arg) -> String {
    option.get_value_names().and_then(<[_]>::first).map(ToString::to_string).unwrap_or_default()
}

/// What help says of it, in lines that an editor shows whole, and the values that it may have.
fn meaning(option: &Arg) -> Vec<String> {
    const WIDTH: usize = 100;
    let mut words = option.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<String> = option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !possible.is_empty() {
        let _ = write!(words, ". One of: {}", possible.join(", "));
    }
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::file::ConfigFile;
    use crate::config::options;

    #[test]
    fn the_file_has_every_option_and_what_is_taken_in_is_its_default() {
        let text = commented();
        let as_it_is = ConfigFile::parse(Path::new("new.toml"), &text, &options::names()).unwrap();
        assert!(options::names().iter().all(|option| as_it_is.get(option).is_none()));
        let taken_in: String = text
            .lines()
            .map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')).unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let file = ConfigFile::parse(Path::new("new.toml"), &taken_in, &options::names()).unwrap();
        let command = RunOptions::augment_args(Command::new("options"));
        for option in command.get_arguments() {
            let name = option.get_long().unwrap();
            if name == "config" {
                continue;
            }
            let (value, _) = file.get(name).unwrap_or_else(|| panic!("{name} is missing"));
            let defaults: Vec<_> = option.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            if !defaults.is_empty() {
                assert_eq!(*value, defaults.join(","), "{name}");
            }
        }
    }

    #[test]
    fn a_file_that_is_there_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("worker.toml");
        std::fs::write(&file, "lease = \"20s\"").unwrap();
        let Err(Failure::Work(message)) = init(&Arguments { file: file.clone() }) else { panic!("written") };
        assert!(message.contains("exists, and is left as it is"), "{message}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "lease = \"20s\"");
    }
}
