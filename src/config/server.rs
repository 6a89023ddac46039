//! `--server`: a running worker that a command asks, in the place of queue and store.

use std::path::PathBuf;

use clap::Args;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::listen;
use super::origin::{ConfigError, Origin, Origins};
use super::secret::Secret;

/// Which worker is asked.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerOptions {
    /// Ask this running worker instead of queue and store: https://USER:PASSWORD@HOST:PORT as its --web-config has them, or
    /// unix:SOCKET with its admin socket; http:// with a password only on this machine
    #[arg(long, value_name = "URL")]
    pub server: Option<Secret>,

    /// PEM file of the certificate authorities to trust for an https:// server, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub server_ca: Option<PathBuf>,
}

/// A worker's API, and who asks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub address: ServerAddress,
    /// Name and password.
    pub login: Option<(String, Secret)>,
}

/// Where a worker's API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAddress {
    /// Its root, without a login, and without a slash at the end.
    Url(Url),
    /// A Unix socket.
    Socket(PathBuf),
}

impl ServerOptions {
    /// The worker to ask; `None` where queue and store are to be opened. What is typed wins over what is set elsewhere.
    ///
    /// # Errors
    /// The URL can't be used, or a store or queue is typed beside it.
    pub fn resolve(&self, origins: &Origins) -> Result<Option<Server>, ConfigError> {
        let Some(url) = &self.server else { return Ok(None) };
        let is_typed = |option: &&str| origins.of(option) == Origin::CommandLine;
        match ["queue", "store"].iter().find(|option| is_typed(option)) {
            Some(other) if is_typed(&"server") => {
                Err(origins.error("server", format!("is asked instead of --{other}; set one of them")))
            }
            Some(_) => Ok(None),
            None => read(url.expose()).map(Some).map_err(|problem| origins.error("server", problem)),
        }
    }
}

/// Never quotes the URL, which may hold a password.
fn read(text: &str) -> Result<Server, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Server { address: ServerAddress::Socket(listen::socket_path(path)?), login: None });
    }
    let parsed = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    let mut url = parsed.ok_or("must be https://USER:PASSWORD@HOST:PORT, http://HOST:PORT or unix:SOCKET")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end with the path, without ? and #; encode them in a password, as %3F and %23".to_owned());
    }
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        ("", Some(_)) => return Err("has a password and no user before it".to_owned()),
        (_, None) => return Err("has a user and no password behind it, as in https://USER:PASSWORD@HOST".to_owned()),
        (user, Some(password)) => Some((decoded(user), Secret::new(decoded(password)))),
    };
    if login.is_some() && url.scheme() == "http" && !is_loopback(&url) {
        let way = "use https://, the admin socket, or a tunnel that ends on this machine";
        return Err(format!("would send the password over the network for everybody to read; {way}"));
    }
    let _ = (url.set_username(""), url.set_password(None));
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/api/v1").unwrap_or(path).to_owned();
    url.set_path(&path);
    Ok(Server { address: ServerAddress::Url(url), login })
}

/// Whether what is sent there stays on this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> String {
        match read(text).unwrap().address {
            ServerAddress::Url(url) => url.to_string(),
            ServerAddress::Socket(path) => path.display().to_string(),
        }
    }

    #[test]
    fn a_server_is_a_root_with_or_without_a_prefix() {
        for (text, expected) in [
            ("https://worker.example", "https://worker.example/"),
            ("https://proxy.example/shop/", "https://proxy.example/shop"),
            ("https://proxy.example/shop/api/v1", "https://proxy.example/shop"),
            ("http://10.0.0.7:2112/api/v1/", "http://10.0.0.7:2112/"),
            ("unix:/run/worker/admin.sock", "/run/worker/admin.sock"),
        ] {
            assert_eq!(root(text), expected, "{text}");
        }
    }

    #[test]
    fn a_login_is_decoded_and_taken_out() {
        let server = read("https://ann:p%40ss@worker.example:2112/").unwrap();
        assert_eq!(server.login, Some(("ann".to_owned(), Secret::new("p@ss".to_owned()))));
        assert_eq!(root("https://ann:p%40ss@worker.example:2112/"), "https://worker.example:2112/");
    }

    #[test]
    fn what_can_not_be_used_is_refused_without_its_password() {
        for (text, expected) in [
            ("worker.example:2112", "must be https://"),
            ("ftp://worker.example", "must be https://"),
            ("", "must be https://"),
            ("unix:", "names no path"),
            ("https://ann@worker.example", "no password"),
            ("https://:hush@worker.example", "no user"),
            ("https://ann:hush@worker.example/?x=1", "without ? and #"),
            ("https://ann:hu#sh@worker.example", "must be https://"),
            ("http://ann:hush@worker.example", "over the network"),
            ("http://ann:hush@10.0.0.7:2112", "over the network"),
            ("http://ann:hush@localhost.example", "over the network"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("hush"), "{text}: {problem}");
        }
        for text in ["http://ann:hush@127.0.0.1:2112", "http://ann:hush@[::1]:2112", "http://ann:hush@localhost"] {
            read(text).unwrap();
        }
    }
}
