//! Lets each request through with the rights of its client, or refuses it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Access;
use super::login::{Login, credentials};
use super::origin::{foreign, is_forwarded, names_this_machine};
use super::web_config::WebConfig;
use crate::admin::Peer;
use crate::admin::problem::API;

#[cfg(test)]
mod tests;

/// The answer to a request that reaches no route.
type Refused = Box<Response>;

/// Every request outside the API that changes something. What is neither here nor a GET or HEAD reaches no route there,
/// whoever sends it.
const CHANGING: &[(&str, Method)] = &[("/log", Method::PUT)];

/// Where the forms of the page are sent to.
const ACTIONS: &str = "/do/";

/// For orchestrators, which can't log in.
const PROBES: [&str; 3] = ["/health", "/livez", "/readyz"];

const LOG_IN: &str = "log in with a name and password of the worker's --web-config\n";
const NOT_ON_THE_NETWORK: &str = "this changes the worker, which takes its admin socket (`fulfillment-worker log` on its \
                                  machine uses it) or a user whom --operators names\n";
const NOT_FOR_EVERYBODY: &str =
    "this shows orders and errors, which takes the worker's admin socket or a user of --web-config\n";
const PASSED_ON: &str = "a proxy has passed this on: the admin socket is for the worker's own machine\n";
const USED_UP: &str = "this link is used up or wrong; the page without it is /\n";

/// What the client of a request may do besides looking; in the request's extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::admin) struct Client {
    /// Whether addresses and the texts of errors are shown.
    pub(in crate::admin) sees_texts: bool,
    operator: Option<Operator>,
}

/// Somebody who may change the worker. Each route that does takes this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operator(String);

/// For the log.
impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let client = parts.extensions.get::<Client>();
        client.and_then(|client| client.operator.clone()).ok_or((StatusCode::FORBIDDEN, NOT_ON_THE_NETWORK))
    }
}

/// Somebody who may see orders, errors and names: a user, or an operator. On the network nobody may, as long as nobody has to
/// log in there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer;

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let sees_texts = parts.extensions.get::<Client>().is_some_and(|client| client.sees_texts);
        if sees_texts { Ok(Self) } else { Err((StatusCode::FORBIDDEN, NOT_FOR_EVERYBODY)) }
    }
}

/// What the client of a request may do and nothing else of `request`, the extensions of that request: for one that this process
/// makes of its own router on the client's behalf. What a router notes there of a path is of no use to another one.
pub(crate) fn on_behalf(request: &Extensions) -> Extensions {
    let mut extensions = Extensions::new();
    if let Some(client) = request.get::<Client>() {
        extensions.insert(client.clone());
    }
    extensions
}

impl Client {
    fn operator(name: String) -> Self {
        Self { sees_texts: true, operator: Some(Operator(name)) }
    }
}

/// Whether the request is one of those that change something: in the API, each that doesn't read.
pub(in crate::admin) fn is_changing(of: &Method, uri: &Uri) -> bool {
    (uri.path().starts_with(API) && ![Method::GET, Method::HEAD].contains(of))
        || (uri.path().starts_with(ACTIONS) && of == Method::POST)
        || CHANGING.iter().any(|(path, method)| *path == uri.path() && method == of)
}

