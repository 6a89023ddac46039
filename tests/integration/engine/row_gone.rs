//! Orders whose rows are gone when their attempts end: nothing that is known of them is let go.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::engine::EngineOptions;
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetters, StoredDeadLetter};
use fulfillment_worker::port::fulfiller::Outcome;
use fulfillment_worker::port::queue::Depth;
use tokio::sync::Notify;

use super::rig::{Place, Running, options};

/// An order whose call has begun, and ends when it is told to.
struct UnderWay {
    place: Place,
    id: OrderId,
    key: String,
    engine: Running,
    finish: Arc<Notify>,
}

impl UnderWay {
    async fn begin(options: EngineOptions, outcome: Outcome) -> Self {
        let place = Place::new();
        let id = place.submit(1).await[0];
        let (begun, keys) = tokio::sync::oneshot::channel();
        let (begun, finish) = (Arc::new(parking_lot::Mutex::new(Some(begun))), Arc::new(Notify::new()));
        let gate = Arc::clone(&finish);
        let engine = place.start(options, move |order| {
            let (begun, gate, outcome) = (begun.lock().take(), Arc::clone(&gate), outcome.clone());
            Box::pin(async move {
                if let Some(begun) = begun {
                    begun.send(order.idempotency_key().to_string()).unwrap();
                    gate.notified().await;
                }
                outcome
            })
        });
        let key = keys.await.unwrap();
        Self { place, id, key, engine, finish }
    }

    /// The one letter, once its message is settled.
    async fn letter(&mut self) -> StoredDeadLetter {
        self.engine.until(&format!("dead {} row_gone", self.id)).await;
        assert_eq!(self.place.depth().await, Depth::default());
        let store = self.place.store(Duration::from_secs(1));
        let mut letters = store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap();
        assert_eq!(letters.len(), 1);
        letters.remove(0)
    }
}

fn shipped() -> Outcome {
    Outcome::Fulfilled { reference: Some("shipment 12".to_owned()) }
}

/// Caught, when seeded: a message that is acknowledged without a letter; a letter without the reference; a key that is made of
/// the id alone.
#[tokio::test]
async fn a_shipped_order_whose_row_is_gone_is_kept_with_its_key_and_its_reference() {
    let mut order = UnderWay::begin(options(), shipped()).await;
    order.place.execute("DELETE FROM orders");
    order.finish.notify_one();
    let letter = order.letter().await;
    let key = &order.key;
    let whole = format!("fulfilled, and the order's row is gone: idempotency key \"{key}\", reference \"shipment 12\"");
    assert_eq!((letter.order_id, letter.reason.as_str(), letter.detail), (Some(order.id), "row_gone", whole));
    assert!(letter.payload.starts_with(b"{\"order_id\":1,"), "{:?}", letter.payload);
    assert_eq!(order.engine.stop().await, 0);
}

/// Caught, when seeded: a message that is taken for one of the other order, which ended.
#[tokio::test]
async fn a_shipped_order_whose_id_another_one_has_by_now_is_kept_and_the_other_one_is_left_alone() {
    let mut order = UnderWay::begin(options(), shipped()).await;
    let another = "UPDATE orders SET created_at = created_at + 1, updated_at = updated_at + 1, status = 'fulfilled'";
    order.place.execute(another);
    let before = order.place.timeline(order.id).await;
    order.finish.notify_one();
    let letter = order.letter().await;
    assert!(letter.detail.contains(&order.key) && letter.detail.starts_with("fulfilled, and"), "{}", letter.detail);
    assert_eq!(order.place.timeline(order.id).await, before);
}

/// The worker finds out while it waits for the answer, and breaks the call off.
///
/// Caught, when seeded: an order that is looked at again and again, and ends as one that is unknown, without its key.
#[tokio::test]
async fn an_order_whose_row_goes_during_its_call_is_kept_as_perhaps_shipped() {
    let options = EngineOptions { lease: Duration::from_secs(2), ..options() };
    let mut order = UnderWay::begin(options, shipped()).await;
    order.place.execute("DELETE FROM orders");
    let letter = order.letter().await;
    let beginning = format!("perhaps fulfilled, and the order's row is gone: idempotency key \"{}\";", order.key);
    assert!(letter.detail.starts_with(&beginning), "{}", letter.detail);
}

/// The message may be the last trace of the order.
#[tokio::test]
async fn an_order_that_was_rejected_and_whose_row_is_gone_is_kept_with_what_the_fulfiller_said() {
    let mut order = UnderWay::begin(options(), Outcome::Rejected { reason: "no such colour".to_owned() }).await;
    order.place.execute("DELETE FROM orders");
    order.finish.notify_one();
    let detail = order.letter().await.detail;
    assert!(
        detail.starts_with("not fulfilled by this attempt, and") && detail.ends_with("; no such colour"),
        "{detail}"
    );
}
