//! The worker's own tables: making them, and finding out what is missing.

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::connection::{Connections, Session};
use super::errors::Failure;
use super::given_tables::Dialect;
use super::sql::{Parameter, Sql};
use super::{PostgresStore, column};
use crate::backend::migration::{self, Applied, Migration};
use crate::port::schema::Schema;
use crate::port::store::StoreError;

/// Every migration, in order. One that was released is never changed: its checksum is in the history.
const MIGRATIONS: [(&str, &str); 14] = [
    ("V1__events_and_dead_letters", include_str!("migrations/V1__events_and_dead_letters.sql")),
    ("V2__resolved_dead_letters", include_str!("migrations/V2__resolved_dead_letters.sql")),
    ("V3__leadership", include_str!("migrations/V3__leadership.sql")),
    ("V4__clocks", include_str!("migrations/V4__clocks.sql")),
    ("V5__submissions", include_str!("migrations/V5__submissions.sql")),
    ("V6__horizon", include_str!("migrations/V6__horizon.sql")),
    ("V7__retention", include_str!("migrations/V7__retention.sql")),
    ("V8__low_water_mark", include_str!("migrations/V8__low_water_mark.sql")),
    ("V9__controls", include_str!("migrations/V9__controls.sql")),
    ("V10__holds", include_str!("migrations/V10__holds.sql")),
    ("V11__lists", include_str!("migrations/V11__lists.sql")),
    ("V12__jobs", include_str!("migrations/V12__jobs.sql")),
    ("V13__requests", include_str!("migrations/V13__requests.sql")),
    ("V14__trends", include_str!("migrations/V14__trends.sql")),
];

/// The migration that brings the horizon.
const HORIZON: i32 = 6;

/// An installation that was there before goes on as it did, whether it has worked before or not.
const ADOPT_EVERYTHING: &str =
    "INSERT INTO fulfillment.horizon (adopt_from) VALUES ('-infinity') ON CONFLICT DO NOTHING";

const CREATE_HISTORY: &str = "CREATE TABLE IF NOT EXISTS fulfillment.schema_history (
    version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))";

/// By the server's clock, and as RFC 3339 has it: versions before read it so.
const NOTE_APPLIED: &str = r#"INSERT INTO fulfillment.schema_history (version, name, applied_on, checksum)
    VALUES ($1, $2::text, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), $3::text)"#;

/// Names the lock that workers take in turn to migrate: "fulfillm" in ASCII.
const MIGRATION_LOCK: i64 = 0x6675_6c66_696c_6c6d;

/// How the first migration makes the schema. Postgres asks for the right to do so even where there is nothing to make.
const CREATE_SCHEMA: &str = "CREATE SCHEMA IF NOT EXISTS fulfillment;";

/// The same for a role that may not, where somebody has made it.
const CREATE_ABSENT_SCHEMA: &str = "DO $$ BEGIN
    IF pg_catalog.to_regnamespace('fulfillment') IS NULL THEN
        CREATE SCHEMA fulfillment;
    END IF;
END $$;";

/// A migration as it is applied. Its checksum stays that of the file.
fn applicable(sql: &str) -> String {
    sql.replace(CREATE_SCHEMA, CREATE_ABSENT_SCHEMA)
}

/// The SQL that makes the worker's own tables, for `psql`. Harmless where they exist already.
pub fn migration_sql() -> String {
    MIGRATIONS.iter().map(|(name, sql)| format!("-- {name}\n{}\n", applicable(sql))).collect()
}

/// The SQL that gives `role` what a worker needs of the worker's own tables.
pub fn grant_sql(role: &str) -> String {
    include_str!("grants.sql").replace("{role}", &format!("\"{}\"", role.replace('"', "\"\"")))
}

