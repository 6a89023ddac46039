//! Rights, those that lack and those that are too many, and what is between us and the servers.

use super::Finding;
use crate::port::diagnosis::Transport;
use crate::port::diagnosis::postgres::PostgresFacts;
use crate::port::store::StoreError;

/// Whether the tables can be worked with, by the start's own check.
pub(super) fn tables(checked: &Result<(), StoreError>, warning: &Result<Option<String>, StoreError>) -> Finding {
    const CHECK: &str = "tables_and_rights";
    match (checked, warning) {
        (Err(StoreError::Unavailable(why)), _) => Finding::unknown(CHECK, why.clone()),
        (Err(error), _) => Finding::warning(CHECK, error.to_string()).costs("`run` does not start, or claims nothing"),
        (Ok(()), Ok(Some(warning))) => Finding::notice(CHECK, warning.clone()),
        (Ok(()), Err(error)) => Finding::unknown(CHECK, error.to_string()),
        (Ok(()), Ok(None)) => Finding::ok(CHECK, "every table, column and right that `run` needs is there"),
    }
}

/// What the role may do that no worker needs.
pub(super) fn excess_rights(facts: &PostgresFacts) -> Finding {
    const CHECK: &str = "excess_rights";
    let role = &facts.role;
    if role.excess.is_empty() {
        return Finding::ok(CHECK, format!("role {} may do little beyond a worker's work", role.name));
    }
    Finding::notice(CHECK, format!("role {} {}", role.name, role.excess.join(", ")))
        .costs("whoever gets its password, or a mistake, can do that too")
        .remedy("psql \"$DATABASE_URL\" --single-transaction --set ON_ERROR_STOP=1 --file deploy/postgres/roles.sql")
        .caution("makes roles that can do their work and no more (docs/POSTGRES.md); the worker then connects as fulfillment_worker")
}

/// The way to Postgres.
pub(super) fn store_transport(facts: &PostgresFacts) -> Finding {
    transport(
        "store_tls",
        "Postgres",
        &facts.transport,
        "add sslmode=verify-full to the URL, and sslrootcert=FILE for an authority of your own (docs/POSTGRES.md)",
    )
}

/// The way to a server.
pub(super) fn transport(check: &'static str, server: &str, transport: &Transport, remedy: &str) -> Finding {
    match transport {
        Transport::Local => Finding::ok(check, format!("the connection to {server} doesn't leave the machine")),
        Transport::Tls(cipher) => {
            let cipher = cipher.as_ref().map(|cipher| format!(" ({cipher})")).unwrap_or_default();
            Finding::ok(check, format!("the connection to {server} is encrypted{cipher}"))
        }
        Transport::Clear => {
            Finding::warning(check, format!("the connection to {server} goes over a network in clear text"))
                .costs("whoever is between can read and change orders and messages")
                .remedy(remedy)
        }
    }
}
