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
        shown.fmt(f)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Replaces the user info of every URL in `text`, and the value of every parameter for a password, by `***`.
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
        let word = after.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"')).unwrap_or(after.len());
        rest = match after.get(..word).and_then(|word| word.rfind('@')) {
            Some(at) => {
                shown.push_str("***");
                after.get(at..).unwrap_or_default()
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
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
}
