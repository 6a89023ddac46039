//! libpq's keywords with their values, and which of them the worker takes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{ADDRESS, DATABASE, DEFAULT_PORT, HOST, PASSWORD, PORT, USER, Variables};
use crate::config::require_auth::RequireAuth;
use crate::config::url_parts::{quoted, unknown_parameter};

/// What a keyword takes.
#[derive(Clone, Copy)]
enum Takes {
    Text,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number of this.
    Number(&'static str),
    /// A list of methods, see [`RequireAuth`].
    Methods,
    /// One of these, none of which changes anything.
    Only(&'static [&'static str]),
    /// Nothing: this is libpq's alone. Says what to do.
    Nothing(&'static str),
}
use Takes::{Methods, Nothing, Number, OneOf, Only, Text};

const NO_GSSAPI: &str = "the worker has no GSSAPI";

const KEYWORDS: &[(&str, Takes)] = &[
    (HOST, Text),
    (ADDRESS, Text),
    (PORT, Text),
    (USER, Text),
    (PASSWORD, Text),
    ("passfile", Text),
    (DATABASE, Text),
    ("options", Text),
    ("application_name", Text),
    ("fallback_application_name", Text),
    ("sslmode", OneOf(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])),
    ("sslnegotiation", OneOf(&["postgres", "direct"])),
    ("channel_binding", OneOf(&["disable", "prefer", "require"])),
    ("target_session_attrs", OneOf(&["any", "read-write", "primary", "read-only", "standby", "prefer-standby"])),
    ("load_balance_hosts", OneOf(&["disable", "random"])),
    ("connect_timeout", Number("seconds")),
    ("tcp_user_timeout", Number("milliseconds")),
    ("keepalives", OneOf(&["0", "1"])),
    ("keepalives_idle", Number("seconds")),
    ("keepalives_interval", Number("seconds")),
    ("keepalives_count", Number("probes")),
    ("keepalives_retries", Number("probes")),
    ("sslrootcert", Text),
    ("sslcert", Text),
    ("sslkey", Text),
    ("sslcertmode", OneOf(&["disable", "allow"])),
    ("ssl_min_protocol_version", OneOf(&["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"])),
    ("ssl_max_protocol_version", OneOf(&["TLSv1.2", "TLSv1.3"])),
    ("require_auth", Methods),
    ("client_encoding", Only(&["UTF8", "utf8", "UTF-8", "utf-8", "auto"])),
    ("gssencmode", Only(&["disable", "prefer"])),
    ("sslcompression", Only(&["0"])),
    ("sslsni", Only(&["1"])),
    ("replication", Only(&["false", "off", "no", "0"])),
    ("sslpassword", Nothing("write the key without a passphrase, into a file that only the worker can read")),
    ("sslcrl", Nothing("the worker reads no revocation lists")),
    ("sslcrldir", Nothing("the worker reads no revocation lists")),
    ("sslkeylogfile", Nothing("the worker logs no keys")),
    ("min_protocol_version", Nothing("the worker speaks version 3.0")),
    ("max_protocol_version", Nothing("the worker speaks version 3.0")),
    ("requiressl", Nothing("write sslmode=require")),
    ("requirepeer", Nothing("the worker doesn't ask whose a socket is")),
    ("krbsrvname", Nothing(NO_GSSAPI)),
    ("gsslib", Nothing(NO_GSSAPI)),
    ("gssdelegation", Nothing(NO_GSSAPI)),
    ("scram_client_key", Nothing("write the password")),
    ("scram_server_key", Nothing("write the password")),
    ("service", Nothing("write the service's own parameters here")),
    ("servicefile", Nothing("write the service's own parameters here")),
    // Of other programs, and often met in the same variable.
    ("schema", Nothing(SEARCH_PATH)),
    ("search_path", Nothing(SEARCH_PATH)),
    ("currentSchema", Nothing(SEARCH_PATH)),
    ("pgbouncer", Nothing("the worker goes through PgBouncer without it")),
    ("pool_max_conns", Nothing(POOL)),
    ("connection_limit", Nothing(POOL)),
    ("pool_timeout", Nothing(POOL)),
    ("ssl", Nothing("write sslmode=require, or ssl=true")),
];
const SEARCH_PATH: &str = "write options=-csearch_path%3DNAME, or set it for the role: ALTER ROLE … SET search_path";
const POOL: &str = "--store-connections limits the connections";

/// Keywords with values that are not empty.
#[derive(Default)]
pub(super) struct Keywords {
    values: BTreeMap<&'static str, String>,
    /// The variables that some of them come from.
    variables: BTreeMap<&'static str, &'static str>,
}

