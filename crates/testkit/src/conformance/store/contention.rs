//! Several workers at once.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::store::{Begun, Conclusion, OrderStore, Verdict};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{
    LEASE, StoreFixture, Worker, conclusion, fulfilled, is_done, is_started, pending, pending_orders, requests, start,
};

/// Begins the same orders by every worker, batch by batch at the same time, and counts how often each was started.
async fn begin_at_once(workers: &[Worker<impl OrderStore + ?Sized + 'static>], order_ids: &[OrderId]) -> Vec<usize> {
    let barrier = Arc::new(Barrier::new(workers.len()));
    let mut tasks = JoinSet::new();
    for worker in workers {
        let (store, barrier) = (worker.store.clone(), barrier.clone());
        let batches: Vec<_> = order_ids.chunks(10).map(requests).collect();
        tasks.spawn(async move {
            let mut started = Vec::new();
            for batch in batches {
                barrier.wait().await;
                let answers = store.begin(&batch).await.unwrap();
                for (request, answer) in batch.iter().zip(&answers) {
                    assert!(is_started(answer) || is_somebody_elses(answer), "{answer:?}");
                    started.extend(is_started(answer).then_some(request.order_id));
                }
            }
            started
        });
    }
    let started: Vec<OrderId> = tasks.join_all().await.concat();
    order_ids.iter().map(|order_id| started.iter().filter(|other| *other == order_id).count()).collect()
}

pub async fn two_workers_at_once_start_each_order_exactly_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let workers = [fixture.worker(LEASE).await, fixture.worker(LEASE).await];
    let order_ids = pending_orders(&fixture, 400).await;
    assert_eq!(begin_at_once(&workers, &order_ids).await, vec![1; 400]);
}

pub async fn two_workers_at_once_take_over_each_order_exactly_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let workers = [fixture.worker(LEASE).await, fixture.worker(LEASE).await];
    let mut order_ids = Vec::new();
    for _ in 0..200 {
        order_ids.push(fixture.put("processing", LEASE * 2).await);
    }
    assert_eq!(begin_at_once(&workers, &order_ids).await, vec![1; 200]);
}

pub async fn overlapping_batches_in_opposite_order_never_fail<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let order_ids = pending_orders(&fixture, 100).await;
    let mut tasks = JoinSet::new();
    for reversed in [false, true] {
        let worker = fixture.worker(LEASE).await;
        let mut batch = requests(&order_ids);
        if reversed {
            batch.reverse();
        }
        tasks.spawn(async move {
            let mut started = 0;
            for _ in 0..30 {
                let answers = worker.store.begin(&batch).await.unwrap();
                let releases: Vec<Conclusion> = answers
                    .into_iter()
                    .filter_map(|answer| match answer {
                        Begun::Started { order, fence, .. } => Some(conclusion(order.id, fence, pending())),
                        answer if is_somebody_elses(&answer) => None,
                        other => panic!("{other:?}"),
                    })
                    .collect();
                started += releases.len();
                conclude_all(&worker, releases).await;
            }
            started
        });
    }
    let started: usize = tasks.join_all().await.iter().sum();
    assert!(started >= 100, "somebody gets every order");
}

pub async fn a_conclusion_and_a_takeover_at_once_never_both_win<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let holder = fixture.worker(LEASE).await;
    let impatient = fixture.worker(Duration::ZERO).await;
    let mut order_ids = pending_orders(&fixture, 40).await;
    for order_id in order_ids.drain(..) {
        let (_, fence) = start(&holder, order_id).await;
        let (verdicts, answers) = tokio::join!(
            call(holder.store.clone(), move |store| async move {
                store.conclude(&[conclusion(order_id, fence, fulfilled())]).await.unwrap()
            }),
            call(
                impatient.store.clone(),
                move |store| async move { store.begin(&requests(&[order_id])).await.unwrap() }
            ),
        );
        assert_ne!(is_done(&verdicts[0]), is_started(&answers[0]), "{verdicts:?} {answers:?}");
        let expected = if is_done(&verdicts[0]) { "fulfilled" } else { "processing" };
        assert_eq!(fixture.row(order_id).await.status, expected);
    }
}

/// Whether another worker has the order, or is just deciding about it.
fn is_somebody_elses(answer: &Begun) -> bool {
    matches!(answer, Begun::Busy(_) | Begun::Locked)
}

/// Ends attempts; rows that the other worker is just looking at are tried again.
async fn conclude_all(worker: &Worker<impl OrderStore + ?Sized>, mut conclusions: Vec<Conclusion>) {
    while !conclusions.is_empty() {
        let verdicts = worker.store.conclude(&conclusions).await.unwrap();
        assert!(verdicts.iter().all(|verdict| is_done(verdict) || *verdict == Verdict::Locked), "{verdicts:?}");
        let locked = conclusions.into_iter().zip(verdicts).filter(|(_, verdict)| *verdict == Verdict::Locked);
        conclusions = locked.map(|(conclusion, _)| conclusion).collect();
    }
}

/// Runs a call on a task of its own.
async fn call<S: ?Sized, T: Send + 'static, R: Future<Output = T> + Send + 'static>(
    store: Arc<S>,
    call: impl FnOnce(Arc<S>) -> R,
) -> T {
    tokio::spawn(call(store)).await.unwrap()
}