#[async_trait]
impl Schema for PostgresStore {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let unfit = self.given_tables().await?.unfit();
        if !unfit.is_empty() {
            return Err(StoreError::Tables(unfit));
        }
        self.refuse_strangers().await?;
        self.explain(migrate(&self.connections).await).await
    }

    async fn grant(&self, role: &str) -> Result<(), StoreError> {
        self.refuse_strangers().await?;
        let grant = async {
            let mut session = self.connections.session().await?;
            session.begin().await?;
            session.run(&grant_sql(role)).await?;
            session.commit().await
        };
        self.explain(grant.await).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        check(self).await
    }

    async fn warning(&self) -> Result<Option<String>, StoreError> {
        Ok(self.given_tables().await?.warning())
    }
}

/// Applies what is missing in one transaction, which takes the lock: so it is released with it, whatever happens, and behind
/// a pooler that hands out connections by the transaction. Nothing else outlasts a statement either, a prepared one included.
async fn migrate(connections: &Connections) -> Result<Vec<String>, Failure> {
    let migrations = migration::parse(&MIGRATIONS).map_err(Failure::Refused)?;
    apply(&mut connections.session().await?, &migrations).await.map_err(with_way_out)
}

async fn apply(session: &mut Session, migrations: &[Migration]) -> Result<Vec<String>, Failure> {
    // Before the lock: a worker that stands still while it has it must hold up nobody whose tables are there.
    if missing(migrations, &applied(session).await?)?.is_empty() {
        return Ok(Vec::new());
    }
    session.begin().await?;
    // Else a server whose default is stricter would not show what was applied while the lock was waited for.
    session.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
    // Nothing here touches the order API's tables, whose triggers may need the path of the role.
    session.run("SET LOCAL search_path = pg_catalog, pg_temp").await?;
    session.query(&Sql::new("SELECT pg_advisory_xact_lock($1)"), &[(&MIGRATION_LOCK, Type::INT8)]).await?;
    let applied = applied(session).await?;
    let missing = missing(migrations, &applied)?;
    if !missing.is_empty() {
        refuse_strangers(session, Right::Migrate).await?;
        session.run(CREATE_ABSENT_SCHEMA).await?;
    }
    // Not `CREATE … IF NOT EXISTS` alone: that needs the right to create even where it exists.
    if !missing.is_empty() && !exists(session, "to_regclass('fulfillment.schema_history')").await? {
        session.run(CREATE_HISTORY).await?;
    }
    for migration in &missing {
        session.run(&applicable(migration.sql)).await?;
        let row: [Parameter<'_>; 3] =
            [(&migration.version, Type::INT4), (&migration.name, Type::TEXT), (&migration.checksum(), Type::TEXT)];
        session.query(&Sql::new(NOTE_APPLIED), &row).await?;
    }
    if !applied.is_empty() && missing.iter().any(|migration| migration.version == HORIZON) {
        session.run(ADOPT_EVERYTHING).await?;
    }
    session.commit().await?;
    Ok(missing.iter().map(ToString::to_string).collect())
}

/// What somebody is about to do in the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Work,
    Migrate,
}

/// Makes sure that nothing in the schema can run code of somebody else.
///
/// # Errors
/// [`Failure::Refused`] names each object.
pub(super) async fn refuse_strangers(session: &mut Session, right: Right) -> Result<(), Failure> {
    let migrates = right == Right::Migrate;
    let rows = session.query(&Sql::new(include_str!("strangers.sql")), &[(&migrates, Type::BOOL)]).await?;
    let problems = rows.iter().map(|row| column(row, "problem")).collect::<Result<Vec<&str>, Failure>>()?;
    match problems[..] {
        [] => Ok(()),
        _ => Err(Failure::Refused(format!("schema fulfillment is not the worker's own: {}", problems.join("; ")))),
    }
}

