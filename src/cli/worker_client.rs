//! Asks a running worker, for commands about the process on this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::failure::Failure;
use crate::config::SecretUrl;

/// For everything: connect, ask, read.
const LIMIT: Duration = Duration::from_secs(3);
/// More than any answer of ours; a stranger's may be endless.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// A request of one piece.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request<'a> {
    Get,
    Put(&'a str),
}

/// `path` of the worker on this machine that listens there. Who listens everywhere can be asked here.
pub(super) fn of_this_machine(listen: SocketAddr, path: &str) -> Result<Url, Failure> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let url = format!("http://{}{path}", SocketAddr::new(ip, listen.port()));
    Url::parse(&url).map_err(|error| Failure::Usage(format!("--listen: {error}")))
}

/// The body of the answer.
///
/// # Errors
/// When there is none within 3 seconds, or one that isn't 200, whose text is then told.
pub(super) async fn ask(url: Url, request: Request<'_>) -> Result<String, Failure> {
    let answer = tokio::time::timeout(LIMIT, exchange(&url, request)).await;
    let url = SecretUrl::new(url);
    match answer {
        Ok(Ok((200, body))) => Ok(body),
        Ok(Ok((status, body))) => Err(Failure::Work(format!("{url} answered {status}: {}", body.trim()))),
        Ok(Err(error)) => Err(Failure::Work(format!("{url}: {error}; is the worker running?"))),
        Err(_) => Err(Failure::Work(format!("{url}: no answer within {} s", LIMIT.as_secs()))),
    }
}

/// By HTTP/1.0, whose answers come in one piece and end with the connection.
async fn exchange(url: &Url, request: Request<'_>) -> io::Result<(u16, String)> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    // The brackets of an IPv6 address belong to the URL, not to the address.
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let (method, body) = match request {
        Request::Get => ("GET", ""),
        Request::Put(body) => ("PUT", body),
    };
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: fulfillment-worker\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    status.map(|status| (status, body.to_owned())).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_everywhere_is_asked_here() {
        let asked = |listen: &str| of_this_machine(listen.parse().unwrap(), "/health").unwrap().to_string();
        assert_eq!(asked("0.0.0.0:2112"), "http://127.0.0.1:2112/health");
        assert_eq!(asked("[::]:9000"), "http://[::1]:9000/health");
        assert_eq!(asked("10.0.0.7:2112"), "http://10.0.0.7:2112/health");
    }
}
