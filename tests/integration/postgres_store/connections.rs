//! Connections that fail, and those that can't be made.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::postgres::{PostgresStore, PostgresStoreOptions};
use fulfillment_worker::config::SecretUrl;
use fulfillment_worker::event::Observers;
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::{BeginRequest, Begun, OrderStore, StoreError};

use crate::postgres_store::{LEASE, begin, migrated, open, put};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::{LONG, eventually, expect_equal, free_port};

const SECRET: &str = "hunter2";

#[tokio::test]
async fn a_call_whose_connection_is_cut_is_unavailable_and_the_next_one_works() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let store = Arc::new(store);
    let order_id = put(&client, "status", "'pending'").await;
    client.batch_execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE").await.unwrap();
    let call = tokio::spawn({
        let store = store.clone();
        async move { store.begin(&[BeginRequest { order_id, attempt: 1, correlation_id: None }]).await }
    });
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE 'fulfillment-worker %'
                 AND wait_event_type = 'Lock'";
    eventually(LONG, "the waiting call is cut", async || expect_equal(database.number(cut).await, 1)).await;
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error}");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert!(matches!(begin(&*store, order_id).await, Begun::Started { .. }));
}

#[tokio::test]
async fn idle_connections_that_were_cut_are_replaced_unnoticed() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let order_id = put(&client, "status", "'pending'").await;
    store.check().await.unwrap();
    let ours = "FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'fulfillment-worker %'";
    assert!(database.number(&format!("SELECT count(pg_terminate_backend(pid)) {ours}")).await >= 1);
    eventually(LONG, "the connections are gone", async || {
        expect_equal(database.number(&format!("SELECT count(*) {ours}")).await, 0)
    })
    .await;
    // Closed there, but perhaps not yet noticed here.
    let answer = eventually(LONG, "the store has noticed", async || {
        store.begin(&[BeginRequest { order_id, attempt: 1, correlation_id: None }]).await
    })
    .await;
    assert!(matches!(answer[0], Begun::Started { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_stops_is_unavailable_until_it_is_back() {
    let mut server = PostgresServer::start().await;
    let database = server.database().await;
    let (store, client) = migrated(&database).await;
    let order_id = put(&client, "status", "'pending'").await;
    server.stop_immediately().await;
    let error = store.check().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    server.restart().await;
    let answer = eventually(LONG, "the store is back", async || {
        store.begin(&[BeginRequest { order_id, attempt: 1, correlation_id: None }]).await
    })
    .await;
    assert!(matches!(answer[0], Begun::Started { .. }), "{answer:?}");
}

#[tokio::test]
async fn opening_a_store_needs_no_server_and_using_it_says_which_is_away() {
    let url = format!("postgres://clerk:{SECRET}@127.0.0.1:{}/orders", free_port());
    let error = open(&url, LEASE, 1).check().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    assert!(error.to_string().to_lowercase().contains("connection refused"), "{error}");
    assert!(!error.to_string().contains(SECRET), "{error}");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_database_are_refused_by_name_and_without_the_password() {
    let server = PostgresServer::start().await;
    let database = server.database().await;
    let client = database.connect().await;
    // Passwords for `clerk` alone: this connection and the server's own go on without.
    let rules = "host all clerk 127.0.0.1/32 scram-sha-256' || E'\\n' || 'host all all 127.0.0.1/32 trust";
    let sql = format!(
        "CREATE ROLE clerk LOGIN PASSWORD 'right';
         DO $$ BEGIN EXECUTE format('COPY (SELECT unnest(string_to_array(%L, E''\\n''))) TO %L',
            '{rules}', current_setting('hba_file')); END $$;
         SELECT pg_reload_conf();"
    );
    client.batch_execute(&sql).await.unwrap();
    let address = |user: &str, password: &str, name: &str| {
        let mut url: url::Url = database.url().parse().unwrap();
        url.set_username(user).unwrap();
        url.set_password(Some(password)).unwrap();
        url.set_path(name);
        String::from(url)
    };
    let wrong = eventually(LONG, "the server asks for passwords", async || {
        match open(&address("clerk", SECRET, "orders"), LEASE, 1).check().await {
            Err(StoreError::Refused(text)) => Ok(text),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(wrong.contains("password authentication failed") && wrong.contains("clerk"), "{wrong}");
    assert!(!wrong.contains(SECRET), "{wrong}");

    let unknown = open(&address("clerk", "right", "nowhere"), LEASE, 1).check().await.unwrap_err();
    assert!(!unknown.is_transient());
    assert!(unknown.to_string().contains("database \"nowhere\" does not exist"), "{unknown}");
    assert!(unknown.to_string().contains("POSTGRES_DB"), "{unknown}");
    assert!(!unknown.to_string().contains("right"), "{unknown}");
}

#[tokio::test]
async fn a_url_that_is_not_understood_is_refused_without_its_password() {
    for parameters in ["sslmode=maybe", "no_such_parameter=1", "connect_timeout=soon"] {
        let url: url::Url = format!("postgres://clerk:{SECRET}@localhost/orders?{parameters}").parse().unwrap();
        let options = PostgresStoreOptions { worker: WorkerId::fresh(), lease: LEASE, events: true, connections: 1 };
        let error = PostgresStore::connect(&SecretUrl::new(url), options, Observers::default()).err().expect("refused");
        let parameter = parameters.split('=').next().unwrap();
        assert!(error.to_string().contains(parameter), "{error}");
        assert!(!error.to_string().contains(SECRET), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_only_reads_is_waited_for() {
    let database = TestDatabase::create().await;
    let (_, client) = migrated(&database).await;
    let order_id = put(&client, "status", "'pending'").await;
    let store = open(&format!("{}?options=-c%20default_transaction_read_only%3Don", database.url()), LEASE, 1);
    let request = BeginRequest { order_id, attempt: 1, correlation_id: None };
    let error = store.begin(&[request]).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("read-only"), "{error}");
}

#[tokio::test]
async fn more_calls_than_connections_wait_their_turn() {
    let database = TestDatabase::create().await;
    let (_, client) = migrated(&database).await;
    let store = Arc::new(open(database.url(), LEASE, 2));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let order_id = put(&client, "status", "'pending'").await;
        let store = store.clone();
        calls.spawn(async move { begin(&*store, order_id).await });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| matches!(answer, Begun::Started { .. })));
    let ours = "SELECT count(DISTINCT application_name) * 100 + count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'fulfillment-worker %'";
    let limit = 100 + 2;
    // Another store's connections, closed a moment ago, may still be shown.
    eventually(LONG, "one worker with two connections", async || {
        let seen = database.number(ours).await;
        if (101..=limit).contains(&seen) { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_dropped_half_way_leaves_no_transaction_behind() {
    let database = TestDatabase::create().await;
    let (_, client) = migrated(&database).await;
    let store = open(database.url(), LEASE, 1);
    let order_id = put(&client, "status", "'pending'").await;
    client.batch_execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE").await.unwrap();
    let request = [BeginRequest { order_id, attempt: 1, correlation_id: None }];
    let answer = tokio::time::timeout(Duration::from_millis(50), store.begin(&request)).await;
    assert!(answer.is_err(), "the table is locked");
    client.batch_execute("COMMIT").await.unwrap();
    // Its one connection was closed with the call, so that this is not answered in its place.
    let answers = store.begin(&request).await.unwrap();
    assert!(matches!(answers[0], Begun::Started { .. } | Begun::Busy(_) | Begun::Locked), "{answers:?}");
}
