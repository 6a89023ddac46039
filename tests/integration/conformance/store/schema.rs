//! Making the worker's own tables, and finding out what is missing.

use fulfillment_worker::port::dead_letters::DeadLetterFilter;
use fulfillment_worker::port::store::StoreError;
use tokio::task::JoinSet;

use super::{LEASE, StoreFixture, letter};

pub(crate) async fn migrating_twice_applies_nothing_more<F: StoreFixture>() {
    let fixture = F::unmigrated().await;
    let worker = fixture.worker(LEASE).await;
    let applied = worker.store.migrate().await.unwrap();
    assert!(!applied.is_empty());
    worker.store.insert_dead_letters(&[letter("claim 1")]).await.unwrap();
    assert_eq!(worker.store.migrate().await.unwrap(), Vec::<String>::new());
    assert_eq!(worker.store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap().len(), 1, "what was there stays");
}

pub(crate) async fn several_workers_may_migrate_at_once<F: StoreFixture>() {
    let fixture = F::unmigrated().await;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let worker = fixture.worker(LEASE).await;
        tasks.spawn(async move { worker.store.migrate().await.unwrap() });
    }
    let applied = tasks.join_all().await;
    assert_eq!(applied.iter().filter(|names| !names.is_empty()).count(), 1, "one does it all: {applied:?}");
    fixture.worker(LEASE).await.store.check().await.unwrap();
}

pub(crate) async fn check_passes_after_migrating<F: StoreFixture>() {
    let fixture = F::fresh().await;
    fixture.worker(LEASE).await.store.check().await.unwrap();
}

pub(crate) async fn check_names_what_is_missing<F: StoreFixture>() {
    let fixture = F::unmigrated().await;
    let worker = fixture.worker(LEASE).await;
    let Err(StoreError::Schema(missing)) = worker.store.check().await else { panic!("nothing is missing") };
    for table in ["events", "dead_letters"] {
        assert!(missing.iter().any(|name| name.contains(table)), "{missing:?}");
    }
    worker.store.migrate().await.unwrap();
    fixture.lose_dead_letters().await;
    let Err(StoreError::Schema(missing)) = worker.store.check().await else { panic!("nothing is missing") };
    assert!(missing.len() == 1 && missing[0].contains("dead_letters"), "{missing:?}");
}

pub(crate) async fn a_call_that_misses_a_table_names_it<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    fixture.lose_dead_letters().await;
    let error = worker.store.insert_dead_letters(&[letter("claim 1")]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Schema(missing) if missing[0].contains("dead_letters")), "{error}");
    assert!(!error.is_transient());
}
