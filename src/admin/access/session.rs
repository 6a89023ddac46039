//! A link with a token that is good once, and the session of the browser that opened it.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use ring::hmac;

/// Random bytes of a token and of a session.
const BYTES: usize = 24;

const COOKIE: &str = "fulfillment_session";

/// What opens a session, once. Never in a log.
#[derive(Clone)]
pub struct OneTimeToken(String);

impl OneTimeToken {
    /// A random one of 192 bits; the link fits a line.
    pub fn fresh() -> Self {
        Self(random())
    }

    /// For the link: `?token=…`. To show to the person who started the process, and to nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OneTimeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; BYTES]>())
}

/// The one session that there may be, which ends with the process.
pub(super) struct Session {
    /// Random: what is compared under it takes a time that tells nothing.
    key: hmac::Key,
    state: Mutex<State>,
}

enum State {
    /// The token's tag.
    Awaited(hmac::Tag),
    /// The tag of the cookie's value; the token is used up.
    Open(hmac::Tag),
}

impl Session {
    pub(super) fn new(token: &OneTimeToken) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        let awaited = hmac::sign(&key, token.expose().as_bytes());
        Self { key, state: Mutex::new(State::Awaited(awaited)) }
    }

    /// The cookie for whoever has the token, which is then used up. A wrong one uses nothing up.
    pub(super) fn open(&self, token: &str) -> Option<HeaderValue> {
        let mut state = self.state.lock();
        if !matches!(&*state, State::Awaited(tag) if self.is_of_tag(token, tag)) {
            return None;
        }
        let value = random();
        *state = State::Open(hmac::sign(&self.key, value.as_bytes()));
        // No `Domain`: for this host alone. No time: it ends with the browser, or with the process.
        HeaderValue::try_from(format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict")).ok()
    }

    /// Whether the request belongs to it.
    pub(super) fn is_of(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == COOKIE).then_some(value)
        });
        values.any(|value| matches!(&*self.state.lock(), State::Open(tag) if self.is_of_tag(value, tag)))
    }

    fn is_of_tag(&self, value: &str, tag: &hmac::Tag) -> bool {
        hmac::verify(&self.key, value.as_bytes(), tag.as_ref()).is_ok()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cookie(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, value.parse().unwrap())])
    }

    /// Caught, when seeded: a token that stays good.
    #[test]
    fn a_token_opens_one_session_and_a_wrong_one_opens_none_and_uses_nothing_up() {
        let token = OneTimeToken::fresh();
        let session = Session::new(&token);
        for wrong in ["", "x", &token.expose()[1..], &format!("{}x", token.expose()), OneTimeToken::fresh().expose()] {
            assert_eq!(session.open(wrong), None);
        }
        let cookie = session.open(token.expose()).unwrap();
        assert!(cookie.to_str().unwrap().ends_with("; Path=/; HttpOnly; SameSite=Strict"));
        assert_eq!(session.open(token.expose()), None, "it was good once");
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        assert!(session.is_of(&with_cookie(pair)));
        assert!(session.is_of(&with_cookie(&format!("other=1; {pair}; more=2"))));
        for wrong in ["", COOKIE, "fulfillment_session=", &pair[..pair.len() - 1], &pair.to_uppercase()] {
            assert!(!session.is_of(&with_cookie(wrong)), "{wrong}");
        }
    }

    #[test]
    fn neither_token_nor_session_is_shown() {
        let token = OneTimeToken::fresh();
        let session = Session::new(&token);
        assert_eq!(format!("{token:?} {session:?}"), "*** Session");
    }

    #[test]
    fn tokens_have_far_more_than_128_bits_and_are_never_the_same() {
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(OneTimeToken::fresh().expose()).unwrap().len(), 24);
        assert_ne!(OneTimeToken::fresh().expose(), OneTimeToken::fresh().expose());
    }
}
