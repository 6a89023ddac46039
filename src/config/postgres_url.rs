//! URLs of Postgres as libpq takes them: several hosts, and hosts that are parameters, as the folder of a Unix socket
//! often is. Errors never quote the value.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use super::environment::{host_in_url, percent_encoded};
use super::secret::SecretUrl;

const SCHEMES: [&str; 2] = ["postgres", "postgresql"];
const HOST: &str = "host";
const ADDRESS: &str = "hostaddr";
const PORT: &str = "port";
const DEFAULT_PORT: &str = "5432";

/// Parses a URL. The first host becomes the URL's, as `%2Frun%2Fpostgresql` where it is a folder; each further one becomes
/// the parameters `host` and `port`, as a URL can hold one only. As libpq has it, these parameters win over what stands
/// before the path.
///
/// # Errors
/// For text that is no URL, and for one that names no server.
pub(super) fn parse(text: &str) -> Result<SecretUrl, String> {
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| SCHEMES.contains(scheme)) else {
        return url(text);
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (credentials, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let parameters: Vec<&str> = query.split('&').filter(|parameter| !parameter.is_empty()).collect();

    let mut servers: Vec<(String, String)> = hosts.split(',').map(address).collect::<Result<_, _>>()?;
    let named = last(&parameters, HOST)?;
    let by_address = named.is_none() && hosts.is_empty();
    let named = if by_address { last(&parameters, ADDRESS)? } else { named };
    if let Some(named) = &named {
        let port = servers.into_iter().next().map(|(_, port)| port).unwrap_or_default();
        servers = named.split(',').map(|host| (host.to_owned(), port.clone())).collect();
    }
    if let Some(ports) = last(&parameters, PORT)? {
        set_ports(&mut servers, &ports)?;
    }
    if servers.iter().any(|(host, _)| host.is_empty()) {
        return Err(
            "the URL names no server: add a host, or the folder of a Unix socket as ?host=/run/postgresql".into()
        );
    }

    let replaced = |parameter: &&str| {
        let name = name(parameter);
        name == HOST || name == PORT || by_address && name == ADDRESS
    };
    let mut query: Vec<String> = parameters.iter().filter(|one| !replaced(one)).map(ToString::to_string).collect();
    let mut whole = format!("{scheme}://{credentials}");
    for (number, (host, port)) in servers.iter().enumerate() {
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err("not a URL (invalid port number)".to_owned());
        }
        if number == 0 {
            let port = if port.is_empty() { String::new() } else { format!(":{port}") };
            whole.push_str(&format!("{}{port}", host_in_url(host)));
        } else {
            let port = if port.is_empty() { DEFAULT_PORT } else { port };
            query.push(format!("{HOST}={}&{PORT}={port}", percent_encoded(host)));
        }
    }
    whole.push_str(path);
    if !query.is_empty() {
        whole.push('?');
        whole.push_str(&query.join("&"));
    }
    url(&whole)
}

