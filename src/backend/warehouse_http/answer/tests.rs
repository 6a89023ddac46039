use hyper::header::{HeaderName, HeaderValue};

use super::*;

const URL: &str = "https://warehouse.example/orders?key=hush";

fn read_with(kind: RequestKind, status: u16, headers: &[(HeaderName, &str)], body: &str) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
        .collect();
    let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
    let status = StatusCode::from_u16(status).unwrap();
    read(kind, &Url::parse(URL).unwrap(), status, &headers, body.as_bytes(), now)
}

fn meaning_of(status: u16, body: &str) -> Meaning {
    read_with(RequestKind::Order, status, &[], body).meaning
}

/// The kind of meaning alone, and whether the breaker counts it.
fn class(kind: RequestKind, status: u16) -> (&'static str, bool) {
    let answer = read_with(kind, status, &[(LOCATION, "/orders/1")], "");
    let name = match answer.meaning {
        Meaning::Fulfilled { .. } => "fulfilled",
        Meaning::Accepted(_) => "accepted",
        Meaning::InProgress(_) => "in progress",
        Meaning::Unavailable(_) => "unavailable",
        Meaning::Failed(_) => "failed",
        Meaning::Ambiguous(_) => "ambiguous",
        Meaning::Rejected(_) => "rejected",
    };
    (name, answer.counts_against_breaker)
}

#[test]
fn every_status_has_its_meaning() {
    let expected = |status: u16| match status {
        202 => ("accepted", false),
        200..=299 => ("fulfilled", false),
        300..=399 => ("ambiguous", true),
        408 | 425 => ("failed", false),
        409 => ("in progress", false),
        429 | 503 => ("unavailable", true),
        401 | 403 | 407 => ("rejected", true),
        400..=499 => ("rejected", false),
        _ => ("ambiguous", true),
    };
    for status in 200..=999 {
        assert_eq!(class(RequestKind::Order, status), expected(status), "{status}");
    }
}

#[test]
fn answers_about_a_status_differ_where_only_the_asking_went_wrong() {
    for status in 200..=999 {
        let expected = match status {
            422 => ("rejected", false),
            429 => ("unavailable", true),
            300..=499 => ("in progress", false),
            status => class(RequestKind::Order, status),
        };
        assert_eq!(class(RequestKind::Status, status), expected, "{status}");
    }
}

#[test]
fn an_order_is_asked_about_at_the_same_origin_only() {
    let accepted = |location: &str| match read_with(RequestKind::Order, 202, &[(LOCATION, location)], "").meaning {
        Meaning::Accepted(url) => Some(url.to_string()),
        _ => None,
    };
    assert_eq!(accepted("/orders/1").as_deref(), Some("https://warehouse.example/orders/1"));
    assert_eq!(accepted("status?of=1").as_deref(), Some("https://warehouse.example/status?of=1"));
    assert_eq!(accepted("https://warehouse.example:443/a").as_deref(), Some("https://warehouse.example/a"));
    for elsewhere in [
        "http://warehouse.example/orders/1",
        "https://warehouse.example:8443/orders/1",
        "https://warehouse.example.evil/orders/1",
        "//evil/orders/1",
        "https://warehouse.example@evil/",
        "https://somebody@warehouse.example/",
        "file:///etc/passwd",
        "http://[",
        "b\u{e4}h",
    ] {
        assert_eq!(accepted(elsewhere), None, "{elsewhere}");
    }
    let nowhere = read_with(RequestKind::Order, 202, &[], "queued").meaning;
    assert_eq!(nowhere, Meaning::InProgress("the warehouse answered 202 Accepted: queued".to_owned()));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let asked = |value: &str| read_with(RequestKind::Order, 503, &[(RETRY_AFTER, value)], "").retry_after;
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(asked("120"), seconds(120));
    assert_eq!(asked(" 0 "), seconds(0));
    assert_eq!(asked("Wed, 21 Oct 2026 07:29:30 GMT"), seconds(90));
    assert_eq!(asked("Wednesday, 21-Oct-26 07:29:30 GMT"), seconds(90));
    assert_eq!(asked("Wed Oct 21 07:29:30 2026"), seconds(90));
    assert_eq!(asked("Wed, 21 Oct 2026 07:00:00 GMT"), seconds(0), "over already");
    for long in ["86401", "18446744073709551615", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        assert_eq!(asked(long), seconds(86_400), "{long}");
    }
    for wrong in ["", "-1", "1.5", "soon", "1 s", "+5"] {
        assert_eq!(asked(wrong), None, "{wrong}");
    }
}

