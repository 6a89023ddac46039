//! Asks the API of a running worker for documents, for the commands that take `--server`.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::connect::throttled_notice;
use super::failure::Failure;
use super::worker_client::{SPEAKS_TLS, body, root_cause, through};
use crate::config::Secret;
use crate::config::server::{Server, ServerAddress};
use crate::domain::retry;
use crate::operations::documents::VERSION;

/// Time to connect, ask and read; the API answers within 10 s.
const LIMIT: Duration = Duration::from_secs(15);

/// More than the longest page has.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Of an answer that is no document, so much is shown.
const SHOWN: usize = 200;

/// The API of one worker.
#[derive(Clone)]
pub(super) struct ApiClient {
    client: Client,
    /// What stands before `/api/v1`.
    root: String,
    login: Option<(String, Secret)>,
    /// For people.
    name: String,
    /// How long it is asked again while it gives no answer.
    wait: Option<Duration>,
}

/// As `--server` takes it, without the login.
impl fmt::Display for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why there is no document.
enum Unanswered {
    /// There may be one later, after the time that the server names.
    NotNow(String, Duration),
    /// There is no such thing.
    Missing(String),
    /// Asking again does not help.
    Refused(Failure),
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotNow(problem, _) | Unanswered::Missing(problem) => Self::Work(problem),
            Unanswered::Refused(failure) => failure,
        }
    }
}

/// What a refusal says (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    errors: Vec<ElementProblem>,
}

#[derive(Deserialize)]
struct ElementProblem {
    index: usize,
    detail: String,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl ApiClient {
    pub(super) fn new(server: Server, ca: Option<&Path>, wait: Option<Duration>) -> Result<Self, Failure> {
        let Server { address, login } = server;
        let (client, root, name) = match &address {
            ServerAddress::Url(url) => {
                let root = url.as_str().trim_end_matches('/').to_owned();
                (Client::builder(), root.clone(), root)
            }
            ServerAddress::Socket(path) => {
                (through(path), "http://localhost".to_owned(), format!("unix:{}", path.display()))
            }
        };
        let client = match ca {
            Some(path) => client.tls_certs_only(authorities(path)?),
            // No authority is needed, and a container may have none.
            None if root.starts_with("http:") => client.tls_certs_only([]),
            None => client,
        };
        let client = client.no_proxy().redirect(Policy::none()).timeout(LIMIT).build();
        let client = client.map_err(|error| Failure::Usage(format!("--server: {}", root_cause(&error))))?;
        Ok(Self { client, root, login, name, wait })
    }

    /// Sets no limit to how long it is asked again.
    pub(super) fn wait_for_ever(&mut self) {
        self.wait = None;
    }

    /// The document of a path below `/api/v1`.
    ///
    /// # Errors
    /// Says what the server refused, or that it didn't answer for as long as `--wait`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Failure> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Ok(self.answer(|| self.request(Method::GET, &path)).await?)
    }

