//! Orders put in as an order API would.

use std::collections::HashSet;

use crate::conformance::store::AnyStore;
use fulfillment_worker::port::intake::{NewOrder, Request, Taken};

use super::{LEASE, StoreFixture, start};

fn order(product: &str, quantity: i64) -> NewOrder {
    NewOrder { product: product.to_owned(), price_cents: 185, quantity }
}

async fn total(store: &dyn AnyStore) -> u64 {
    store.summary().await.unwrap().orders_by_state.iter().map(|(_, orders)| orders).sum()
}

pub(crate) async fn orders_are_answered_by_position<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let orders = [order("teapot", 3), order("jam maker", 1), order("teapot", 2), order("teapot", 3)];
    let inserted = worker.store.insert(&orders).await.unwrap();
    assert_eq!(inserted.len(), 4);
    assert_eq!(inserted.iter().map(|inserted| inserted.order_id).collect::<HashSet<_>>().len(), 4);
    for (order, inserted) in orders.iter().zip(&inserted) {
        assert_eq!(fixture.row(inserted.order_id).await.status, "pending");
        let (row, _) = start(&worker, inserted.order_id).await;
        assert_eq!((row.quantity, row.product_id), (order.quantity, inserted.product_id));
    }
    assert_eq!(inserted[0].product_id, inserted[2].product_id);
    assert_eq!(inserted[0].product_id, inserted[3].product_id);
    assert_ne!(inserted[0].product_id, inserted[1].product_id);
}

pub(crate) async fn a_product_is_made_once_and_used_again<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let first = worker.store.insert(&[order("teapot", 1)]).await.unwrap();
    let second = worker.store.insert(&[order("Teapot", 1), order("teapot", 1)]).await.unwrap();
    assert_eq!(first[0].product_id, second[1].product_id);
    assert_ne!(first[0].product_id, second[0].product_id, "names that differ in case are different products");
}

pub(crate) async fn an_order_that_is_invalid_leaves_nothing_behind<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for invalid in [order("teapot", 0), order("teapot", -1)] {
        let error = worker.store.insert(&[order("teapot", 1), invalid]).await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
    }
    assert_eq!(total(&*worker.store).await, 0);
}

pub(crate) async fn thousands_of_orders_are_inserted_in_one_call<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let orders: Vec<NewOrder> = (0..12_000).map(|number| order(&format!("product {}", number % 700), 1)).collect();
    let inserted = worker.store.insert(&orders).await.unwrap();
    assert_eq!(inserted.iter().map(|inserted| inserted.order_id).collect::<HashSet<_>>().len(), 12_000);
    assert_eq!(inserted.iter().map(|inserted| inserted.product_id).collect::<HashSet<_>>().len(), 700);
    assert_eq!(inserted[0].product_id, inserted[700].product_id);
    assert_eq!(total(&*worker.store).await, 12_000);
}

pub(crate) async fn two_submitters_at_once_share_their_products<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let one = fixture.worker(LEASE).await;
    let other = fixture.worker(LEASE).await;
    let ascending: Vec<NewOrder> = (0..300).map(|number| order(&format!("product {number:03}"), 1)).collect();
    let descending: Vec<NewOrder> = ascending.iter().rev().cloned().collect();
    let (first, second) = tokio::join!(one.store.insert(&ascending), other.store.insert(&descending));
    let (first, mut second) = (first.unwrap(), second.unwrap());
    second.reverse();
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first.product_id, second.product_id);
        assert_ne!(first.order_id, second.order_id);
    }
}

pub(crate) async fn an_order_whose_key_was_inserted_before_is_passed_over<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let keys = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let first = worker.store.insert_new(&[order("teapot", 1), order("jug", 2)], &keys(&["a", "b"])).await.unwrap();
    assert!(first.iter().all(Option::is_some), "{first:?}");
    let orders = [order("teapot", 1), order("cup", 3), order("jug", 2)];
    let second = worker.store.insert_new(&orders, &keys(&["b", "c", "a"])).await.unwrap();
    assert_eq!(second.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    let (row, _) = start(&worker, second[1].unwrap().order_id).await;
    assert_eq!(row.quantity, 3);
    assert_eq!(total(&*worker.store).await, 3);
}

