//! Retries or discards dead letters that are named by their ids, and says what became of each.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::activity::Deed;
use super::redrive::{Redrive, RedriveError};
use crate::domain::dead_letter::{Resolution, RetryStep};
use crate::domain::order::OrderId;
use crate::port::activity::ActivityLog;
use crate::port::dead_letters::{DeadLetterFilter, DeadLetters, Decision, Redriven, StoredDeadLetter};
use crate::port::store::StoreError;

/// Letters in one transaction.
const BATCH: usize = 100;

/// What became of one letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LetterResult {
    /// Its order is `pending` again, and its message is pushed.
    Redriven,
    /// Its message is pushed; no order had failed with it.
    Pushed,
    /// It was retried before, and its order is still `pending`: its message is pushed once more.
    PushedAgain,
    /// It is closed without a retry.
    Discarded,
    /// It is left as it was.
    Skipped,
    /// The database refused it.
    Refused,
    /// Only the beginning of its message is kept, so that it can't be retried.
    Cut,
    /// There is no such letter.
    Missing,
}

/// What became of one letter, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecidedLetter {
    /// Of the letter.
    pub id: i64,
    /// What.
    pub result: LetterResult,
    /// Why, for a person, where nothing was done.
    pub why: Option<String>,
}

/// What became of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DecidedLetters {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Each letter once, in the order in which they were named.
    pub dead_letters: Vec<DecidedLetter>,
    /// What else went wrong, such as a queue that took no messages; null where nothing did. Nothing is known of letters that
    /// are not named then. The same request again is safe.
    pub problem: Option<String>,
}

/// Retries letters, each named once or more often.
///
/// # Errors
/// When the store doesn't answer before anything is known.
pub async fn retry(redrive: &Redrive, ids: &[i64], dry_run: bool) -> Result<DecidedLetters, StoreError> {
    let decided = retry_all(redrive, ids, dry_run).await?;
    if let Some(log) = &redrive.activity {
        decided.note("dead_retry", &**log, &redrive.decision).await;
    }
    Ok(decided)
}

async fn retry_all(redrive: &Redrive, ids: &[i64], dry_run: bool) -> Result<DecidedLetters, StoreError> {
    let mut decided = DecidedLetters { dry_run, ..DecidedLetters::default() };
    for batch in once(ids).chunks(BATCH) {
        let letters = found(&*redrive.store, batch).await;
        let letters = match letters {
            Ok(letters) => letters,
            Err(error) if decided.dead_letters.is_empty() => return Err(error),
            Err(error) => return Ok(decided.with_problem(error.to_string())),
        };
        let cut: HashSet<i64> = letters.iter().filter(|letter| letter.is_cut()).map(|letter| letter.id).collect();
        let whole: Vec<&StoredDeadLetter> = letters.iter().filter(|letter| !cut.contains(&letter.id)).collect();
        let (answers, problem) = match dry_run {
            true => (whole.iter().map(|letter| would(letter)).collect(), None),
            false => {
                let whole: Vec<i64> = whole.iter().map(|letter| letter.id).collect();
                match redriven(redrive, &whole).await {
                    Ok(answers) => answers,
                    Err(error) if decided.dead_letters.is_empty() => return Err(error),
                    Err(error) => return Ok(decided.with_problem(error.to_string())),
                }
            }
        };
        for id in batch {
            let answer = answers.iter().find(|answer: &&DecidedLetter| answer.id == *id).cloned();
            decided.dead_letters.push(match answer {
                Some(answer) => answer,
                None if cut.contains(id) => {
                    let why = "its message was over 64 KiB, and only the first 64 KiB are kept. Have its producer push one \
                        that is shorter, and discard the letter";
                    DecidedLetter { id: *id, result: LetterResult::Cut, why: Some(why.to_owned()) }
                }
                // Its message was not pushed, which is to be done again.
                None if problem.is_some() && letters.iter().any(|letter| letter.id == *id) => continue,
                None => missing(*id),
            });
        }
        if let Some(problem) = problem {
            return Ok(decided.with_problem(problem));
        }
    }
    Ok(decided)
}

/// Closes letters without a retry, each named once or more often.
///
/// # Errors
/// When the store doesn't answer before anything is known.
pub async fn discard(
    store: &dyn DeadLetters,
    log: &dyn ActivityLog,
    decision: &Decision,
    ids: &[i64],
    dry_run: bool,
) -> Result<DecidedLetters, StoreError> {
    let decided = discard_all(store, decision, ids, dry_run).await?;
    decided.note("dead_discard", log, decision).await;
    Ok(decided)
}

