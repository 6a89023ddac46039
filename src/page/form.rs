//! Forms that change something: each has a token that only a page of this worker can have put there.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use maud::{Markup, html};
use tokio::time::timeout;

use super::caller::Refusal;
use super::cookies::cookie;

/// More than any form here has.
const MOST_BYTES: usize = 64 * 1024;

/// Time for the whole form.
const LIMIT: Duration = Duration::from_secs(5);

const COOKIE: &str = "fulfillment_form";

/// Random bytes of a token.
const BYTES: usize = 24;

/// A random value that the browser has in a cookie and each form in a field. A page of another site can have a form sent, but it
/// knows no such value. Any worker behind the same address knows it, as nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FormToken {
    value: String,
    is_new: bool,
}

impl FormToken {
    /// The field that it is in.
    pub(super) const FIELD: &str = "token";

    /// The browser's, or a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let is_token = |value: &String| BASE64_URL_SAFE_NO_PAD.decode(value).is_ok_and(|bytes| bytes.len() == BYTES);
        match cookie(headers, COOKIE).filter(is_token) {
            Some(value) => Self { value, is_new: false },
            None => Self { value: BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; BYTES]>()), is_new: true },
        }
    }

    /// For a browser that has none.
    pub(super) fn cookie(&self) -> Option<HeaderValue> {
        let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", self.value);
        HeaderValue::try_from(cookie).ok().filter(|_| self.is_new)
    }

    /// For a form.
    pub(super) fn field(&self) -> Markup {
        html! { input type="hidden" name=(Self::FIELD) value=(self.value); }
    }
}

/// The fields of a form.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the form, if it has the browser's token.
    pub(super) async fn read(body: Body, token: &FormToken) -> Result<Self, Refusal> {
        let late = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "the form has not come within 5 s; send it again");
        let bytes = timeout(LIMIT, to_bytes(body, MOST_BYTES)).await.map_err(|_| late())?;
        let bytes = bytes.map_err(|_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the form has more than 64 KiB"))?;
        let form = Self(url::form_urlencoded::parse(&bytes).into_owned().collect());
        match !token.is_new && form.one(FormToken::FIELD) == token.value {
            true => Ok(form),
            false => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "this form is not of a page that this browser has just loaded; nothing was done. Load the page again",
            )),
        }
    }

    /// The parameters of a query, which no token is needed for.
    pub(super) fn of_query(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The other fields.
    pub(super) fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
    }

    /// The name of each field.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// A field's value, empty where it is missing.
    pub(super) fn one(&self, name: &str) -> &str {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.trim()).unwrap_or_default()
    }

    /// Every value of a field.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(of, _)| of == name).map(|(_, value)| value.trim().to_owned()).collect()
    }
}
