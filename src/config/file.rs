//! The TOML file of `--config`: one key for each option, no tables.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::origin::ConfigError;
use super::redact;
use super::suggestion::nearest;

/// Far above any real configuration.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The values of a configuration file, as text, with their lines.
#[derive(Debug, Default)]
pub struct ConfigFile {
    pub(super) path: PathBuf,
    values: BTreeMap<String, (String, usize)>,
}

impl ConfigFile {
    /// Reads the file and checks its keys against the names of all `options`.
    pub(super) fn read(path: &Path, options: &[String]) -> Result<Self, ConfigError> {
        let failed = |problem: String| ConfigError::File { path: path.to_owned(), problem };
        let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        let mut text = String::new();
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(failed(format!("longer than {MAX_FILE_BYTES} bytes")));
        }
        Self::parse(path, &text, options)
    }

    /// Reads the text of a file; errors name it by `path`.
    ///
    /// # Errors
    /// Names the line that is not TOML, or has an unknown key or a value of the wrong type. Never quotes a value, which may
    /// be a secret.
    pub fn parse(path: &Path, text: &str, options: &[String]) -> Result<Self, ConfigError> {
        let line_of = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        let failed = |line, problem| ConfigError::Line { path: path.to_owned(), line, problem };
        // The error's own Display quotes the line, which may hold a password.
        let table = DeTable::parse(text).map_err(|error| {
            failed(error.span().map_or(1, |span| line_of(span.start)), format!("not TOML: {}", error.message()))
        })?;
        // In order of lines, so that the first error is the first in the file.
        let mut entries: Vec<_> = table.into_inner().into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut values = BTreeMap::new();
        for (key, value) in entries {
            let line = line_of(key.span().start);
            let key = key.into_inner();
            if !options.iter().any(|option| *option == key) {
                return Err(failed(line, unknown_key(&key, options)));
            }
            let value = if LISTS.contains(&&*key) { list(value.into_inner()) } else { scalar(value.into_inner()) };
            let value = value.ok_or_else(|| {
                let or_list = if LISTS.contains(&&*key) { ", or a list of them" } else { "" };
                failed(line, format!("`{key}` takes a string, a number or a boolean{or_list}"))
            })?;
            values.insert(key.into_owned(), (value, line));
        }
        Ok(Self { path: path.to_owned(), values })
    }

    /// Whether a value is a secret, or a URL that may hold one.
    pub(super) fn holds_secret(&self) -> bool {
        self.values.iter().any(|(option, (value, _))| match option.as_str() {
            "fulfiller-token" | "fulfiller-secret" => true,
            "queue" | "store" => value.contains('@') || value.to_ascii_lowercase().contains("password="),
            "fulfiller" | "server" => value.contains("://") && redact::user_info(value) != *value,
            _ => false,
        })
    }

    /// The text of an option's value, and its line.
    pub fn get(&self, option: &str) -> Option<&(String, usize)> {
        self.values.get(option)
    }
}

/// The options that may have several values.
const LISTS: [&str; 2] = ["listen", "operators"];

/// Values as a variable has them, separated by commas.
fn list(value: DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Array(values) => {
            let values: Option<Vec<String>> = values.into_iter().map(|value| scalar(value.into_inner())).collect();
            values.map(|values| values.join(","))
        }
        value => scalar(value),
    }
}

/// A value as on the command line.
fn scalar(value: DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        _ => None,
    }
}

fn unknown_key(key: &str, options: &[String]) -> String {
    match nearest(&key.replace('_', "-"), options.iter().map(String::as_str)) {
        Some(nearest) => format!("unknown key `{key}`; did you mean `{nearest}`?"),
        _ => format!("unknown key `{key}`; the keys are the options of `run --help` without the dashes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, String> {
        let options = ["lease", "concurrency", "events", "queue", "simulate-failures"].map(str::to_owned);
        ConfigFile::parse(Path::new("worker.toml"), text, &options).map_err(|error| error.to_string())
    }

    #[test]
    fn values_of_every_plain_type_are_taken_with_their_lines() {
        let file =
            parse("# ours\nlease = \"20s\"\n\nconcurrency = 500\nevents = false\nsimulate-failures = 0.05\n").unwrap();
        assert_eq!(file.get("lease"), Some(&("20s".to_owned(), 2)));
        assert_eq!(file.get("concurrency"), Some(&("500".to_owned(), 4)));
        assert_eq!(file.get("events"), Some(&("false".to_owned(), 5)));
        assert_eq!(file.get("simulate-failures"), Some(&("0.05".to_owned(), 6)));
        assert_eq!(file.get("queue"), None);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_option() {
        assert_eq!(
            parse("lease = \"20s\"\nconcurency = 5\n").unwrap_err(),
            "worker.toml:2: unknown key `concurency`; did you mean `concurrency`?"
        );
    }

    #[test]
    fn a_key_that_is_like_nothing_gets_a_pointer_to_the_list() {
        assert_eq!(
            parse("xyzzy = 1").unwrap_err(),
            "worker.toml:1: unknown key `xyzzy`; the keys are the options of `run --help` without the dashes"
        );
    }

    #[test]
    fn a_table_is_not_a_value() {
        assert_eq!(
            parse("[queue]\nurl = 1").unwrap_err(),
            "worker.toml:1: `queue` takes a string, a number or a boolean"
        );
    }

    #[test]
    fn options_with_several_values_take_a_list_and_no_other_option_does() {
        let options = ["listen", "lease"].map(str::to_owned);
        let parse = |text| ConfigFile::parse(Path::new("worker.toml"), text, &options);
        let file = parse("listen = [\":2112\", \"unix:/run/x.sock\"]").unwrap();
        assert_eq!(file.get("listen"), Some(&(":2112,unix:/run/x.sock".to_owned(), 1)));
        assert!(parse("listen = [[\":2112\"]]").unwrap_err().to_string().ends_with("or a list of them"));
        assert!(parse("lease = [\"1s\"]").is_err());
    }

    #[test]
    fn broken_toml_names_the_line_and_quotes_nothing_of_it() {
        let error = parse("lease = \"20s\"\nqueue = \"redis://:hush@host\nevents = true").unwrap_err();
        assert!(error.starts_with("worker.toml:2: not TOML: "), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn a_key_given_twice_is_an_error() {
        let error = parse("lease = \"20s\"\nlease = \"30s\"\n").unwrap_err();
        assert!(error.starts_with("worker.toml:2: not TOML: duplicate key"), "{error}");
    }
}
