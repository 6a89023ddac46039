//! The URLs of `--queue` for Redis: a server, its Unix socket, sentinels that know its address, or nodes of a Cluster.
//!
//! Parameters have the names that the client fred gives them, and redis-py and others; several hosts are separated by commas,
//! as Lettuce and the drivers of other databases have it, or follow as `node=HOST:PORT`. Errors never quote a value.

use std::fmt;

use url::Url;

use super::secret::SecretUrl;
use super::url_parts::{Parts, percent_encoded, quoted, unknown_parameter, write_authority};

/// Most sentinels or nodes that a URL may name.
const MOST_NODES: usize = 100;
const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const NODE: &str = "node";
const SERVICE: &str = "sentinelServiceName";
const SENTINEL_USER: &str = "sentinelUsername";
const SENTINEL_PASSWORD: &str = "sentinelPassword";
/// Understood by redis-rs.
const PROTOCOL: &str = "protocol";
const PROTOCOLS: [&str; 4] = ["resp2", "resp3", "2", "3"];
const DATABASE: &str = "db";
const USERS: [&str; 2] = ["username", "user"];
const PASSWORDS: [&str; 2] = ["password", "pass"];
/// The scheme that redis-rs has for Unix sockets.
const SOCKET: &str = "redis+unix";

/// Every scheme that [`parse`] reads.
pub(super) const SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "unix",
    SOCKET,
    "valkey+unix",
    "redis-sentinel",
    "rediss-sentinel",
    "redis-cluster",
    "rediss-cluster",
];

/// The servers that a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// This server, or whichever node of its Cluster it sends us to.
    One(SecretUrl),
    /// The server that sentinels call the master.
    Sentinel {
        /// At least one, each with the sentinels' own user and password.
        sentinels: Vec<SecretUrl>,
        /// The name that the sentinels know it by.
        master: String,
        /// How to speak to a master; the host is to be replaced by its address.
        server: SecretUrl,
    },
    /// The node of a Cluster that holds the slot of the queue's keys: some nodes to ask, at least one.
    Cluster(Vec<SecretUrl>),
}

impl RedisServers {
    /// Reads a URL, as [`parse`] makes it of text.
    ///
    /// # Errors
    /// Says what is wrong with it, without quoting it.
    pub fn of(url: &SecretUrl) -> Result<Self, String> {
        let url = canonical(url)?;
        match Kind::of(url.expose().scheme()) {
            Some(Kind::Sentinel) => sentinel(url.expose()),
            Some(Kind::Cluster) => cluster(url.expose()),
            Some(Kind::Server | Kind::Socket) | None => Ok(Self::One(url)),
        }
    }
}

/// Parses a URL. Hosts after the first become parameters, as a URL can hold one only, and so do user and password of a Unix
/// socket, as a URL needs a host for them.
///
/// # Errors
/// For text that is no URL.
pub fn parse(text: &str) -> Result<SecretUrl, url::ParseError> {
    let Some(parts) = Parts::of(text) else { return Url::parse(text).map(SecretUrl::new) };
    let Parts { scheme, credentials, hosts, tail } = parts;
    match Kind::of(scheme) {
        Some(Kind::Socket) if !credentials.is_empty() => {
            let mut url = Url::parse(&format!("{SOCKET}://{hosts}{tail}"))?;
            let written = Url::parse(&format!("redis://{credentials}host"))?;
            for (name, value) in
                [(USERS[0], written.username()), (PASSWORDS[0], written.password().unwrap_or_default())]
            {
                let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
                if !value.is_empty() {
                    url.query_pairs_mut().append_pair(name, &value);
                }
            }
            Ok(SecretUrl::new(url))
        }
        Some(Kind::Sentinel | Kind::Cluster) => {
            let mut hosts = hosts.split(',');
            let first = hosts.next().unwrap_or_default();
            let mut url = Url::parse(&format!("{scheme}://{credentials}{first}{tail}"))?;
            for host in hosts {
                url.query_pairs_mut().append_pair(NODE, host);
            }
            Ok(SecretUrl::new(url))
        }
        _ => Url::parse(text).map(SecretUrl::new),
    }
}

