//! Rights, those that lack and those that are too many, and what is between us and the servers.

use super::Finding;
use super::words::identifier;
use crate::port::diagnosis::Transport;
use crate::port::diagnosis::postgres::PostgresFacts;
use crate::port::store::StoreError;

/// Whether the tables can be worked with, by the start's own check.
pub(super) fn tables(
    role: Option<&str>,
    checked: &Result<(), StoreError>,
    warning: &Result<Option<String>, StoreError>,
) -> Finding {
    const CHECK: &str = "tables_and_rights";
    match (checked, warning) {
        (Err(StoreError::Unavailable(why)), _) => Finding::unknown(CHECK, why.clone()),
        (Err(error), _) => ways_to_mend(error, role).into_iter().fold(
            Finding::warning(CHECK, error.to_string()).costs("`run` does not start, or claims nothing"),
            Finding::remedy,
        ),
        (Ok(()), Ok(Some(warning))) => Finding::notice(CHECK, warning.clone()),
        (Ok(()), Err(error)) => Finding::unknown(CHECK, error.to_string()),
        (Ok(()), Ok(None)) => Finding::ok(CHECK, "every table, column and right that `run` needs is there"),
    }
}

/// A missing right is named in the words that grant it.
fn ways_to_mend(error: &StoreError, role: Option<&str>) -> Vec<String> {
    let StoreError::Schema(missing) = error else {
        return vec![
            "mend what is named above, with the SQL of docs/MESSAGE.md or of deploy/postgres/schema.sql".to_owned(),
        ];
    };
    let rights: Option<Vec<&str>> = missing.iter().map(|one| one.strip_prefix("privilege ")).collect();
    match (rights, role) {
        (Some(rights), Some(role)) => {
            let role = identifier(role);
            rights.iter().map(|right| format!("GRANT {} TO {role};", right.replacen(" on ", " ON ", 1))).collect()
        }
        _ => vec!["fulfillment-worker migrate   # as a role that may create tables".to_owned()],
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
