//! Takes passwords out of URLs and other text that is about to be shown.

use std::fmt;

use super::secret::SecretUrl;
use super::{postgres_url, redis_url};

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if redis_url::show(self.expose(), f)? || postgres_url::show(self.expose(), f)? {
            return Ok(());
        }
        let mut shown = self.expose().clone();
        // A URL that has a user or a password can carry another one. Some services take a key as the user.
        if shown.password().is_some() {
            let _ = shown.set_password(Some("***"));
        } else if !shown.username().is_empty() && shown.scheme().starts_with("http") {
            let _ = shown.set_username("***");
        }
        shown.set_query(None);
        if shown.scheme().starts_with("http") {
            shown.set_path(&harmless(self.expose().path()));
        }
        shown.fmt(f)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The longest word in a path that is shown, and the most letters in a row.
const LONGEST_SEGMENT: usize = 24;
const LONGEST_WORD: usize = 12;

/// A path up to the first part that may be a secret, such as that of a webhook: one that is not made of short words in lower
/// case, or a version.
fn harmless(path: &str) -> String {
    let mut shown = Vec::new();
    for segment in path.split('/') {
        if !segment.is_empty() && !is_harmless(segment) {
            shown.push("***");
            break;
        }
        shown.push(segment);
    }
    shown.join("/")
}

/// The parts of a path that may be secrets.
#[cfg(feature = "http-fulfiller")]
pub(crate) fn hidden_segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty() && !is_harmless(segment))
}

fn is_harmless(segment: &str) -> bool {
    let is_word =
        |word: &str| (1..=LONGEST_WORD).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_version = |word: &str| {
        let digits = word.strip_prefix('v').unwrap_or_default();
        (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    segment.len() <= LONGEST_SEGMENT && segment.split(['-', '_', '.']).all(|word| is_word(word) || is_version(word))
}

/// Replaces the user info of every URL in `text`, the value of every parameter for a password, and what may be a secret in the
/// path and query of a web address, by `***`.
///
/// Replaces up to the last `@` of a word, or to its end: a password with a `/`, `@` or `&` that is not percent-encoded
/// stays hidden too.
pub fn user_info(text: &str) -> String {
    password_parameters(&before_hosts(text))
}

/// `…password=`, whatever the case: the sentinels' password is a parameter.
fn password_parameters(text: &str) -> String {
    const NAME: &str = "password=";
    let lower = text.to_ascii_lowercase();
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    while let Some(start) = lower.get(done..).and_then(|rest| rest.find(NAME)).map(|at| done + at + NAME.len()) {
        shown.push_str(text.get(done..start).unwrap_or_default());
        shown.push_str("***");
        let after = text.get(start..).unwrap_or_default();
        done = start + after.strip_prefix('\'').map_or_else(|| after.find(ends_word), quoted).unwrap_or(after.len());
    }
    shown.push_str(text.get(done..).unwrap_or_default());
    shown
}

/// The length of a value in quotes of its own, as in `password='a b'`, whose first quote is gone.
fn quoted(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.find(|c: char| {
        let ends = c == '\'' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })?;
    Some(end + "''".len())
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\'' | '"' | '`')
}

fn before_hosts(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + "://".len());
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"')).unwrap_or(after.len());
        let (word, further) = after.split_at(end);
        let address = match word.rfind('@') {
            Some(at) => {
                shown.push_str("***");
                word.get(at..).unwrap_or_default()
            }
            None => word,
        };
        let is_web = |scheme: &str| before.to_ascii_lowercase().ends_with(scheme);
        if is_web("http://") || is_web("https://") {
            shown.push_str(&web_address(address));
        } else {
            shown.push_str(address);
        }
        rest = further;
    }
    shown.push_str(rest);
    shown
}

/// A web address without its scheme, with `***` for what may be a secret behind its host. Keeps what ends a phrase.
fn web_address(word: &str) -> String {
    let address = word.trim_end_matches([':', ';', ',', '.', ')', '>', '`']);
    let ending = word.get(address.len()..).unwrap_or_default();
    let (host, tail) = address.split_at(address.find(['/', '?', '#']).unwrap_or(address.len()));
    let (path, query) = tail.split_at(tail.find(['?', '#']).unwrap_or(tail.len()));
    format!("{host}{}{}{ending}", harmless(path), if query.is_empty() { "" } else { "?***" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_middle_of_a_message_is_hidden() {
        assert_eq!(
            user_info("unexpected argument 'redis://me:hush@host:1/0' found"),
            "unexpected argument 'redis://***@host:1/0' found"
        );
    }

    #[test]
    fn a_password_with_slashes_and_at_signs_is_hidden() {
        assert_eq!(user_info("redis://:a/b@c?d@host and redis://:x@y"), "redis://***@host and redis://***@y");
    }

    #[test]
    fn a_password_that_is_a_parameter_is_hidden() {
        assert_eq!(
            user_info("`redis-sentinel://a:1,b/0?sentinelServiceName=m&sentinelPassword=h&ush` and ?PASSWORD=hush 1"),
            "`redis-sentinel://a:1,b/0?sentinelServiceName=m&sentinelPassword=***` and ?PASSWORD=*** 1"
        );
    }

    #[test]
    fn a_quoted_password_of_several_words_is_hidden() {
        assert_eq!(user_info("host=h password='a hush' x"), "host=h password=*** x");
        assert_eq!(user_info("'password='a\\' hush' x' found"), "'password=*** x' found");
        assert_eq!(user_info("password='a hush"), "password=***");
    }

    #[test]
    fn text_without_user_info_stays() {
        for text in ["", "://", "redis://host", "me@example.org", "http://a b@c", "é://ü"] {
            assert_eq!(user_info(text), text);
        }
    }

    #[test]
    fn a_path_is_shown_up_to_what_may_be_a_secret() {
        for (path, shown) in [
            ("/", "/"),
            ("/shipments", "/shipments"),
            ("/api/v1/order-intake/", "/api/v1/order-intake/"),
            ("/fulfillment_orders.json", "/fulfillment_orders.json"),
            ("/services/T0001/B0002/hushXXXXXXXXXXXXXXXXXXX", "/services/***"),
            ("/hooks/0a1b2c3d-4e5f-6789-abcd-ef0123456789", "/hooks/***"),
            ("/hush8", "/***"),
            ("/Hush", "/***"),
            ("/in/hushhushhushhush", "/in/***"),
            ("/in/hush-hush-hush-hush-hush-hush", "/in/***"),
            ("/in/h%75sh/more", "/in/***"),
            ("/in/hush:hush", "/in/***"),
            ("/in/v123", "/in/***"),
            ("//T1/x", "//***"),
        ] {
            let url = SecretUrl::new(format!("https://user:hush@host:8443{path}?hush").parse().unwrap());
            assert_eq!(url.to_string(), format!("https://user:***@host:8443{shown}"), "{path}");
            let text = user_info(&format!("argument 'http://host{path}', or HTTPS://host{path}?hush: it failed"));
            assert_eq!(text, format!("argument 'http://host{shown}', or HTTPS://host{shown}?***: it failed"), "{path}");
        }
    }

    #[test]
    fn paths_of_servers_are_no_secrets() {
        let text = "redis://host/12 and postgres://host/Shop1?sslmode=require";
        assert_eq!(user_info(text), text);
        assert_eq!(user_info("(see https://host/docs.)"), "(see https://host/docs.)");
    }
}
