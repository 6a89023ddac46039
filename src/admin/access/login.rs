//! Logs users in: one verification of a password at once, few that wait for it, and limits for those who guess.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::sleep;

use super::attempts::{Attempts, TooMany};
use super::users::{Credentials, LoggedIn};
use super::web_config::WebConfig;
use crate::admin::Peer;
use crate::observe::metrics::{LoginFailure, LoginMetrics};

/// Passwords being verified and those that wait for it. One client can't fill it.
const QUEUE: usize = 8;

/// How a login ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Login {
    Ok(LoggedIn),
    /// No such user, or not this password.
    Wrong,
    /// Too many wrong ones from there; the time to wait.
    TooMany(Duration),
    /// Too many are being verified already.
    Busy,
}

/// What outlives a version of the file.
#[derive(Debug)]
pub(super) struct Logins {
    attempts: Mutex<Attempts>,
    queue: Arc<Semaphore>,
    /// One place: whoever guesses takes a share of one processor.
    verifying: Arc<Semaphore>,
    metrics: LoginMetrics,
}

impl Logins {
    pub(super) fn new(metrics: LoginMetrics) -> Self {
        let (queue, verifying) = (Arc::new(Semaphore::new(QUEUE)), Arc::new(Semaphore::new(1)));
        Self { attempts: Mutex::default(), queue, verifying, metrics }
    }

    /// A client that goes away meanwhile has used up its attempt.
    pub(super) async fn log_in(&self, config: &Arc<WebConfig>, peer: Peer, credentials: Credentials) -> Login {
        // First, so that a client that has to wait can't try passwords on those that are remembered.
        if let Err(too_many) = self.attempts.lock().begin(peer, Instant::now()) {
            return self.too_many(peer, &too_many);
        }
        if let Some(user) = config.users.remembered(&credentials) {
            self.attempts.lock().forgive(peer);
            return Login::Ok(user);
        }
        let Ok(place) = Arc::clone(&self.queue).try_acquire_owned() else {
            self.attempts.lock().forgive(peer);
            self.metrics.failed(LoginFailure::Busy);
            return Login::Busy;
        };
        match self.verify(Arc::clone(config), credentials, place).await {
            Some(user) => {
                self.attempts.lock().forgive(peer);
                Login::Ok(user)
            }
            None => {
                self.metrics.failed(LoginFailure::Wrong);
                Login::Wrong
            }
        }
    }

    /// Goes on when the client has left, so that leaving makes no place for another verification.
    async fn verify(
        &self,
        config: Arc<WebConfig>,
        credentials: Credentials,
        place: OwnedSemaphorePermit,
    ) -> Option<LoggedIn> {
        let (told, result) = oneshot::channel();
        let verifying = Arc::clone(&self.verifying);
        tokio::spawn(async move {
            let _place = place;
            let Ok(_alone) = verifying.acquire().await else { return };
            let began = Instant::now();
            // Off the thread that answers everything else.
            let user = tokio::task::spawn_blocking(move || config.users.verify(&credentials)).await.ok().flatten();
            let is_wrong = user.is_none();
            let _ = told.send(user);
            if is_wrong {
                // So that those who guess get half a processor, however many they are.
                sleep(began.elapsed()).await;
            }
        });
        result.await.ok().flatten()
    }

    fn too_many(&self, peer: Peer, too_many: &TooMany) -> Login {
        self.metrics.failed(LoginFailure::TooMany);
        if too_many.is_new {
            tracing::warn!(%peer, "too many wrong passwords: logins from there are refused for a while");
        }
        Login::TooMany(too_many.wait)
    }
}

impl Default for Logins {
    fn default() -> Self {
        Self::new(LoginMetrics::default())
    }
}

/// What `Authorization: Basic` says. `None` without it, and where it can't be understood.
pub(super) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(decoded.get(..colon)?.to_vec()).ok()?;
    Some(Credentials { name, password: decoded.get(colon + 1..)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::access::users::Users;

    fn config(cost: u32) -> Arc<WebConfig> {
        let hash = bcrypt::hash("right", cost).unwrap();
        let users = Users::new([("ann".to_owned(), Some(hash))].into(), &[]).unwrap();
        Arc::new(WebConfig { users, ..WebConfig::default() })
    }

    fn ann(password: &str) -> Credentials {
        Credentials { name: "ann".to_owned(), password: password.into() }
    }

    fn peer(last: u8) -> Peer {
        Peer::Network(([192, 0, 2, last], 1).into())
    }

    #[tokio::test]
    async fn a_client_that_guesses_is_limited_even_with_the_right_password_and_another_one_is_not() {
        let (logins, config) = (Logins::default(), config(4));
        assert!(matches!(logins.log_in(&config, peer(2), ann("right")).await, Login::Ok(_)));
        for _ in 0..5 {
            assert_eq!(logins.log_in(&config, peer(1), ann("wrong")).await, Login::Wrong);
        }
        // Remembered as it is: guesses would be answered as fast as they come.
        assert!(matches!(logins.log_in(&config, peer(1), ann("right")).await, Login::TooMany(_)));
        assert!(matches!(logins.log_in(&config, peer(2), ann("right")).await, Login::Ok(_)));
        assert!(matches!(logins.log_in(&config, peer(3), ann("right")).await, Login::Ok(_)));
    }

    /// Caught, when seeded: a queue without an end.
    #[tokio::test]
    async fn only_so_many_verifications_wait_and_a_remembered_user_waits_for_none() {
        let (logins, config) = (Logins::default(), config(8));
        assert!(matches!(logins.log_in(&config, peer(200), ann("right")).await, Login::Ok(_)));
        let many = (0..20).map(|at| logins.log_in(&config, peer(at), ann("wrong")));
        let (ends, known) =
            tokio::join!(futures::future::join_all(many), logins.log_in(&config, peer(200), ann("right")));
        assert!(matches!(known, Login::Ok(_)));
        assert_eq!(ends.iter().filter(|end| **end == Login::Busy).count(), 20 - QUEUE);
        assert_eq!(ends.iter().filter(|end| **end == Login::Wrong).count(), QUEUE);
    }

    /// Caught, when seeded: a verification that ends with its client, and makes place for the next one's.
    #[tokio::test]
    async fn a_client_that_leaves_makes_no_place_before_its_verification_is_over() {
        let (logins, config) = (Logins::default(), config(10));
        for at in 0..QUEUE as u8 {
            let login = logins.log_in(&config, peer(at), ann("wrong"));
            assert!(tokio::time::timeout(Duration::from_micros(1), login).await.is_err());
        }
        assert_eq!(logins.log_in(&config, peer(100), ann("right")).await, Login::Busy);
    }

    #[test]
    fn credentials_are_read_as_browsers_and_scrapers_write_them() {
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            credentials(&headers).map(|read| (read.name, String::from_utf8(read.password).unwrap()))
        };
        let ann = |password: &str| Some(("ann".to_owned(), password.to_owned()));
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        assert_eq!(read(&format!("Basic {}", encoded("ann:se:cret"))), ann("se:cret"));
        assert_eq!(read(&format!("basic {}", encoded("ann:"))), ann(""));
        for not in ["Basic", "Basic !", &format!("Bearer {}", encoded("ann:x")), &format!("Basic {}", encoded("ann"))] {
            assert_eq!(read(not), None, "{not}");
        }
    }
}
