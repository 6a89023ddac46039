//! The transitions: read the row, ask [`admit`], write.

use async_trait::async_trait;
use rusqlite::Connection;

use super::batch::{Batch, Entry};
use super::row_by_row::row_by_row;
use super::{SqliteStore, SqliteStoreOptions, decisions};
use crate::backend::sqlite::database::age;
use crate::domain::order::{Refusal, RowView, State, Step, admit};
use crate::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, NotBefore, OrderStore, Renewal, Renewed, StoreError, TAKEN_OVER,
    Target, Verdict,
};

#[async_trait]
impl OrderStore for SqliteStore {
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        let (requests, options) = (requests.to_vec(), self.options.clone());
        Ok(self.database.write(move |connection| begin(connection, &options, &requests)).await?)
    }

    async fn note_not_before(&self, times: &[NotBefore]) -> Result<(), StoreError> {
        let times = times.to_vec();
        Ok(self.database.write(move |connection| decisions::note_not_before(connection, &times)).await?)
    }

    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError> {
        let (renewals, options) = (renewals.to_vec(), self.options.clone());
        Ok(self.database.write(move |connection| renew(connection, &options, &renewals)).await?)
    }

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        let (conclusions, options) = (conclusions.to_vec(), self.options.clone());
        Ok(self.database.write(move |connection| conclude(connection, &options, &conclusions)).await?)
    }

    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let (letters, options) = (letters.to_vec(), self.options.clone());
        let insert = move |connection: &Connection| {
            let batch = Batch::new(connection, &options);
            letters.iter().try_for_each(|letter| batch.insert_dead_letter(letter, letter.order_id))
        };
        Ok(self.database.write(insert).await?)
    }
}

fn begin(
    connection: &Connection,
    options: &SqliteStoreOptions,
    requests: &[BeginRequest],
) -> rusqlite::Result<Vec<Begun>> {
    let batch = Batch::new(connection, options);
    row_by_row(connection, requests, Begun::Refused, |request| {
        let Some(row) = batch.read_to_begin(request.order_id)? else {
            return Ok(Begun::Unknown);
        };
        let state = match admit(&row.view, Step::Begin { lease: options.lease }) {
            Ok(state) => state,
            Err(refusal) => return Ok(not_begun(row.view.state, refusal)),
        };
        if let Some(left) = decisions::held(connection, request.order_id, batch.now)? {
            return Ok(Begun::Held(left));
        }
        let takeover = row.view.state == State::Processing;
        let is_first = !takeover && request.attempt == 1;
        let waited = row.created_at.filter(|_| is_first).and_then(|created_at| age(created_at, batch.now));
        let fence = batch.enter(request.order_id, &state, row.view.fence)?;
        batch.note_begun(request.order_id)?;
        batch.note(&Entry {
            order_id: request.order_id,
            at: fence,
            state: &state,
            attempt: request.attempt,
            worker: options.worker.as_str(),
            correlation_id: request.correlation_id.as_deref(),
            note: takeover.then_some(TAKEN_OVER),
        })?;
        Ok(Begun::Started { order: row.into_order(request), fence, takeover, waited })
    })
}

fn not_begun(state: State, refusal: Refusal) -> Begun {
    match refusal {
        Refusal::Busy(left) => Begun::Busy(left),
        Refusal::NotOurs => Begun::NotOurs(state.as_str().to_owned()),
        Refusal::Final | Refusal::Superseded => Begun::AlreadyFinal(state),
    }
}

/// A row that the database refuses keeps its lease no longer, which the holder learns as a row that has moved on.
fn renew(
    connection: &Connection,
    options: &SqliteStoreOptions,
    renewals: &[Renewal],
) -> rusqlite::Result<Vec<Renewed>> {
    let batch = Batch::new(connection, options);
    let lost = |_| Renewed::Lost;
    row_by_row(connection, renewals, lost, |renewal| match batch.read(renewal.order_id)? {
        Some(row) => match admit(&row.view, Step::Renew(renewal.fence)) {
            Ok(state) => batch.enter(renewal.order_id, &state, row.view.fence).map(Renewed::Kept),
            Err(_) => Ok(Renewed::Lost),
        },
        None => Ok(Renewed::Lost),
    })
}

fn conclude(
    connection: &Connection,
    options: &SqliteStoreOptions,
    conclusions: &[Conclusion],
) -> rusqlite::Result<Vec<Verdict>> {
    let batch = Batch::new(connection, options);
    row_by_row(connection, conclusions, Verdict::Refused, |conclusion| {
        let Some(row) = batch.read(conclusion.order_id)? else {
            return Ok(Verdict::Superseded(None));
        };
        let age = row.created_at.and_then(|created_at| age(created_at, batch.now));
        let Ok(state) = admit(&row.view, step(conclusion)) else {
            return Ok(match conclusion {
                other if is_anothers(other, row.created_at) => Verdict::Superseded(None),
                applied if was_applied(applied, &row.view) => Verdict::Done { age },
                _ => Verdict::Superseded(Some(row.view.state)),
            });
        };
        let fence = batch.enter(conclusion.order_id, &state, row.view.fence)?;
        batch.note(&Entry {
            order_id: conclusion.order_id,
            at: fence,
            state: &state,
            attempt: conclusion.attempt,
            // As in the entry that began the attempt.
            worker: "",
            correlation_id: None,
            note: conclusion.to.note(),
        })?;
        if let Target::Failed(letter) = &conclusion.to {
            batch.insert_dead_letter(letter, Some(conclusion.order_id))?;
        }
        Ok(Verdict::Done { age })
    })
}

fn step(conclusion: &Conclusion) -> Step {
    match conclusion.to {
        Target::Fulfilled { .. } => Step::Fulfil(conclusion.fence),
        Target::Pending { .. } => Step::Release(conclusion.fence),
        Target::Failed(_) => Step::Fail(conclusion.fence),
    }
}

/// See [`Conclusion::created_at_micros`].
fn is_anothers(conclusion: &Conclusion, created_at: Option<i64>) -> bool {
    conclusion.created_at_micros.zip(created_at).is_some_and(|(begun, found)| begun != found)
}

/// See [`Conclusion::maybe_applied`].
fn was_applied(conclusion: &Conclusion, row: &RowView) -> bool {
    conclusion.maybe_applied && row.state == conclusion.to.state() && row.fence > conclusion.fence
}
