//! How transitions treat rows that others have locked: they wait for them for a moment, or pass them over.
//!
//! Passing over takes a lock on each row before it is written: a second change of the row's page, and another record in the
//! WAL. As hardly a row is ever locked, a transition writes at first and waits where it must. Once it has waited in vain, it and
//! all transitions of the next second pass over what is locked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::PostgresStore;
use super::answers::Answers;
use super::connection::Conflicts;
use super::errors::Failure;
use super::given_tables::Dialect;
use super::sql::{Parameter, Sql};
use crate::testing::mutant::is_mutant;

/// How long locked rows are passed over since one was met.
const REMEMBERED: Duration = Duration::from_secs(1);

/// What a transition does with locked rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Waits for each, at most 10 ms, and then fails as a whole. A row that it didn't write is told as it was before, or not at all.
    ///
    /// The statement sets the limit for its own transaction, before it touches a row: the only place where a limit costs no
    /// round trip, and where none is left behind on a pooler's connection. A commit takes less.
    Waiting,
    /// Passes them over, and says so. A row that it didn't write is told as it is.
    Passing,
}

/// A statement in both forms.
pub(super) struct Transition {
    pub(super) waiting: Sql,
    pub(super) passing: Sql,
}

impl Transition {
    /// Writes a text some of whose lines begin with the form that has them: `{waiting}` or `{passing}`.
    pub(super) fn write(dialect: &Dialect, text: &str) -> Self {
        let write = |form| dialect.write(&Self::in_form(text, form));
        Self { waiting: write(Form::Waiting), passing: write(Form::Passing) }
    }

    pub(super) fn in_form(text: &str, form: Form) -> String {
        let (its, others) = match form {
            Form::Waiting => ("{waiting}", "{passing}"),
            Form::Passing => ("{passing}", "{waiting}"),
        };
        let lines = text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with(others));
        lines.map(|line| line.replacen(its, "", 1)).collect()
    }
}

/// Since when rows are known to be locked.
#[derive(Default)]
pub(super) struct LockedRows(Mutex<Option<Instant>>);

impl LockedRows {
    fn were_met(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn are_likely(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|met| met.elapsed() < REMEMBERED)
    }
}

impl PostgresStore {
    /// Carries a transition out, in this form or, where it may wait and has waited in vain, by passing over. Says in which, and
    /// what became of each order that has a row.
    pub(super) async fn carry_out(
        &self,
        transition: &Transition,
        form: Form,
        parameters: &[Parameter<'_>],
        orders: &str,
    ) -> Result<(Answers, Form), Failure> {
        if form == Form::Waiting && !self.locked_rows.are_likely() {
            match self.connections.query_often(&transition.waiting, parameters, orders).await {
                Err(Failure::LockTimeout(_) | Failure::Conflict(_)) => self.locked_rows.were_met(),
                answer => return Ok((Answers::of(answer?)?, Form::Waiting)),
            }
        }
        let again = if is_mutant!(WaitsAgain) { &transition.waiting } else { &transition.passing };
        let mut conflicts = Conflicts::new();
        let answers = loop {
            match self.connections.query_often(again, parameters, orders).await {
                Err(Failure::Conflict(_)) if conflicts.pause().await => {}
                answer => break Answers::of(answer?)?,
            }
        };
        if answers.all().iter().any(|answer| answer.is_locked) {
            self.locked_rows.were_met();
        }
        Ok((answers, Form::Passing))
    }
}
