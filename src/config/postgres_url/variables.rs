//! The variables that libpq reads, with the keyword that each stands for
//! (<https://www.postgresql.org/docs/current/libpq-envars.html>). Those that only change how values look, such as `PGTZ` and
//! `PGDATESTYLE`, are left out: the worker's sessions have the server's.

use std::fmt;

const NAMES: [(&str, &str); 27] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGPASSFILE", "passfile"),
    ("PGAPPNAME", "application_name"),
    ("PGOPTIONS", "options"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGSERVICE", "service"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLCERTMODE", "sslcertmode"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLSNI", "sslsni"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
];

/// One of libpq's variables that is set.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::config) struct Variable {
    pub(super) name: &'static str,
    pub(super) keyword: &'static str,
    pub(super) value: String,
}

/// Those of libpq's variables that are set.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::config) struct Variables(Vec<Variable>);

impl Variables {
    /// Asks `value` for each variable.
    ///
    /// # Errors
    /// The first of `value`.
    pub(in crate::config) fn read<E>(value: impl Fn(&str) -> Result<Option<String>, E>) -> Result<Self, E> {
        let mut set = Vec::new();
        for (name, keyword) in NAMES {
            if let Some(value) = value(name)? {
                set.push(Variable { name, keyword, value });
            }
        }
        Ok(Self(set))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter()
    }

    /// Whether one stands for this keyword.
    pub(in crate::config) fn has(&self, keyword: &str) -> bool {
        self.0.iter().any(|variable| variable.keyword == keyword)
    }

    /// The value for a keyword that is no secret.
    pub(in crate::config) fn get(&self, keyword: &str) -> Option<&str> {
        self.0.iter().find(|variable| variable.keyword == keyword).map(|variable| variable.value.as_str())
    }
}

/// Names alone: one of them is the password.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|variable| variable.name)).finish()
    }
}
