//! The process environment as a value, and the variables that set each option.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::origin::{ConfigError, Origin};
use super::postgres_url::Variables;
use super::secret_file;
use super::url_parts::{host_in_url, percent_encoded};

/// The prefix of every option's own variable.
const PREFIX: &str = "FULFILLMENT_";

/// The parts of the store's URL.
const POSTGRES: [&str; 5] = ["POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"];
/// Belongs to them, and makes no URL by itself.
const POSTGRES_SSLMODE: &str = "POSTGRES_SSLMODE";

/// The variables that hold secrets: each is also the name of a credential, and with [`FILE`] names a file.
const SECRETS: [&str; 13] = [
    "FULFILLMENT_QUEUE",
    "REDIS_URL",
    REDIS_PASSWORD,
    "FULFILLMENT_STORE",
    "DATABASE_URL",
    "POSTGRES_PASSWORD",
    "PGPASSWORD",
    "FULFILLMENT_SERVER",
    "FULFILLMENT_FULFILLER",
    "FULFILLMENT_FULFILLER_TOKEN",
    "FULFILLMENT_FULFILLER_SECRET",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
];

/// The password of a queue whose URL has none.
const REDIS_PASSWORD: &str = "REDIS_PASSWORD";

/// Ends the names of the variables that name a file with a secret.
const FILE: &str = "_FILE";

