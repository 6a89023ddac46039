//! Text that others wrote, made fit to keep and to show.
//!
//! Everything that is shown passes one of the functions here, where it is written and not where it is made: [`line()`] and
//! [`lines`] on their way to a terminal or a log of text, [`json`] and [`json_log`] on their way into JSON, [`cell`] on its
//! way into a spreadsheet. Headers hold none: what goes into one is written anew by this program.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest detail that is kept of an error or a decision, in characters.
const MAX_DETAIL_CHARS: usize = 1_000;

/// The longest correlation id that is kept, in characters.
const MAX_CORRELATION_ID_CHARS: usize = 256;

/// The first 1,000 characters, NUL replaced by `U+FFFD`: Postgres text can't hold it, and it is no reason to refuse a row.
pub fn truncate_detail(text: &str) -> String {
    cut(text, MAX_DETAIL_CHARS)
}

/// The first 256 characters of a correlation id, NUL replaced as by [`truncate_detail`]; `None` if it is empty.
pub fn correlation_id(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| cut(text, MAX_CORRELATION_ID_CHARS))
}

fn cut(text: &str, characters: usize) -> String {
    // Nearly always, and in no time: no text has more characters than bytes.
    if text.len() <= characters && !text.contains('\0') {
        return text.to_owned();
    }
    let without_nul = text.chars().map(|character| if character == '\0' { '\u{fffd}' } else { character });
    without_nul.take(characters).collect()
}

/// Whether a terminal, a viewer or a browser acts on the character instead of showing it: control characters, those that
/// turn the direction of text or end a line, and those that can't be seen. Not among them: the joiners of Persian and of
/// emoji (U+200C, U+200D), and variation selectors up to U+FE0F.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Direction.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Ends of lines.
            | '\u{2028}' | '\u{2029}'
            // Invisible: what Unicode calls default ignorable, interlinear annotations, and tags, which can hold a hidden text.
            | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// As one line, with what [`is_hidden`] as `\n`, `\u{1b}` and so on.
pub fn line(text: &str) -> Cow<'_, str> {
    replaced(text, is_hidden, |out, character| out.extend(character.escape_default()))
}

/// As [`line()`], for text of this program's own lines: line ends and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    let is_escaped = |character| is_hidden(character) && !matches!(character, '\n' | '\t');
    replaced(text, is_escaped, |out, character| out.extend(character.escape_default()))
}

/// JSON that means the same, with what [`is_hidden`] in JSON's own escapes. JSON leaves most of these characters as they are.
pub fn json(json: &str) -> Cow<'_, str> {
    // Only strings can hold them.
    replaced(json, is_escaped_in_json, |out, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String can't fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// A line of a log as JSON, with texts as [`lines`] has them: decoding the line brings no character back that a terminal
/// acts on.
pub fn json_log(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        let hidden = match character {
            '\\' => match rest.next() {
                Some('u') => {
                    let digits = rest.as_str().get(..4).unwrap_or_default();
                    rest.nth(3);
                    let named = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                    let hidden = named.filter(|named| is_hidden(*named));
                    if hidden.is_none() {
                        shown.extend(["\\u", digits]);
                    }
                    hidden
                }
                Some('b') => Some('\u{8}'),
                Some('f') => Some('\u{c}'),
                Some('r') => Some('\r'),
                other => {
                    shown.push('\\');
                    shown.extend(other);
                    None
                }
            },
            other if is_escaped_in_json(other) => Some(other),
            other => {
                shown.push(other);
                None
            }
        };
        if let Some(hidden) = hidden {
            shown.push('\\');
            shown.extend(hidden.escape_default());
        }
    }
    shown
}

/// The end of a line of JSON is none of its texts.
fn is_escaped_in_json(character: char) -> bool {
    is_hidden(character) && !matches!(character, '\n' | '\t' | '\r')
}

/// The value of a cell that no spreadsheet takes for a formula: behind `'` where it begins as one.
pub fn cell(value: &str) -> Cow<'_, str> {
    const BEGIN_FORMULAS: [char; 11] =
        ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    if value.starts_with(BEGIN_FORMULAS) { format!("'{value}").into() } else { value.into() }
}

fn replaced(text: &str, is_one: impl Fn(char) -> bool, replace: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(&is_one) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_one(character) { replace(&mut shown, character) } else { shown.push(character) }
    }
    shown.into()
}

#[cfg(test)]
mod tests;
