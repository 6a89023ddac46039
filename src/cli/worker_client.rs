//! Asks a running worker, for commands about the process on this machine.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use url::Url;

use super::failure::Failure;
use crate::config::environment::Environment;
use crate::config::listen::{self, ListenAddresses};
use crate::config::server::is_loopback;
use crate::config::{AdminSocket, ListenAddress, SecretUrl};

/// The time to connect, ask and read.
const LIMIT: Duration = Duration::from_secs(3);
/// More than any answer of ours; a stranger's may be endless.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How a worker that speaks TLS answers who doesn't.
pub(super) const SPEAKS_TLS: &str = "Client sent an HTTP request to an HTTPS server";

/// Where the worker on this machine is asked.
#[derive(Debug, Args)]
pub(super) struct WorkerOptions {
    /// Unix socket of the worker, which is asked first: a path, or `off`; by default where `run` makes it for this user
    #[arg(long, value_name = "PATH", value_parser = listen::admin_socket)]
    admin_socket: Option<AdminSocket>,

    /// Where the worker listens; asked if it has no such socket
    #[arg(long, value_name = "ADDRESS", default_value = ":2112", value_parser = listen::parse)]
    listen: Vec<ListenAddresses>,

    /// TOML file with options as keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Request<'a> {
    Get,
    Put(&'a str),
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Url(Url),
    /// A path with its query, through a Unix socket.
    Socket(PathBuf, String),
}

/// As `--url` takes it, without a password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => SecretUrl::new(url.clone()).fmt(f),
            Self::Socket(socket, path) => write!(f, "unix:{}:{path}", socket.display()),
        }
    }
}

/// Reads a URL: `http:`, `https:`, or `unix:SOCKET` with `:PATH` behind it, or without for `/health`.
pub(super) fn target(text: &str) -> Result<Target, String> {
    if let Some(rest) = text.strip_prefix("unix:") {
        let (socket, path) = rest.split_once(":/").unwrap_or((rest, "health"));
        return Ok(Target::Socket(listen::socket_path(socket)?, format!("/{path}")));
    }
    match Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(Target::Url(url)),
        _ => Err("must be http://HOST:PORT/PATH, https://HOST:PORT/PATH or unix:SOCKET:/PATH".to_owned()),
    }
}

/// Asks the worker on this machine for `path`: through its admin socket, else where it listens.
///
/// # Errors
/// As [`ask`]; with what is wrong with the admin socket where that may be why.
pub(super) async fn ask_worker(
    options: &WorkerOptions,
    environment: &Environment,
    path: &str,
    request: Request<'_>,
) -> Result<String, Failure> {
    let addresses = options.listen.concat();
    let (sockets, mut refused) = admin_sockets(options.admin_socket.as_ref(), &addresses, environment);
    for socket in sockets {
        match ask(&Target::Socket(socket, path.to_owned()), request, Certificate::Any).await {
            Err(Unanswered::NoWorker(problem)) => refused.push(problem),
            Err(Unanswered::Failed(problem)) => return Err(Failure::Work(problem)),
            Ok(body) => return Ok(body),
        }
    }
    let target = match addresses.first() {
        Some(ListenAddress::Network(address)) => Target::Url(of_this_machine(*address, path)?),
        Some(ListenAddress::Unix(socket)) => Target::Socket(socket.clone(), path.to_owned()),
        None => return Err(Failure::Usage("--listen: names no address".to_owned())),
    };
    let answer = match ask(&target, request, Certificate::Any).await {
        // Of one's own machine no name can be verified, and nothing secret is sent.
        Err(Unanswered::Failed(problem)) if problem.contains(SPEAKS_TLS) => {
            ask(&with_tls(target), request, Certificate::Any).await
        }
        answer => answer,
    };
    answer.map_err(|problem| {
        let problem = problem.into_text();
        let seen = refused.iter().map(|refused| format!("; its admin socket was no help: {refused}"));
        Failure::Work(format!("{problem}{}", seen.collect::<String>()))
    })
}

fn with_tls(target: Target) -> Target {
    match target {
        Target::Url(mut url) => {
            let _ = url.set_scheme("https");
            Target::Url(url)
        }
        socket => socket,
    }
}

/// The admin sockets to try, and those that can't be trusted.
fn admin_sockets(
    setting: Option<&AdminSocket>,
    addresses: &[ListenAddress],
    environment: &Environment,
) -> (Vec<PathBuf>, Vec<String>) {
    match setting {
        Some(AdminSocket::Off) => (Vec::new(), Vec::new()),
        Some(AdminSocket::At(path)) => (vec![path.clone()], Vec::new()),
        #[cfg(unix)]
        Some(AdminSocket::Default) | None => {
            use crate::config::admin_path;

            let found = admin_path::find(&admin_path::folders(environment), addresses);
            let advice = "; run this as that user, as with `docker exec --user` or `sudo -u`";
            let refused = found.refused.into_iter().map(|problem| format!("{problem}{advice}"));
            (found.sockets, refused.collect())
        }
        #[cfg(not(unix))]
        _ => (Vec::new(), Vec::new()),
    }
}