/// The folder with the credentials of a systemd unit.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Variables by name. Read once at start and passed down, so tests need no process of their own.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// This process's variables. Names that are not UTF-8 can't be ours.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect())
    }

    /// Of these variables only.
    #[cfg(any(test, feature = "internals"))]
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }

    /// The value of a variable. An empty one counts as not set, as compose files can't unset a variable.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn variable(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => value.to_str().map(Some).ok_or_else(|| ConfigError::NotUtf8(name.to_owned())),
        }
    }

    /// The value of an option and its source: its own variable, else one of existing deployments. Where a variable holds
    /// a secret, see [`Self::secret`].
    ///
    /// # Errors
    /// A variable that would count is not UTF-8, or names a file without a secret.
    pub fn option(&self, option: &str) -> Result<Option<(String, Origin)>, ConfigError> {
        for name in [variable(option)].into_iter().chain(given(option).iter().map(|name| (*name).to_owned())) {
            let found = if is_secret(&name) && kept_in(option).is_none() {
                self.secret(&name)?
            } else {
                self.variable(&name)?.map(|value| (value.to_owned(), Origin::Environment(name)))
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        if option == "store" { self.postgres_url() } else { Ok(None) }
    }

    /// The value of a variable that holds a secret: its own, else the content of the file that `NAME_FILE` names, else that
    /// of the credential. The credential of `FULFILLMENT_QUEUE` is `queue`, and that of `REDIS_URL` is `redis-url`.
    ///
    /// # Errors
    /// Both variables are set, or the file holds no secret.
    pub fn secret(&self, name: &str) -> Result<Option<(String, Origin)>, ConfigError> {
        let file = format!("{name}{FILE}");
        let (path, origin) = match (self.variable(name)?, self.variable(&file)?) {
            (Some(_), Some(_)) => return Err(ConfigError::Both(name.to_owned(), file)),
            (Some(value), None) => return Ok(Some((value.to_owned(), Origin::Environment(name.to_owned())))),
            (None, Some(path)) => (PathBuf::from(path), Origin::SecretFile { variable: file, path: path.into() }),
            (None, None) => match self.credential(name)? {
                Some(path) => (path.clone(), Origin::Credential(path)),
                None => return Ok(None),
            },
        };
        match secret_file::read_line(&path) {
            Ok(secret) => Ok(Some((secret.to_string(), origin))),
            Err(problem) => Err(ConfigError::Secret { origin, problem }),
        }
    }

    /// The file of a variable's credential, if there is one.
    pub(super) fn credential(&self, name: &str) -> Result<Option<PathBuf>, ConfigError> {
        let Some(folder) = self.variable(CREDENTIALS)? else { return Ok(None) };
        let credential = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase().replace('_', "-");
        let path = Path::new(folder).join(credential);
        // What is there and can't be looked at is an error to whoever reads it.
        let is_missing = path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        Ok(Some(path).filter(|_| !is_missing))
    }

    /// The password for a queue whose URL has none.
    ///
    /// # Errors
    /// As [`Self::secret`].
    #[cfg(feature = "cli")]
    pub(super) fn redis_password(&self) -> Result<Option<(String, Origin)>, ConfigError> {
        self.secret(REDIS_PASSWORD)
    }

    /// The files of secrets that variables name, or that are credentials, each with what names it.
    #[cfg(feature = "cli")]
    pub(super) fn secret_files(&self) -> impl Iterator<Item = (String, PathBuf)> {
        SECRETS.iter().filter_map(|name| {
            let file = format!("{name}{FILE}");
            match self.variable(&file).ok()? {
                Some(path) => Some((file, path.into())),
                None => Some((format!("credential for {name}"), self.credential(name).ok()??)),
            }
        })
    }

    /// The login name, as the shell has it, if it can be shown.
    pub fn login(&self) -> Option<String> {
        let showable = |name: &&str| name.chars().count() <= 100 && !name.chars().any(char::is_control);
        ["LOGNAME", "USER"]
            .into_iter()
            .find_map(|name| self.variable(name).ok().flatten().filter(showable))
            .map(str::to_owned)
    }

    /// The variables of an option that are there and empty, as those of a secret that is missing.
    #[cfg(feature = "cli")]
    pub fn empty<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        let names = variables(option);
        let is_its = move |name: &str| {
            let name = name.strip_suffix(FILE).filter(|name| is_secret(name)).unwrap_or(name);
            names.iter().flat_map(|names| names.split(", ")).any(|its| its == name)
        };
        self.0
            .iter()
            .filter(|(_, value)| value.is_empty())
            .map(|(name, _)| name.as_str())
            .filter(move |name| is_its(name))
    }

    /// Variables with our prefix and without an option: most likely misspelt. Those that Kubernetes adds for a service called
    /// `fulfillment-…` are not among them.
    pub fn unknown<'a>(&'a self, options: &'a [String]) -> impl Iterator<Item = &'a str> {
        let is_known = |name: &str| {
            options.iter().any(|option| variable(option) == name) || name.strip_suffix(FILE).is_some_and(is_secret)
        };
        let of_a_service = |name: &str| {
            ["_SERVICE_HOST", "_PORT"].iter().any(|end| name.ends_with(end))
                || ["_SERVICE_PORT", "_PORT_"].iter().any(|part| name.contains(part))
        };
        let names = self.0.keys().map(String::as_str).filter(|name| name.starts_with(PREFIX));
        names.filter(move |name| !is_known(name) && !of_a_service(name))
    }

    /// libpq's variables. They fill the gaps of a Postgres store that was chosen, and choose none.
    ///
    /// # Errors
    /// One of them is not UTF-8.
    pub(super) fn libpq(&self) -> Result<Variables, ConfigError> {
        Variables::read(|name| match is_secret(name) {
            true => Ok(self.secret(name)?.map(|(value, _)| value)),
            false => Ok(self.variable(name)?.map(str::to_owned)),
        })
    }

    /// A URL from the `POSTGRES_*` variables, if any of them is set. Missing parts are left to libpq's variables, or else have
    /// the defaults of the `postgres` container image, which made these names common: port 5432, user `postgres`, database as
    /// the user.
    fn postgres_url(&self) -> Result<Option<(String, Origin)>, ConfigError> {
        let mut values = [const { None }; 5];
        let mut set = Vec::new();
        for (value, name) in values.iter_mut().zip(POSTGRES) {
            let found = match is_secret(name) {
                true => self.secret(name)?,
                false => self.variable(name)?.map(|value| (value.to_owned(), Origin::Environment(name.to_owned()))),
            };
            if let Some((found, origin)) = found {
                *value = Some(found);
                set.push(origin.to_string());
            }
        }
        if set.is_empty() {
            return Ok(None);
        }
        let libpq = self.libpq()?;
        let [host, port, user, password, database] = &values;
        let [host, port, user, password, database] = [host, port, user, password, database].map(Option::as_deref);
        let or_default = |value: Option<&str>, keyword, default: &str| match value {
            Some(value) => value.to_owned(),
            None if libpq.has(keyword) => String::new(),
            None => default.to_owned(),
        };
        let login = user.or(libpq.get("user")).unwrap_or("postgres");
        let host = or_default(host, if libpq.has("hostaddr") { "hostaddr" } else { "host" }, "localhost");
        let port = or_default(port, "port", "5432");
        let user = or_default(user, "user", login);
        let password = password.map(|password| format!(":{}", percent_encoded(password))).unwrap_or_default();
        let mode = self.variable(POSTGRES_SSLMODE)?;
        let url = format!(
            "postgres://{}{password}@{}{}{port}/{}{}",
            percent_encoded(&user),
            host_in_url(&host),
            if port.is_empty() { "" } else { ":" },
            percent_encoded(&or_default(database, "dbname", login)),
            mode.map(|mode| format!("?sslmode={}", percent_encoded(mode))).unwrap_or_default(),
        );
        if mode.is_some() {
            set.push(POSTGRES_SSLMODE.to_owned());
        }
        Ok(Some((url, Origin::Environment(set.join(", ")))))
    }
}