impl Keywords {
    /// `keyword=value` pairs, separated by blanks. A value with blanks stands in single quotes; a backslash keeps the next
    /// character from its meaning.
    pub(super) fn of_pairs(text: &str) -> Result<Self, String> {
        let mut keywords = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (name, after) =
                rest.split_once('=').ok_or("not `keyword=value` pairs: a word without a value after them")?;
            let (value, after) = value(after.trim_start())?;
            keywords.add(name.trim_end(), value)?;
            rest = after.trim_start();
        }
        Ok(keywords)
    }

    /// As [`Self::set`], for a name that may not exist.
    pub(super) fn add(&mut self, name: &str, value: String) -> Result<(), String> {
        let known = KEYWORDS.iter().find(|(known, _)| *known == name).map(|(known, _)| *known);
        let known = known.ok_or_else(|| Self::unknown(name))?;
        self.set(known, value);
        Ok(())
    }

    /// What is said of a name that does not exist.
    pub(super) fn unknown(name: &str) -> String {
        let taken = KEYWORDS.iter().filter(|(_, takes)| !matches!(takes, Nothing(_)));
        unknown_parameter(name, &taken.map(|(name, _)| *name).collect::<Vec<_>>())
    }

    /// Sets a value unless it is empty, which is none.
    pub(super) fn set(&mut self, name: &'static str, value: String) {
        if !value.is_empty() {
            self.values.insert(name, value);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Fills what is not given from libpq's variables, and names those that were used. Host and address are one gap: a
    /// variable must not lead elsewhere than the host that was written down.
    pub(super) fn fill(&mut self, variables: &Variables) -> Vec<String> {
        let has_server = self.get(HOST).is_some() || self.get(ADDRESS).is_some();
        let has_password = self.get(PASSWORD).is_some() || self.get("passfile").is_some();
        for variable in variables.iter() {
            let is_given = match variable.keyword {
                HOST | ADDRESS => has_server,
                PASSWORD | "passfile" => has_password,
                keyword => self.get(keyword).is_some(),
            };
            if !is_given {
                self.set(variable.keyword, variable.value.clone());
                self.variables.insert(variable.keyword, variable.name);
            }
        }
        self.variables.values().map(ToString::to_string).collect()
    }

    /// The keyword, or the variable that it comes from.
    pub(super) fn shown(&self, name: &str) -> String {
        quoted(self.variables.get(name).copied().unwrap_or(name))
    }

    /// Checks each value by itself, and those that depend on one another.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let mut without_effect = Vec::new();
        for (&name, value) in &self.values {
            let takes = KEYWORDS.iter().find(|(known, _)| *known == name).map_or(Text, |(_, takes)| *takes);
            let shown = self.shown(name);
            match takes {
                Text => {}
                OneOf(valid) if valid.contains(&value.as_str()) => {}
                OneOf(valid) => return Err(format!("{shown} must be one of {}", valid.join(", "))),
                Number(_) if value.parse::<u32>().is_ok_and(|number| i32::try_from(number).is_ok()) => {}
                Number(what) => return Err(format!("{shown} must be a whole number of {what}")),
                Methods => {
                    RequireAuth::parse(value).map_err(|problem| format!("{shown} {problem}"))?;
                }
                Only(valid) if valid.contains(&value.as_str()) => without_effect.push(name),
                Only(valid) => return Err(format!("{shown} can be {} alone{}", valid.join(", "), why(name))),
                Nothing(instead) => return Err(format!("{shown} is not supported: {instead}")),
            }
        }
        for name in without_effect {
            self.take(name);
        }
        self.check_together()
    }

    fn check_together(&mut self) -> Result<(), String> {
        self.check_tls()?;
        let mode = self.get("sslmode").unwrap_or("prefer");
        if self.get("sslnegotiation") == Some("direct") && ["disable", "allow", "prefer"].contains(&mode) {
            return Err(format!("{} needs sslmode=require or a stronger one", self.shown("sslnegotiation")));
        }
        if self.get("channel_binding") == Some("require") && mode == "disable" {
            return Err(format!("{} needs TLS, which sslmode=disable rules out", self.shown("channel_binding")));
        }
        if matches!(self.get("target_session_attrs"), Some("read-only" | "standby" | "prefer-standby")) {
            let shown = self.shown("target_session_attrs");
            return Err(format!(
                "{shown} asks for a server that takes no writes, and the worker writes: use read-write"
            ));
        }
        if let Some(name) = self.take("fallback_application_name")
            && self.get("application_name").is_none()
        {
            self.set("application_name", name);
        }
        if let Some(count) = self.take("keepalives_retries")
            && self.get("keepalives_count").is_none()
        {
            self.set("keepalives_count", count);
        }
        let servers = self.servers()?;
        if self.get("require_auth").is_some() && servers.iter().any(|(host, _)| host.starts_with(['/', '@'])) {
            let shown = self.shown("require_auth");
            return Err(format!(
                "{shown} can't be held over a Unix socket, where the worker doesn't see what is asked for"
            ));
        }
        Ok(())
    }

    /// As libpq has it: the system's authorities know so many servers that the name must be verified, too.
    fn check_tls(&mut self) -> Result<(), String> {
        if self.get("sslrootcert") == Some("system") {
            if self.get("sslmode").is_some_and(|mode| mode != "verify-full") {
                let shown = self.shown("sslrootcert");
                return Err(format!("{shown}, where it is system, needs sslmode=verify-full"));
            }
            self.set("sslmode", "verify-full".to_owned());
        }
        if self.take("sslcertmode").as_deref() == Some("disable") {
            self.take("sslcert");
            self.take("sslkey");
        }
        for (one, other) in [("sslcert", "sslkey"), ("sslkey", "sslcert")] {
            if self.get(one).is_some() && self.get(other).is_none() {
                return Err(format!("{} needs {other} too, which may name the same file", self.shown(one)));
            }
        }
        if self.get("ssl_min_protocol_version") > self.get("ssl_max_protocol_version").or(Some("TLSv1.3")) {
            return Err(format!("{} is above ssl_max_protocol_version", self.shown("ssl_min_protocol_version")));
        }
        Ok(())
    }

    /// Each host with its port, where one is given.
    pub(super) fn servers(&self) -> Result<Vec<(String, Option<String>)>, String> {
        let addresses = self.get(ADDRESS).map(|addresses| addresses.split(',').collect::<Vec<_>>());
        if addresses.iter().flatten().any(|address| address.parse::<IpAddr>().is_err()) {
            return Err(format!("{} holds something that is no IP address", self.shown(ADDRESS)));
        }
        let hosts: Vec<&str> = match (self.get(HOST), &addresses) {
            (Some(hosts), _) => hosts.split(',').collect(),
            (None, Some(addresses)) => addresses.clone(),
            (None, None) => Vec::new(),
        };
        if hosts.is_empty() || hosts.iter().any(|host| host.is_empty()) {
            return Err(
                "it names no server: add a host, or the folder of a Unix socket as host=/run/postgresql, or set \
                        PGHOST"
                    .to_owned(),
            );
        }
        if hosts.iter().any(|host| !is_host(host)) {
            return Err(format!("{} holds something that is no host; a port is written apart", self.shown(HOST)));
        }
        if let Some(addresses) = addresses.filter(|addresses| addresses.len() != hosts.len()) {
            return Err(format!("it names {} hosts and {} of {ADDRESS}", hosts.len(), addresses.len()));
        }
        let ports: Vec<&str> = self.get(PORT).unwrap_or_default().split(',').collect();
        if ports.len() != 1 && ports.len() != hosts.len() {
            return Err(format!("it names {} hosts and {} ports", hosts.len(), ports.len()));
        }
        if ports.iter().any(|port| !port.is_empty() && !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(format!("not a URL (invalid port number in {})", self.shown(PORT)));
        }
        // One port holds for all hosts.
        let port = |port: &str| Some(port.to_owned()).filter(|port| !port.is_empty());
        let several = ports.len() > 1;
        let each = hosts.into_iter().zip(ports.into_iter().cycle());
        Ok(each
            .map(|(host, of_host)| {
                let port = port(of_host).or_else(|| several.then(|| DEFAULT_PORT.to_owned()));
                (host.to_owned(), port)
            })
            .collect())
    }

    /// What stands behind the `?` of a URL.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let is_elsewhere = move |name: &str| match name {
            // It is the host then.
            ADDRESS => self.get(HOST).is_none(),
            name => [HOST, PORT, USER, PASSWORD, DATABASE].contains(&name),
        };
        self.values.iter().filter(move |(name, _)| !is_elsewhere(name)).map(|(name, value)| (*name, value.as_str()))
    }
}

fn why(name: &str) -> String {
    match name {
        "gssencmode" => format!(": {NO_GSSAPI}"),
        _ => String::new(),
    }
}

/// A name, an IP address, or where a Unix socket is.
fn is_host(host: &str) -> bool {
    host.starts_with(['/', '@'])
        || host.parse::<IpAddr>().is_ok()
        || host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// The first value of the text, and what follows it.
fn value(text: &str) -> Result<(String, &str), String> {
    let quoted = text.strip_prefix('\'');
    let text = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, next)| next)),
            '\'' if quoted.is_some() => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            blank if quoted.is_none() && blank.is_whitespace() => {
                return Ok((value, text.get(at..).unwrap_or_default()));
            }
            other => value.push(other),
        }
    }
    if quoted.is_some() { Err("not `keyword=value` pairs: a quote is not closed".to_owned()) } else { Ok((value, "")) }
}
