//! What somebody else has in schema `fulfillment`, or has put onto the worker's tables, is refused by name and never runs.

use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::StoreError;
use tokio_postgres::Client;

use crate::postgres_store::{LEASE, letter, migrated, open};
use crate::support::postgres::TestDatabase;

use fulfillment_worker::port::store::OrderStore;

/// Roles of one database that are dropped with what they own when the test is over.
async fn make_role(client: &Client, role: &str) -> String {
    let name: String = client.query_one("SELECT current_database() || '_' || $1::text", &[&role]).await.unwrap().get(0);
    client.batch_execute(&format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN")).await.unwrap();
    name
}

fn url_of(database: &TestDatabase, role: &str) -> String {
    let mut url: url::Url = database.url().parse().unwrap();
    url.set_username(role).unwrap();
    url.into()
}

const SPY: &str = "CREATE TABLE seen (who text); GRANT ALL ON seen TO PUBLIC;
    CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.seen VALUES (current_user); RETURN NEW; END$$;";

/// Caught, when seeded: nobody who looks, and a look that passes over triggers, or over rules.
#[tokio::test]
async fn what_belongs_to_others_or_runs_their_code_is_refused_by_name() {
    let cases = [
        ("ALTER TABLE fulfillment.events OWNER TO {mallory}", "fulfillment.events belongs to role"),
        (
            "CREATE TABLE fulfillment.extra (); ALTER TABLE fulfillment.extra OWNER TO {mallory}",
            "fulfillment.extra belongs to role",
        ),
        (
            "CREATE SEQUENCE fulfillment.count; ALTER SEQUENCE fulfillment.count OWNER TO {mallory}",
            "fulfillment.count belongs to role",
        ),
        (
            "GRANT TRIGGER ON fulfillment.dead_letters TO {mallory}; GRANT USAGE ON SCHEMA fulfillment TO {mallory};
             SET ROLE {mallory}; CREATE TRIGGER spy BEFORE INSERT ON fulfillment.dead_letters
             FOR EACH ROW EXECUTE FUNCTION spy(); RESET ROLE",
            "fulfillment.dead_letters has the trigger spy; `DROP TRIGGER spy ON fulfillment.dead_letters`",
        ),
        (
            "CREATE RULE spy AS ON INSERT TO fulfillment.clocks DO ALSO NOTIFY spy",
            "fulfillment.clocks has the rule spy",
        ),
        ("ALTER TABLE fulfillment.horizon ENABLE ROW LEVEL SECURITY", "fulfillment.horizon has row-level security"),
        ("CREATE TABLE more () INHERITS (fulfillment.events)", "fulfillment.events inherits"),
        (
            "DROP TABLE fulfillment.clocks; CREATE VIEW fulfillment.clocks AS SELECT ''::text AS zone, now() AS noted_at, now() AS behind_at",
            "fulfillment.clocks is no table",
        ),
        ("GRANT CREATE ON SCHEMA fulfillment TO PUBLIC", "REVOKE CREATE ON SCHEMA fulfillment FROM PUBLIC"),
    ];
    for (sql, named) in cases {
        let database = TestDatabase::create().await;
        let (running, client) = migrated(&database).await;
        let mallory = make_role(&client, "mallory").await;
        running.check().await.unwrap();
        client.batch_execute(SPY).await.unwrap();
        client
            .batch_execute(&sql.replace("{mallory}", &mallory))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let starting = open(database.url(), LEASE, 1);
        for refusal in [
            running.check().await.expect_err(sql),
            // Found at the look every two seconds, and refused from then on.
            running.insert_dead_letters(&[letter()]).await.expect_err(sql),
            starting.insert_dead_letters(&[letter()]).await.expect_err(sql),
            starting.check().await.expect_err(sql),
            starting.migrate().await.expect_err(sql),
        ] {
            assert!(
                matches!(refusal, StoreError::Refused(_)) && refusal.to_string().contains(named),
                "{sql}: {refusal}"
            );
        }
        assert_eq!(database.number("SELECT count(*) FROM seen").await, 0, "{sql}");
        let put_right =
            "DROP TRIGGER IF EXISTS spy ON fulfillment.dead_letters; DROP RULE IF EXISTS spy ON fulfillment.clocks";
        if named.contains("the trigger") || named.contains("the rule") {
            client.batch_execute(put_right).await.unwrap();
            running.check().await.unwrap();
            running.insert_dead_letters(&[letter()]).await.unwrap();
        }
        client.batch_execute(&format!("DROP OWNED BY {mallory} CASCADE; DROP ROLE {mallory}")).await.unwrap();
    }
}

/// Somebody who could create in the schema was there before the first migration, which leaves alone what exists.
#[tokio::test]
async fn what_was_planted_before_the_first_migration_does_not_run_as_whoever_migrates() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    let mallory = make_role(&client, "mallory").await;
    let plant = format!(
        "CREATE TABLE seen (who text); GRANT ALL ON seen TO PUBLIC;
         CREATE SCHEMA fulfillment; GRANT ALL ON SCHEMA fulfillment TO {mallory}; SET ROLE {mallory};
         CREATE FUNCTION fulfillment.spy() RETURNS int LANGUAGE plpgsql AS
         $$BEGIN INSERT INTO public.seen VALUES (current_user); RETURN 0; END$$;
         CREATE VIEW fulfillment.schema_history AS SELECT fulfillment.spy() AS version, ''::text AS name, ''::text AS checksum;
         RESET ROLE"
    );
    client.batch_execute(&plant).await.unwrap();
    let refusal = open(database.url(), LEASE, 1).migrate().await.unwrap_err().to_string();
    assert!(refusal.contains("fulfillment.schema_history"), "{refusal}");
    assert_eq!(database.number("SELECT count(*) FROM seen").await, 0);
    client.batch_execute(&format!("DROP OWNED BY {mallory} CASCADE; DROP ROLE {mallory}")).await.unwrap();
}

