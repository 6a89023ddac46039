//! What operators decide about orders, one by one and by jobs.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_model::sequence::{Answer, Became, Kind};
use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::event::Observers;
use fulfillment_worker::operations::jobs::{JobRunner, count, make};
use fulfillment_worker::port::decisions::{Decided, HoldEnd, Ruling};
use fulfillment_worker::port::jobs::{Made, Next, Progress, Task};
use fulfillment_worker::port::search::OrderFilter;
use fulfillment_worker::port::store::StoreError;
use tokio_util::sync::CancellationToken;

use super::{Replay, decision};
use crate::conformance::state_machine::backends::Backend;
use crate::conformance::store::Worker;
use crate::conformance::store::jobs::backends;

/// Longer than a step takes.
const LONG: Duration = Duration::from_secs(600);

impl<B: Backend> Replay<'_, B> {
    pub(super) async fn decide(&self, kind: Kind, orders: &[usize]) -> Result<Answer, StoreError> {
        let ids: Vec<OrderId> = orders.iter().map(|&order| self.order_ids[order]).collect();
        let ruling = Ruling { decision: decision(), dry_run: false };
        let decided = decide(&self.stores[0], kind, &ids, &ruling).await?;
        Ok(Answer::Decided(decided.into_iter().map(became).collect()))
    }

    /// As the first worker, which dies in the middle of the page, and the second one.
    pub(super) async fn work_off(&self, kind: Kind, dies_after: usize) -> Result<Answer, StoreError> {
        let filter = OrderFilter { states: vec![State::Pending], ..OrderFilter::default() };
        let task = if kind == Kind::Cancel { Task::Cancel(filter) } else { Task::Hold(filter, HoldEnd::Never) };
        let (dying, worker) = (&self.stores[0], &self.stores[1]);
        let backends = backends(worker, &Arc::default());
        let counted = count(&backends, &task, LONG).await?;
        let Made::New(job) = make(&*dying.store, task, decision(), &counted, None).await? else {
            return Err(StoreError::Unavailable("another job is open".to_owned()));
        };
        let job = dying.store.claim_job(Some(job.id), LONG).await?.expect("the job that was made");
        let mut page: Vec<i64> = Vec::new();
        for &order_id in self.order_ids.iter().rev() {
            let is_pending = dying.store.order(order_id).await?.is_some_and(|order| order.state == State::Pending);
            page.extend(is_pending.then_some(order_id.0));
        }
        let progress = Progress { page: page.clone(), ..Progress::default() };
        assert!(dying.store.advance_job(job.id, &progress, Next::Keep(Duration::ZERO)).await?);
        let half: Vec<OrderId> = page.into_iter().take(dies_after).map(OrderId).collect();
        if !half.is_empty() {
            let ruling = Ruling { decision: job.stamped(), dry_run: false };
            decide(dying, kind, &half, &ruling).await?;
        }
        let stop = CancellationToken::new();
        let runner = JobRunner { backends, observers: Observers::default(), lease: LONG, stop };
        let job = runner.carry_through(job.id, |_| ()).await?.expect("the job");
        assert_eq!((job.matching, job.progress.refused), (job.progress.done + job.progress.skipped, 0), "{job:?}");
        Ok(Answer::Worked(job.progress.done, job.progress.skipped))
    }
}

async fn decide(worker: &Worker, kind: Kind, ids: &[OrderId], ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
    match kind {
        Kind::Cancel => worker.store.cancel(ids, ruling).await,
        Kind::Hold => worker.store.hold(ids, HoldEnd::Never, ruling).await,
        Kind::Release => worker.store.release(ids, ruling).await,
    }
}

fn became(decided: Decided) -> (Became, Option<State>) {
    match decided {
        Decided::Done(order) => (Became::Done, Some(order.state)),
        Decided::AsItWas(state) => (Became::AsItWas, Some(state)),
        Decided::OrderIs(state) => (Became::OrderIs, Some(state)),
        Decided::Unknown => (Became::Unknown, None),
        other => panic!("{other:?}"),
    }
}