/// The same URL with one place for everything: the database in the path (of a socket: in `db`), user and password before the
/// host (of a socket: in `user` and `pass`), and a scheme that redis-rs knows.
///
/// # Errors
/// For a parameter that is not known, with its name; for one that contradicts another part; and for a value that it does not
/// take.
pub(super) fn canonical(url: &SecretUrl) -> Result<SecretUrl, String> {
    let url = url.expose();
    let Some(kind) = Kind::of(url.scheme()) else { return Ok(SecretUrl::new(url.clone())) };
    check_parameters(url, kind)?;
    let mut one = url.clone();
    if let Some(scheme) = match url.scheme() {
        "valkey" => Some("redis"),
        "valkeys" => Some("rediss"),
        _ if kind == Kind::Socket => Some(SOCKET),
        _ => None,
    } {
        one.set_scheme(scheme).map_err(|()| unusable())?;
    }
    let in_path = Some(url.path().trim_start_matches('/')).filter(|path| kind != Kind::Socket && !path.is_empty());
    let database = the_one(url, &[DATABASE], in_path.map(str::to_owned), "database")?;
    if database.as_ref().is_some_and(|database| database.parse::<u32>().is_err()) {
        return Err("the database must be a number, as in redis://HOST:PORT/0 or ?db=0".to_owned());
    }
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = Some(url.username()).filter(|user| !user.is_empty()).map(decoded);
    let user = the_one(url, &USERS, user, "user")?;
    let password = the_one(url, &PASSWORDS, url.password().map(decoded), "password")?;
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| ![&[DATABASE], &USERS[..], &PASSWORDS[..]].concat().contains(&&**name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if kept.len() < url.query_pairs().count() || kind == Kind::Socket {
        one.set_query(None);
        if !kept.is_empty() {
            one.query_pairs_mut().extend_pairs(kept);
        }
        set_folded(&mut one, kind, [database, user, password])?;
    }
    Ok(SecretUrl::new(one))
}

/// Database, user and password, where redis-rs looks for them.
fn set_folded(url: &mut Url, kind: Kind, [database, user, password]: [Option<String>; 3]) -> Result<(), String> {
    if kind == Kind::Socket {
        for (name, value) in [(DATABASE, database), (USERS[1], user), (PASSWORDS[1], password)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        return Ok(());
    }
    if let Some(database) = database {
        url.set_path(&format!("/{database}"));
    }
    let user = user.map(|user| percent_encoded(&user)).unwrap_or_default();
    url.set_username(&user).map_err(|()| unusable())?;
    url.set_password(password.map(|password| percent_encoded(&password)).as_deref()).map_err(|()| unusable())
}

/// Whether the text is a URL of Redis without a password.
#[cfg(feature = "cli")]
pub(super) fn lacks_password(text: &str) -> bool {
    let read = parse(text).ok().filter(|url| Kind::of(url.expose().scheme()).is_some());
    read.and_then(|url| canonical(&url).ok()).is_some_and(|url| {
        let url = url.expose();
        url.password().is_none() && !url.query_pairs().any(|(name, _)| PASSWORDS.contains(&&*name))
    })
}

/// The same URL, as [`canonical`] makes it, with this password.
#[cfg(feature = "cli")]
pub(super) fn with_password(url: &SecretUrl, password: &str) -> Result<SecretUrl, String> {
    let mut url = url.expose().clone();
    match Kind::of(url.scheme()) {
        Some(Kind::Socket) => _ = url.query_pairs_mut().append_pair(PASSWORDS[1], password),
        _ => url.set_password(Some(&percent_encoded(password))).map_err(|()| unusable())?,
    }
    Ok(SecretUrl::new(url))
}

/// Whether it names a host, or the file of a Unix socket.
pub(super) fn check_place(url: &Url) -> Result<(), String> {
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    match Kind::of(url.scheme()) {
        Some(Kind::Socket) if has_host => {
            Err("a Unix socket has no host: three slashes stand before its path".to_owned())
        }
        Some(Kind::Socket) if url.path().len() < 2 => Err("the URL has no path of a Unix socket".to_owned()),
        Some(Kind::Socket) => Ok(()),
        _ if !has_host => Err("the URL has no host".to_owned()),
        _ => Ok(()),
    }
}

fn check_parameters(url: &Url, kind: Kind) -> Result<(), String> {
    if url.fragment().is_some() {
        return Err("the part after `#` has no meaning here; remove it".to_owned());
    }
    let known = kind.parameters();
    if let Some((name, _)) = url.query_pairs().find(|(name, _)| !known.contains(&&**name)) {
        // With an `@` behind the `?`, this may be a password that was not percent-encoded.
        let is_suspect = url.query().is_some_and(|query| query.contains('@'));
        return Err(unknown_parameter(if is_suspect { "*" } else { &name }, &known));
    }
    if parameter(url, PROTOCOL).is_some_and(|protocol| !PROTOCOLS.contains(&protocol.as_str())) {
        return Err(format!("{} must be one of {}", quoted(PROTOCOL), PROTOCOLS.join(", ")));
    }
    if kind == Kind::Server && url.host_str().is_some_and(|hosts| hosts.contains(',')) {
        return Err("several hosts need redis-cluster:// or redis-sentinel://".to_owned());
    }
    Ok(())
}

/// The one value of these parameters and `elsewhere`, if they don't contradict each other.
fn the_one(url: &Url, names: &[&str], elsewhere: Option<String>, what: &str) -> Result<Option<String>, String> {
    let parameters =
        url.query_pairs().filter(|(name, _)| names.contains(&&**name)).map(|(_, value)| value.into_owned());
    let mut given: Vec<String> = elsewhere.into_iter().chain(parameters).collect();
    given.dedup();
    match given.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        _ => {
            let name = names.first().copied().unwrap_or_default();
            Err(format!("the URL names more than one {what}: parameter `{name}` contradicts what stands elsewhere"))
        }
    }
}

/// Shows such a URL as people write it, without passwords; `false` if it is none.
pub(super) fn show(url: &Url, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
    let Some(kind) = Kind::of(url.scheme()) else { return Ok(false) };
    write_authority(url, f)?;
    for (_, node) in url.query_pairs().filter(|(name, _)| name == NODE) {
        // What is no address may be a password that was not percent-encoded.
        write!(f, ",{}", if address(&node).is_ok() { &node } else { "***" })?;
    }
    f.write_str(url.path())?;
    let shown = if kind == Kind::Socket { DATABASE } else { SERVICE };
    if let Some((_, value)) = url.query_pairs().find(|(name, _)| name == shown) {
        write!(f, "?{shown}={value}")?;
    }
    Ok(true)
}

/// What a URL leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Socket,
    Sentinel,
    Cluster,
}

