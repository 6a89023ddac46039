//! `dead list`: a page of dead letters.

use clap::Args;

use super::selection::FilterOptions;
use super::source::Source;
use super::{grouped, letter};
use crate::cli::failure::Failure;
use crate::cli::format::FormatOptions;
use crate::cli::output;
use crate::cli::reach::{ReachOptions, Way};
use crate::config::Origins;
use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;
use crate::operations::documents::letters::{LetterDocument, LettersDocument};
use crate::operations::plural;
use crate::port::dead_letters::{DeadLetterFilter, DeadLetterSelection};

/// List dead letters by reason, oldest first
///
/// Lines are cut at the width of the terminal; `dead show` and output that goes elsewhere have them whole.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker dead list --reason rejected --newer-than 8h
  fulfillment-worker dead list --after 50                      the next page
  fulfillment-worker dead list --resolved                      decisions with author and reason
  fulfillment-worker dead list --group                         what went wrong, and how often
  fulfillment-worker dead list --fingerprint '422: no colour #'  those of one of these groups
  fulfillment-worker dead list --json --limit 1000 | jq -r '.dead_letters[].detail' | sort | uniq -c

JSON: dead_letters[].{id,order_id,order_state,reason,detail,attempts,worker,at,age_seconds,resolution,resolved_at,
resolved_by,resolved_reason}, matching (their number on all pages), is_partial (whether there may be more, as --fingerprint took
long), next_after and next_cursor (null on the last page). With --group:
groups[].{reason,fingerprint,letters,first_at,last_at,last_age_seconds,example,example_order_id,example_detail}, looked
(letters that were read), is_partial (whether there are more than that), next_cursor (for the API).")]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: FilterOptions,

    /// List retried and discarded ones instead
    #[arg(long)]
    resolved: bool,

    /// Only dead letters with an id above this: for the next page
    #[arg(long, value_name = "ID", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,

    /// Largest number of dead letters on a page
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,

    /// Group them by reason and by what their errors have in common: how many, since when, and an example
    #[arg(long, conflicts_with = "after")]
    group: bool,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,
}

pub(super) async fn list(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    let source = match arguments.reach.way(origins)? {
        Way::Server(server) => Source::Server(server),
        Way::Stores(connect) => Source::Store(connect.open_store(origins).await?.1.dead_letters),
    };
    let selection = arguments.filter.selection(arguments.resolved);
    let limit = usize::from(arguments.limit);
    if arguments.group {
        return grouped::show(&source.groups(&selection, limit).await?, &arguments.format);
    }
    let page = source.page(&selection, arguments.after, limit).await?;
    if arguments.format.is_json() {
        return output::print_json(&page);
    }
    let kind = if arguments.resolved { "with a decision" } else { "without a decision" };
    let LettersDocument { dead_letters: letters, matching, is_partial, next_after, .. } = &page;
    if letters.is_empty() {
        return output::print(&match (next_after, matching, arguments.after) {
            (Some(after), ..) => format!("no dead letters {kind} up to id {after}; go on: --after {after}"),
            (None, 0, _) => format!("no dead letters {kind}"),
            (None, others, after) => format!("no dead letters {kind} above id {after}, and {others} up to it"),
        });
    }
    let at_least = if *is_partial { "at least " } else { "" };
    let mut lines = vec![format!("{at_least}{} {kind}", plural(*matching, "dead letter"))];
    for reason in distinct_reasons(letters) {
        let of_reason: Vec<&LetterDocument> = letters.iter().filter(|letter| letter.reason == reason).collect();
        let shown = match DeadReason::from_label(reason) {
            _ if *matching == letters.len() as u64 => of_reason.len().to_string(),
            Some(known) => {
                let filter = DeadLetterFilter { reasons: vec![known], ..selection.filter.clone() };
                let of_all = DeadLetterSelection { filter, ..selection.clone() };
                format!("{} of {}", of_reason.len(), source.page(&of_all, 0, 1).await?.matching)
            }
            None => format!("{} on this page", of_reason.len()),
        };
        lines.push(String::new());
        lines.push(format!("{reason}: {shown}"));
        lines.extend(table(&of_reason, arguments.format.columns()));
    }
    output::print_lines(&lines)?;
    if let Some(after) = next_after {
        let all = plural(*matching, "dead letter");
        output::note(&format!("{} of {at_least}{all}; next page: --after {after}", letters.len()));
    }
    Ok(())
}

/// The reasons on the page, the one of the oldest letter first.
fn distinct_reasons(letters: &[LetterDocument]) -> Vec<&str> {
    let mut reasons: Vec<&str> = Vec::new();
    for letter in letters {
        if !reasons.contains(&letter.reason.as_str()) {
            reasons.push(&letter.reason);
        }
    }
    reasons
}

/// The letters of one reason.
fn table(letters: &[&LetterDocument], width: Option<usize>) -> Vec<String> {
    let row = |letter: &&LetterDocument| {
        let [id, age, _, order, detail] = letter::cells(letter);
        [id, age, order, detail]
    };
    let rows: Vec<[String; 4]> = letters.iter().map(row).collect();
    output::table(["ID", "AGE", "ORDER", "DETAIL"], &rows, width)
}
