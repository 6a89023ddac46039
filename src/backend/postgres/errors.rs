//! What an error of Postgres means for us: wait, repeat, find the row at fault, or ask a person.

use std::error::Error;

use deadpool::managed::{PoolError, TimeoutType};
use rustls::CertificateError;
use tokio_postgres::error::{DbError, SqlState};

use super::refusal::{Refusal, cause_in_io, causes};
use super::tls;
use crate::port::store::StoreError;

/// An error, by what there is to do about it. Texts are for a person, and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// No answer, or a database that is not ready: wait. The statement may have been carried out.
    Unavailable(String),
    /// A deadlock or a serialization failure: rolled back, repeat.
    Conflict(String),
    /// A lock that somebody else kept for longer than the statement was willing to wait: rolled back.
    LockTimeout(String),
    /// The timeline has an entry of that order and time already, as after a table of orders that was made anew. The statement was
    /// rolled back, and goes on without the entry when it is run as [`super::sql::Sql::passing_over`] has it.
    Taken(String),
    /// A value, a constraint or a trigger: some row of the batch is at fault, and the batch was rolled back.
    Data(String),
    /// A table, column or schema that isn't there.
    Missing(String),
    /// Anything else that the database won't do.
    Refused(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(text) | Failure::Conflict(text) | Failure::LockTimeout(text) => {
                Self::Unavailable(text)
            }
            Failure::Taken(text) | Failure::Data(text) | Failure::Missing(text) | Failure::Refused(text) => {
                Self::Refused(text)
            }
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of(&error)
    }
}

impl Failure {
    /// Sorts an error of the driver.
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(refusal) = error.as_db_error() {
            return from_sqlstate(refusal);
        }
        if let Some(refusal) = Refusal::cause_of(error) {
            return Self::Refused(refusal.to_string());
        }
        let text = with_causes(error);
        if let Some(problem) = cause_in_io(error, certificate_problem) {
            return Self::Refused(format!("{text}; {}", way_to_trust(problem)));
        }
        // What the driver can't build or read is our mistake or a wrong column type, and does not pass by waiting. It
        // tells its kinds of errors apart by their texts alone.
        let lasting =
            ["error serializing", "error deserializing", "invalid column", "invalid configuration", "authentication"];
        let shown = error.to_string();
        if lasting.iter().any(|start| shown.starts_with(start)) { Self::Refused(text) } else { Self::Unavailable(text) }
    }
}

impl From<PoolError<tokio_postgres::Error>> for Failure {
    fn from(error: PoolError<tokio_postgres::Error>) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(TimeoutType::Wait) => {
                Self::Unavailable("no connection became free in time: all are waiting for the server".to_owned())
            }
            PoolError::Timeout(_) => Self::Unavailable("the server did not accept a connection in time".to_owned()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Sorts by SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn from_sqlstate(error: &DbError) -> Failure {
    let code = error.code();
    let text = describe(error);
    match code.code().get(..2).unwrap_or_default() {
        _ if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED => {
            Failure::Conflict(text)
        }
        _ if *code == SqlState::LOCK_NOT_AVAILABLE => Failure::LockTimeout(text),
        _ if *code == SqlState::UNIQUE_VIOLATION
            && (error.schema(), error.constraint()) == (Some("fulfillment"), Some("events_pkey")) =>
        {
            Failure::Taken(text)
        }
        // A standby, or a database set read-only: a failover ends that.
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Failure::Unavailable(text),
        _ if *code == SqlState::UNDEFINED_TABLE
            || *code == SqlState::UNDEFINED_COLUMN
            || *code == SqlState::INVALID_SCHEMA_NAME =>
        {
            Failure::Missing(text)
        }
        _ if *code == SqlState::PROTOCOL_VIOLATION && is_lasting_at_a_pooler(error.message()) => {
            Failure::Refused(format!("{text}; check the database URL, and the pooler's own configuration"))
        }
        // Connection, resources, operator intervention (shutdown, cancel, timeout), a lock not to be had, I/O.
        "08" | "53" | "57" | "55" | "58" => Failure::Unavailable(text),
        // Bad value, constraint, trigger or function, row too large for an index, view with check option.
        "09" | "22" | "23" | "27" | "38" | "39" | "44" | "54" | "P0" => Failure::Data(text),
        "28" => Failure::Refused(format!("{text}; check user and password in DATABASE_URL or POSTGRES_*")),
        "3D" => Failure::Refused(format!("{text}; check the database's name in DATABASE_URL or POSTGRES_DB")),
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => Failure::Refused(format!(
            "{text}; the worker's role needs SELECT and UPDATE on orders, and INSERT and SELECT on the tables of schema \
             fulfillment, which `migrate --grant-to ROLE` gives it, and for --keep-events the rights that docs/POSTGRES.md names; the order API's needs what deploy/postgres/roles.sql says"
        )),
        _ => Failure::Refused(text),
    }
}

/// PgBouncer has one SQLSTATE for whatever it says by itself: what passes, and what doesn't.
fn is_lasting_at_a_pooler(message: &str) -> bool {
    ["authentication failed", "does not exist", "no such database", "no such user", "unsupported startup parameter"]
        .iter()
        .any(|lasting| message.contains(lasting))
}

/// Message, detail and hint in one line, with the SQLSTATE to look it up by.
fn describe(error: &DbError) -> String {
    let mut text = format!("{} (SQLSTATE {})", error.message(), error.code().code());
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text.replace('\n', " ")
}

/// An error and what caused it, in one line.
fn with_causes(error: &tokio_postgres::Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Why the server's certificate was not accepted, if that is why a handshake failed.
fn certificate_problem<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    cause.downcast_ref().filter(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

fn way_to_trust(error: &rustls::Error) -> &'static str {
    use rustls::Error::InvalidCertificate as Invalid;
    match error {
        Invalid(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "connect by a name that the server's certificate has among its subject alternative names, or give it one that has \
             this name there"
        }
        Invalid(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "renew the server's certificate"
        }
        error if tls::is(error, tls::OLD_VERSION) => {
            "the server's certificate is one of X.509 version 1, which can't be verified; make it one of version 3, with the \
             server's name among its subject alternative names"
        }
        _ => {
            "name the file of the authority that signed the server's certificate as sslrootcert in the database URL, or in \
             SSL_CERT_FILE"
        }
    }
}
