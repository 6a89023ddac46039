//! What becomes of dead letters, in words.

use serde_json::Value;

use crate::operations::letters::{DecidedLetter, DecidedLetters, LetterResult};
use crate::page::html::number;

/// Letters that a notice names one by one.
const MOST_NAMED: usize = 3;

/// How many match, in a sentence, and whether any does.
pub(super) fn matching(answer: &Value) -> (String, bool) {
    match answer["matching"].as_u64() {
        None | Some(0) => ("No dead letter matches.".to_owned(), false),
        Some(1) if answer["is_partial"] != true => ("1 dead letter matches.".to_owned(), true),
        Some(_) if answer["is_partial"] == true => (
            format!(
                "At least {} match: not all were looked at within a few seconds. The job goes through all.",
                letters(answer)
            ),
            true,
        ),
        Some(_) => (format!("{} match.", letters(answer)), true),
    }
}

/// As `1,234 dead letters`, or `at least 1,234 dead letters`.
pub(super) fn at_once(answer: &Value) -> String {
    let at_least = if answer["is_partial"] == true { "at least " } else { "" };
    format!("{at_least}{}", letters(answer))
}

fn letters(answer: &Value) -> String {
    counted(answer["matching"].as_u64().unwrap_or_default())
}

fn counted(letters: u64) -> String {
    let noun = if letters == 1 { "dead letter" } else { "dead letters" };
    format!("{} {noun}", number(letters))
}

/// What would become of each, and whether anything would.
pub(super) fn would(answer: &Value) -> (Vec<String>, bool) {
    let DecidedLetters { dead_letters, .. } = read(answer);
    let lines = dead_letters.iter().map(|letter| line(letter, "would be")).collect();
    (lines, dead_letters.iter().any(|letter| is_done(letter.result)))
}

/// What became of them: of each, or how many of each kind.
pub(super) fn did(answer: &Value) -> String {
    let DecidedLetters { dead_letters, .. } = read(answer);
    if dead_letters.len() <= MOST_NAMED {
        let lines: Vec<String> = dead_letters.iter().map(|letter| line(letter, "is")).collect();
        return lines.join("; ");
    }
    let (done, left): (Vec<_>, Vec<_>) = dead_letters.iter().partition(|letter| is_done(letter.result));
    let verb = match done.first().map(|letter| letter.result) {
        Some(LetterResult::Discarded) => "closed",
        _ => "retried",
    };
    let mut parts = vec![format!("{} {verb}", counted(done.len() as u64))];
    if let Some(first) = left.first() {
        parts.push(format!("{} not, such as {}", number(left.len() as u64), line(first, "is")));
    }
    parts.join("; ")
}

fn read(answer: &Value) -> DecidedLetters {
    serde_json::from_value(answer.clone()).unwrap_or_default()
}

fn is_done(result: LetterResult) -> bool {
    match result {
        LetterResult::Redriven | LetterResult::Pushed | LetterResult::PushedAgain | LetterResult::Discarded => true,
        LetterResult::Skipped | LetterResult::Refused | LetterResult::Cut | LetterResult::Missing => false,
    }
}

fn line(letter: &DecidedLetter, is: &str) -> String {
    let what = match letter.result {
        LetterResult::Redriven => format!("its order {is} pending again"),
        LetterResult::Pushed => format!("its message {is} pushed"),
        LetterResult::PushedAgain => format!("its message {is} pushed once more"),
        LetterResult::Discarded => format!("{is} closed"),
        LetterResult::Skipped => format!("{is} left as it is"),
        LetterResult::Refused => "the database refuses it".to_owned(),
        LetterResult::Cut => "can't be retried".to_owned(),
        LetterResult::Missing => format!("{is} left out"),
    };
    let why = letter.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("dead letter {}: {what}{why}", letter.id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(results: &[&str]) -> Value {
        let letter = |(at, result): (usize, &&str)| json!({"id": at + 1, "result": result, "why": (*result == "skipped").then_some("order 7 is fulfilled")});
        json!({"version": 1, "dry_run": true, "problem": null, "dead_letters": results.iter().enumerate().map(letter).collect::<Vec<_>>()})
    }

    #[test]
    fn nothing_is_asked_for_where_nothing_would_be_done() {
        let (lines, is_any) = would(&answer(&["redriven", "skipped"]));
        assert_eq!(
            lines,
            [
                "dead letter 1: its order would be pending again",
                "dead letter 2: would be left as it is: order 7 is fulfilled"
            ]
        );
        assert!(is_any && !would(&answer(&["skipped", "missing"])).1 && !would(&answer(&[])).1);
    }

    #[test]
    fn a_few_letters_are_named_and_of_many_it_is_said_how_many() {
        assert_eq!(did(&answer(&["discarded"])), "dead letter 1: is closed");
        let many = answer(&["redriven", "pushed", "skipped", "redriven", "skipped"]);
        assert_eq!(
            did(&many),
            "3 dead letters retried; 2 not, such as dead letter 3: is left as it is: order 7 is fulfilled"
        );
    }

    #[test]
    fn what_matches_is_counted_and_an_incomplete_count_says_so() {
        assert_eq!(matching(&json!({"matching": 1, "is_partial": false})), ("1 dead letter matches.".to_owned(), true));
        assert_eq!(
            matching(&json!({"matching": 1_234, "is_partial": false})),
            ("1,234 dead letters match.".to_owned(), true)
        );
        let partial = json!({"matching": 1_234, "is_partial": true});
        assert!(matching(&partial).0.starts_with("At least 1,234 dead letters match"));
        assert_eq!(
            (at_once(&partial).as_str(), matching(&json!({"matching": 0})).1),
            ("at least 1,234 dead letters", false)
        );
    }
}
