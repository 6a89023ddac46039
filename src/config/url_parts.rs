//! What URLs of Postgres and Redis have in common: several hosts, parameters with fixed names, and a password to hide.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::suggestion::nearest;

/// A URL's text in its parts. Not yet a [`Url`], which holds one host only.
pub(super) struct Parts<'a> {
    pub(super) scheme: &'a str,
    /// User and password up to the `@`, and with it; empty without an `@`.
    pub(super) credentials: &'a str,
    /// Separated by commas.
    pub(super) hosts: &'a str,
    /// From the path on.
    pub(super) tail: &'a str,
}

impl<'a> Parts<'a> {
    /// Of text with a `://`.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (credentials, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Some(Self { scheme, credentials, hosts, tail })
    }
}

/// Writes a URL up to its host and port, without its password.
pub(super) fn write_authority(url: &Url, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}://", url.scheme())?;
    if url.password().is_some() {
        write!(f, "{}:***@", url.username())?;
    } else if !url.username().is_empty() {
        write!(f, "{}@", url.username())?;
    }
    f.write_str(url.host_str().unwrap_or_default())?;
    url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
}

/// Says that no parameter has this name, and which one was most likely meant.
pub(super) fn unknown_parameter(name: &str, known: &[&str]) -> String {
    let shown = quoted(name);
    match nearest(&name.to_ascii_lowercase(), known.iter().copied()) {
        Some(nearest) => format!("unknown parameter {shown}; did you mean `{nearest}`?"),
        None => format!("unknown parameter {shown}; there are {}", known.join(", ")),
    }
}

/// A parameter's name, unless it may be a piece of a password that was not percent-encoded.
pub(super) fn quoted(name: &str) -> String {
    let is_name = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if is_name { format!("`{name}`") } else { "`***`".to_owned() }
}

/// An IPv6 address needs brackets; a folder of a Unix socket is percent-encoded, as libpq has it.
pub(super) fn host_in_url(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { percent_encoded(host) }
}

/// Everything but unreserved characters (RFC 3986) as `%XX`.
pub(super) fn percent_encoded(text: &str) -> String {
    const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, &RESERVED).to_string()
}