/// The layer around every route.
pub(in crate::admin) async fn gate(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let config = access.config();
    let (mut request, body) = request.into_parts();
    let mut response = match access.admit(&config, &request).await {
        Ok(client) => {
            request.extensions.insert(client);
            next.run(Request::from_parts(request, body)).await
        }
        Err(refused) => *refused,
    };
    for (name, value) in &config.headers {
        // The page's policy has a nonce of its own.
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

impl Access {
    /// The rights of the request's client.
    ///
    /// # Errors
    /// The answer, if it has none.
    async fn admit(&self, config: &Arc<WebConfig>, request: &Parts) -> Result<Client, Refused> {
        let peer = request.extensions.get::<Peer>().copied();
        let is_forwarded = is_forwarded(&request.headers);
        let is_probe = PROBES.contains(&request.uri.path());
        if let Some(bucket) = &config.rate_limit
            && !is_probe
            && peer != Some(Peer::AdminSocket)
        {
            bucket.lock().take(Instant::now()).map_err(too_many)?;
        }
        let client = match peer {
            Some(Peer::AdminSocket) if !is_forwarded => Client::operator(Peer::AdminSocket.to_string()),
            // Unknown: a router without connections, as in a test, gives no rights.
            None => Client::default(),
            Some(peer) => match self.of_session(peer, is_forwarded, request)? {
                Some(client) => client,
                None => self.of_user(config, peer, is_probe, request).await?,
            },
        };
        if [Method::GET, Method::HEAD].contains(&request.method) {
            return Ok(client);
        }
        if !is_changing(&request.method, &request.uri) {
            return Err(not_allowed(request.uri.path()));
        }
        match (&client.operator, foreign(&request.headers, &request.uri)) {
            (Some(_), None) => Ok(client),
            (Some(_), Some(why)) => Err(forbidden(format!("refused, as {why}\n"))),
            (None, _) if peer == Some(Peer::AdminSocket) => Err(forbidden(PASSED_ON)),
            (None, _) => Err(forbidden(NOT_ON_THE_NETWORK)),
        }
    }

    /// The session's client; opens the session for the link with its token.
    fn of_session(&self, peer: Peer, is_forwarded: bool, request: &Parts) -> Result<Option<Client>, Refused> {
        let is_near = matches!(peer, Peer::Network(address) if address.ip().to_canonical().is_loopback());
        let Some(session) = self.session.as_ref().filter(|_| is_near && !is_forwarded) else { return Ok(None) };
        if !names_this_machine(&request.headers) {
            return Ok(None);
        }
        let is_of_session = session.is_of(&request.headers);
        if let Some(token) = token(request) {
            return match session.open(&token) {
                Some(cookie) => Err(to_the_page(Some(cookie))),
                None if is_of_session => Err(to_the_page(None)),
                None => Err(forbidden(USED_UP)),
            };
        }
        Ok(is_of_session.then(|| Client::operator(format!("the session of {peer}"))))
    }

    async fn of_user(
        &self,
        config: &Arc<WebConfig>,
        peer: Peer,
        is_probe: bool,
        request: &Parts,
    ) -> Result<Client, Refused> {
        let shows_texts = request.uri.path() == "/readyz";
        if config.users.is_empty() || (is_probe && !shows_texts) {
            return Ok(Client::default());
        }
        let login = match credentials(&request.headers) {
            Some(credentials) => self.logins.log_in(config, peer, credentials).await,
            None if is_probe => return Ok(Client::default()),
            None => return Err(log_in()),
        };
        match login {
            Login::Ok(user) if user.operates => Ok(Client::operator(format!("{} at {peer}", user.name.escape_debug()))),
            Login::Ok(_) => Ok(Client { sees_texts: true, operator: None }),
            // A probe is answered whatever it says of itself.
            _ if is_probe => Ok(Client::default()),
            Login::Wrong => Err(log_in()),
            Login::TooMany(wait) => Err(too_many(wait)),
            Login::Busy => {
                let headers = [(header::RETRY_AFTER, "1"), (header::CONNECTION, "close")];
                Err(Box::new((StatusCode::SERVICE_UNAVAILABLE, headers, "too many logins at once\n").into_response()))
            }
        }
    }
}

/// The token of the demo's link: only a GET of the page has one.
fn token(request: &Parts) -> Option<String> {
    let is_page = request.method == Method::GET && request.uri.path() == "/";
    let query = request.uri.query().filter(|_| is_page)?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token").map(|(_, token)| token.into_owned())
}

/// Without the token, so that it stands in no address bar, and in no `Referer`.
fn to_the_page(cookie: Option<HeaderValue>) -> Refused {
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Box::new(response)
}

fn log_in() -> Refused {
    let challenge = r#"Basic realm="fulfillment-worker", charset="UTF-8""#;
    let headers = [(header::WWW_AUTHENTICATE, challenge), (header::CONNECTION, "close")];
    Box::new((StatusCode::UNAUTHORIZED, headers, LOG_IN).into_response())
}

/// Closes the connection, as a body may follow that nobody reads.
fn forbidden(why: impl IntoResponse) -> Refused {
    Box::new((StatusCode::FORBIDDEN, [(header::CONNECTION, "close")], why).into_response())
}

fn too_many(wait: Duration) -> Refused {
    let seconds = wait.as_secs_f64().ceil().to_string();
    let headers = [(header::RETRY_AFTER, seconds), (header::CONNECTION, "close".to_owned())];
    Box::new((StatusCode::TOO_MANY_REQUESTS, headers, "too many requests or wrong passwords\n").into_response())
}

fn not_allowed(path: &str) -> Refused {
    let changing: Vec<&Method> = CHANGING.iter().filter(|(of, _)| *of == path).map(|(_, method)| method).collect();
    let allow = ["GET", "HEAD"].into_iter().chain(changing.iter().map(|method| method.as_str())).collect::<Vec<_>>();
    let why = match allow.split_last() {
        Some((last, others)) => format!("only {} and {last} are answered\n", others.join(", ")),
        None => String::new(),
    };
    let headers = [(header::ALLOW, allow.join(",")), (header::CONNECTION, "close".to_owned())];
    Box::new((StatusCode::METHOD_NOT_ALLOWED, headers, why).into_response())
}
