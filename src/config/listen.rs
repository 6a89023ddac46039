//! Where the worker is asked: addresses of the network, and Unix sockets.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::values;

/// What a Unix socket's path may have on Linux, without the zero at its end.
pub const LONGEST_SOCKET_PATH: usize = 107;

/// One value of `--listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address of this machine and a port; `[::]` for every address of both families.
    Network(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// As on the command line.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl ListenAddress {
    /// The address, if it is one of the network.
    pub fn network(&self) -> Option<SocketAddr> {
        match self {
            Self::Network(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// Several addresses, as one text has them: separated by blanks or commas, at least one.
pub type ListenAddresses = Vec<ListenAddress>;

/// Reads [`ListenAddresses`].
///
/// # Errors
/// Describes the valid values.
pub fn parse(text: &str) -> Result<ListenAddresses, String> {
    let parts: Vec<&str> = text.split([',', ' ', '\t', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return one(text).map(|address| vec![address]);
    }
    parts
        .iter()
        .map(|part| one(part).map_err(|problem| if parts.len() == 1 { problem } else { format!("`{part}` {problem}") }))
        .collect()
}

fn one(text: &str) -> Result<ListenAddress, String> {
    match text.strip_prefix("unix:") {
        Some(path) => socket_path(path).map(ListenAddress::Unix),
        None => {
            let address = values::address(text);
            address.map(ListenAddress::Network).map_err(|problem| format!("{problem}; or unix:PATH for a Unix socket"))
        }
    }
}

/// The path of a Unix socket.
///
/// # Errors
/// Describes the valid values.
pub fn socket_path(text: &str) -> Result<PathBuf, String> {
    match text.len() {
        0 => Err("names no path of a Unix socket".to_owned()),
        length if length > LONGEST_SOCKET_PATH => {
            Err(format!("has a path of {length} bytes, and that of a Unix socket has at most {LONGEST_SOCKET_PATH}"))
        }
        _ if text.chars().any(char::is_control) => Err("must have no control characters".to_owned()),
        _ => Ok(text.into()),
    }
}

/// The value of `--admin-socket`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AdminSocket {
    /// Where a command of the same user finds it, if it can be had.
    #[default]
    Default,
    /// None.
    Off,
    /// At this path; it is an error if it can't be had.
    At(PathBuf),
}

/// Reads an [`AdminSocket`].
///
/// # Errors
/// Describes the valid values.
pub fn admin_socket(text: &str) -> Result<AdminSocket, String> {
    match text {
        "off" | "false" => Ok(AdminSocket::Off),
        path => socket_path(path.strip_prefix("unix:").unwrap_or(path)).map(AdminSocket::At),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, String> {
        parse(text).map(|addresses| addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn addresses_and_sockets_are_separated_by_commas_or_blanks() {
        let both = Ok(vec!["[::]:2112".to_owned(), "unix:/run/x.sock".to_owned()]);
        for text in [
            ":2112,unix:/run/x.sock",
            ":2112 unix:/run/x.sock",
            " :2112,\n unix:/run/x.sock ",
            ":2112,,unix:/run/x.sock,",
        ] {
            assert_eq!(shown(text), both, "{text:?}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_and_named() {
        for text in ["", " ", ",", "localhost:2112", "/run/x.sock", "http://127.0.0.1:2112"] {
            let problem = shown(text).unwrap_err();
            assert!(
                problem.starts_with("must be :PORT") && problem.ends_with("unix:PATH for a Unix socket"),
                "{problem}"
            );
        }
        assert!(shown(":2112,here").unwrap_err().starts_with("`here` must be :PORT"));
        assert_eq!(shown("unix:").unwrap_err(), "names no path of a Unix socket");
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_refused() {
        let path = |length: usize| format!("unix:/{}", "x".repeat(length - 1));
        assert!(parse(&path(107)).is_ok());
        assert_eq!(
            parse(&path(108)).unwrap_err(),
            "has a path of 108 bytes, and that of a Unix socket has at most 107"
        );
    }

    #[test]
    fn the_admin_socket_is_a_path_or_off() {
        assert_eq!(admin_socket("off"), Ok(AdminSocket::Off));
        assert_eq!(admin_socket("/run/a.sock"), Ok(AdminSocket::At("/run/a.sock".into())));
        assert_eq!(admin_socket("unix:/run/a.sock"), admin_socket("/run/a.sock"));
        assert!(admin_socket("").is_err());
    }
}
