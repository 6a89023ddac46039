//! Products, quantities, prices and correlation ids, checked against the ranges of their columns.

use std::borrow::Cow;

use super::{Columns, Entry, Field, Rejection, Row};
use crate::domain::text;
use crate::port::intake::NewOrder;

/// `products.name` is a `varchar(255)`.
const MAX_PRODUCT_CHARACTERS: usize = 255;
/// `orders.quantity` is an `int`.
const MAX_QUANTITY: i64 = 2_147_483_647;
/// `products.price` is a `numeric(10, 2)`.
const MAX_PRICE_CENTS: i64 = 9_999_999_999;

/// Longest key of an order, far below what an index of Postgres takes.
const MAX_KEY_CHARACTERS: usize = 512;

/// Makes a row of the texts of its fields, of which `None` is missing, and of those of any columns by name. The error is the
/// reason.
pub(super) fn row<'a>(
    line: u64,
    columns: &Columns,
    text: impl Fn(Field) -> Result<Option<Cow<'a, str>>, String>,
    named: impl Fn(&str) -> Result<Option<Cow<'a, str>>, String>,
) -> Result<Row, String> {
    let (name, pieces) = (text(Field::Product)?, text(Field::Quantity)?);
    let (price, correlation) = (text(Field::Price)?, text(Field::CorrelationId)?);
    let order = NewOrder {
        product: product(&name.unwrap_or_default())?,
        price_cents: price.as_deref().map_or(Ok(0), price_cents)?,
        quantity: quantity(&pieces.unwrap_or_default())?,
    };
    let key = columns.dedupe.iter().map(|column| key_part(column, named(column)?)).collect::<Result<Vec<_>, _>>()?;
    // A unit separator, which no value has any business with.
    let dedupe_key = (!key.is_empty()).then(|| key.join("\u{1f}"));
    if dedupe_key.as_ref().is_some_and(|key| key.chars().count() > MAX_KEY_CHARACTERS) {
        return Err(format!("what --dedupe-column names is longer than {MAX_KEY_CHARACTERS} characters"));
    }
    Ok(Row { line, order, correlation_id: correlation.as_deref().and_then(text::correlation_id), dedupe_key })
}

fn key_part(column: &str, text: Option<Cow<'_, str>>) -> Result<String, String> {
    let text = text.map(|text| text.trim().to_owned()).unwrap_or_default();
    if text.is_empty() {
        return Err(format!("`{column}` is empty, and --dedupe-column needs it"));
    }
    if text.contains(['\0', '\u{1f}']) {
        return Err(format!("`{column}` contains a control character"));
    }
    Ok(text)
}

/// The entry of a line, whose text is `raw`.
pub(super) fn entry(line: u64, raw: Vec<u8>, row: Result<Row, String>) -> Entry {
    row.map_or_else(|reason| Entry::Rejected(Rejection { line, reason, raw }), Entry::Order)
}

/// Kept unchanged, with blanks at its ends: different names are different products.
fn product(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if length > MAX_PRODUCT_CHARACTERS {
        return Err(format!("product has {length} characters, at most {MAX_PRODUCT_CHARACTERS} are allowed"));
    }
    if text.contains('\0') {
        return Err("product contains a NUL character".to_owned());
    }
    Ok(text.to_owned())
}

fn quantity(text: &str) -> Result<i64, String> {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(quantity @ 1..=MAX_QUANTITY) => Ok(quantity),
        Ok(quantity) if quantity < 1 => Err(format!("quantity {quantity} is below 1")),
        Ok(quantity) => Err(format!("quantity {quantity} is above {MAX_QUANTITY}")),
        Err(_) => Err(format!("quantity `{}` is not a whole number from 1 to {MAX_QUANTITY}", excerpt(text))),
    }
}

/// In hundredths. Nothing is rounded: further decimals must be zeros. Empty is 0.
pub(crate) fn price_cents(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(0);
    }
    let wrong = || format!("price `{}` is not a number from 0 to 99999999.99 with at most 2 decimals", excerpt(text));
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(decimals) || text.ends_with('.') {
        return Err(wrong());
    }
    let decimals = decimals.trim_end_matches('0');
    if decimals.len() > 2 {
        return Err(wrong());
    }
    let cents = format!("{whole}{decimals:0<2}").parse().map_err(|_| wrong())?;
    if cents > MAX_PRICE_CENTS { Err(wrong()) } else { Ok(cents) }
}

/// The beginning of a text, escaped to fit in one line.
pub(super) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_whole_and_fit_the_column() {
        assert_eq!(quantity(" 6 "), Ok(6));
        assert_eq!(quantity("2147483647"), Ok(2_147_483_647));
        assert_eq!(quantity("0"), Err("quantity 0 is below 1".to_owned()));
        assert_eq!(quantity("-24"), Err("quantity -24 is below 1".to_owned()));
        assert_eq!(quantity("2147483648"), Err("quantity 2147483648 is above 2147483647".to_owned()));
        for wrong in ["", "6.0", "1e3", "six", "6 7", "99999999999999999999", "٣"] {
            assert!(quantity(wrong).unwrap_err().contains("is not a whole number"), "{wrong}");
        }
    }

    #[test]
    fn prices_are_never_rounded() {
        for (text, cents) in [
            ("2.55", 255),
            ("165", 16500),
            ("0", 0),
            ("", 0),
            ("0.1", 10),
            ("2.500", 250),
            ("99999999.99", 9_999_999_999),
        ] {
            assert_eq!(price_cents(text), Ok(cents), "{text}");
        }
        for wrong in
            ["2.555", "-1", "+1", "1,000", "1e3", ".5", "5.", "1.2.3", "100000000", "£2", "99999999999999999999"]
        {
            assert!(price_cents(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn products_have_at_most_255_characters_however_many_bytes() {
        assert_eq!(product(&"ü".repeat(255)), Ok("ü".repeat(255)));
        assert_eq!(product(&"u".repeat(256)), Err("product has 256 characters, at most 255 are allowed".to_owned()));
        assert_eq!(product("a\0b"), Err("product contains a NUL character".to_owned()));
        assert_eq!(product(""), Ok(String::new()));
        assert_eq!(product(" padded "), Ok(" padded ".to_owned()));
    }

    #[test]
    fn excerpts_are_one_short_line() {
        assert_eq!(excerpt("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(excerpt(&"x".repeat(50)), format!("{}…", "x".repeat(40)));
    }
}
