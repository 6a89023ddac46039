//! Where a Postgres store is and how to connect: a URL or `keyword=value` pairs, as libpq takes them
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>), with the gaps filled by libpq's variables.
//!
//! Either becomes [`Keywords`], which are checked and made a URL: what is in it, the driver takes. Errors never quote a value.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use self::keywords::Keywords;
pub(super) use self::variables::Variables;
use super::secret::SecretUrl;
use super::url_parts::{Parts, host_in_url, percent_encoded, write_authority};

mod keywords;
mod passfile;
mod variables;

const SCHEMES: [&str; 2] = ["postgres", "postgresql"];
const HOST: &str = "host";
const ADDRESS: &str = "hostaddr";
const PORT: &str = "port";
const USER: &str = "user";
const PASSWORD: &str = "password";
const DATABASE: &str = "dbname";
const DEFAULT_PORT: &str = "5432";

/// The scheme as it is known here.
fn known_scheme(scheme: &str) -> Option<&'static str> {
    SCHEMES.into_iter().find(|known| known.eq_ignore_ascii_case(scheme))
}

/// Whether the text is for Postgres: a URL with its scheme, or `keyword=value` pairs.
pub(super) fn is_postgres(text: &str) -> bool {
    match text.split_once("://") {
        Some((scheme, _)) if !scheme.contains('=') => known_scheme(scheme).is_some(),
        _ => is_pairs(text),
    }
}

/// `host=…` and so on: a first word with `=` in it, which no scheme has.
fn is_pairs(text: &str) -> bool {
    let name: &str = text.split_once('=').map_or("", |(name, _)| name.trim());
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Reads the text of a store, whose gaps `variables` fill.
///
/// The first host becomes the URL's, as `%2Frun%2Fpostgresql` where it is a folder; each further one becomes the parameters
/// `host` and `port`, as a URL can hold one only.
///
/// # Errors
/// For what libpq could not read either, for a parameter that is not known or not supported, with its name, and for a
/// value that a parameter does not take.
pub(super) fn parse(text: &str, variables: &Variables) -> Result<SecretUrl, String> {
    let scheme = text.split_once("://").and_then(|(scheme, _)| known_scheme(scheme)).unwrap_or("postgres");
    let mut keywords = read(text)?;
    keywords.fill(variables);
    keywords.check()?;
    passfile::apply(&mut keywords)?;
    url(scheme, &keywords)
}

/// The names of the variables that fill gaps of this text.
#[cfg(feature = "cli")]
pub(super) fn filled(text: &str, variables: &Variables) -> Vec<String> {
    read(text).map(|mut keywords| keywords.fill(variables)).unwrap_or_default()
}

fn read(text: &str) -> Result<Keywords, String> {
    match Parts::of(text).filter(|parts| known_scheme(parts.scheme).is_some()) {
        Some(parts) => of_url(&parts),
        None => Keywords::of_pairs(text),
    }
}

/// The parts of a URL as keywords. Parameters win over what stands before them.
fn of_url(parts: &Parts<'_>) -> Result<Keywords, String> {
    let mut keywords = Keywords::default();
    let credentials = parts.credentials.strip_suffix('@').unwrap_or_default();
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    keywords.set(USER, decoded(user)?);
    keywords.set(PASSWORD, decoded(password)?);
    let (hosts, ports): (Vec<_>, Vec<_>) =
        parts.hosts.split(',').map(address).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    keywords.set(HOST, hosts.join(","));
    if ports.iter().any(|port| !port.is_empty()) {
        keywords.set(PORT, ports.join(","));
    }
    if parts.tail.contains('#') {
        return Err("the part after `#` has no meaning here; write %23 for a # within a value".to_owned());
    }
    let (path, query) = parts.tail.split_once('?').unwrap_or((parts.tail, ""));
    keywords.set(DATABASE, decoded(path.trim_start_matches('/'))?);
    for parameter in query.split('&').filter(|one| !one.is_empty()) {
        // JDBC's, which libpq takes too. What verifies the server stays.
        if parameter == "ssl=true" {
            if !keywords.get("sslmode").is_some_and(|mode| mode.starts_with("verify-")) {
                keywords.set("sslmode", "require".to_owned());
            }
            continue;
        }
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // With an `@` behind the `?`, the name may be a piece of a password that was not percent-encoded.
        let hidden = |problem| if query.contains('@') { Keywords::unknown("*") } else { problem };
        keywords.add(&decoded(name)?, decoded(value)?).map_err(hidden)?;
    }
    Ok(keywords)
}

/// Reads `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
fn address(text: &str) -> Result<(String, String), String> {
    let (host, port) = match text.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(Some((host, port))) => (host, port.strip_prefix(':').or(port.is_empty().then_some(""))),
        Some(None) => (text, None),
        None => text.split_once(':').map_or((text, Some("")), |(host, port)| (host, Some(port))),
    };
    let port = port.ok_or("not a URL (invalid IPv6 address)")?;
    Ok((decoded(host)?, port.to_owned()))
}

/// As the driver reads it.
fn url(scheme: &str, keywords: &Keywords) -> Result<SecretUrl, String> {
    let servers = keywords.servers()?;
    let [user, password] = [USER, PASSWORD].map(|name| keywords.get(name).map(percent_encoded));
    let mut whole = format!("{scheme}://{}", user.as_deref().unwrap_or_default());
    if let Some(password) = &password {
        whole.push_str(&format!(":{password}"));
    }
    if user.or(password).is_some() {
        whole.push('@');
    }
    let mut query = Vec::new();
    for (number, (host, port)) in servers.iter().enumerate() {
        if number == 0 {
            let port = port.as_deref().map(|port| format!(":{port}")).unwrap_or_default();
            whole.push_str(&format!("{}{port}", host_in_url(host)));
        } else {
            let port = port.as_deref().unwrap_or(DEFAULT_PORT);
            query.push(format!("{HOST}={}&{PORT}={port}", percent_encoded(host)));
        }
    }
    if let Some(database) = keywords.get(DATABASE) {
        whole.push_str(&format!("/{}", percent_encoded(database)));
    }
    query.extend(keywords.parameters().map(|(name, value)| format!("{name}={}", percent_encoded(value))));
    if !query.is_empty() {
        whole.push_str(&format!("?{}", query.join("&")));
    }
    Url::parse(&whole).map(SecretUrl::new).map_err(|error| format!("not a URL ({error})"))
}

/// Shows such a URL as people write it, without its password and parameters; `false` if it is none.
pub(super) fn show(url: &Url, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
    if !SCHEMES.contains(&url.scheme()) || url.cannot_be_a_base() {
        return Ok(false);
    }
    write_authority(url, f)?;
    for (name, value) in url.query_pairs() {
        match &*name {
            HOST => write!(f, ",{}", host_in_url(&value))?,
            PORT if value.parse::<u16>().is_ok() => write!(f, ":{value}")?,
            _ => {}
        }
    }
    f.write_str(url.path())?;
    Ok(true)
}

fn decoded(text: &str) -> Result<String, String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) if text.contains('\0') => Err("not a URL (it holds a NUL character)".to_owned()),
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("not a URL (not UTF-8)".to_owned()),
    }
}

#[cfg(test)]
mod tests;
