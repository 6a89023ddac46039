//! Where the servers that the suite runs against are. A server that is missing fails the tests that need it.

/// Value of an environment variable set by `scripts/with-servers.sh`.
fn url(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run the tests by `make test`, or by `scripts/with-servers.sh cargo test`")
    })
}

/// A Redis server of our own.
pub(crate) fn redis_url() -> String {
    url("TEST_REDIS_URL")
}

/// A Valkey server of our own.
pub(crate) fn valkey_url() -> String {
    std::env::var("TEST_VALKEY_URL").unwrap_or_else(|_| {
        panic!(
            "TEST_VALKEY_URL is not set: run the tests by `make test`, or `scripts/install-python.sh` and then \
             `scripts/with-servers.sh cargo test`"
        )
    })
}
