//! Conclude → settle: writes how attempts ended, and only then lets go of their messages.
//!
//! A batch forms by itself: while one commits, the next gathers in the channel.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use crate::domain::order::State;
use crate::engine::in_hand::{Ending, Finished};
use crate::engine::{BATCH, BATCHES_AT_ONCE, Context};
use crate::event::{Event, Loop, RetryReason, Stage, Subject};
use crate::observe::trace::attempt::SpanOutcome;
use crate::port::queue::{Held, Settlement};
use crate::port::store::{Conclusion, DeadLetter, DeadReason, Verdict};
use crate::testing::mutant::is_mutant;

/// How long a superseded order is left to whoever holds it now before its message is looked at again.
const SUPERSEDED_PAUSE: Duration = Duration::from_secs(1);

/// How soon a conclusion is tried again whose row somebody has locked. Far below any lease: when the lock ends, the worker
/// that knows how the attempt ended should be there first.
const LOCKED_PAUSE: Duration = Duration::from_millis(200);

/// Ends what the worker began.
pub(crate) struct Completer {
    context: Arc<Context>,
    slots: Arc<Semaphore>,
    /// The way back to its own channel.
    again: mpsc::Sender<Finished>,
}

/// A message whose row is written: `verdict` is what the store said, or `None` if there was nothing to write.
struct Concluded {
    finished: Finished,
    verdict: Option<Verdict>,
}

impl Concluded {
    fn end_span(&mut self) {
        let Finished { in_hand, ending, .. } = &mut self.finished;
        let name = if matches!(self.verdict, Some(Verdict::Superseded(_))) { "superseded" } else { ending.as_str() };
        in_hand.span.end(SpanOutcome { name, reason: ending.reason(), failed: ending.is_failure() });
    }
}

impl Completer {
    /// `again` leads to the receiver of [`Completer::run`].
    pub(crate) fn new(context: Arc<Context>, again: mpsc::Sender<Finished>) -> Self {
        Self { context, slots: Arc::new(Semaphore::new(BATCHES_AT_ONCE)), again }
    }

    /// Works until the task is aborted.
    pub(crate) async fn run(self, mut finished: mpsc::Receiver<Finished>) {
        loop {
            let slot = self.context.beating(Loop::Completer, Arc::clone(&self.slots).acquire_owned()).await;
            let mut batch = Vec::with_capacity(BATCH);
            let received = self.context.beating(Loop::Completer, finished.recv_many(&mut batch, BATCH)).await;
            if received == 0 {
                return;
            }
            let (context, again) = (Arc::clone(&self.context), self.again.clone());
            tokio::spawn(async move {
                let locked = context.complete(batch).await;
                drop(slot);
                context.put_off(locked, &again).await;
            });
        }
    }
}

impl Context {
    /// One batch, from its endings to its events; returns what could not be concluded yet. Ends early, leaving the rest to
    /// the leases, when told to abandon.
    async fn complete(&self, batch: Vec<Finished>) -> Vec<Finished> {
        if is_mutant!(AckBeforeCommit) {
            self.settle(batch.iter()).await;
        }
        let Some((mut concluded, locked)) = self.conclude(batch).await else { return Vec::new() };
        if !concluded.is_empty()
            && self.bury(&concluded).await.is_some()
            && let Some(settled) = self.settle(concluded.iter().map(|concluded| &concluded.finished)).await
        {
            for (concluded, held) in concluded.iter_mut().zip(settled) {
                self.report(concluded, held);
                concluded.end_span();
            }
            // Before the permits are back: whoever waits for the last one finds nothing in flight.
            self.count_in_flight(0, concluded.len());
        }
        locked
    }

    /// Has another try at conclusions whose rows are locked, in one of the next batches. Meanwhile their messages' leases
    /// are kept and nobody can take their rows over. Each holds its permit, so that there is always room for them.
    async fn put_off(&self, locked: Vec<Finished>, again: &mpsc::Sender<Finished>) {
        if locked.is_empty() || self.shutdown.abandon.run_until_cancelled(sleep(LOCKED_PAUSE)).await.is_none() {
            return;
        }
        for finished in locked {
            // Fails only when the completer is gone: leases bring the order back.
            let _ = again.send(finished).await;
        }
    }

