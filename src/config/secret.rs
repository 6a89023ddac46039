//! What must not be shown: a log line, an error or a debugger prints `***` in its place.

use std::fmt;

use url::Url;

/// A password, token or key, or text that may hold one. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = String>(T);

/// A URL that may hold a password. Prints without it, see [`super::redact`].
pub type SecretUrl = Secret<Url>;

impl<T> Secret<T> {
    /// Wraps the secret.
    pub fn new(secret: T) -> Self {
        Self(secret)
    }
}

impl Secret {
    /// The secret itself, to use and not to print.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl SecretUrl {
    /// The whole URL, to connect with and not to print.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

/// Takes any text, so that clap never refuses it: clap's errors quote the value.
impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