pub(crate) async fn a_key_is_remembered_with_its_order_or_not_at_all<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let keys = ["a".to_owned(), "b".to_owned()];
    worker.store.insert_new(&[order("teapot", 1), order("teapot", 0)], &keys).await.unwrap_err();
    let again = worker.store.insert_new(&[order("teapot", 1), order("teapot", 2)], &keys).await.unwrap();
    assert!(again.iter().all(Option::is_some), "{again:?}");
}

pub(crate) async fn two_submitters_of_one_file_insert_each_order_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let one = fixture.worker(LEASE).await;
    let other = fixture.worker(LEASE).await;
    let ascending: Vec<NewOrder> = (0..300).map(|number| order(&format!("product {number:03}"), 1)).collect();
    let keys: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let (orders, turned): (Vec<_>, Vec<_>) =
        (ascending.iter().rev().cloned().collect(), keys.iter().rev().cloned().collect());
    let (first, second) =
        tokio::join!(one.store.insert_new(&ascending, &keys), other.store.insert_new(&orders, &turned));
    let inserted = first.unwrap().into_iter().flatten().chain(second.unwrap().into_iter().flatten()).count();
    assert_eq!(inserted, 300);
    assert_eq!(total(&*one.store).await, 300);
}

fn request(key: &str, fingerprint: &str) -> Request {
    Request { key: key.to_owned(), fingerprint: fingerprint.to_owned() }
}

pub(crate) async fn a_request_is_taken_once_and_answered_as_before<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let orders = [order("teapot", 1), order("jug", 2), order("teapot", 1)];
    let Taken::Now(first) = worker.store.insert_once(&orders, &request("k", "a")).await.unwrap() else {
        panic!("it is new");
    };
    assert_eq!(worker.store.insert_once(&orders, &request("k", "a")).await.unwrap(), Taken::Before(first));
    assert_eq!(worker.store.insert_once(&orders, &request("k", "b")).await.unwrap(), Taken::Other);
    assert!(matches!(worker.store.insert_once(&orders, &request("l", "a")).await.unwrap(), Taken::Now(_)));
    // With its orders or not at all.
    worker.store.insert_once(&[order("teapot", 0)], &request("m", "a")).await.unwrap_err();
    assert!(matches!(worker.store.insert_once(&orders, &request("m", "b")).await.unwrap(), Taken::Now(_)));
    assert_eq!(total(&*worker.store).await, 9);
}

pub(crate) async fn of_two_at_once_under_one_key_one_inserts<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let one = fixture.worker(LEASE).await;
    let other = fixture.worker(LEASE).await;
    let orders: Vec<NewOrder> = (0..300).map(|number| order(&format!("product {number:03}"), 1)).collect();
    for round in 0..5 {
        let request = request(&round.to_string(), "a");
        let (first, second) =
            tokio::join!(one.store.insert_once(&orders, &request), other.store.insert_once(&orders, &request));
        let rows = |taken: Taken| match taken {
            Taken::Now(rows) => (true, rows),
            Taken::Before(rows) => (false, rows),
            Taken::Other => panic!("it is the same request"),
        };
        let ((first_is_new, first), (second_is_new, second)) = (rows(first.unwrap()), rows(second.unwrap()));
        assert_ne!(first_is_new, second_is_new);
        assert_eq!(first, second);
    }
    assert_eq!(total(&*one.store).await, 1_500);
}

pub(crate) async fn inserting_nothing_is_no_error<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    assert_eq!(worker.store.insert(&[]).await.unwrap(), vec![]);
}
