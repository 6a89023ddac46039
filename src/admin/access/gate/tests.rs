//! Who may do what: each route, by each client, with each credential and header.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use parking_lot::RwLock;
use tokio::runtime::Handle;

use super::*;
use crate::admin::Routes;
use crate::admin::access::session::{OneTimeToken, Session};
use crate::admin::access::users::Users;
use crate::admin::routes::router;
use crate::event::{Dependency, DependencyEvent, Observer};
use crate::observe::health::Health;
use crate::observe::metrics::{LogMessages, Metrics};

const ERROR: &str = "redis://10.0.0.7: connection refused";

const LOOPBACK: &str = "127.0.0.1:5000";
const ELSEWHERE: &str = "192.0.2.1:5000";

fn network(address: &str) -> Option<Peer> {
    Some(Peer::Network(address.parse().unwrap()))
}

/// A router whose queue is down.
fn router_with(access: Access) -> Router {
    let metrics = Arc::new(Metrics::new(Handle::current(), "test", LogMessages::default()));
    let health = Arc::new(Health::default());
    let down = DependencyEvent::Down {
        dependency: Dependency::Queue,
        error: ERROR,
        retry_in: std::time::Duration::from_secs(1),
    };
    health.observe(&down.into());
    let policy = [(header::CONTENT_SECURITY_POLICY, "default-src 'none'; script-src 'self'")];
    let page = Router::new().route("/", get(async move || (policy, "the page")));
    router(Routes { metrics, health, log: None, access: Arc::new(access), api: Router::new(), page })
}

