//! Text that others wrote, made fit to keep.

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
    let without_nul = text.chars().map(|character| if character == '\0' { '\u{fffd}' } else { character });
    without_nul.take(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_cut_between_characters_and_holds_no_nul() {
        assert_eq!(truncate_detail("sold\0out"), "sold\u{fffd}out");
        assert_eq!(truncate_detail(&"ä".repeat(1_001)), "ä".repeat(1_000));
    }

    #[test]
    fn a_correlation_id_is_cut_between_characters_and_holds_no_nul() {
        assert_eq!(correlation_id(""), None);
        assert_eq!(correlation_id("basket\0no"), Some("basket\u{fffd}no".to_owned()));
        assert_eq!(correlation_id(&"😀".repeat(257)), Some("😀".repeat(256)));
    }
}
