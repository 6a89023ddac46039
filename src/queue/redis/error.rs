//! What an error of Redis means for the queue: whether waiting helps, and what to do otherwise.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::queue::QueueError;

/// Codes of answers that go away by themselves, or by somebody healing the server: failover, start, full memory or
/// disk, too few replicas, another client's long script.
const TRANSIENT_CODES: [&str; 11] = [
    "LOADING",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "OOM",
    "NOSCRIPT",
    "UNBLOCKED",
];

/// Whether the connection that an error came over had better be replaced: it is broken, or it leads to a server that
/// is no longer the primary.
pub(super) fn needs_new_connection(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::ReadOnly
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::Moved
            )
        )
}

/// Whether a key holds another type of value than it should.
pub(super) fn is_wrong_type(error: &RedisError) -> bool {
    has_code(error, "WRONGTYPE")
}

/// Translates an error; `server` is the URL without its password.
pub(super) fn classify(server: &str, error: &RedisError) -> QueueError {
    if is_transient(error) {
        return QueueError::Unavailable(format!("{server}: {}", text(error)));
    }
    let advice = if error.kind() == ErrorKind::AuthenticationFailed || has_code(error, "WRONGPASS") {
        "check user and password in the Redis URL"
    } else if has_code(error, "NOAUTH") {
        "the server wants a password: put it in the Redis URL, as in redis://:PASSWORD@HOST"
    } else if has_code(error, "NOPERM") {
        "the user needs more rights on the queue's keys: docs/REDIS.md has the line that gives them all"
    } else if has_code(error, "MOVED") || has_code(error, "ASK") {
        "this node of a Redis Cluster does not hold the queue's key: put the address of the one that does in the Redis URL"
    } else if matches!(error.kind(), ErrorKind::InvalidClientConfig | ErrorKind::Client) {
        "check the Redis URL"
    } else {
        "see the server's log; Redis 6.2 or later is needed"
    };
    QueueError::Refused(format!("{server}: {}; {advice}", text(error)))
}

/// What the server said, in its own words, or what happened on the way to it.
fn text(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) if error.kind() == ErrorKind::AuthenticationFailed => "authentication failed".to_owned(),
        (None, _) => error.to_string(),
    }
}

fn is_transient(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => true,
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::Client => false,
        _ => {
            TRANSIENT_CODES.iter().any(|code| has_code(error, code))
                || error.detail().is_some_and(|detail| detail.contains("max number of clients"))
        }
    }
}

/// Whether the server's answer has this code. Before version 7, Redis put an error that a command in a script met into
/// the text of an `ERR` of its own, and redis-rs does so with errors in a transaction.
fn has_code(error: &RedisError, code: &str) -> bool {
    match error.code() {
        Some("ERR") | None => error.to_string().split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code),
        Some(found) => found == code,
    }
}