    /// The same; `None` where there is no such thing.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        match self.answer(|| self.request(Method::GET, path)).await {
            Ok(document) => Ok(Some(document)),
            Err(Unanswered::Missing(_)) => Ok(None),
            Err(unanswered) => Err(unanswered.into()),
        }
    }

    /// The document that answers a decision. Each may be sent again, and is.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let json = serde_json::to_vec(body).map_err(Failure::work)?;
        let request = || self.request(Method::POST, path).header(CONTENT_TYPE, "application/json").body(json.clone());
        Ok(self.answer(request).await?)
    }

    /// The document that answers JSON Lines, which are taken once under this key.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) async fn post_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        key: Option<&str>,
        lines: &str,
    ) -> Result<T, Failure> {
        let request = || {
            let request = self.request(Method::POST, path).header(CONTENT_TYPE, "application/x-ndjson");
            key.into_iter().fold(request.body(lines.to_owned()), |request, key| request.header("Idempotency-Key", key))
        };
        Ok(self.answer(request).await?)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}/api/v1{path}", self.root));
        let request = request.header(ACCEPT, "application/json, application/problem+json");
        match &self.login {
            Some((user, password)) => request.basic_auth(user, Some(password.expose())),
            None => request,
        }
    }

    /// Asks until there is an answer, for as long as `--wait`.
    async fn answer<T: DeserializeOwned>(&self, request: impl Fn() -> RequestBuilder) -> Result<T, Unanswered> {
        let (began, mut failures, mut note) = (Instant::now(), 0, throttled_notice());
        loop {
            let asked = match request().send().await {
                Ok(response) => self.document(response).await,
                Err(error) => Err(self.unreachable(&error)),
            };
            let Err(Unanswered::NotNow(problem, after)) = asked else { return asked };
            failures = u32::saturating_add(failures, 1);
            let Some(pause) = retry::dependency_pause(failures, began.elapsed(), self.wait) else {
                return Err(Unanswered::NotNow(problem, after));
            };
            note(&problem);
            let left = self.wait.map_or(after, |wait| after.min(wait.saturating_sub(began.elapsed())));
            tokio::time::sleep(pause.max(left)).await;
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Unanswered {
        let problem = match error.is_timeout() {
            true => format!("no answer within {} s", LIMIT.as_secs()),
            false => root_cause(error),
        };
        // A certificate does not become valid by waiting.
        let is_tls = ["certificate", "corrupt message", "alert"].iter().any(|word| problem.contains(word));
        match is_tls {
            true => self.refused(format!("no TLS: {problem}; see --server-ca, or is it http://?")),
            false => Unanswered::NotNow(format!("{self}: {problem}; is the worker running?"), Duration::ZERO),
        }
    }

    fn refused(&self, problem: impl fmt::Display) -> Unanswered {
        Unanswered::Refused(Failure::Work(format!("{self}: {problem}")))
    }

    async fn document<T: DeserializeOwned>(&self, response: Response) -> Result<T, Unanswered> {
        let (status, headers) = (response.status(), response.headers().clone());
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let after = Duration::from_secs(header(RETRY_AFTER).parse().unwrap_or_default());
        let body = body(response, MOST_BYTES).await.map_err(|error| self.unreachable(&error))?;
        let text = String::from_utf8_lossy(&body);
        let is = |kind: &str| header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim() == kind;
        if status.is_success() && is("application/json") {
            return self.parsed(&body);
        }
        let problem = serde_json::from_slice::<Problem>(&body).ok().filter(|_| is("application/problem+json"));
        let said = match &problem {
            Some(problem) => format!("{self}: {}", problem.in_words()),
            None if text.contains(SPEAKS_TLS) => format!("{self}: speaks TLS; name it with https://"),
            None if status.is_redirection() => {
                format!("{self} answered {}, look at {}; name that with --server", status.as_u16(), header(LOCATION))
            }
            None => {
                let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
                let why = "no document of the API: is it the address of a worker's listener, and of this version?";
                format!("{self} answered {} with {why} It said: {text}", status.as_u16())
            }
        };
        Err(match status {
            StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS => Unanswered::NotNow(said, after),
            StatusCode::UNAUTHORIZED => Unanswered::Refused(Failure::Work(match self.login {
                Some(_) => format!("{said}; user or password in --server is wrong"),
                None => format!("{said}; put user and password into --server, as in https://USER:PASSWORD@HOST"),
            })),
            StatusCode::NOT_FOUND if problem.is_some() => Unanswered::Missing(said),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if problem.is_some() => {
                Unanswered::Refused(Failure::Usage(said))
            }
            _ => Unanswered::Refused(Failure::Work(said)),
        })
    }

    fn parsed<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Unanswered> {
        if body.len() >= MOST_BYTES {
            return Err(self.refused(format!("the answer has more than {MOST_BYTES} bytes; ask for less")));
        }
        let unlike = |problem: String| {
            self.refused(format!("{problem}; it is of another version: use that version of this program"))
        };
        match serde_json::from_slice(body) {
            Ok(Versioned { version: VERSION }) => {}
            Ok(Versioned { version }) => {
                return Err(unlike(format!(
                    "its documents have version {version}, and version {VERSION} is read here"
                )));
            }
            Err(error) => return Err(unlike(format!("the answer has no version: {error}"))),
        }
        serde_json::from_slice(body).map_err(|error| unlike(format!("the answer can't be read: {error}")))
    }
}

impl Problem {
    fn in_words(&self) -> String {
        let errors = self.errors.iter().map(|error| format!("; order {}: {}", error.index + 1, error.detail));
        format!("{}{}", self.detail, errors.collect::<String>())
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let failed = |problem: &dyn fmt::Display| Failure::Usage(format!("--server-ca: {}: {problem}", path.display()));
    let pem = std::fs::read(path).map_err(|error| failed(&error))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| failed(&root_cause(&error)))?;
    if certificates.is_empty() { Err(failed(&"has no certificate")) } else { Ok(certificates) }
}
