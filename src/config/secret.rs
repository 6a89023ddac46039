//! What must not be shown: a log line, an error or a debugger prints `***` in its place.

use std::fmt;

use url::Url;
use zeroize::Zeroize;

/// A password, token or key, or text that may hold one. Prints as `***`, and is wiped from memory when it is dropped.
///
/// Copies that were made of what [`Secret::expose`] lends are not: those in an HTTP or database client, the environment, and
/// the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Wipe = String>(T);

/// A URL that may hold a password. Prints without it.
pub type SecretUrl = Secret<Url>;

/// What can be overwritten.
pub trait Wipe {
    /// Leaves nothing of the value in its memory.
    fn wipe(&mut self);
}

impl Wipe for String {
    fn wipe(&mut self) {
        self.zeroize();
    }
}

impl Wipe for Url {
    fn wipe(&mut self) {
        // The URL gives up its text for another one's.
        if let Ok(nothing) = Self::parse("x:") {
            String::from(std::mem::replace(self, nothing)).zeroize();
        }
    }
}

impl<T: Wipe> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

impl<T: Wipe> Secret<T> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiped_secret_leaves_nothing_behind() {
        let mut text = "hush".to_owned();
        text.wipe();
        assert_eq!(text, "");
        let mut url: Url = "redis://:hush@host".parse().unwrap();
        url.wipe();
        assert_eq!(url.as_str(), "x:");
    }

    #[test]
    fn what_is_dropped_is_wiped() {
        struct Noted<'a>(&'a std::cell::Cell<u32>);
        impl Wipe for Noted<'_> {
            fn wipe(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let wiped = std::cell::Cell::new(0);
        drop(Secret::new(Noted(&wiped)));
        assert_eq!(wiped.get(), 1);
    }
}
