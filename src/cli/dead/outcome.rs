//! What a command did to each dead letter.

use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::operations::letters::{DecidedLetter, DecidedLetters, LetterResult};
use crate::operations::plural;

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
        Self { most_named: MOST_NAMED.max(asked.len()), dry_run, ..Self::default() }
    }

    /// Counts what became of letters, and names those that were left.
    pub(super) fn add(&mut self, decided: &DecidedLetters) {
        for DecidedLetter { id, result, why } in &decided.dead_letters {
            let why = why.as_deref().unwrap_or_default();
            match result {
                LetterResult::Redriven => self.redriven += 1,
                LetterResult::Pushed => self.pushed += 1,
                LetterResult::PushedAgain => self.pushed_again += 1,
                LetterResult::Discarded => self.discarded += 1,
                LetterResult::Missing => self.missing.push(*id),
                LetterResult::Skipped => {
                    self.skipped += 1;
                    self.name(&format!("dead letter {id} skipped: {why}"));
                }
                LetterResult::Refused => {
                    self.refused += 1;
                    self.name(&format!("dead letter {id} refused by the database: {why}"));
                }
                LetterResult::Cut => {
                    self.cut += 1;
                    self.name(&format!("dead letter {id} refused: {why}"));
                }
            }
        }
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
