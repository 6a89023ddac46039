//! A call that keeps its thread.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use fulfillment_worker::port::queue::Depth;

use crate::engine::rig::{Place, fulfilled, options};

#[tokio::test]
async fn a_call_that_blocks_its_thread_leaves_the_rest_of_its_batch_to_the_others() {
    if std::thread::available_parallelism().is_ok_and(|threads| threads.get() == 1) {
        // Calls have as many threads: there are no others.
        return;
    }
    let place = Place::new();
    let first = place.submit(6).await[0];
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let mut engine = place.start(options(), move |order| {
        let released = Arc::clone(&released);
        Box::pin(async move {
            if order.id == first {
                let _ = released.lock().unwrap().recv();
            }
            fulfilled()
        })
    });
    let only_the_first = Depth { in_flight: 1, ..Depth::default() };
    while place.depth().await != only_the_first {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    engine.until("fulfilled 1").await;
    assert_eq!(engine.stop().await, 0);
}
