//! Messages that were given up, as people list them.

use fulfillment_worker::port::dead_letters::DeadLetterFilter;
use fulfillment_worker::port::store::DeadLetter;

use super::{LEASE, StoreFixture, letter};

pub(crate) async fn letters_come_in_pages_in_order_of_id<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let letters: Vec<DeadLetter> = (0..25).map(|number| letter(&format!("claim {number}"))).collect();
    worker.store.insert_dead_letters(&letters).await.unwrap();
    let mut ids = Vec::new();
    let mut sizes = Vec::new();
    let mut after = 0;
    loop {
        let page = worker.store.list(&DeadLetterFilter::default(), after, 10).await.unwrap();
        sizes.push(page.len());
        let Some(last) = page.last() else { break };
        after = last.id;
        ids.extend(page.iter().map(|letter| letter.id));
    }
    assert_eq!(sizes, [10, 10, 5, 0]);
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}