impl Kind {
    fn of(scheme: &str) -> Option<Self> {
        match scheme.to_ascii_lowercase().as_str() {
            "redis" | "rediss" | "valkey" | "valkeys" => Some(Self::Server),
            "unix" | SOCKET | "valkey+unix" => Some(Self::Socket),
            "redis-sentinel" | "rediss-sentinel" => Some(Self::Sentinel),
            "redis-cluster" | "rediss-cluster" => Some(Self::Cluster),
            _ => None,
        }
    }

    fn parameters(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Self::Server | Self::Socket => &[],
            Self::Sentinel => &[SERVICE, SENTINEL_USER, SENTINEL_PASSWORD, NODE],
            Self::Cluster => &[NODE],
        };
        [own, &[DATABASE, PROTOCOL], &USERS, &PASSWORDS].concat()
    }
}

/// The value of a parameter; of several with this name, the last one.
fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().filter(|(found, _)| found == name).last().map(|(_, value)| value.into_owned())
}

fn sentinel(url: &Url) -> Result<RedisServers, String> {
    let master = parameter(url, SERVICE)
        .filter(|master| !master.is_empty())
        .ok_or_else(|| format!("no name of a master; add ?{SERVICE}=NAME, as the sentinels call it"))?;
    let mut template = plain(url)?;
    template.set_query(None);
    template.set_path("");
    template.set_username(&parameter(url, SENTINEL_USER).unwrap_or_default()).map_err(|()| unusable())?;
    template.set_password(parameter(url, SENTINEL_PASSWORD).as_deref()).map_err(|()| unusable())?;
    let sentinels = nodes(url, &template, SENTINEL_PORT)?;
    Ok(RedisServers::Sentinel { sentinels, master, server: SecretUrl::new(plain(url)?) })
}

fn cluster(url: &Url) -> Result<RedisServers, String> {
    if !matches!(url.path().trim_matches('/'), "" | "0") {
        return Err("a Redis Cluster has no database but 0; remove the number after the hosts".to_owned());
    }
    nodes(url, &plain(url)?, SERVER_PORT).map(RedisServers::Cluster)
}

/// The template with the address of each host of `url`.
fn nodes(url: &Url, template: &Url, default_port: u16) -> Result<Vec<SecretUrl>, String> {
    let others = url.query_pairs().filter(|(name, _)| name == NODE).map(|(_, node)| address(&node));
    let hosts: Vec<_> = std::iter::once(Ok(url.clone())).chain(others).collect();
    if hosts.len() > MOST_NODES {
        return Err(format!("more than {MOST_NODES} hosts"));
    }
    let with_address = |host: Result<Url, String>| {
        let (host, mut one) = (host?, template.clone());
        one.set_host(host.host_str()).map_err(|_| unusable())?;
        one.set_port(Some(host.port().unwrap_or(default_port))).map_err(|()| unusable())?;
        Ok(SecretUrl::new(one))
    };
    hosts.into_iter().map(with_address).collect()
}

/// The same for one server, which understands one parameter.
fn plain(url: &Url) -> Result<Url, String> {
    let mut one = url.clone();
    let scheme = if url.scheme().starts_with("rediss") { "rediss" } else { "redis" };
    one.set_scheme(scheme).map_err(|()| unusable())?;
    one.set_query(parameter(url, PROTOCOL).map(|protocol| format!("{PROTOCOL}={protocol}")).as_deref());
    Ok(one)
}

/// Reads `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
fn address(node: &str) -> Result<Url, String> {
    let url = Url::parse(&format!("redis://{node}")).map_err(|_| unusable())?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.path().is_empty();
    let is_bare = is_bare && url.query().is_none() && url.fragment().is_none() && !node.contains(',');
    if is_bare && url.host_str().is_some_and(|host| !host.is_empty()) { Ok(url) } else { Err(unusable()) }
}

fn unusable() -> String {
    "one of the hosts is not HOST:PORT".to_owned()
}

#[cfg(test)]
mod tests;
