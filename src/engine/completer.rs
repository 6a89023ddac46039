//! Concludes and settles: writes how attempts ended, and only then lets go of their messages.
//!
//! Batches form by themselves: while one commits, the next gathers in the channel.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::backends::Backends;
use super::decision::{AttemptOutcome, after_verdict};
use super::delivery::Completed;
use super::drain_to_list::DrainToList;
use super::options::{BATCH, BATCHES_AT_ONCE};
use super::progress::Progress;
use crate::domain::order::OrderId;
use crate::domain::retry::RetryPolicy;
use crate::event::{Loop, OrderEvent, RowStage, Stage};
use crate::observe::trace::attempt::SpanOutcome;
use crate::port::queue::{Disposition, Settlement};
use crate::port::store::{Conclusion, DeadLetter, Verdict};
use crate::testing::mutant::is_mutant;

/// How soon a conclusion is tried again whose row another transaction has locked. Far below any lease: when the lock
/// ends, the worker that knows how the attempt ended should be there first.
const LOCKED_PAUSE: Duration = Duration::from_millis(200);

/// Ends what the executor began.
pub(crate) struct Completer {
    pub(crate) backends: Backends,
    pub(crate) progress: Arc<Progress>,
    pub(crate) policy: RetryPolicy,
    pub(crate) abandon: CancellationToken,
    pub(crate) drain_to_list: Option<Arc<DrainToList>>,
    /// Leads to the receiver of [`Completer::run`], for deliveries whose rows are locked.
    pub(crate) again: mpsc::Sender<Completed>,
}

impl Completer {
    /// Works until the task is aborted.
    pub(crate) async fn run(self, mut completed: mpsc::Receiver<Completed>) {
        let slots = Arc::new(Semaphore::new(BATCHES_AT_ONCE));
        let completer = Arc::new(self);
        loop {
            let progress = &completer.progress;
            let slot = progress.with_heartbeat(Loop::Completer, Arc::clone(&slots).acquire_owned()).await;
            let mut batch = Vec::with_capacity(BATCH);
            if progress.with_heartbeat(Loop::Completer, completed.recv_many(&mut batch, BATCH)).await == 0 {
                return;
            }
            let completer = Arc::clone(&completer);
            tokio::spawn(async move {
                let locked = completer.complete(batch).await;
                drop(slot);
                completer.put_off(locked).await;
            });
        }
    }

