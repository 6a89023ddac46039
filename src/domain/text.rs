//! Text that others wrote, made fit to keep.

/// The longest detail that is kept of an error or a decision, in characters.
const MAX_DETAIL_CHARS: usize = 1_000;

/// The first 1,000 characters, NUL replaced by `U+FFFD`: Postgres text can't hold it, and it is no reason to refuse a row.
pub fn truncate_detail(text: &str) -> String {
    let without_nul = text.chars().map(|character| if character == '\0' { '\u{fffd}' } else { character });
    without_nul.take(MAX_DETAIL_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_cut_between_characters_and_holds_no_nul() {
        assert_eq!(truncate_detail("sold\0out"), "sold\u{fffd}out");
        assert_eq!(truncate_detail(&"ä".repeat(1_001)), "ä".repeat(1_000));
    }
}
