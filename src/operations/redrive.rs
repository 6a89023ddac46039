//! Puts the orders of dead letters back to work: the rows and letters in one transaction, then the messages.

use std::collections::HashSet;
use std::sync::Arc;

use super::plural;
use crate::domain::dead_letter::{Resolution, RetryStep};
use crate::port::activity::ActivityLog;
use crate::port::dead_letters::{DeadLetters, Decision, Redriven};
use crate::port::queue::{Producer, QueueError};
use crate::port::retrying::Retrying;
use crate::port::store::StoreError;

/// Why a batch was not redriven, or not completely.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// The store gave no answer, or refused the batch. It may have carried it out; retrying the same letters is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows are `pending`, and the queue took no messages for them or did not say so. Retrying the same letters is
    /// safe.
    #[error(
        "{error}; the queue may lack {}, of the letters from {first} to {last}: retry them by their ids, or leave the orders to the reconciler", plural(*.count as u64, "message")
    )]
    NoMessages {
        /// What the queue said last.
        error: QueueError,
        /// How many messages were to be pushed.
        count: usize,
        /// The lowest id of their letters.
        first: i64,
        /// The highest id of their letters.
        last: i64,
    },
    /// The messages are pushed, and the letters without an order are not marked as retried.
    #[error("{0}; the messages of this batch are in the queue, but not all of their letters are marked as retried")]
    NotMarked(StoreError),
}

/// Redrives dead letters.
pub struct Redrive {
    /// Receives the messages.
    pub queue: Arc<dyn Producer>,
    /// Has the letters and their orders.
    pub store: Arc<dyn DeadLetters>,
    /// Takes down who decided; nobody does for a job, as its making is there already.
    pub activity: Option<Arc<dyn ActivityLog>>,
    /// Who decided, and why.
    pub decision: Decision,
    /// How long to retry while a server does not answer.
    pub retrying: Retrying,
}

impl Redrive {
    /// Redrives the orders of 1 to 1,000 letters, pushes their messages, and marks the letters without an order.
    /// Answers by position, with the outcome of the push.
    ///
    /// Every part may run twice: a marked letter whose order is still `pending` is pushed again, and a second message
    /// changes nothing about its row.
    ///
    /// # Errors
    /// [`RedriveError::Store`] when nothing is known about the batch.
    pub async fn batch(&self, letters: &[i64]) -> Result<(Vec<Redriven>, Result<(), RedriveError>), RedriveError> {
        let answers = self.patiently(StoreError::is_transient, || self.store.redrive(letters, &self.decision)).await?;
        let pushed = self.push(letters, &answers).await;
        Ok((answers, pushed))
    }

    async fn push(&self, letters: &[i64], answers: &[Redriven]) -> Result<(), RedriveError> {
        let mut orders = HashSet::new();
        let (mut payloads, mut pushed, mut unmarked) = (Vec::new(), Vec::new(), Vec::new());
        for (letter, answer) in letters.iter().zip(answers) {
            let Redriven::Decided { step, order_id, payload } = answer else { continue };
            if !matches!(step, RetryStep::Redrive | RetryStep::Push | RetryStep::PushAgain) {
                continue;
            }
            if *step == RetryStep::Push {
                unmarked.push(*letter);
            }
            // One message is enough for all letters of an order.
            if order_id.is_none_or(|order_id| orders.insert(order_id)) {
                payloads.push(payload.clone());
            }
            pushed.push(*letter);
        }
        if !payloads.is_empty() {
            let done = self.patiently(QueueError::is_transient, || self.queue.push(&payloads)).await;
            done.map_err(|error| RedriveError::NoMessages {
                error,
                count: payloads.len(),
                first: pushed.iter().copied().min().unwrap_or_default(),
                last: pushed.iter().copied().max().unwrap_or_default(),
            })?;
        }
        if unmarked.is_empty() {
            return Ok(());
        }
        // After the push: a letter that is not marked is retried once more at worst, and no message is lost.
        let mark = || self.store.resolve(&unmarked, Resolution::Retried, &self.decision);
        self.patiently(StoreError::is_transient, mark).await.map(drop).map_err(RedriveError::NotMarked)
    }

    async fn patiently<T, E, F>(&self, is_transient: impl Fn(&E) -> bool, call: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.retrying.until_answered(is_transient, |_, _| (), |_| call()).await
    }
}
