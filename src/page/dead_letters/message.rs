//! The message of a dead letter, as it can be read best.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{Markup, html};
use serde::de::IgnoredAny;

use crate::operations::documents::letters::WholeLetterDocument;
use crate::page::html::number;

/// Levels that are indented; deeper ones stand below the last of these.
const MOST_LEVELS: usize = 16;

pub(super) fn shown(document: &WholeLetterDocument) -> Markup {
    match (&document.payload, &document.payload_base64) {
        (Some(text), _) => match indented(text) {
            Some(json) => html! {
                p.quiet { (bytes(text.len())) ", JSON:" }
                pre.message { (json) }
            },
            None => html! {
                p.quiet { (bytes(text.len())) ", text that is no JSON:" }
                pre.message { (text) }
            },
        },
        (None, Some(base64)) => {
            let size = BASE64_STANDARD.decode(base64).map_or(0, |bytes| bytes.len());
            html! {
                p.quiet { (bytes(size)) " that are no text, in base64:" }
                pre.message { (base64) }
            }
        }
        (None, None) => Markup::default(),
    }
}

fn bytes(size: usize) -> String {
    let noun = if size == 1 { "byte" } else { "bytes" };
    format!("{} {noun}", number(size as u64))
}

/// A member a line. Nothing of it is read and written anew: a number with too many digits, or a name that is there twice, is what
/// somebody may be looking for.
fn indented(json: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(json).ok()?;
    let (mut shown, mut level, mut in_text, mut is_escaped) =
        (String::with_capacity(json.len() * 2), 0_usize, false, false);
    let line = |shown: &mut String, level: usize| {
        shown.push('\n');
        shown.extend(std::iter::repeat_n("  ", level.min(MOST_LEVELS)));
    };
    for letter in json.chars() {
        match letter {
            _ if in_text => {
                shown.push(letter);
                in_text = is_escaped || letter != '"';
                is_escaped = letter == '\\' && !is_escaped;
                continue;
            }
            ' ' | '\t' | '\n' | '\r' => continue,
            '}' | ']' => {
                level = level.saturating_sub(1);
                if !shown.ends_with(['{', '[']) {
                    line(&mut shown, level);
                }
            }
            _ if shown.ends_with(['{', '[']) => line(&mut shown, level),
            _ => {}
        }
        shown.push(letter);
        match letter {
            '"' => in_text = true,
            '{' | '[' => level += 1,
            ',' => line(&mut shown, level),
            ':' => shown.push(' '),
            _ => {}
        }
    }
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_every_token_stays_as_it_was() {
        let json = r#"{"id":12345678901234567890123,"id":1.10,"a\"{":[],"b":[{}, [1,"\\"]],"c":{"d":null}}"#;
        let expected = "{\n  \"id\": 12345678901234567890123,\n  \"id\": 1.10,\n  \"a\\\"{\": [],\n  \"b\": [\n    {},\n    [\n      1,\n      \
                        \"\\\\\"\n    ]\n  ],\n  \"c\": {\n    \"d\": null\n  }\n}";
        assert_eq!(indented(json).unwrap(), expected);
        assert_eq!(indented(" 7 ").unwrap(), "7");
        assert_eq!(indented("\"{[\"").unwrap(), "\"{[\"");
    }

    #[test]
    fn what_is_no_json_is_not_indented_and_a_deep_one_does_not_grow_without_bound() {
        for text in ["", "{", "{} {}", "order 7", "{'a': 1}"] {
            assert_eq!(indented(text), None, "{text}");
        }
        let deep = format!("{}{}{}", "[".repeat(100), "[],".repeat(1_000) + "[]", "]".repeat(100));
        assert!(indented(&deep).unwrap().len() < deep.len() * 20);
    }
}
