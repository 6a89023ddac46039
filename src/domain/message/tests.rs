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
                                  correlation_id in prop::option::of("[^\0]{1,256}")) {
        let message = Message { order_id, product_id, quantity, correlation_id, traceparent: None, timestamp: None, not_before: None };
        prop_assert_eq!(decode(&message.encode()), Ok(message));
    }

    #[test]
    fn it_makes_no_difference_how_names_and_texts_are_escaped(correlation_id in ".{1,40}") {
        let escaped = |text: &str| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
        let encoded = Message { correlation_id: Some(correlation_id.clone()), ..decode(FULL.as_bytes()).unwrap() }.encode();
        let [name, text] = ["correlation_id", &correlation_id].map(escaped);
        let other = format!(r#"{{"order_id":7,"product_id":3,"quantity":2,"{name}":"{text}"}}"#);
        prop_assert_eq!(decode(&encoded).unwrap().correlation_id, decode(other.as_bytes()).unwrap().correlation_id);
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

/// Values of every JSON type, and texts that are hard to hold. None of them is an RFC 3339 time or a `traceparent`.
fn odd_values() -> Vec<String> {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let scalars = ["12345", "-0.5", "1e999", "99999999999999999999", "true", "false", "null", "[]", "{}", &deep];
    let texts = [
        r#""yesterday""#,
        r#""2025-11-24T00:00:00""#,
        r#""2025-11-24T00:00:00.1234567891Z""#,
        r#""2025-02-30T00:00:00Z""#,
        r#""99999-01-01T00:00:00Z""#,
        r#""\ud800""#,
        r#""a\udc00z""#,
        r#""\ude00\ud83d""#,
        r#""\ud83d\ud83d\ude00""#,
        r#""nul \u0000""#,
        r#"["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]"#,
        r#"{"traceparent":"\ud800","\ud800":[1e999]}"#,
    ];
    scalars.iter().chain(&texts).map(|text| (*text).to_owned()).collect()
}

#[test]
fn no_value_of_an_optional_or_unknown_field_makes_a_message_invalid() {
    for value in odd_values() {
        for name in ["correlation_id", "traceparent", "timestamp", "gift", "order\\ud800id", "\\u0000", ""] {
            let json = format!(r#"{{"order_id":7,"{name}":{value},"product_id":3,"quantity":2}}"#);
            let message = decode(json.as_bytes()).unwrap_or_else(|poison| panic!("{name}: {value}: {poison}"));
            assert_eq!((message.order_id, message.product_id, message.quantity), (7, 3, 2));
            assert_eq!((message.traceparent, message.timestamp), (None, None), "{name}: {value}");
        }
    }
}

#[test]
fn a_correlation_id_that_is_a_string_is_kept_as_far_as_it_can_be() {
    let kept = |value: &str| {
        let json = format!(r#"{{"order_id":1,"product_id":1,"quantity":1,"correlation_id":{value}}}"#);
        decode(json.as_bytes()).unwrap().correlation_id
    };
    assert_eq!(kept(r#""basket \ud83d\ude00""#).as_deref(), Some("basket 😀"));
    assert_eq!(kept(r#""basket \ud83d!""#).unwrap().replace('\u{fffd}', ""), "basket !");
    assert_eq!(kept(r#""basket\u000077""#).as_deref(), Some("basket\u{fffd}77"));
    assert_eq!(kept(&format!(r#""{}""#, "é".repeat(5_000))), Some("é".repeat(256)));
    for value in ["77", "[\"77\"]", "false", "\"\""] {
        assert_eq!(kept(value), None, "{value}");
    }
}

#[test]
fn an_escaped_name_is_the_name_and_of_an_optional_field_that_stands_twice_the_last_value_counts() {
    let json = r#"{"order\u005fid":1,"product_id":1,"quantity":1,"correlation_id":"a","correlation_id":"b"}"#;
    let message = decode(json.as_bytes()).unwrap();
    assert_eq!((message.order_id, message.correlation_id.as_deref()), (1, Some("b")));
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
        (br#"{"order_id":null,"product_id":1,"quantity":1}"#, "invalid type: null"),
        (br#"{"order_id":1,"product_id":1,"quantity":1,"order_id":1}"#, "duplicate field `order_id`"),
        (br#"{"order_id":1,"product_id":1,"quantity":1,"timestamp":}"#, "not an order message: expected value"),
        (br#"{"order_id":1,"product_id":1,"quantity":1} {}"#, "trailing characters"),
        (b" [1,1,1,null,null,null]", "invalid type: sequence, expected a JSON object"),
        (b"\xff\xfe", "not UTF-8 from byte 0"),
    ] {
        let error = decode(bytes).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_message_over_64_kib_is_refused_by_its_size() {
    // As `head -c 65537 /dev/zero | tr '\0' ' ' | sha1sum` has it.
    let sha1 = "412d9235626f1a6caf86b927b910fe3543f54622".to_owned();
    let bytes = vec![b' '; MAX_MESSAGE_BYTES + 1];
    assert_eq!(decode(&bytes), Err(Poison::TooLarge(Oversized { bytes: 65_537, sha1 })));
    assert!(!matches!(decode(&bytes[1..]), Err(Poison::TooLarge(_))));
}
