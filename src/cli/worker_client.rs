//! Asks a running worker, for commands about the process on this machine.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use url::Url;

use super::failure::Failure;
use crate::config::{SecretUrl, values};

/// The time to connect, ask and read.
const LIMIT: Duration = Duration::from_secs(3);
/// More than any answer of ours; a stranger's may be endless.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Where the worker on this machine listens.
#[derive(Debug, Args)]
pub(super) struct WorkerOptions {
    /// Where the worker listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ":2112", value_parser = values::address)]
    pub(super) listen: SocketAddr,

    /// TOML file with options as keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Request<'a> {
    Get,
    Put(&'a str),
}

/// The URL of `path` at the worker on this machine that listens on `listen`, which may be an unspecified address.
pub(super) fn of_this_machine(listen: SocketAddr, path: &str) -> Result<Url, Failure> {
    let url = format!("http://{}{path}", from_this_machine(listen));
    Url::parse(&url).map_err(|error| Failure::Usage(format!("--listen: {error}")))
}

/// Where whoever listens there answers, for somebody on this machine.
pub(super) fn from_this_machine(listen: SocketAddr) -> SocketAddr {
    // `[::]` as well: it takes both families, and IPv4 is there where IPv6 is not.
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    SocketAddr::new(ip, listen.port())
}

/// The body of the answer.
///
/// # Errors
/// When no answer comes within 3 seconds, or its status isn't 200; its text is then part of the error.
pub(super) async fn ask(url: Url, request: Request<'_>) -> Result<String, Failure> {
    let answer = tokio::time::timeout(LIMIT, exchange(url.clone(), request)).await;
    let url = SecretUrl::new(url);
    match answer {
        Ok(Ok((StatusCode::OK, body))) => Ok(body),
        Ok(Ok((status, body))) => Err(Failure::Work(format!("{url} answered {}: {}", status.as_u16(), body.trim()))),
        Ok(Err(error)) => Err(Failure::Work(format!("{url}: {}; is the worker running?", root_cause(&error)))),
        Err(_) => Err(Failure::Work(format!("{url}: no answer within {} s", LIMIT.as_secs()))),
    }
}

async fn exchange(url: Url, request: Request<'_>) -> reqwest::Result<(StatusCode, String)> {
    // No authority is needed, and a container may have none: the worker is asked without TLS.
    let client = Client::builder().tls_certs_only([]).no_proxy().redirect(Policy::none()).build()?;
    let request = match request {
        Request::Get => client.get(url),
        Request::Put(body) => client.put(url).body(body.to_owned()),
    };
    let mut response = request.send().await?;
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER_BYTES
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), String::from_utf8_lossy(&body).into_owned()))
}

/// The error of the system, such as `Connection refused`, without the client's words around it.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_everywhere_is_asked_here() {
        let asked = |listen: &str| of_this_machine(listen.parse().unwrap(), "/health").unwrap().to_string();
        assert_eq!(asked("0.0.0.0:2112"), "http://127.0.0.1:2112/health");
        assert_eq!(asked("[::]:9000"), "http://127.0.0.1:9000/health");
        assert_eq!(asked("[::1]:9000"), "http://[::1]:9000/health");
        assert_eq!(asked("10.0.0.7:2112"), "http://10.0.0.7:2112/health");
    }
}