/// Caught: it counted from the worker's clock, and an hour's difference put a retry off by an hour.
#[test]
fn a_date_counts_from_the_time_that_the_warehouse_tells() {
    let asked = |date: &str| {
        let headers = [(RETRY_AFTER, "Wed, 21 Oct 2026 08:29:30 GMT"), (DATE, date)];
        read_with(RequestKind::Order, 503, &headers, "").retry_after
    };
    assert_eq!(asked("Wed, 21 Oct 2026 08:28:00 GMT"), Some(Duration::from_secs(90)));
    assert_eq!(asked("Wed, 21 Oct 2026 09:28:00 GMT"), Some(Duration::ZERO));
    assert_eq!(asked("yesterday"), Some(Duration::from_secs(3_690)), "by our own clock");
}

#[test]
fn the_reference_is_a_string_or_a_number_of_the_body() {
    let reference = |body: &str| match meaning_of(200, body) {
        Meaning::Fulfilled { reference } => reference,
        other => panic!("{other:?}"),
    };
    assert_eq!(reference(r#"{"reference": "WH-1", "more": [1]}"#).as_deref(), Some("WH-1"));
    assert_eq!(reference(r#"{"reference": 12345678901}"#).as_deref(), Some("12345678901"));
    assert_eq!(reference(r#"{"reference": " a\n\u0000\u001bb "}"#).as_deref(), Some("a b"));
    for none in ["", "OK", "{", "[]", r#"{"reference": null}"#, r#"{"reference": ["a"]}"#, r#"{"reference": " "}"#] {
        assert_eq!(reference(none), None, "{none}");
    }
    let long = reference(&format!(r#"{{"reference": "{}"}}"#, "ä".repeat(1_000))).unwrap();
    assert_eq!(long.chars().count(), 200);
    assert!(long.ends_with("ä…"));
}

#[test]
fn a_rejection_quotes_its_status_and_a_cleaned_excerpt() {
    let rejected = |body: &str| match meaning_of(422, body) {
        Meaning::Rejected(reason) => reason,
        other => panic!("{other:?}"),
    };
    let plain = "the warehouse answered 422 Unprocessable Entity";
    assert_eq!(rejected(""), plain);
    assert_eq!(rejected(" \r\n\t"), plain);
    assert_eq!(rejected("no such\r\n\tproduct\u{1b}[31m"), format!("{plain}: no such product [31m"));
    assert_eq!(rejected("a\u{202e}b\u{200b}c\u{feff}"), format!("{plain}: abc"));
    let long = rejected(&"x".repeat(5_000));
    assert_eq!(long.chars().count(), plain.chars().count() + ": ".len() + 300);
    assert!(long.ends_with("x…"));
    assert_eq!(rejected(&"x".repeat(300)), format!("{plain}: {}", "x".repeat(300)));
}

#[test]
fn an_excerpt_may_be_no_text_at_all() {
    let headers = HeaderMap::new();
    let body = [b'a', 0xff, 0xfe, 0, b'b'];
    let url = Url::parse(URL).unwrap();
    let answer = read(RequestKind::Order, &url, StatusCode::BAD_REQUEST, &headers, &body, SystemTime::now());
    assert_eq!(
        answer.meaning,
        Meaning::Rejected("the warehouse answered 400 Bad Request: a\u{fffd}\u{fffd} b".to_owned())
    );
}

#[test]
fn a_status_without_a_name_is_its_number() {
    assert_eq!(meaning_of(799, "?"), Meaning::Ambiguous("the warehouse answered 799: ?".to_owned()));
}

#[test]
fn a_redirect_says_that_it_was_not_followed() {
    let Meaning::Ambiguous(reason) = meaning_of(302, "") else { panic!("303 may well mean that it was done") };
    assert_eq!(reason, "the warehouse answered 302 Found; redirects are not followed");
}

#[test]
fn nothing_of_the_url_is_in_what_an_answer_says() {
    for status in [202, 302, 409, 422, 500, 503] {
        assert!(!format!("{:?}", meaning_of(status, "")).contains("hush"), "{status}");
    }
}