/// The history, in order. Empty where this role can't read it: then it is to be made, and the server says what is missing.
async fn applied(session: &mut Session) -> Result<Vec<Applied>, Failure> {
    let readable = "(SELECT true FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid {=} c.relnamespace
                      WHERE n.nspname {=} 'fulfillment' AND c.relname {=} 'schema_history'
                        AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))";
    if !exists(session, readable).await? {
        return Ok(Vec::new());
    }
    let history = Sql::bare("SELECT version, name, checksum FROM fulfillment.schema_history ORDER BY version");
    let rows = session.query(&history, &[]).await?;
    let read = |row: &Row| {
        let (name, checksum): (Option<String>, Option<String>) = (column(row, "name")?, column(row, "checksum")?);
        let (name, checksum) = (name.unwrap_or_default(), checksum.unwrap_or_default());
        Ok(Applied { version: column(row, "version")?, name, checksum })
    };
    rows.iter().map(read).collect()
}

/// Tables of a version to come are no reason to stop, unless something is missing.
fn missing<'a>(migrations: &'a [Migration], applied: &[Applied]) -> Result<Vec<&'a Migration>, Failure> {
    migration::missing(migrations, applied).map_err(|difference| {
        Failure::Refused(format!(
            "{difference}: the tables in schema fulfillment were made by another version of this program"
        ))
    })
}

/// Whether an expression is not null.
async fn exists(session: &mut Session, expression: &str) -> Result<bool, Failure> {
    let rows = session.query(&Sql::new(&format!("SELECT {expression} IS NOT NULL AS it_exists")), &[]).await?;
    rows.first().map_or(Ok(false), |row| column(row, "it_exists"))
}

/// A role that may not create tables is told what else it can do.
fn with_way_out(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(text) if text.contains(SqlState::INSUFFICIENT_PRIVILEGE.code()) => Failure::Refused(format!(
            "{text}; to migrate without these rights, have an administrator apply the SQL of `fulfillment-worker \
             migrate --print`, and run with `--migrate off`"
        )),
        other => other,
    }
}

/// Names what is missing, and what the worker can't work with. From then on statements are written for the tables found.
pub(super) async fn check(store: &PostgresStore) -> Result<(), StoreError> {
    let given = store.given_tables().await?;
    let mut problems = given.problems();
    if problems.is_empty() {
        problems = given.refused_states(&store.connections).await?;
    }
    if !problems.is_empty() {
        return Err(StoreError::Tables(problems));
    }
    store.refuse_strangers().await?;
    let Dialect { tables, open_by_index, .. } = given.dialect();
    let parameters: [Parameter<'_>; 3] =
        [(&tables.orders(), Type::TEXT), (&tables.products(), Type::TEXT), (&open_by_index, Type::BOOL)];
    let rows = store.connections.query(&Sql::new(include_str!("check.sql")), &parameters).await?;
    let missing = rows.iter().map(|row| column(row, "missing")).collect::<Result<Vec<String>, Failure>>()?;
    if !missing.is_empty() {
        return Err(StoreError::Schema(missing));
    }
    store.write_statements_for(given.dialect());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not named there may carry anything.
    #[test]
    fn every_table_that_a_migration_makes_is_one_that_strangers_may_not_touch() {
        let sql = migration_sql();
        let made =
            sql.split("CREATE TABLE IF NOT EXISTS fulfillment.").skip(1).filter_map(|rest| rest.split(' ').next());
        let made: Vec<&str> = made.chain(["schema_history"]).collect();
        assert_eq!(made.len(), 21);
        for table in made {
            assert!(include_str!("strangers.sql").contains(&format!("'{table}'")), "{table}");
        }
    }

    /// Made by refinery, so that builds from before 0.1.0 and this one take each other's tables for their own.
    #[test]
    fn checksums_are_those_of_the_version_before() {
        let checksums: Vec<String> =
            migration::parse(&MIGRATIONS).unwrap().iter().take(3).map(Migration::checksum).collect();
        assert_eq!(checksums, ["17309984282916299835", "14250621943220900225", "1267226528094765140"]);
    }

    #[test]
    fn a_role_with_an_odd_name_is_quoted() {
        assert!(grant_sql("a\"b; DROP").contains("TO \"a\"\"b; DROP\";"));
    }
}
