//! What somebody types to find an order: its id, its idempotency key or a correlation id.

use std::ops::RangeInclusive;

/// What may be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sought {
    /// An order's id; or a correlation id, where there is no such order.
    Id(i64),
    /// An idempotency key, with the id that it has in it; or a correlation id.
    Key(i64),
    /// A correlation id.
    CorrelationId(String),
}

const IDS: RangeInclusive<i64> = 1..=i64::MAX;

impl Sought {
    /// Reads it. A text in quotes is a correlation id in any case. `None` if nothing is meant.
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(quoted) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            return (!quoted.is_empty()).then(|| Self::CorrelationId(quoted.to_owned()));
        }
        Some(match (id(text), text.strip_prefix("order-").and_then(id_of_key)) {
            _ if text.is_empty() => return None,
            (Some(id), _) => Self::Id(id),
            (None, Some(id)) => Self::Key(id),
            (None, None) => Self::CorrelationId(text.to_owned()),
        })
    }
}

fn id(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && IDS.contains(id))
}

/// `ID-CREATED_AT`, where that is in microseconds and may be negative; or `ID` alone.
fn id_of_key(rest: &str) -> Option<i64> {
    match rest.split_once('-') {
        Some((of_order, created_at)) => created_at.parse::<i64>().ok().and_then(|_| id(of_order)),
        None => id(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::{IdempotencyKey, OrderId};

    #[test]
    fn one_field_understands_ids_keys_and_correlation_ids() {
        let correlation = |text: &str| Some(Sought::CorrelationId(text.to_owned()));
        let cases = [
            ("", None),
            ("  ", None),
            ("\"\"", None),
            (" 7 ", Some(Sought::Id(7))),
            ("\"7\"", correlation("7")),
            ("0", correlation("0")),
            ("+7", correlation("+7")),
            ("99999999999999999999", correlation("99999999999999999999")),
            ("order-7", Some(Sought::Key(7))),
            ("order-7-x", correlation("order-7-x")),
            ("order-", correlation("order-")),
            ("basket 7", correlation("basket 7")),
        ];
        for (text, expected) in cases {
            assert_eq!(Sought::of(text), expected, "{text}");
        }
    }

    #[test]
    fn every_key_leads_to_its_order() {
        for created_at in [None, Some(0), Some(1_700_000_000_000_001), Some(-5)] {
            let key = IdempotencyKey::of(OrderId(536_365), created_at).to_string();
            assert_eq!(Sought::of(&key), Some(Sought::Key(536_365)), "{key}");
        }
    }
}