/// Every variable that can set an option, the strongest first. The parts of a URL count as one, joined by commas.
#[cfg(any(test, feature = "cli", feature = "internals"))]
pub fn variables(option: &str) -> Vec<String> {
    let parts = (option == "store").then(|| [&POSTGRES[..], &[POSTGRES_SSLMODE]].concat().join(", "));
    let given = given(option).iter().map(|name| (*name).to_owned());
    [variable(option)].into_iter().chain(given).chain(parts).collect()
}

/// An option's own variable.
pub fn variable(option: &str) -> String {
    format!("{PREFIX}{}", option.to_ascii_uppercase().replace('-', "_"))
}

/// Whether a variable holds a secret, so that `NAME_FILE` names a file with it.
pub fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
}

/// The option that names the file with the value of this option, or the option itself if it names one: each by the value's
/// option and the file's.
pub(super) fn kept_in(option: &str) -> Option<(&'static str, &'static str)> {
    const KEPT: [(&str, &str); 2] =
        [("fulfiller-token", "fulfiller-token-file"), ("fulfiller-secret", "fulfiller-secret-file")];
    KEPT.into_iter().find(|(value, file)| option == *value || option == *file)
}

/// The variables of existing deployments for an option, the strongest first.
fn given(option: &str) -> &'static [&'static str] {
    match option {
        "queue" => &["REDIS_URL"],
        "store" => &["DATABASE_URL"],
        "service-name" => &["SERVICE_NAME"],
        "log" => &["RUST_LOG", "LOG_LEVEL"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(environment: &Environment) -> (String, String) {
        let (value, origin) = environment.option("store").unwrap().unwrap();
        (value, origin.to_string())
    }

    #[test]
    fn an_options_own_variable_wins_over_the_given_one() {
        let environment = Environment::of([("REDIS_URL", "redis://given"), ("FULFILLMENT_QUEUE", "redis://own")]);
        let found = environment.option("queue").unwrap();
        assert_eq!(found, Some(("redis://own".to_owned(), Origin::Environment("FULFILLMENT_QUEUE".to_owned()))));
    }

    #[test]
    fn the_log_is_set_by_its_own_variable_then_by_rusts_then_by_that_of_many_programs() {
        let variables = [("LOG_LEVEL", "warn"), ("RUST_LOG", "debug"), ("FULFILLMENT_LOG", "trace")];
        for (strongest, of) in [
            (2, Environment::of(variables)),
            (1, Environment::of([variables[0], variables[1]])),
            (0, Environment::of([variables[0]])),
        ] {
            let (name, value) = variables[strongest];
            let found = of.option("log").unwrap();
            assert_eq!(found, Some((value.to_owned(), Origin::Environment(name.to_owned()))));
        }
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let environment = Environment::of([("REDIS_URL", "redis://given"), ("FULFILLMENT_QUEUE", "")]);
        assert_eq!(environment.option("queue").unwrap().unwrap().0, "redis://given");
    }

    #[test]
    fn database_url_wins_over_the_parts() {
        let environment = Environment::of([("POSTGRES_HOST", "parts"), ("DATABASE_URL", "postgres://whole/db")]);
        assert_eq!(store(&environment), ("postgres://whole/db".to_owned(), "DATABASE_URL".to_owned()));
    }

    #[test]
    fn the_parts_become_a_percent_encoded_url() {
        let environment = Environment::of([
            ("POSTGRES_HOST", "db"),
            ("POSTGRES_PORT", "6432"),
            ("POSTGRES_USER", "o/p"),
            ("POSTGRES_PASSWORD", "p@ss:w/rd?#%"),
            ("POSTGRES_DB", "shop 1"),
        ]);
        assert_eq!(store(&environment).0, "postgres://o%2Fp:p%40ss%3Aw%2Frd%3F%23%25@db:6432/shop%201");
    }

    #[test]
    fn the_mode_of_tls_belongs_to_the_parts_and_makes_no_url_by_itself() {
        let parts = [("POSTGRES_HOST", "db"), ("POSTGRES_SSLMODE", "verify-full")];
        let (url, origin) = store(&Environment::of(parts));
        assert_eq!(url, "postgres://postgres@db:5432/postgres?sslmode=verify-full");
        assert_eq!(origin, "POSTGRES_HOST, POSTGRES_SSLMODE");
        assert_eq!(Environment::of([parts[1]]).option("store"), Ok(None));
        let whole = Environment::of([("DATABASE_URL", "postgres://whole/db"), parts[1]]);
        assert_eq!(store(&whole).0, "postgres://whole/db");
    }

    #[test]
    fn missing_parts_have_defaults() {
        let environment = Environment::of([("POSTGRES_HOST", "db")]);
        assert_eq!(
            store(&environment),
            ("postgres://postgres@db:5432/postgres".to_owned(), "POSTGRES_HOST".to_owned())
        );
    }

    #[test]
    fn hosts_may_be_ipv6_addresses_or_socket_folders() {
        assert_eq!(store(&Environment::of([("POSTGRES_HOST", "::1")])).0, "postgres://postgres@[::1]:5432/postgres");
        let socket = Environment::of([("POSTGRES_HOST", "/run/postgresql")]);
        assert_eq!(store(&socket).0, "postgres://postgres@%2Frun%2Fpostgresql:5432/postgres");
    }

    #[test]
    fn libpqs_variables_choose_no_store_and_come_before_the_defaults_of_the_parts() {
        assert_eq!(Environment::of([("PGHOST", "pg"), ("PGUSER", "me")]).option("store"), Ok(None));
        let both = Environment::of([("POSTGRES_PASSWORD", "pw"), ("PGHOST", "pg"), ("PGUSER", "me")]);
        assert_eq!(store(&both).0, "postgres://:pw@:5432/me");
        let all = Environment::of([("POSTGRES_HOST", "db"), ("PGPORT", "1"), ("PGDATABASE", "shop")]);
        assert_eq!(store(&all).0, "postgres://postgres@db/");
    }

    #[test]
    fn misspelt_variables_are_found() {
        let environment = Environment::of([
            ("FULFILLMENT_LEESE", "1s"),
            ("FULFILLMENT_LEASE", "1s"),
            ("PATH", "/"),
            ("FULFILLMENT_WORKER_SERVICE_HOST", "10.0.0.7"),
            ("FULFILLMENT_WORKER_SERVICE_PORT_HTTP", "2112"),
            ("FULFILLMENT_WORKER_PORT", "tcp://10.0.0.7:2112"),
            ("FULFILLMENT_WORKER_PORT_2112_TCP_ADDR", "10.0.0.7"),
        ]);
        let options = ["lease".to_owned()];
        assert_eq!(environment.unknown(&options).collect::<Vec<_>>(), ["FULFILLMENT_LEESE"]);
    }
}