async fn discard_all(
    store: &dyn DeadLetters,
    decision: &Decision,
    ids: &[i64],
    dry_run: bool,
) -> Result<DecidedLetters, StoreError> {
    let mut decided = DecidedLetters { dry_run, ..DecidedLetters::default() };
    for batch in once(ids).chunks(BATCH) {
        let marked = async {
            let letters = found(store, batch).await?;
            let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
            let marked = match dry_run || ids.is_empty() {
                true => letters.iter().map(|letter| letter.resolved.is_none()).collect(),
                false => store.resolve(&ids, Resolution::Discarded, decision).await?,
            };
            Ok::<_, StoreError>(ids.into_iter().zip(marked).collect::<Vec<(i64, bool)>>())
        };
        let marked = match marked.await {
            Ok(marked) => marked,
            Err(error) if decided.dead_letters.is_empty() => return Err(error),
            Err(error) => return Ok(decided.with_problem(error.to_string())),
        };
        decided.dead_letters.extend(batch.iter().map(|id| match marked.iter().find(|(of, _)| of == id) {
            Some((id, true)) => DecidedLetter { id: *id, result: LetterResult::Discarded, why: None },
            Some((id, false)) => skipped(*id, "it has a decision already".to_owned()),
            None => missing(*id),
        }));
    }
    Ok(decided)
}

impl DecidedLetters {
    fn with_problem(self, problem: String) -> Self {
        Self { problem: Some(problem), ..self }
    }

    async fn note(&self, action: &'static str, log: &dyn ActivityLog, decision: &Decision) {
        if self.dry_run {
            return;
        }
        let is_done = |letter: &&DecidedLetter| match letter.result {
            LetterResult::Redriven | LetterResult::Pushed | LetterResult::PushedAgain | LetterResult::Discarded => true,
            LetterResult::Skipped | LetterResult::Refused | LetterResult::Cut | LetterResult::Missing => false,
        };
        let ids: Vec<i64> = self.dead_letters.iter().filter(is_done).map(|letter| letter.id).collect();
        Deed { action, noun: "dead letter", ids: &ids, more: String::new() }.note(log, decision).await;
    }
}

fn once(ids: &[i64]) -> Vec<i64> {
    let mut named = HashSet::new();
    ids.iter().copied().filter(|id| named.insert(*id)).collect()
}

async fn found(store: &dyn DeadLetters, ids: &[i64]) -> Result<Vec<StoredDeadLetter>, StoreError> {
    let filter = DeadLetterFilter { ids: Some(ids.to_vec()), ..DeadLetterFilter::default() };
    store.list(&filter, 0, ids.len()).await
}

/// What is known of each letter, and what went wrong besides.
async fn redriven(redrive: &Redrive, ids: &[i64]) -> Result<(Vec<DecidedLetter>, Option<String>), StoreError> {
    if ids.is_empty() {
        return Ok(Default::default());
    }
    let (answers, pushed) = match redrive.batch(ids).await {
        Ok(answers) => answers,
        Err(RedriveError::Store(error)) => return Err(error),
        Err(error) => return Ok((Vec::new(), Some(error.to_string()))),
    };
    let no_messages = matches!(pushed, Err(RedriveError::NoMessages { .. }));
    let decided = ids.iter().zip(&answers).filter_map(|(id, answer)| match answer {
        Redriven::Decided { step: RetryStep::Push | RetryStep::PushAgain, .. } if no_messages => None,
        Redriven::Decided { step, order_id, .. } => Some(after(*id, *order_id, step)),
        Redriven::Unknown => Some(missing(*id)),
        Redriven::Refused(why) => {
            Some(DecidedLetter { id: *id, result: LetterResult::Refused, why: Some(why.clone()) })
        }
    });
    Ok((decided.collect(), pushed.err().map(|error| error.to_string())))
}

fn would(letter: &StoredDeadLetter) -> DecidedLetter {
    let resolution = letter.resolved.as_ref().map(|resolved| resolved.resolution);
    after(letter.id, letter.order_id, &RetryStep::of(&letter.reason, resolution, letter.order_state.as_ref()))
}

fn after(id: i64, order_id: Option<OrderId>, step: &RetryStep) -> DecidedLetter {
    let result = match step {
        RetryStep::Redrive => LetterResult::Redriven,
        RetryStep::Push => LetterResult::Pushed,
        RetryStep::PushAgain => LetterResult::PushedAgain,
        RetryStep::Retried => return skipped(id, "it was retried before".to_owned()),
        RetryStep::RowIsGone => {
            let why = "its order's row is gone; insert it again with its id and created_at, or discard the letter";
            return skipped(id, why.to_owned());
        }
        RetryStep::OrderIs(state) => {
            let order = order_id.map(|id| format!("order {id}")).unwrap_or_default();
            return skipped(id, format!("{order} is {}", state.as_str()));
        }
    };
    DecidedLetter { id, result, why: None }
}

fn skipped(id: i64, why: String) -> DecidedLetter {
    DecidedLetter { id, result: LetterResult::Skipped, why: Some(why) }
}

fn missing(id: i64) -> DecidedLetter {
    DecidedLetter { id, result: LetterResult::Missing, why: Some("there is no such letter".to_owned()) }
}
