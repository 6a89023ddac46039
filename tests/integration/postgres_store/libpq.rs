//! What libpq takes leads where it leads libpq: pairs, variables, and several hosts.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use fulfillment_worker::config::StoreTarget;
use fulfillment_worker::port::schema::Schema;

use super::{LEASE, migrated, open};
use crate::support::postgres::TestDatabase;

/// What the binary says about dead letters, which are in the store.
fn dead_list(store: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fulfillment-worker"));
    command.args(["dead", "list", "--wait", "60s", "--store", store]).env_clear().stdin(Stdio::null());
    let output = command.envs(variables.iter().copied()).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

fn store(text: &str) -> impl Schema + use<> {
    let Ok(StoreTarget::Postgres(url)) = text.parse() else { panic!("{text}") };
    open(url.expose().as_str(), LEASE, 1)
}

#[tokio::test]
async fn libpqs_pairs_and_variables_lead_to_the_database() {
    let database = TestDatabase::create().await;
    let _ = migrated(&database).await;
    let url: url::Url = database.url().parse().unwrap();
    let (port, name) = (url.port().unwrap().to_string(), url.path().trim_start_matches('/').to_owned());
    let pairs = format!("host=127.0.0.1 port={port} user=postgres dbname='{name}' connect_timeout=60");
    let filled = [("PGHOST", "127.0.0.1"), ("PGPORT", &port), ("PGUSER", "postgres"), ("PGDATABASE", &name)];
    for (store, variables) in [(pairs.as_str(), &[][..]), ("postgres://", &filled), ("postgresql:///", &filled)] {
        let (code, said) = dead_list(store, variables);
        assert_eq!(code, Some(0), "{store}: {said}");
    }
    // What is given wins.
    let elsewhere = [("PGPORT", "1"), ("PGHOST", "127.0.0.9"), ("PGDATABASE", "nowhere"), ("PGPASSWORD", "hush")];
    let (code, said) = dead_list(database.url(), &elsewhere);
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_server_that_says_nothing_does_not_take_the_time_of_the_next_one() {
    let database = TestDatabase::create().await;
    let _ = migrated(&database).await;
    // Takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url: url::Url = database.url().parse().unwrap();
    let hosts = format!("{},127.0.0.1:{}", silent.local_addr().unwrap(), url.port().unwrap());
    let several = format!("postgres://postgres@{hosts}{}", url.path());
    for more in ["", "?connect_timeout=1"] {
        let (code, said) = dead_list(&format!("{several}{more}"), &[]);
        assert_eq!(code, Some(0), "{more}: {said}");
        assert!(!said.contains("waiting"), "the first connection was given up{more}: {said}");
    }
}

#[tokio::test]
async fn of_several_servers_one_that_takes_writes_is_used_unless_any_will_do() {
    let (reading, writing) = (TestDatabase::create().await, TestDatabase::create().await);
    let _ = (migrated(&reading).await, migrated(&writing).await);
    let name = |database: &TestDatabase| database.url().rsplit('/').next().unwrap().to_owned();
    let sql = format!("ALTER ROLE postgres IN DATABASE {} SET default_transaction_read_only = on", name(&reading));
    writing.connect().await.batch_execute(&sql).await.unwrap();
    let url: url::Url = reading.url().parse().unwrap();
    let port = url.port().unwrap();
    // Two names of one server, and a database that takes no writes.
    let several = format!("postgres://postgres@127.0.0.1:{port},localhost:{port}/{}", name(&reading));
    for more in ["", "?target_session_attrs=primary"] {
        let error = store(&format!("{several}{more}")).check().await.unwrap_err().to_string();
        assert!(error.contains("database does not allow writes"), "{error}");
    }
    store(&format!("{several}?target_session_attrs=any")).check().await.unwrap();
    store(&several.replace(&name(&reading), &name(&writing))).check().await.unwrap();
}