fn with_users() -> Access {
    let hash = |name: &str| (name.to_owned(), Some(bcrypt::hash(format!("{name}'s"), 4).unwrap()));
    let users = Users::new([hash("ann"), hash("bob")].into(), &["bob".to_owned()]).unwrap();
    let config = RwLock::new(Arc::new(WebConfig { users, ..WebConfig::default() }));
    Access { config, ..Access::default() }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn ask(router: &Router, peer: Option<Peer>, method: &Method, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(peer) = peer {
        request = request.extension(peer);
    }
    let body = if *method == Method::PUT { "debug" } else { "" };
    let service = TowerToHyperService::new(router.clone());
    let answer = service.call(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = to_bytes(Body::new(body), 1024 * 1024).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
}

fn basic(user: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(user))
}

/// What is answered to an operator here, where there is neither a log nor an action.
const ACTS: u16 = 404;

/// Caught, when seeded: rights for whoever comes from loopback; viewers who may send the forms of the page.
#[tokio::test]
async fn who_may_change_the_worker() {
    let (nobody, users) = (router_with(Access::default()), router_with(with_users()));
    let (ann, bob, wrong) = (basic("ann:ann's"), basic("bob:bob's"), basic("bob:ann's"));
    let by = |value: &str| vec![("authorization".to_owned(), value.to_owned())];
    let with = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let none = Vec::new;
    let admin = Some(Peer::AdminSocket);
    for (router, peer, headers, status) in [
        // Without users: the admin socket alone.
        (&nobody, network(LOOPBACK), none(), 403),
        (&nobody, network("[::1]:1"), none(), 403),
        (&nobody, network(ELSEWHERE), none(), 403),
        (&nobody, Some(Peer::Socket), none(), 403),
        (&nobody, None, none(), 403),
        (&nobody, admin, none(), ACTS),
        (&nobody, network(LOOPBACK), by(&bob), 403),
        // A proxy gives no rights, and takes the socket's.
        (&nobody, network(ELSEWHERE), with("x-forwarded-for", "127.0.0.1"), 403),
        (&nobody, network(LOOPBACK), with("forwarded", "for=127.0.0.1"), 403),
        (&nobody, admin, with("x-forwarded-for", "127.0.0.1"), 403),
        (&nobody, admin, with("x-real-ip", "127.0.0.1"), 403),
        (&nobody, admin, with("forwarded", ""), 403),
        (&users, admin, with("x-forwarded-for", "127.0.0.1"), 401),
        // With users: operators, and the admin socket as before.
        (&users, network(LOOPBACK), none(), 401),
        (&users, Some(Peer::Socket), none(), 401),
        (&users, network(ELSEWHERE), by(&wrong), 401),
        (&users, network(ELSEWHERE), by(&ann), 403),
        (&users, network(ELSEWHERE), by(&bob), ACTS),
        (&users, Some(Peer::Socket), by(&bob), ACTS),
        (&users, admin, none(), ACTS),
        (&users, admin, by(&wrong), ACTS),
        // A proxy passes on what its users know.
        (&users, network(LOOPBACK), [by(&bob), with("x-forwarded-for", "192.0.2.9")].concat(), ACTS),
        // Pages from elsewhere, with the name and password that the browser knows.
        (&users, network(ELSEWHERE), [by(&bob), with("origin", "https://evil.example")].concat(), 403),
        (&users, network(ELSEWHERE), [by(&bob), with("sec-fetch-site", "cross-site")].concat(), 403),
        (&users, network(ELSEWHERE), [by(&bob), with("host", "w:1"), with("origin", "http://w:1")].concat(), ACTS),
        (&users, admin, with("origin", "https://evil.example"), 403),
    ] {
        let lines: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for (method, path) in [(Method::PUT, "/log"), (Method::POST, "/do/pause")] {
            let answer = ask(router, peer, &method, path, &lines).await;
            assert_eq!(answer.status, status, "{path} {peer:?} {headers:?}: {}", answer.text);
            if status == 401 {
                assert!(answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic realm="));
            }
        }
    }
}

#[tokio::test]
async fn without_users_everybody_may_look_and_with_users_only_whoever_logs_in() {
    let (nobody, users) = (router_with(Access::default()), router_with(with_users()));
    let (ann, wrong) = (basic("ann:ann's"), basic("ann:bob's"));
    for path in ["/", "/metrics"] {
        assert_eq!(ask(&nobody, network(ELSEWHERE), &Method::GET, path, &[]).await.status, 200, "{path}");
        let of = async |peer, headers: &[(&str, &str)]| ask(&users, peer, &Method::GET, path, headers).await.status;
        assert_eq!(of(network(LOOPBACK), &[]).await, 401, "{path}");
        assert_eq!(of(network(LOOPBACK), &[("x-forwarded-for", "127.0.0.1")]).await, 401, "{path}");
        assert_eq!(of(Some(Peer::Socket), &[]).await, 401, "{path}");
        assert_eq!(of(network(ELSEWHERE), &[("authorization", &ann)]).await, 200, "{path}");
        assert_eq!(of(Some(Peer::AdminSocket), &[]).await, 200, "{path}");
    }
    for path in ["/log", "/nowhere"] {
        assert_eq!(ask(&nobody, network(ELSEWHERE), &Method::GET, path, &[]).await.status, 404, "{path}");
        assert_eq!(ask(&users, network(ELSEWHERE), &Method::GET, path, &[]).await.status, 401, "{path}");
    }
    assert_eq!(ask(&users, network(ELSEWHERE), &Method::GET, "/", &[("authorization", &wrong)]).await.status, 401);
}

#[tokio::test]
async fn probes_need_no_login_and_show_texts_to_whoever_may_see_them() {
    let (nobody, users) = (router_with(Access::default()), router_with(with_users()));
    let (ann, wrong) = (basic("ann:ann's"), basic("ann:bob's"));
    for (router, peer, headers, shows) in [
        (&nobody, network(LOOPBACK), vec![], false),
        (&nobody, network(ELSEWHERE), vec![("authorization", ann.as_str())], false),
        (&nobody, Some(Peer::Socket), vec![], false),
        (&nobody, Some(Peer::AdminSocket), vec![], true),
        (&nobody, Some(Peer::AdminSocket), vec![("x-real-ip", "127.0.0.1")], false),
        (&users, network(LOOPBACK), vec![], false),
        (&users, network(ELSEWHERE), vec![("authorization", ann.as_str())], true),
        (&users, network(ELSEWHERE), vec![("authorization", wrong.as_str())], false),
        (&users, Some(Peer::AdminSocket), vec![], true),
    ] {
        let answer = ask(router, peer, &Method::GET, "/readyz", &headers).await;
        assert_eq!(answer.status, 503, "{peer:?} {headers:?}");
        assert!(answer.text.contains("down for 0 s"), "{}", answer.text);
        assert_eq!(answer.text.contains("10.0.0.7"), shows, "{peer:?} {headers:?}: {}", answer.text);
        for path in ["/livez", "/health"] {
            let answer = ask(router, peer, &Method::GET, path, &headers).await;
            assert_eq!(answer.status, 200, "{path} {peer:?} {headers:?}");
            assert!(!answer.text.contains("10.0.0.7"));
        }
    }
}

/// Caught, when seeded: a route for POST that nobody has entered in [`CHANGING`], which was reached.
#[tokio::test]
async fn no_request_that_could_change_something_reaches_a_route_unless_an_operator_sends_it() {
    let others = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PROPFIND", "put", "PuT"];
    for (router, expected) in [(router_with(Access::default()), 403), (router_with(with_users()), 401)] {
        for path in ["/", "/metrics", "/health", "/livez", "/readyz", "/log", "/log/", "//log", "/%6Cog", "/new"] {
            for method in others {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let refused = if CHANGING.contains(&(path, method.clone())) { expected } else { 405 };
                for peer in [network(LOOPBACK), Some(Peer::Socket)] {
                    let answer = ask(&router, peer, &method, path, &[("content-length", "0")]).await;
                    // Whoever has to log in learns nothing else before.
                    let is_refused = [refused, expected].contains(&answer.status.as_u16());
                    assert!(is_refused, "{method} {path}: {} {}", answer.status, answer.text);
                }
            }
        }
    }
}

#[tokio::test]
async fn even_an_operator_gets_no_method_that_no_route_has() {
    let router = router_with(Access::default());
    for (path, allow) in [("/", "GET,HEAD"), ("/metrics", "GET,HEAD"), ("/log", "GET,HEAD,PUT")] {
        let answer = ask(&router, Some(Peer::AdminSocket), &Method::DELETE, path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.headers[header::ALLOW].to_str().unwrap()), (405, allow));
    }
}

fn with_session() -> (Access, String) {
    let token = OneTimeToken::fresh();
    let access = Access { session: Some(Session::new(&token)), ..Access::default() };
    (access, format!("/?token={}", token.expose()))
}

#[tokio::test]
async fn the_link_opens_a_session_once_for_a_browser_on_this_machine() {
    let (access, link) = with_session();
    let router = router_with(access);
    let (near, host) = (network(LOOPBACK), ("host", "127.0.0.1:2112"));
    // None of these uses it up.
    for (peer, method, headers) in [
        (near, Method::HEAD, vec![host]),
        (network(ELSEWHERE), Method::GET, vec![host]),
        (Some(Peer::Socket), Method::GET, vec![host]),
        (near, Method::GET, vec![host, ("x-forwarded-for", "127.0.0.1")]),
        (near, Method::GET, vec![("host", "evil.example:2112")]),
        (near, Method::GET, vec![]),
    ] {
        let answer = ask(&router, peer, &method, &link, &headers).await;
        assert_eq!(answer.status, 200, "{peer:?} {headers:?}");
        assert!(!answer.headers.contains_key(header::SET_COOKIE), "{peer:?} {headers:?}");
    }
    assert_eq!(ask(&router, near, &Method::GET, "/?token=wrong", &[host]).await.status, 403);

    let opened = ask(&router, near, &Method::GET, &link, &[host]).await;
    assert_eq!((opened.status.as_u16(), opened.headers[header::LOCATION].to_str().unwrap()), (303, "/"));
    assert_eq!(opened.headers[header::REFERRER_POLICY], "no-referrer");
    assert_eq!(opened.headers[header::CACHE_CONTROL], "no-store");
    let cookie = opened.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(!opened.headers.values().any(|value| value.to_str().unwrap().contains(&link[8..])), "no token again");
    let pair = cookie.split(';').next().unwrap();

    assert_eq!(ask(&router, near, &Method::GET, &link, &[host]).await.status, 403, "it was good once");
    let again = ask(&router, near, &Method::GET, &link, &[host, ("cookie", pair)]).await;
    assert_eq!(again.status, 303, "its own browser finds the page again");

    let own = ("origin", "http://127.0.0.1:2112");
    for (peer, headers, status) in [
        (near, vec![host, ("cookie", pair)], ACTS),
        (near, vec![host, ("cookie", pair), own], ACTS),
        (near, vec![host, ("cookie", pair), ("origin", "http://127.0.0.1:3000")], 403),
        (near, vec![host, ("cookie", pair), ("sec-fetch-site", "same-site")], 403),
        (near, vec![("host", "evil.example:2112"), ("cookie", pair)], 403),
        (near, vec![("cookie", pair)], 403),
        (near, vec![host, ("cookie", pair), ("x-forwarded-for", "127.0.0.1")], 403),
        (near, vec![host, ("cookie", "fulfillment_session=")], 403),
        (network(ELSEWHERE), vec![host, ("cookie", pair)], 403),
    ] {
        let answer = ask(&router, peer, &Method::PUT, "/log", &headers).await;
        assert_eq!(answer.status, status, "{peer:?} {headers:?}: {}", answer.text);
    }
    assert!(ask(&router, near, &Method::GET, "/readyz", &[host, ("cookie", pair)]).await.text.contains("10.0.0.7"));
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it_and_those_of_the_web_configuration() {
    let header = |name: &'static str, value: &'static str| (name.parse().unwrap(), value.parse().unwrap());
    let headers = vec![
        header("strict-transport-security", "max-age=60"),
        header("content-security-policy", "default-src 'self'"),
        header("x-content-type-options", "nosniff"),
    ];
    let config = WebConfig { headers, ..WebConfig::default() };
    let router = router_with(Access { config: RwLock::new(Arc::new(config)), ..Access::default() });
    let plain = router_with(Access::default());
    for (method, path) in [("GET", "/"), ("GET", "/metrics"), ("GET", "/nowhere"), ("PUT", "/log"), ("DELETE", "/")] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = ask(&router, network(ELSEWHERE), &method, path, &[]).await;
        assert_eq!(answer.headers[header::STRICT_TRANSPORT_SECURITY], "max-age=60", "{path}");
        assert_eq!(answer.headers.get_all(header::X_CONTENT_TYPE_OPTIONS).iter().count(), 1, "{path}");
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert_eq!(policy.contains("script-src"), path == "/" && method == Method::GET, "{path}: {policy}");

        let answer = ask(&plain, network(ELSEWHERE), &method, path, &[]).await;
        assert!(!answer.headers.contains_key(header::STRICT_TRANSPORT_SECURITY), "only where it is asked for");
        assert!(answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(answer.headers[header::REFERRER_POLICY], "no-referrer");
    }
}

#[tokio::test]
async fn a_rate_limit_holds_for_everything_but_probes_and_the_admin_socket() {
    let rate_limit =
        Some(parking_lot::Mutex::new(super::super::bucket::Bucket::new(2, std::time::Duration::from_secs(3600))));
    let config = WebConfig { rate_limit, ..WebConfig::default() };
    let router = router_with(Access { config: RwLock::new(Arc::new(config)), ..Access::default() });
    let of = async |peer, path| ask(&router, peer, &Method::GET, path, &[]).await.status.as_u16();
    assert_eq!([of(network(ELSEWHERE), "/").await, of(network(LOOPBACK), "/metrics").await], [200, 200]);
    assert_eq!(of(network(ELSEWHERE), "/").await, 429);
    assert_eq!(of(network(ELSEWHERE), "/livez").await, 200);
    assert_eq!(of(Some(Peer::AdminSocket), "/metrics").await, 200);
}
