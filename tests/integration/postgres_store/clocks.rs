//! Columns without a value, and producers in other time zones.

use std::time::Duration;

use fulfillment_worker::domain::order::Fence;
use fulfillment_worker::port::reports::{OpenState, Reports};
use fulfillment_worker::port::store::{Begun, OrderStore, Verdict};

use crate::postgres_store::{LEASE, begin, fulfilled, migrated, open, put};
use crate::support::postgres::TestDatabase;

#[tokio::test]
async fn a_status_of_null_is_nobodys_and_left_alone() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let order_id = put(&client, "status", "NULL").await;
    assert_eq!(begin(&store, order_id).await, Begun::NotOurs("null".to_owned()));
    let verdicts = store.conclude(&[fulfilled(order_id, Fence(0))]).await.unwrap();
    assert!(matches!(verdicts[0], Verdict::Superseded(Some(_))), "{verdicts:?}");
    assert_eq!(database.number("SELECT count(*) FROM orders WHERE status IS NULL").await, 1);
    let summary = store.summary().await.unwrap();
    assert!(summary.orders_by_state.contains(&("null".to_owned(), 1)), "{summary:?}");
}

#[tokio::test]
async fn times_of_null_are_no_obstacle() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let waiting = put(&client, "status, created_at, updated_at", "'pending', NULL, NULL").await;
    let stuck = put(&client, "status, created_at, updated_at", "'processing', NULL, NULL").await;
    for (order_id, expected_takeover) in [(waiting, false), (stuck, true)] {
        let Begun::Started { order, fence, takeover, .. } = begin(&store, order_id).await else {
            panic!("not started")
        };
        assert_eq!(order.created_at_micros, None);
        assert_eq!(takeover, expected_takeover);
        let verdicts = store.conclude(&[fulfilled(order_id, fence)]).await.unwrap();
        assert_eq!(verdicts, [Verdict::Done { age: None }]);
    }
}

#[tokio::test]
async fn times_at_infinity_are_no_obstacle() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    for time in ["infinity", "-infinity"] {
        let order_id = put(&client, "created_at, updated_at", &format!("'{time}', '{time}'")).await;
        let open = store.open_orders().await.unwrap();
        assert_eq!(open.pending, OpenState { orders: 1, oldest: None }, "{time}");
        let Begun::Started { fence, waited, .. } = begin(&store, order_id).await else { panic!("not started") };
        assert_eq!(waited, None, "{time}");
        let verdicts = store.conclude(&[fulfilled(order_id, fence)]).await.unwrap();
        assert!(matches!(verdicts[0], Verdict::Done { .. }), "{verdicts:?}");
    }
}

#[tokio::test]
async fn a_producer_in_another_time_zone_is_no_obstacle() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"] {
        client.batch_execute(&format!("SET TIME ZONE '{zone}'")).await.unwrap();
        let order_id = put(&client, "status", "'pending'").await;
        let Begun::Started { fence, order, .. } = begin(&store, order_id).await else { panic!("not started") };
        assert!(order.created_at_micros.is_some_and(|created_at| fence > Fence(created_at)), "{zone}");
        assert!(matches!(begin(&store, order_id).await, Begun::Busy(left) if left <= LEASE), "{zone}");
        let verdicts = store.conclude(&[fulfilled(order_id, fence)]).await.unwrap();
        // An order from the future has no age that could be told.
        assert_eq!(matches!(verdicts[0], Verdict::Done { age: Some(_) }), zone == "Pacific/Pago_Pago", "{verdicts:?}");
    }
}

#[tokio::test]
async fn workers_leave_the_zone_of_server_and_role_as_it_is() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let name = client.query_one("SELECT current_database()", &[]).await.unwrap().get::<_, String>(0);
    client.batch_execute(&format!("ALTER DATABASE {name} SET timezone = 'Asia/Kolkata'")).await.unwrap();
    drop(store);
    let store = open(database.url(), LEASE, 1);
    let order_id = put(&database.connect().await, "status", "'pending'").await;
    // Five and a half hours apart if the worker had a zone of its own.
    let oldest = store.open_orders().await.unwrap().pending.oldest;
    assert!(oldest.is_some_and(|age| age < Duration::from_secs(600)), "{oldest:?}");
    let Begun::Started { waited, .. } = begin(&store, order_id).await else { panic!("not started") };
    assert!(waited.is_some_and(|waited| waited < Duration::from_secs(600)), "{waited:?}");
    let off = "SELECT abs(extract(epoch FROM updated_at - created_at))::int8 FROM orders";
    assert!(database.number(off).await < 600);
}

#[tokio::test]
async fn an_updated_at_set_by_a_trigger_is_the_fence() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    client
        .batch_execute(
            "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN new.updated_at = clock_timestamp() + interval '5 s'; RETURN new; END $$;
             CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();",
        )
        .await
        .unwrap();
    let order_id = put(&client, "status", "'pending'").await;
    let Begun::Started { fence, .. } = begin(&store, order_id).await else { panic!("not started") };
    let verdicts = store.conclude(&[fulfilled(order_id, fence)]).await.unwrap();
    assert!(matches!(verdicts[0], Verdict::Done { age: Some(age) } if age < Duration::from_secs(600)), "{verdicts:?}");
}
