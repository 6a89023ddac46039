//! The engine's calls to queue and store: timed, observed and, where an order has nowhere else to go, repeated until
//! they are answered. Knows no order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::backpressure::Backpressure;
use crate::domain::order::OrderId;
use crate::domain::retry;
use crate::event::{DependencyEvent, Observers, RowStage, Stage};
use crate::port::queue::{Queue, QueueError};
use crate::port::retrying::Retrying;
use crate::port::store::{OrderStore, StoreError};

/// The longest that a call may take. The backends' own limits are shorter, and their errors say more.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// Queue and store, as the engine calls them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Backends {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) store: Arc<dyn OrderStore>,
    pub(crate) observers: Observers,
    pub(crate) backpressure: Arc<Backpressure>,
}

impl Backends {
    /// Makes one call. `count` says how many items its answer is about.
    pub(crate) async fn call<T, E: BackendError>(
        &self,
        stage: Stage,
        count: impl FnOnce(&T) -> usize,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.call_within(CALL_LIMIT, stage, count, call).await
    }

    /// Makes one call that is given up after `limit`.
    pub(crate) async fn call_within<T, E: BackendError>(
        &self,
        limit: Duration,
        stage: Stage,
        count: impl FnOnce(&T) -> usize,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let limit = limit.min(CALL_LIMIT);
        let began = Instant::now();
        let under_way = (self.backpressure.call(stage), self.observers.under_way(stage.dependency()));
        let result = tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(E::no_answer(limit)));
        drop(under_way);
        let items = result.as_ref().map_or(0, count);
        self.observers.emit(DependencyEvent::StageDone { stage, items, took: began.elapsed(), ok: result.is_ok() });
        if result.is_ok() {
            self.observers.emit(DependencyEvent::Up(stage.dependency()));
        }
        result
    }

    /// Makes a call again and again until it is answered, however long a backend is down. `call` gets the number of
    /// failures so far. `None` when `until` is cancelled first.
    pub(crate) async fn until_answered<T, E, F>(
        &self,
        stage: Stage,
        items: usize,
        until: &CancellationToken,
        mut call: impl FnMut(u32) -> F,
    ) -> Option<T>
    where
        E: BackendError,
        F: Future<Output = Result<T, E>>,
    {
        let retrying = Retrying { limit: None, stop: until.clone() };
        let report = |error: &E, retry_in| self.report_down(stage, error, retry_in);
        retrying.until_answered(|_| true, report, |failures| self.call(stage, |_| items, call(failures))).await.ok()
    }

    /// Reports a failed call, and pauses before its repetition. Returns at once when `until` is cancelled.
    pub(crate) async fn pause_after(
        &self,
        stage: Stage,
        failures: u32,
        error: &impl BackendError,
        until: &CancellationToken,
    ) {
        let retry_in = retry::jittered(retry::DEPENDENCY.ceiling(failures));
        self.report_down(stage, error, retry_in);
        until.run_until_cancelled(tokio::time::sleep(retry_in)).await;
    }

    pub(crate) fn report_down(&self, stage: Stage, error: &impl BackendError, retry_in: Duration) {
        let dependency = stage.dependency();
        self.observers.emit(DependencyEvent::Down { dependency, error: &error.to_string(), retry_in });
    }

    /// Reports the rows that a call passed over, if any.
    pub(crate) fn report_locked(&self, stage: RowStage, order_ids: &[OrderId]) {
        if !order_ids.is_empty() {
            self.observers.emit(DependencyEvent::RowsLocked { stage, order_ids });
        }
    }
}

/// A backend's error. The engine treats all alike: the orders in flight have nowhere else to go, and somebody may put
/// the backend right.
pub(crate) trait BackendError: std::error::Error + Send + Sync + Sized {
    /// The call took longer than `limit`.
    fn no_answer(limit: Duration) -> Self;
}

impl BackendError for QueueError {
    fn no_answer(limit: Duration) -> Self {
        Self::Unavailable(format!("no answer within {limit:?}"))
    }
}

impl BackendError for StoreError {
    fn no_answer(limit: Duration) -> Self {
        Self::Unavailable(format!("no answer within {limit:?}"))
    }
}
