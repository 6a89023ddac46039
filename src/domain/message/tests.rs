use proptest::prelude::*;

use super::*;

const FULL: &str = r#"{"order_id":7,"product_id":3,"quantity":2,"correlation_id":"abc-1",
    "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","timestamp":"2026-01-02T03:04:05.678Z"}"#;

fn field_of(bytes: &[u8]) -> &'static str {
    match decode(bytes) {
        Err(Poison::Field { field, .. }) => field,
        other => panic!("expected a bad field, got {other:?}"),
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_damaged_message_is_read_or_refused_without_a_panic(at in 0..FULL.len(), byte in any::<u8>()) {
        let mut bytes = FULL.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = decode(&bytes);
    }

    #[test]
    fn what_is_encoded_is_decoded(order_id in 1..i64::MAX, product_id in 1..i64::MAX, quantity in 1..i64::MAX,
                                  correlation_id in prop::option::of("[^\0]{1,40}")) {
        let message = Message { order_id, product_id, quantity, correlation_id, traceparent: None, timestamp: None };
        prop_assert_eq!(decode(&message.encode()), Ok(message));
    }
}

#[test]
fn every_given_field_is_read() {
    let message = decode(FULL.as_bytes()).unwrap();
    assert_eq!((message.order_id, message.product_id, message.quantity), (7, 3, 2));
    assert_eq!(message.correlation_id.as_deref(), Some("abc-1"));
    assert!(message.traceparent.is_some());
    assert_eq!(message.timestamp.as_deref(), Some("2026-01-02T03:04:05.678Z"));
}

#[test]
fn optional_fields_may_be_missing_null_or_empty() {
    for rest in [
        "",
        r#","correlation_id":null,"traceparent":null,"timestamp":null"#,
        r#","correlation_id":"","traceparent":"","timestamp":"""#,
    ] {
        let message = decode(format!(r#"{{"order_id":1,"product_id":1,"quantity":1{rest}}}"#).as_bytes()).unwrap();
        assert_eq!((message.correlation_id, message.traceparent, message.timestamp), (None, None, None));
    }
}

#[test]
fn unknown_fields_are_ignored() {
    assert!(decode(br#"{"order_id":1,"product_id":1,"quantity":1,"gift":{"wrap":true}}"#).is_ok());
}

#[test]
fn a_malformed_traceparent_is_dropped_and_never_an_error() {
    let json = r#"{"order_id":1,"product_id":1,"quantity":1,"traceparent":"nonsense"}"#;
    assert_eq!(decode(json.as_bytes()).unwrap().traceparent, None);
}

#[test]
fn numbers_below_one_name_their_field() {
    assert_eq!(field_of(br#"{"order_id":0,"product_id":1,"quantity":1}"#), "order_id");
    assert_eq!(field_of(br#"{"order_id":1,"product_id":-1,"quantity":1}"#), "product_id");
    assert_eq!(field_of(br#"{"order_id":1,"product_id":1,"quantity":0}"#), "quantity");
}

#[test]
fn what_is_not_a_message_is_refused_with_the_reason() {
    for (bytes, reason) in [
        (&b"not json"[..], "not an order message: expected"),
        (br#"{"product_id":1,"quantity":1}"#, "missing field `order_id`"),
        (br#"{"order_id":"1","product_id":1,"quantity":1}"#, "invalid type: string"),
        (br#"{"order_id":1.5,"product_id":1,"quantity":1}"#, "invalid type: floating point"),
        (br#"{"order_id":1,"product_id":1,"quantity":1,"timestamp":"yesterday"}"#, "field `timestamp`: not RFC 3339"),
        (br#"{"order_id":1,"product_id":1,"quantity":1,"correlation_id":"\u0000"}"#, "NUL"),
        (b" [1,1,1,null,null,null]", "not a JSON object"),
        (b"\xff\xfe", "not UTF-8 from byte 0"),
    ] {
        let error = decode(bytes).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_message_over_64_kib_is_refused_by_its_size() {
    assert_eq!(decode(&vec![b' '; MAX_MESSAGE_BYTES + 1]), Err(Poison::TooLarge(MAX_MESSAGE_BYTES + 1)));
}
