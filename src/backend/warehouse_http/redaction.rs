//! Takes the worker's own credentials out of what a warehouse says, should it quote the request.

use hyper::header::HeaderValue;
use url::Url;

use crate::config::{HttpTarget, Secret, redact};

/// Shorter values, such as a version in the query, are no secrets and occur anywhere.
const SHORTEST: usize = 6;

/// Everything that must not come back into a log or a table.
pub(super) struct Redaction {
    /// The longest first: one may be a part of another.
    secrets: Vec<Secret>,
    /// Those of them that are in use now.
    current: Vec<Secret>,
}

impl Redaction {
    /// Of the target's token, signing secrets, user, password, path and query, and of the header made of them; and of what
    /// was in use `before`, which a warehouse may still name.
    pub(super) fn new(target: &HttpTarget, authorization: Option<&HeaderValue>, before: Option<&Self>) -> Self {
        let mut current: Vec<Secret> = target.signing_secrets.iter().chain(&target.token).cloned().collect();
        let header = authorization.and_then(|value| value.to_str().ok()?.split_once(' '));
        current.extend(header.map(|(_, credentials)| Secret::new(credentials.to_owned())));
        current.extend(in_url(target.url.expose()).into_iter().map(Secret::new));
        current.retain(|secret| secret.expose().len() >= SHORTEST);
        let mut secrets = current.clone();
        secrets.extend(before.iter().flat_map(|before| before.current.iter().cloned()));
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { secrets, current }
    }

    /// `body` with `***` for every secret in it, in whatever way JSON may have escaped it.
    pub(super) fn apply(&self, body: Vec<u8>) -> Vec<u8> {
        if self.secrets.is_empty() {
            return body;
        }
        let text = String::from_utf8_lossy(&body);
        let (plain, positions) = unescaped(&text);
        let found = self.secrets.iter().find_map(|secret| Some((secret.expose(), plain.find(secret.expose())?)));
        let Some((secret, found)) = found else {
            return body;
        };
        let (from, until) = (positions[found], positions[found + secret.len()]);
        self.apply([text[..from].as_bytes(), b"***", text[until..].as_bytes()].concat())
    }
}

/// User, password, what is not shown of the path, the query and its values, as they stand in the URL and decoded.
fn in_url(url: &Url) -> Vec<String> {
    let mut parts = vec![url.username().to_owned(), url.password().unwrap_or_default().to_owned()];
    parts.extend(redact::hidden_segments(url.path()).map(str::to_owned));
    parts.extend(url.query().map(str::to_owned));
    parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    let raw = url.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    parts.extend(raw.map(|(_, value)| value.to_owned()));
    let decoded: Vec<String> = parts
        .iter()
        .flat_map(|part| url::form_urlencoded::parse(part.as_bytes()).map(|(name, _)| name.into_owned()).next())
        .collect();
    parts.extend(decoded);
    parts
}

/// `text` with JSON's escapes undone, and for each byte of that, and its end, where it is from in `text`.
fn unescaped(text: &str) -> (String, Vec<usize>) {
    let (mut plain, mut positions) = (String::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let (meant, length) = match escape(&text[at..]) {
            Some(escape) => escape,
            None => (character, character.len_utf8()),
        };
        plain.push(meant);
        positions.resize(plain.len(), at);
        at += length;
    }
    positions.push(text.len());
    (plain, positions)
}

/// The character that an escape at the beginning stands for, and the escape's length in bytes.
fn escape(text: &str) -> Option<(char, usize)> {
    let rest = text.strip_prefix('\\')?;
    match rest.chars().next()? {
        'u' => {
            let code = u32::from_str_radix(rest.get(1..5)?, 16).ok()?;
            Some((char::from_u32(code)?, 6))
        }
        character @ ('"' | '\\' | '/') => Some((character, 2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::SecretUrl;

    fn redaction(url: &str, token: Option<&str>) -> Redaction {
        let url = SecretUrl::new(Url::parse(url).unwrap());
        let token = token.map(|token| Secret::new(token.to_owned()));
        Redaction::new(&HttpTarget { token, ..HttpTarget::new(url, Duration::from_secs(1)) }, None, None)
    }

    fn redacted(redaction: &Redaction, body: &str) -> String {
        String::from_utf8(redaction.apply(body.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn a_token_is_found_however_json_writes_it() {
        let token = redaction("http://host/", Some("to/ken-1"));
        for body in ["to/ken-1", r"to\/ken-1", r"to\/ken\u002d1", r"\u0074o/ken-1"] {
            assert_eq!(redacted(&token, &format!("{{\"got\":\"é {body}, {body}\"}}")), "{\"got\":\"é ***, ***\"}");
        }
    }

    #[test]
    fn user_password_and_query_of_the_url_are_secrets() {
        let url = redaction("https://sk_live_hush:p%40ssword@host/x?v=1&key=hush%2Fquery", None);
        for secret in ["sk_live_hush", "p@ssword", "p%40ssword", "hush/query", "hush%2Fquery", "v=1&key=hush%2Fquery"] {
            assert_eq!(redacted(&url, &format!("<{secret}>")), "<***>", "{secret}");
        }
        assert_eq!(redacted(&url, "version 1 of key"), "version 1 of key");
    }

    #[test]
    fn a_secret_in_the_path_of_the_url_is_one_and_its_words_are_none() {
        let url = redaction("https://host/services/T0000hush/h%75sh-hush1", None);
        assert_eq!(redacted(&url, "/services/T0000hush/hush-hush1 h%75sh-hush1"), "/services/***/*** ***");
    }

    #[test]
    fn the_secrets_before_a_change_are_still_secrets_after_it_and_those_before_them_are_not_kept() {
        let target = |token: &str| {
            let url = SecretUrl::new(Url::parse("http://host/").unwrap());
            let token = Some(Secret::new(token.to_owned()));
            HttpTarget { token, ..HttpTarget::new(url, Duration::from_secs(1)) }
        };
        let first = Redaction::new(&target("first-hush"), None, None);
        let second = Redaction::new(&target("second-hush"), None, Some(&first));
        let third = Redaction::new(&target("third-hush"), None, Some(&second));
        assert_eq!(redacted(&second, "first-hush second-hush"), "*** ***");
        assert_eq!(redacted(&third, "first-hush second-hush third-hush"), "first-hush *** ***");
    }

    #[test]
    fn bytes_that_hold_no_secret_are_left_as_they_are() {
        let token = redaction("http://host/", Some("to/ken-1"));
        for body in [&b"\xff\xfe"[..], b"\\", b"\\u12", b"\\ud800x", b""] {
            assert_eq!(token.apply(body.to_vec()), body);
        }
    }
}
