//! `healthcheck`: asks the running worker, for container health checks without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::failure::Failure;
use super::output;
use crate::config::{SecretUrl, values};

/// For everything: connect, ask, read.
const LIMIT: Duration = Duration::from_secs(3);
/// More than any answer of ours; a stranger's may be endless.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Ask the running worker whether it is well: exit code 0 if so, else 1
///
/// Asks /health on the port of --listen, on this machine, for 3 seconds at most.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  HEALTHCHECK CMD [\"fulfillment-worker\", \"healthcheck\"]
      in a Dockerfile
  fulfillment-worker healthcheck --url http://127.0.0.1:2112/readyz
      readiness instead")]
pub(super) struct Arguments {
    /// What to ask instead
    #[arg(long, value_name = "URL", value_parser = plain_http)]
    url: Option<Url>,

    /// Where the worker serves health
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:2112", value_parser = values::address)]
    listen: SocketAddr,

    /// TOML file with options as keys; FULFILLMENT_CONFIG in the environment
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn plain_http(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        _ => Err("must be http://HOST:PORT/PATH".to_owned()),
    }
}

pub(super) async fn healthcheck(arguments: Arguments) -> Result<(), Failure> {
    let url = match arguments.url {
        Some(url) => url,
        None => of_this_machine(arguments.listen).map_err(|error| Failure::Usage(format!("--listen: {error}")))?,
    };
    let answer = tokio::time::timeout(LIMIT, ask(&url)).await;
    let url = SecretUrl::new(url);
    match answer {
        Ok(Ok((200, body))) => output::print(body.lines().next().unwrap_or("ok")),
        Ok(Ok((status, body))) => Err(Failure::Work(format!("{url} answered {status}: {}", body.trim()))),
        Ok(Err(error)) => Err(Failure::Work(format!("{url}: {error}; is the worker running?"))),
        Err(_) => Err(Failure::Work(format!("{url}: no answer within {} s", LIMIT.as_secs()))),
    }
}

/// Who listens everywhere can be asked here.
fn of_this_machine(listen: SocketAddr) -> Result<Url, url::ParseError> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Url::parse(&format!("http://{}/health", SocketAddr::new(ip, listen.port())))
}

/// One GET as HTTP/1.0, whose answers come in one piece and end with the connection.
async fn ask(url: &Url) -> std::io::Result<(u16, String)> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    // The brackets of an IPv6 address belong to the URL, not to the address.
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request = format!("GET {target} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: fulfillment-worker\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    status.map(|status| (status, body.to_owned())).ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_everywhere_is_asked_here() {
        let asked = |listen: &str| of_this_machine(listen.parse().unwrap()).unwrap().to_string();
        assert_eq!(asked("0.0.0.0:2112"), "http://127.0.0.1:2112/health");
        assert_eq!(asked("[::]:9000"), "http://[::1]:9000/health");
        assert_eq!(asked("10.0.0.7:2112"), "http://10.0.0.7:2112/health");
    }
}