/// Shows such a URL as people write it, without its password and parameters; `false` if it is none.
pub(super) fn show(url: &Url, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
    if !SCHEMES.contains(&url.scheme()) || url.cannot_be_a_base() {
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

fn url(text: &str) -> Result<SecretUrl, String> {
    Url::parse(text).map(SecretUrl::new).map_err(|error| format!("not a URL ({error})"))
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

/// One port holds for all hosts; else there is one for each.
fn set_ports(servers: &mut [(String, String)], ports: &str) -> Result<(), String> {
    let ports: Vec<&str> = ports.split(',').collect();
    if ports.len() != 1 && ports.len() != servers.len() {
        return Err(format!("the URL names {} hosts and {} ports", servers.len(), ports.len()));
    }
    for ((_, port), given) in servers.iter_mut().zip(ports.iter().cycle()) {
        (*given).clone_into(port);
    }
    Ok(())
}

/// The name of a parameter as it is written: none that is understood here needs an escape.
fn name(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or_default()
}

/// The value of a parameter; of several with this name, the last one.
fn last(parameters: &[&str], wanted: &str) -> Result<Option<String>, String> {
    let found = parameters.iter().rfind(|parameter| name(parameter) == wanted);
    found.and_then(|parameter| parameter.split_once('=')).map(|(_, value)| decoded(value)).transpose()
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| "not a URL (not UTF-8)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(text: &str) -> String {
        parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}")).expose().to_string()
    }

    #[test]
    fn urls_with_one_host_stay_as_they_are() {
        for url in [
            "postgres://u:p%40ss@host:5433/db?sslmode=require&application_name=a%20b",
            "postgresql://u@%2Frun%2Fpostgresql/db",
            "postgres://[::1]:5432/db",
            "postgres://host",
            "postgres://u:p@10.0.0.1/db?hostaddr=10.0.0.2",
        ] {
            assert_eq!(exposed(url), url);
        }
    }

    #[test]
    fn hosts_may_be_parameters_and_win_over_the_authority() {
        let socket = "postgresql://shop@%2Fsocket%2Fdir:5433/shop";
        assert_eq!(exposed("postgresql://shop@/shop?host=/socket/dir&port=5433"), socket);
        assert_eq!(exposed("postgresql://shop@/shop?port=5433&host=%2Fsocket%2Fdir"), socket);
        assert_eq!(exposed("postgresql://shop@:5433/shop?host=/socket/dir"), socket);
        assert_eq!(exposed("postgresql://shop@other/shop?host=/socket/dir&port=5433"), socket);
        assert_eq!(exposed("postgresql:///db?host=::1&sslmode=prefer"), "postgresql://[::1]/db?sslmode=prefer");
        assert_eq!(exposed("postgresql:///db?host=h&user=me"), "postgresql://h/db?user=me");
        assert_eq!(exposed("postgres://h/db?port=6000"), "postgres://h:6000/db");
        assert_eq!(
            exposed("postgres:///db?hostaddr=10.0.0.1,10.0.0.2"),
            "postgres://10.0.0.1/db?host=10.0.0.2&port=5432"
        );
    }

    #[test]
    fn further_hosts_become_parameters_with_their_ports() {
        assert_eq!(exposed("postgres://u@a:1,b:2,c/db?x=1"), "postgres://u@a:1/db?x=1&host=b&port=2&host=c&port=5432");
        assert_eq!(exposed("postgres://u@a,b/db?port=7"), "postgres://u@a:7/db?host=b&port=7");
        assert_eq!(exposed("postgres:///db?host=/s,b&port=1,2"), "postgres://%2Fs:1/db?host=b&port=2");
        assert_eq!(exposed("postgres://[::1]:1,[::2]:2/db"), "postgres://[::1]:1/db?host=%3A%3A2&port=2");
    }

    #[test]
    fn all_hosts_are_shown_and_no_password() {
        let shown = |text| parse(text).unwrap().to_string();
        assert_eq!(shown("postgres://u:hush@a:1,[::2]:2/db?password=hush"), "postgres://u:***@a:1,[::2]:2/db");
        assert_eq!(shown("postgresql://u@/db?host=/run/pg&port=1"), "postgresql://u@%2Frun%2Fpg:1/db");
        assert_eq!(shown("postgres://host/db?options=hush"), "postgres://host/db");
    }

    #[test]
    fn what_names_no_server_or_no_port_is_refused() {
        for wrong in
            ["postgres://u:hush@/db", "postgres:///db", "postgres://", "postgres://a,/db", "postgres:///db?host="]
        {
            let problem = parse(wrong).unwrap_err();
            assert!(problem.contains("names no server") && !problem.contains("hush"), "{wrong}: {problem}");
        }
        for wrong in [
            "postgres://u:hush/x@host/db",
            "postgres://a:hush,b/db",
            "postgres://[::1/db",
            "postgres://[::1]hush/db",
            "postgres://a,b,c/db?port=1,2",
            "postgres:///db?host=%FF",
            "postgres://a/db?port=99999",
        ] {
            let problem = parse(wrong).unwrap_err();
            assert!(!problem.contains("hush"), "{wrong}: {problem}");
        }
    }
}