    /// What the store wrote, or would not write, and what it passed over.
    async fn conclude(&self, batch: Vec<Finished>) -> Option<(Vec<Concluded>, Vec<Finished>)> {
        let asked: Vec<Option<Conclusion>> = batch.iter().map(Finished::conclusion).collect();
        let mut conclusions: Vec<Conclusion> = asked.iter().flatten().cloned().collect();
        let began = SystemTime::now();
        let verdicts = self.conclude_all(&mut conclusions).await?;
        let batch_size = conclusions.len();
        let mut verdicts = conclusions.into_iter().zip(verdicts);
        let (mut concluded, mut locked, mut locked_ids) = (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
        for (mut finished, asked) in batch.into_iter().zip(asked) {
            match asked.and_then(|_| verdicts.next()) {
                Some((conclusion, Verdict::Locked)) => {
                    locked_ids.push(conclusion.order_id);
                    finished.maybe_applied = conclusion.maybe_applied;
                    locked.push(finished);
                }
                answered => {
                    let verdict = answered.map(|(_, verdict)| verdict);
                    if verdict.is_some() {
                        finished.in_hand.span.step("conclude", began, batch_size);
                    }
                    self.revise(&mut finished, verdict.as_ref());
                    concluded.push(Concluded { finished, verdict });
                }
            }
        }
        self.tell_locked(Stage::Conclude, &locked_ids);
        Some((concluded, locked))
    }

    async fn conclude_all(&self, conclusions: &mut [Conclusion]) -> Option<Vec<Verdict>> {
        if conclusions.is_empty() {
            return Some(Vec::new());
        }
        let mut failures = 0;
        loop {
            match self.call(Stage::Conclude, Vec::len, self.store.conclude(conclusions)).await {
                Ok(verdicts) => return Some(verdicts),
                Err(error) => {
                    failures += 1;
                    for conclusion in conclusions.iter_mut() {
                        conclusion.maybe_applied = true;
                    }
                    self.pause_after(Stage::Conclude, failures, &error, &self.shutdown.abandon).await;
                }
            }
            if self.shutdown.abandon.is_cancelled() {
                return None;
            }
        }
    }

    /// What the store's verdict makes of the intended ending.
    fn revise(&self, finished: &mut Finished, verdict: Option<&Verdict>) {
        match verdict {
            // One that is locked has not come to its end.
            None | Some(Verdict::Done { .. } | Verdict::Locked) => {}
            Some(Verdict::Superseded(state)) => {
                finished.ending = if state.as_ref().is_some_and(State::is_final) {
                    Ending::AlreadyFinal
                } else {
                    Ending::unspent(RetryReason::LeaseLost, SUPERSEDED_PAUSE, "the row had moved on")
                };
            }
            Some(Verdict::Refused(error)) => {
                let attempt = finished.in_hand.claim.attempt;
                let (retry, dead) = (RetryReason::StoreRefused, DeadReason::StoreRefused);
                finished.ending = self.failed(attempt, retry, error.clone(), dead, None);
            }
        }
    }

    /// Keeps the dead letters that no row was moved for.
    async fn bury(&self, batch: &[Concluded]) -> Option<()> {
        let letters: Vec<DeadLetter> = batch
            .iter()
            .filter(|concluded| !matches!(concluded.verdict, Some(Verdict::Done { .. })))
            .filter_map(|concluded| match &concluded.finished.ending {
                Ending::Dead { reason, detail } => Some(concluded.finished.in_hand.dead_letter(*reason, detail)),
                _ => None,
            })
            .collect();
        if letters.is_empty() {
            return Some(());
        }
        self.persist(Stage::Bury, letters.len(), &self.shutdown.abandon, |_| self.store.bury(&letters)).await
    }

    async fn settle<'a>(&self, batch: impl Iterator<Item = &'a Finished>) -> Option<Vec<Held>> {
        let settlements: Vec<Settlement> = batch
            .map(|finished| {
                finished.in_hand.hold.settle();
                Settlement { receipt: finished.in_hand.receipt().clone(), disposition: finished.ending.disposition() }
            })
            .collect();
        let abandon = &self.shutdown.abandon;
        self.persist(Stage::Settle, settlements.len(), abandon, |_| self.queue.settle(&settlements)).await
    }

    /// Tells what became of one message. `held` says whether its message was still ours to settle, which changes
    /// nothing about the order: whoever has the message now finds the row as it is.
    fn report(&self, Concluded { finished, verdict }: &Concluded, _held: Held) {
        let subject = finished.in_hand.subject();
        if matches!(verdict, Some(Verdict::Superseded(_))) {
            self.observers.emit(Event::Superseded { subject });
        }
        match &finished.ending {
            Ending::Fulfilled { reference } => {
                let age = match verdict {
                    Some(Verdict::Done { age }) => *age,
                    _ => None,
                };
                let took = finished.in_hand.claimed_at.elapsed();
                self.observers.emit(Event::Fulfilled { subject, took, age, reference: reference.as_deref() });
            }
            Ending::Retry { reason, error, after, spent } => {
                if *spent {
                    self.report_failure(finished, subject, error);
                }
                self.observers.emit(Event::Retried { subject, reason: *reason, after: *after });
            }
            Ending::Dead { reason, detail } => {
                self.report_failure(finished, subject, detail);
                self.observers.emit(Event::DeadLettered { subject, reason: *reason, detail });
            }
            Ending::AlreadyFinal => self.observers.emit(Event::AlreadyFinal { subject }),
            Ending::Skipped { status } => self.observers.emit(Event::Skipped { subject, status }),
        }
    }

    fn report_failure(&self, finished: &Finished, subject: Subject<'_>, error: &str) {
        let took = finished.in_hand.claimed_at.elapsed();
        self.observers.emit(Event::AttemptFailed { subject, took, error });
    }
}
