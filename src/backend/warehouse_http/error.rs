//! Errors: of the configuration, and the HTTP client's as text.

use std::error::Error;
use std::path::PathBuf;

use super::address::Forbidden;
use super::answer;
use super::signature::SecretError;

/// The longest error of the client that is kept, in characters.
const LONGEST_ERROR: usize = 300;

/// A configuration with which no warehouse can be called. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum HttpFulfillerError {
    /// The URL names an address that is refused.
    #[error("{0}: --fulfiller-link-local on allows it")]
    Forbidden(#[from] Forbidden),
    /// A signing secret is not one.
    #[error("--fulfiller-secret: {0}")]
    Secret(#[from] SecretError),
    /// The URL can't be sent.
    #[error("--fulfiller: the URL holds characters that HTTP doesn't take")]
    Url,
    /// The token can't be sent.
    #[error("--fulfiller-token: holds characters that no HTTP header takes")]
    Token,
    /// A PEM file can't be used.
    #[error("{option} {}: {problem}", path.display())]
    File {
        /// Which option named it.
        option: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No certificate authority is trusted.
    #[error("the system has no trusted authorities: install its CA certificates, or name some with --fulfiller-ca")]
    NobodyTrusted,
    /// The client itself can't be made.
    #[error("the HTTP client can't be set up: {0}")]
    Client(String),
}

/// An error with its causes. The client's name no URL, which may hold a key.
pub(super) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut chain = String::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        // Some errors repeat their causes.
        if !chain.contains(&cause) {
            chain.push_str(if chain.is_empty() { "" } else { ": " });
            chain.push_str(&cause);
        }
    }
    answer::clean(&chain, LONGEST_ERROR)
}

/// The error itself, then its cause, and so on.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}
