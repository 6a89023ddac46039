//! The URLs of `--queue` for Redis: a server, sentinels that know its address, or nodes of a Cluster.
//!
//! Parameters have the names that the client fred gives them; several hosts are separated by commas, as Lettuce and the
//! drivers of other databases have it, or follow as `node=HOST:PORT`. Errors never quote the value.

use std::fmt;

use url::Url;

use super::secret::SecretUrl;

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
        let url = url.expose();
        let Some(kind) = Kind::of(url.scheme()) else { return Ok(Self::One(SecretUrl::new(url.clone()))) };
        if url.fragment().is_some() {
            return Err("the part after `#` has no meaning here; remove it".to_owned());
        }
        let known = kind.parameters();
        if url.query_pairs().any(|(name, _)| !known.contains(&&*name)) {
            return Err(format!("unknown parameter; there are {}", known.join(", ")));
        }
        match kind {
            Kind::Sentinel => sentinel(url),
            Kind::Cluster => cluster(url),
        }
    }
}

/// Parses a URL. Hosts after the first become parameters, as a URL can hold one only.
///
/// # Errors
/// For text that is no URL.
pub fn parse(text: &str) -> Result<SecretUrl, url::ParseError> {
    let several = text.split_once("://").filter(|(scheme, _)| Kind::of(scheme).is_some());
    let Some((scheme, rest)) = several else { return Url::parse(text).map(SecretUrl::new) };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let hosts = authority.rfind('@').map_or(0, |at| at + 1);
    let (credentials, hosts) = authority.split_at(hosts);
    let mut hosts = hosts.split(',');
    let first = hosts.next().unwrap_or_default();
    let mut url = Url::parse(&format!("{scheme}://{credentials}{first}{tail}"))?;
    for host in hosts {
        url.query_pairs_mut().append_pair(NODE, host);
    }
    Ok(SecretUrl::new(url))
}

/// Shows such a URL as people write it, without passwords; `false` if it is none.
pub(super) fn show(url: &Url, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
    if Kind::of(url.scheme()).is_none() {
        return Ok(false);
    }
    write!(f, "{}://", url.scheme())?;
    if url.password().is_some() {
        write!(f, "{}:***@", url.username())?;
    } else if !url.username().is_empty() {
        write!(f, "{}@", url.username())?;
    }
    f.write_str(url.host_str().unwrap_or_default())?;
    if let Some(port) = url.port() {
        write!(f, ":{port}")?;
    }
    for (_, node) in url.query_pairs().filter(|(name, _)| name == NODE) {
        // What is no address may be a password that was not percent-encoded.
        write!(f, ",{}", if address(&node).is_ok() { &node } else { "***" })?;
    }
    f.write_str(url.path())?;
    if let Some((_, master)) = url.query_pairs().find(|(name, _)| name == SERVICE) {
        write!(f, "?{SERVICE}={master}")?;
    }
    Ok(true)
}

/// What is asked for the server's address.
#[derive(Clone, Copy)]
enum Kind {
    Sentinel,
    Cluster,
}

impl Kind {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "redis-sentinel" | "rediss-sentinel" => Some(Self::Sentinel),
            "redis-cluster" | "rediss-cluster" => Some(Self::Cluster),
            _ => None,
        }
    }

    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Sentinel => &[SERVICE, SENTINEL_USER, SENTINEL_PASSWORD, NODE, PROTOCOL],
            Self::Cluster => &[NODE, PROTOCOL],
        }
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
