//! `dead list --group`: dead letters by what went wrong.

use crate::cli::failure::Failure;
use crate::cli::format::FormatOptions;
use crate::cli::output;
use crate::operations::documents::letters::GroupsDocument;
use crate::operations::groups::Group;
use crate::operations::plural;

pub(super) fn show(found: &GroupsDocument, format: &FormatOptions) -> Result<(), Failure> {
    if format.is_json() {
        return output::print_json(found);
    }
    if found.groups.is_empty() {
        return output::print("no dead letters match");
    }
    let row = |group: &Group| {
        let [letters, example] = [group.letters.to_string(), group.example.to_string()];
        [letters, output::age(group.last_age_seconds), example, group.reason.clone(), group.fingerprint.clone()]
    };
    let rows: Vec<[String; 5]> = found.groups.iter().map(row).collect();
    output::print_lines(&output::table(["LETTERS", "LAST", "E.G.", "REASON", "ERROR"], &rows, format.columns()))?;
    if found.is_partial {
        output::note(&format!("of the oldest {}; narrow them by --newer-than", plural(found.looked, "dead letter")));
    }
    if found.next_cursor.is_some() {
        output::note(&format!("the {} largest groups; more: --limit N", found.groups.len()));
    }
    Ok(())
}
