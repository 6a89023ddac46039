//! `dead list --group`: dead letters by what went wrong.

use std::time::Duration;

use crate::cli::failure::Failure;
use crate::cli::format::{Format, FormatOptions};
use crate::cli::output;
use crate::operations::documents::letters::GroupsDocument;
use crate::operations::groups::{self, Group};
use crate::operations::plural;
use crate::port::dead_letters::{DeadLetterFilter, DeadLetters};

pub(super) async fn show(
    store: &dyn DeadLetters,
    filter: &DeadLetterFilter,
    limit: usize,
    format: &FormatOptions,
) -> Result<(), Failure> {
    let found = groups::groups(store, filter).await.map_err(Failure::work)?;
    let shown = found.groups.get(..limit).unwrap_or(&found.groups);
    if format.format() == Format::Json {
        let (looked, is_partial) = (found.looked, found.is_partial);
        return output::print_json(&GroupsDocument { groups: shown.to_vec(), looked, is_partial, next_cursor: None });
    }
    let row = |group: &Group| {
        let last = Duration::try_from_secs_f64(group.last_age).unwrap_or_default();
        let [letters, example] = [group.letters.to_string(), group.example.to_string()];
        [letters, output::rounded(last), example, group.reason.clone(), group.fingerprint.clone()]
    };
    let rows: Vec<[String; 5]> = shown.iter().map(row).collect();
    let letters = plural(found.looked, "dead letter");
    if rows.is_empty() {
        return output::print("no dead letters match");
    }
    output::print_lines(&output::table(["LETTERS", "LAST", "E.G.", "REASON", "ERROR"], &rows, format.columns()))?;
    if found.is_partial {
        output::note(&format!("of the oldest {letters}; narrow them by --newer-than"));
    }
    if shown.len() < found.groups.len() {
        output::note(&format!("{} of {} groups; more: --limit N", shown.len(), found.groups.len()));
    }
    Ok(())
}