/// Nor is the owner of the schema trusted by whoever makes tables in it, if it is nobody that the database has to trust.
#[tokio::test]
async fn tables_that_the_owner_of_the_schema_has_planted_are_not_written_to_by_whoever_migrates() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    let mallory = make_role(&client, "mallory").await;
    let plant = format!(
        "CREATE TABLE seen (who text); GRANT ALL ON seen TO PUBLIC;
         CREATE SCHEMA fulfillment AUTHORIZATION {mallory}; SET ROLE {mallory};
         CREATE FUNCTION fulfillment.spy() RETURNS bool LANGUAGE plpgsql AS
         $$BEGIN INSERT INTO public.seen VALUES (current_user); RETURN true; END$$;
         CREATE TABLE fulfillment.schema_history (version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255),
             checksum varchar(255), CHECK (fulfillment.spy()));
         RESET ROLE"
    );
    client.batch_execute(&plant).await.unwrap();
    let refusal = open(database.url(), LEASE, 1).migrate().await.unwrap_err().to_string();
    assert!(refusal.contains("fulfillment.schema_history belongs to role"), "{refusal}");
    assert_eq!(database.number("SELECT count(*) FROM seen").await, 0);
    client.batch_execute(&format!("DROP OWNED BY {mallory} CASCADE; DROP ROLE {mallory}")).await.unwrap();
}

/// Neither is reason to refuse: a schema that an administrator's role has made for the migrator, and a report beside the tables.
#[tokio::test]
async fn a_schema_of_an_administrator_and_a_view_of_the_migrators_are_worked_with() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    let (dba, migrator, worker) =
        (make_role(&client, "dba").await, make_role(&client, "migrator").await, make_role(&client, "worker").await);
    let sql = format!(
        "CREATE SCHEMA fulfillment AUTHORIZATION {dba}; GRANT USAGE, CREATE ON SCHEMA fulfillment TO {migrator};
         GRANT SELECT, UPDATE ON orders TO {worker}; GRANT SELECT ON products TO {worker};"
    );
    client.batch_execute(&sql).await.unwrap();
    let migrating = open(&url_of(&database, &migrator), LEASE, 1);
    migrating.migrate().await.unwrap();
    let view = format!(
        "SET ROLE {migrator}; CREATE VIEW fulfillment.report AS SELECT count(*) FROM fulfillment.events; RESET ROLE"
    );
    client.batch_execute(&view).await.unwrap();
    client.batch_execute(&fulfillment_worker::backend::postgres::grant_sql(&worker)).await.unwrap();
    open(&url_of(&database, &worker), LEASE, 1).check().await.unwrap();
    for role in [dba, migrator, worker] {
        client.batch_execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await.unwrap();
    }
}
