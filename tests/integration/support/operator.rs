//! A user who may change a worker, for tests of what such a user does.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::worker::test_data;

/// Options for a worker that knows this user.
pub(crate) fn options() -> [String; 4] {
    ["--web-config".to_owned(), test_data("web.yml"), "--operators".to_owned(), "operator".to_owned()]
}

/// The value of the header `Authorization` with which this user logs in.
pub(crate) fn authorization() -> String {
    login("operator")
}

/// The same of any user whose password is `NAME's`.
pub(crate) fn login(user: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{user}'s")))
}
