//! Orders that take every place and give it back only when their time is over.

use std::time::{Duration, Instant};

use fulfillment_worker::engine::EngineOptions;

use crate::engine::rig::{Place, fulfilled, options};

const CALL_TIMEOUT: Duration = Duration::from_millis(300);
/// Twice as many as there are places.
const HANGING: usize = 32;
const OTHERS: usize = 16;

/// The bound of docs/RELIABILITY.md: all attempts of the orders before, in as many places as there are, each for as long
/// as a call may take. Retries come before new orders, so it is not less either.
///
/// Caught, when seeded: calls that are given a hundred times their time.
#[tokio::test]
async fn orders_that_hang_or_panic_hold_up_the_others_for_no_longer_than_their_timeouts_take() {
    let place = Place::new();
    let hanging = place.submit(HANGING).await;
    let last_hanging = hanging[HANGING - 1];
    let options = EngineOptions { call_timeout: CALL_TIMEOUT, ..options() };
    place.submit(OTHERS).await;
    let began = Instant::now();
    let mut engine = place.start(options, move |order| {
        Box::pin(async move {
            assert!(order.id > last_hanging || order.id.0 % 4 != 0, "a fulfiller with a bug");
            if order.id <= last_hanging {
                std::future::pending::<()>().await;
            }
            fulfilled()
        })
    });
    for _ in 0..OTHERS {
        engine.until("fulfilled").await;
    }
    let rounds = HANGING * options.retry.max_attempts as usize / options.concurrency;
    let bound = CALL_TIMEOUT * u32::try_from(rounds).unwrap();
    // Beside the calls there is work to do, on a machine that may be busy.
    assert!(began.elapsed() < bound + Duration::from_secs(8), "{:?}, bound {bound:?}", began.elapsed());
    assert_eq!(engine.stop().await, 0);
}
