//! What a command did to each dead letter.

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::domain::dead_letter::RetryStep;
use crate::operations::plural;
use crate::port::dead_letters::{DeadLetterFilter, DeadLetters, StoredDeadLetter};

/// Dead letters named one by one on standard error, unless the user gave their ids.
const MOST_NAMED: usize = 20;

/// Counts by what was done, or what would be.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) redriven: u64,
    pub(super) pushed: u64,
    pub(super) pushed_again: u64,
    pub(super) discarded: u64,
    pub(super) skipped: u64,
    pub(super) refused: u64,
    cut: u64,
    missing: Vec<i64>,
    pub(super) dry_run: bool,
    /// The job that did it, if one did.
    pub(super) job: Option<i64>,
    /// Dead letters named on standard error, or too many for it.
    #[serde(skip)]
    named: usize,
    /// The largest number of them.
    #[serde(skip)]
    most_named: usize,
}

impl Outcome {
    /// `asked` are the ids that the user named, if any.
    pub(super) fn new(asked: &[i64], dry_run: bool) -> Self {
        Self { missing: asked.to_vec(), most_named: MOST_NAMED.max(asked.len()), dry_run, ..Self::default() }
    }

    /// Notes that a dead letter exists.
    pub(super) fn saw(&mut self, letter_id: i64) {
        self.missing.retain(|id| *id != letter_id);
    }

    pub(super) fn count(&mut self, letter_id: i64, order_id: Option<i64>, step: &RetryStep) {
        let order = order_id.map(|id| format!("order {id}")).unwrap_or_default();
        match step {
            RetryStep::Redrive => self.redriven += 1,
            RetryStep::Push => self.pushed += 1,
            RetryStep::PushAgain => self.pushed_again += 1,
            RetryStep::Retried => self.skip(letter_id, "it was retried before"),
            RetryStep::OrderIs(state) => self.skip(letter_id, &format!("{order} is {}", state.as_str())),
        }
    }

    pub(super) fn skip(&mut self, letter_id: i64, why: &str) {
        self.skipped += 1;
        self.name(&format!("dead letter {letter_id} skipped: {why}"));
    }

    pub(super) fn refuse(&mut self, letter_id: i64, why: &str) {
        self.refused += 1;
        self.name(&format!("dead letter {letter_id} refused by the database: {why}"));
    }

    /// Refuses a dead letter that has lost most of its message.
    pub(super) fn cut(&mut self, letter_id: i64) {
        self.cut += 1;
        self.name(&format!(
            "dead letter {letter_id} refused: its message was over 64 KiB, and only the first 64 KiB are kept. Have its \
             producer push one that is shorter, and discard the letter"
        ));
    }

    fn name(&mut self, line: &str) {
        self.named += 1;
        if self.named <= self.most_named {
            output::note(line);
        }
    }

    /// Prints the summary of what is `done`. Fails if that failed, a dead letter does not exist, or the database refused
    /// one. `done` goes with `parts`, each with how many there were.
    pub(super) fn report(self, done: Result<(), String>, json: bool, parts: &[(u64, String)]) -> Result<(), Failure> {
        if self.named > self.most_named {
            output::note(&format!("… and {} more", self.named - self.most_named));
        }
        let refused = (self.refused, format!("{} refused by the database", self.refused));
        let parts = parts.iter().chain([&refused]).filter(|(count, _)| *count > 0);
        let did: Vec<&str> = parts.map(|(_, part)| part.as_str()).collect();
        let did = did.join(", ");
        if let Err(problem) = done {
            if json {
                output::print_json(&self)?;
            }
            let before =
                if did.is_empty() { "nothing is known to be done".to_owned() } else { format!("before that: {did}") };
            return Err(Failure::Work(format!("{problem}; {before}")));
        }
        output::show(json, &self, || {
            vec![match (did.is_empty(), self.dry_run) {
                (true, _) if self.missing.is_empty() => "no dead letter matches: nothing to do".to_owned(),
                (true, _) => "nothing done".to_owned(),
                (false, false) => did,
                (false, true) => format!("dry run, nothing changed; it would be: {did}"),
            }]
        })?;
        if !self.missing.is_empty() {
            let ids: Vec<String> = self.missing.iter().map(ToString::to_string).collect();
            return Err(Failure::Work(format!("no such dead letter: {}", ids.join(", "))));
        }
        if self.refused > 0 {
            return Err(Failure::Work(format!("the database refused {}", plural(self.refused, "dead letter"))));
        }
        if self.cut > 0 {
            let letters = plural(self.cut, "dead letter");
            return Err(Failure::Work(format!(
                "{letters} can't be retried: only the beginning of the message is kept"
            )));
        }
        Ok(())
    }
}

/// Passes the dead letters that match `filter` to `decide`, a page after the other, until `stop` is cancelled.
pub(super) async fn each_page(
    store: &dyn DeadLetters,
    mut filter: DeadLetterFilter,
    limit: usize,
    stop: &CancellationToken,
    mut decide: impl AsyncFnMut(&[StoredDeadLetter]) -> Result<(), String>,
) -> Result<(), String> {
    let count = store.count(&filter).await.map_err(|error| error.to_string())?;
    // An order that fails again meanwhile has a new dead letter, which this run leaves alone.
    filter.up_to = Some(count.last_id);
    let mut after = 0;
    while !stop.is_cancelled() {
        let page = store.list(&filter, after, limit).await.map_err(|error| error.to_string())?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        decide(&page).await?;
    }
    Err("interrupted".to_owned())
}