    /// Takes one batch to its end, and returns the deliveries whose rows are locked. Ends early, leaving the rest to the
    /// leases, when told to abandon.
    async fn complete(&self, batch: Vec<Completed>) -> Vec<Completed> {
        if is_mutant!(AckBeforeCommit) {
            self.settle(&batch).await;
        }
        let (with_row, without_row): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|completed| (completed.conclusion(), completed)).partition(|(to, _)| to.is_some());
        let Some((mut ended, locked)) = self.conclude(with_row).await else { return Vec::new() };
        ended.extend(without_row.into_iter().map(|(_, completed)| completed));
        if !ended.is_empty()
            && self.insert_dead_letters(&ended).await.is_some()
            && let Some(settlements) = self.settle(&ended).await
        {
            for (completed, settlement) in ended.iter_mut().zip(&settlements) {
                self.report(completed, settlement.disposition);
                end_span(completed);
            }
            // Before they are dropped: a drain that waits for the last one finds nothing in flight.
            self.progress.settled(ended.len());
        }
        locked
    }

    /// Returns what the store has answered for good, and what it passed over. `None` when told to abandon.
    async fn conclude(&self, batch: Vec<(Option<Conclusion>, Completed)>) -> Option<(Vec<Completed>, Vec<Completed>)> {
        let (conclusions, mut batch): (Vec<Option<Conclusion>>, Vec<Completed>) = batch.into_iter().unzip();
        let conclusions: Vec<Conclusion> = conclusions.into_iter().flatten().collect();
        if conclusions.is_empty() {
            return Some((Vec::new(), Vec::new()));
        }
        let (began, items) = (SystemTime::now(), conclusions.len());
        let verdicts = self.conclude_all(conclusions, &mut batch).await?;
        for (completed, verdict) in batch.iter_mut().zip(verdicts) {
            self.judge(completed, verdict, began, items);
        }
        let (locked, ended): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|completed| completed.verdict == Some(Verdict::Locked));
        let ids: Vec<OrderId> = locked.iter().filter_map(|completed| completed.delivery.order_id()).collect();
        self.backends.report_locked(RowStage::Conclude, &ids);
        Some((ended, locked))
    }

    fn judge(&self, completed: &mut Completed, verdict: Verdict, began: SystemTime, items: usize) {
        let is_gone = verdict == Verdict::Superseded(None);
        let Some(attempt) = completed.delivery.known().filter(|_| is_gone || !completed.lost) else { return };
        if verdict != Verdict::Locked {
            completed.delivery.span.step("conclude", began, items);
        }
        let intended = std::mem::replace(&mut completed.outcome, AttemptOutcome::AlreadyFinal);
        if !(is_gone && is_mutant!(RowGoneIsDropped)) {
            completed.outcome = after_verdict(&verdict, intended, &attempt, &self.policy);
        }
        completed.verdict = Some(verdict);
    }

    /// A call that was not answered may have been carried out: from then on its conclusions say so.
    async fn conclude_all(&self, conclusions: Vec<Conclusion>, batch: &mut [Completed]) -> Option<Vec<Verdict>> {
        let (mut conclusions, store) = (Arc::new(conclusions), &self.backends.store);
        let mut unanswered = false;
        let verdicts = self.backends.until_answered(Stage::Conclude, conclusions.len(), &self.abandon, |failures| {
            if failures > 0 && !unanswered {
                unanswered = true;
                Arc::make_mut(&mut conclusions).iter_mut().for_each(|conclusion| conclusion.maybe_applied = true);
            }
            let conclusions = Arc::clone(&conclusions);
            async move { store.conclude(&conclusions).await }
        });
        let verdicts = verdicts.await?;
        for completed in batch {
            completed.maybe_applied |= unanswered;
        }
        Some(verdicts)
    }

    /// Returns deliveries whose rows are locked to the channel after a pause. Meanwhile their messages' leases are kept
    /// and no worker can take their rows over. Each counts as in hand, so the channel has room for it.
    async fn put_off(&self, locked: Vec<Completed>) {
        if locked.is_empty() || self.abandon.run_until_cancelled(sleep(LOCKED_PAUSE)).await.is_none() {
            return;
        }
        for completed in locked {
            // Fails only when the completer is gone: leases bring the order back.
            let _ = self.again.send(completed).await;
        }
    }

    /// Writes the dead letters that no conclusion has written.
    async fn insert_dead_letters(&self, batch: &[Completed]) -> Option<()> {
        let letters: Vec<DeadLetter> = batch.iter().filter_map(Completed::dead_letter_alone).collect();
        if letters.is_empty() {
            return Some(());
        }
        let store = &self.backends.store;
        self.backends
            .until_answered(Stage::Bury, letters.len(), &self.abandon, |_| store.insert_dead_letters(&letters))
            .await
    }

    /// Returns what was settled. Whether a message was still ours changes nothing about its order: its new holder finds
    /// the row as it is.
    async fn settle(&self, batch: &[Completed]) -> Option<Vec<Settlement>> {
        let settlement = |completed: &Completed| {
            completed.delivery.lease.settle();
            Settlement { receipt: completed.delivery.receipt().clone(), disposition: completed.disposition() }
        };
        let settlements: Vec<Settlement> = batch.iter().map(settlement).collect();
        let (items, queue) = (settlements.len(), &self.backends.queue);
        self.backends.until_answered(Stage::Settle, items, &self.abandon, |_| queue.settle(&settlements)).await?;
        if let Some(drain_to_list) = &self.drain_to_list {
            drain_to_list.note(&settlements);
        }
        Some(settlements)
    }

    fn report(&self, completed: &Completed, disposition: Disposition) {
        let Completed { delivery, outcome, verdict, .. } = completed;
        let (attempt, took) = (delivery.attempt_ref(), delivery.claimed_at.elapsed());
        let emit = |event| self.backends.observers.emit(event);
        if completed.is_superseded() {
            emit(OrderEvent::Superseded { attempt });
        }
        if let Some(from) = completed.cancelled_from() {
            emit(OrderEvent::Cancelled { attempt, from });
        }
        if let (true, Some((_, error))) = (outcome.is_failure(), outcome.reason()) {
            emit(OrderEvent::AttemptFailed { attempt, took, error });
        }
        match outcome {
            AttemptOutcome::Fulfilled { reference } => {
                let age = if let Some(Verdict::Done { age }) = verdict { *age } else { None };
                emit(OrderEvent::Fulfilled { attempt, took, age, reference: reference.as_deref() });
            }
            AttemptOutcome::Retry { reason, .. } => {
                let after = if let Disposition::Retry { after, .. } = disposition { after } else { Duration::ZERO };
                emit(OrderEvent::Retried { attempt, reason: *reason, after });
            }
            AttemptOutcome::DeadLetter { reason, detail } => {
                emit(OrderEvent::DeadLettered { attempt, reason: *reason, detail });
            }
            AttemptOutcome::AlreadyFinal => emit(OrderEvent::AlreadyFinal { attempt }),
            AttemptOutcome::Skipped { status } => emit(OrderEvent::Skipped { attempt, status }),
        }
    }
}

fn end_span(completed: &mut Completed) {
    let superseded = completed.is_superseded();
    let Completed { delivery, outcome, .. } = completed;
    let name = if superseded { "superseded" } else { (&*outcome).into() };
    delivery.span.end(SpanOutcome { name, reason: outcome.reason(), failed: outcome.is_failure() });
}
