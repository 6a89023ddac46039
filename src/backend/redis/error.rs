//! What an error of Redis means for the queue: whether waiting helps, and what to do otherwise.

use redis::{ErrorKind, RedisError};

use super::address::Address;
use crate::port::queue::QueueError;

/// Codes of answers that go away by themselves, or by somebody healing the server: failover, start, full memory or
/// disk, too few replicas, another client's long script, a slot of a Cluster on its way to another node.
const TRANSIENT_CODES: [&str; 13] = [
    "LOADING",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "ASK",
    "MOVED",
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
        || ["READONLY", "MASTERDOWN", "CLUSTERDOWN", "MOVED"].iter().any(|code| has_code(error, code))
}

/// Translates an error; `server` is the URL without its password.
pub(super) fn classify(server: &str, error: &RedisError) -> QueueError {
    let problem = format!("{server}: {}", text(error));
    if is_transient(error) {
        return QueueError::Unavailable(problem);
    }
    if error.kind() == ErrorKind::Client && error.detail().is_some() {
        // Made by `said_by`, which has all there is to say.
        return QueueError::Refused(problem);
    }
    QueueError::Refused(format!("{problem}; {}", advice(error, Credentials::Server)))
}

/// Whose user and password an error may be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credentials {
    Server,
    Sentinel,
}

/// The same error, with who it came from: for servers that were found on the way, and sentinels.
pub(super) fn said_by(who: &str, error: &RedisError, credentials: Credentials) -> RedisError {
    if is_transient(error) {
        return std::io::Error::other(format!("{who}: {}", text(error))).into();
    }
    if error.kind() == ErrorKind::Client {
        return error.clone();
    }
    RedisError::from((ErrorKind::Client, "refused", format!("{who}: {}; {}", text(error), advice(error, credentials))))
}

/// The same for a node of a Cluster, where it was found on the way.
pub(super) fn said_by_node(node: Option<&Address>, error: RedisError) -> RedisError {
    match node {
        Some(node) => said_by(&format!("node {node}"), &error, Credentials::Server),
        None => error,
    }
}

/// What to do about an error that doesn't go away by itself.
fn advice(error: &RedisError, credentials: Credentials) -> &'static str {
    let wrong_password = error.kind() == ErrorKind::AuthenticationFailed || has_code(error, "WRONGPASS");
    let no_password = has_code(error, "NOAUTH");
    let no_rights = has_code(error, "NOPERM");
    match credentials {
        Credentials::Sentinel if wrong_password => "check sentinelUsername and sentinelPassword in the Redis URL",
        Credentials::Sentinel if no_password => "it wants a password: put sentinelPassword=PASSWORD in the Redis URL",
        Credentials::Sentinel if no_rights => {
            "the user of the sentinels needs more rights: docs/REDIS.md has the line that gives them all"
        }
        Credentials::Sentinel => "is it a sentinel?",
        Credentials::Server if wrong_password => "check user and password in the Redis URL",
        Credentials::Server if no_password => {
            "the server wants a password: put it in the Redis URL, as in redis://:PASSWORD@HOST"
        }
        Credentials::Server if no_rights => {
            "the user needs more rights on the queue's keys: docs/REDIS.md has the line that gives them all"
        }
        Credentials::Server if error.detail().is_some_and(|detail| detail.contains("cluster support disabled")) => {
            "this server is not part of a Cluster: use redis:// in the Redis URL"
        }
        Credentials::Server if matches!(error.kind(), ErrorKind::InvalidClientConfig | ErrorKind::Client) => {
            "check the Redis URL"
        }
        Credentials::Server => "see the server's log; Redis 6.2 or later is needed",
    }
}

/// What the server said, in its own words, or what happened on the way to it.
pub(super) fn text(error: &RedisError) -> String {
    let said = match (error.code(), error.detail()) {
        (None, Some(detail)) if error.kind() == ErrorKind::Client => detail.to_owned(),
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) if error.kind() == ErrorKind::AuthenticationFailed => "authentication failed".to_owned(),
        (None, _) => error.to_string(),
    };
    // One that was found on the way says it already.
    if let Some(way) = way_to_trust(&said).filter(|way| !said.contains(way)) {
        return format!("{said}; {way}");
    }
    if has_code(error, "ASK") || has_code(error, "TRYAGAIN") {
        return format!("{said} (the slot of the queue's keys is being moved to another node of the Cluster)");
    }
    said
}

/// What to do about a handshake that failed. The library tells one from another by their texts alone.
fn way_to_trust(said: &str) -> Option<&'static str> {
    Some(match said {
        said if said.contains("invalid peer certificate: UnknownIssuer") => {
            "name the file of the authority that signed the server's certificate with --queue-tls-ca"
        }
        said if said.contains("invalid peer certificate: certificate not valid for name") => {
            "connect by a name that the server's certificate has among its subject alternative names"
        }
        said if said.contains("received fatal alert: CertificateRequired") => {
            "give the worker a certificate that the server knows with --queue-tls-certificate"
        }
        _ => return None,
    })
}

pub(super) fn is_transient(error: &RedisError) -> bool {
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
pub(super) fn has_code(error: &RedisError, code: &str) -> bool {
    match error.code() {
        Some("ERR" | "EXECABORT") | None => {
            error.to_string().split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code)
        }
        Some(found) => found == code,
    }
}
