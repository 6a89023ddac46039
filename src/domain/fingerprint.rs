//! What errors of one kind have in common.

use crate::domain::text;

/// The longest fingerprint, in characters.
pub const MOST_CHARS: usize = 200;

/// Longest text between quotes that is taken for a value, in characters.
const MOST_QUOTED: usize = 200;

/// Fewest hexadecimal digits that are taken for a hash or an id when there are letters among them.
const FEWEST_HEX: usize = 8;

/// An error without what differs from one order to the next: `#` in the place of numbers, hexadecimal ids and UUIDs, `…` in the
/// place of what stands between quotes. A status of HTTP at its beginning stays. Errors that are of one kind for a person have
/// the same fingerprint, as far as their words are the same. It is one line with nothing hidden in it ([`text::line`]), so that it
/// can be copied from where it is shown.
pub fn fingerprint(error: &str) -> String {
    let (status, rest) = leading_status(error);
    let mut shown = status.to_owned();
    let mut rest = rest;
    let mut last = status.chars().last();
    while let Some(first) = rest.chars().next() {
        let taken = if is_of_word(first) {
            let end = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
            push_word(&mut shown, &rest[..end]);
            end
        } else if let Some((closing, end)) = quoted(rest, last) {
            shown.extend([first, '…', closing]);
            end
        } else {
            if !first.is_whitespace() {
                shown.push(first);
            } else if !shown.ends_with(' ') {
                shown.push(' ');
            }
            first.len_utf8()
        };
        last = rest[..taken].chars().last();
        rest = &rest[taken..];
    }
    // Parts of one number, of an address or of a time.
    for together in ["#.#", "#,#", "#:#", "#-#"] {
        while shown.contains(together) {
            shown = shown.replace(together, "#");
        }
    }
    let cut: String = text::line(shown.trim()).chars().take(MOST_CHARS).collect();
    cut.trim_end().to_owned()
}

fn leading_status(error: &str) -> (&str, &str) {
    let digits = error.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(error.len());
    let is_status = digits == 3 && matches!(error.as_bytes().first(), Some(b'1'..=b'5'));
    let ends = error[digits..].chars().next().is_none_or(|next| !is_of_word(next) && !matches!(next, '.' | ','));
    if is_status && ends { error.split_at(digits) } else { ("", error) }
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The closing quote and the length of what stands between quotes at the beginning; an apostrophe within a word opens nothing.
fn quoted(text: &str, before: Option<char>) -> Option<(char, usize)> {
    let first = text.chars().next()?;
    let closing = match first {
        '\'' | '"' | '`' => first,
        '“' => '”',
        '«' => '»',
        _ => return None,
    };
    if before.is_some_and(is_of_word) {
        return None;
    }
    let inside = &text[first.len_utf8()..];
    let end = inside.char_indices().take(MOST_QUOTED).find(|(_, letter)| *letter == closing)?.0;
    Some((closing, first.len_utf8() + end + closing.len_utf8()))
}

fn push_word(shown: &mut String, word: &str) {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        && digits.bytes().any(|byte| byte.is_ascii_digit())
        && (digits.len() >= FEWEST_HEX || digits.len() < word.len());
    // A part of a UUID that has no digit, or is short.
    let is_part =
        shown.ends_with("#-") && matches!(word.len(), 4 | 12) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex || is_part {
        shown.push('#');
        return;
    }
    let mut in_number = false;
    for letter in word.chars() {
        if !letter.is_numeric() {
            shown.push(letter);
        } else if !in_number {
            shown.push('#');
        }
        in_number = letter.is_numeric();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_one_order_to_the_next_is_taken_out() {
        for (error, expected) in [
            ("422: no such colour", "422: no such colour"),
            ("422: no colour 17 for order 42", "422: no colour # for order #"),
            ("503", "503"),
            ("1503 tries", "# tries"),
            ("order 536365 took 1,234.56 s", "order # took # s"),
            ("out of 'VICTORIAN SEWING BOX' today", "out of '…' today"),
            ("can't reach 10.0.0.7:8080", "can't reach #"),
            ("don't know `a` or \"b\" or “c”", "don't know `…` or \"…\" or “…”"),
            ("an 'open end", "an 'open end"),
            ("key 0194f7c2-abcd-7def-8abc-deadbeefcafe was seen", "key # was seen"),
            ("trace deadbeef01 at 0x7f", "trace # at #"),
            ("SKU85123A and SKU8A", "SKU#A and SKU#A"),
            ("at 2026-01-02T03:04:05Z", "at #T#Z"),
            ("two\n  lines\tof it ", "two lines of it"),
            ("no\u{202e} \u{1b}[2J\u{0}", "no\\u{202e} \\u{1b}[#J\\u{0}"),
            ("", ""),
            ("٣٤ items, 紅茶 9", "# items, 紅茶 #"),
        ] {
            assert_eq!(fingerprint(error), expected, "{error}");
        }
    }

    #[test]
    fn any_text_has_one_and_a_long_one_is_cut() {
        assert_eq!(fingerprint(&"é".repeat(5_000)).chars().count(), 200);
        assert_eq!(fingerprint(&format!("{} z", "é".repeat(199))), "é".repeat(199));
        for error in ["'''", "\u{1b}[2J", "#-#-", "'\u{0}'", "«", "0x", "-"] {
            fingerprint(error);
        }
    }
}
