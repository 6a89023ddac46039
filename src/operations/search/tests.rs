use super::*;
use crate::domain::order::State;

fn filter() -> OrderFilter {
    OrderFilter { states: vec![State::Pending, State::Failed], product_id: Some(7), ..OrderFilter::default() }
}

#[test]
fn a_cursor_comes_back_from_its_text_as_it_was() {
    for below in [1, i64::MAX, -5] {
        let cursor = Cursor::new(&filter(), OrderId(below));
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
}

#[test]
fn what_is_no_cursor_is_refused_as_such() {
    let other_version = BASE64_URL_SAFE_NO_PAD.encode("2:0011aabb:5");
    let no_number = BASE64_URL_SAFE_NO_PAD.encode("1:0011aabb:five");
    for text in ["", "7", "' OR 1=1", "\u{1b}[2J", "ÿ", "MTo", &other_version, &no_number, &"A".repeat(10_000)] {
        assert_eq!(text.parse::<Cursor>(), Err(CursorError::Unreadable), "{text}");
    }
}

#[test]
fn a_fingerprint_tells_filters_apart_and_not_the_order_of_their_states() {
    let reversed = OrderFilter { states: vec![State::Failed, State::Pending], ..filter() };
    assert_eq!(fingerprint(&filter()), fingerprint(&reversed));
    let others = [
        OrderFilter { states: vec![State::Pending], ..filter() },
        OrderFilter { product_id: None, ..filter() },
        OrderFilter { correlation_id: Some("7".to_owned()), ..filter() },
        OrderFilter { older_than: Some(Duration::from_secs(7)), ..filter() },
        OrderFilter { newer_than: Some(Duration::from_secs(7)), ..filter() },
    ];
    for other in others {
        assert_ne!(fingerprint(&filter()), fingerprint(&other), "{other:?}");
    }
}