/// The URL of `path` at the worker on this machine that listens on `listen`, which may be an unspecified address.
fn of_this_machine(listen: SocketAddr, path: &str) -> Result<Url, Failure> {
    let url = format!("http://{}{path}", from_this_machine(listen));
    Url::parse(&url).map_err(|error| Failure::Usage(format!("--listen: {error}")))
}

/// Where whoever listens there answers, for somebody on this machine.
pub(super) fn from_this_machine(listen: SocketAddr) -> SocketAddr {
    // `[::]` as well: it takes both families, and IPv4 is there where IPv6 is not.
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    SocketAddr::new(ip, listen.port())
}

/// Which certificates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certificate {
    /// Every one.
    Any,
    /// Those of the system's authorities, with the right name.
    Verified,
}

/// Why there is no body of a good answer.
enum Unanswered {
    /// Nobody is there.
    NoWorker(String),
    /// There is somebody who didn't answer, or not well.
    Failed(String),
}

impl Unanswered {
    fn into_text(self) -> String {
        match self {
            Self::NoWorker(text) | Self::Failed(text) => text,
        }
    }
}

/// The body of the answer. A certificate is verified unless it is that of a loopback address, which has no name.
///
/// # Errors
/// When no answer comes within 3 seconds, or its status isn't 200; its text is then part of the error.
pub(super) async fn ask_at(target: &Target, request: Request<'_>) -> Result<String, Failure> {
    let is_here = matches!(target, Target::Url(url) if is_loopback(url));
    let certificate = if is_here { Certificate::Any } else { Certificate::Verified };
    ask(target, request, certificate).await.map_err(|problem| Failure::Work(problem.into_text()))
}

async fn ask(target: &Target, request: Request<'_>, certificate: Certificate) -> Result<String, Unanswered> {
    match tokio::time::timeout(LIMIT, exchange(target, request, certificate)).await {
        Ok(Ok((StatusCode::OK, body))) => Ok(body),
        Ok(Ok((status, body))) => {
            Err(Unanswered::Failed(format!("{target} answered {}: {}", status.as_u16(), body.trim())))
        }
        Ok(Err(error)) => {
            let text = format!("{target}: {}; is the worker running?", root_cause(&error));
            Err(if error.is_connect() { Unanswered::NoWorker(text) } else { Unanswered::Failed(text) })
        }
        Err(_) => Err(Unanswered::Failed(format!("{target}: no answer within {} s", LIMIT.as_secs()))),
    }
}

async fn exchange(
    target: &Target,
    request: Request<'_>,
    certificate: Certificate,
) -> reqwest::Result<(StatusCode, String)> {
    let (client, url) = match target {
        Target::Url(url) => (Client::builder(), url.to_string()),
        Target::Socket(socket, path) => (through(socket), format!("http://localhost{path}")),
    };
    let client = match certificate {
        Certificate::Verified if matches!(target, Target::Url(url) if url.scheme() == "https") => client,
        // No authority is needed, and a container may have none.
        _ => client.tls_certs_only([]).tls_danger_accept_invalid_certs(true),
    };
    let client = client.no_proxy().redirect(Policy::none()).build()?;
    let request = match request {
        Request::Get => client.get(url),
        Request::Put(body) => client.put(url).body(body.to_owned()),
    };
    let response = request.send().await?;
    let status = response.status();
    let body = body(response, MAX_ANSWER_BYTES).await?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The body up to the part that has its byte number `most`.
pub(super) async fn body(mut response: Response, most: usize) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while body.len() < most
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(unix)]
pub(super) fn through(socket: &std::path::Path) -> ClientBuilder {
    Client::builder().unix_socket(socket)
}

#[cfg(not(unix))]
pub(super) fn through(_: &std::path::Path) -> ClientBuilder {
    Client::builder()
}

/// The error of the system, such as `Connection refused`, without the client's words around it.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
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

    #[test]
    fn a_target_is_a_url_or_a_socket_with_a_path() {
        let shown = |text| target(text).map(|target| target.to_string());
        for text in ["http://127.0.0.1:2112/readyz", "https://worker.example/health", "unix:/run/x.sock:/readyz"] {
            assert_eq!(shown(text), Ok(text.to_owned()));
        }
        assert_eq!(shown("unix:/run/x.sock"), Ok("unix:/run/x.sock:/health".to_owned()));
        for text in ["", "unix:", "ftp://here/", "127.0.0.1:2112"] {
            assert!(shown(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_loopback_address_may_show_any_certificate() {
        let here = |text: &str| is_loopback(&Url::parse(text).unwrap());
        for url in ["https://127.0.0.1:1/", "https://127.9.9.9/", "https://[::1]/", "https://localhost/"] {
            assert!(here(url), "{url}");
        }
        for url in ["https://10.0.0.1/", "https://localhost.example/", "https://[::2]/", "https://127.0.0.1.example/"] {
            assert!(!here(url), "{url}");
        }
    }
}
