//! What is promised of each reader, whatever it reads.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fulfillment_worker::backend::redis::reply;
use fulfillment_worker::backend::warehouse_http::answer::{self, Meaning, RequestKind};
use fulfillment_worker::config::file::ConfigFile;
use fulfillment_worker::config::{ConfigError, QueueTarget, SecretUrl, StoreTarget, redact};
use fulfillment_worker::domain::message;
use fulfillment_worker::operations::import::{Columns, Entry, Format, MAX_LINE_BYTES, Orders};
use redis::Value;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use url::Url;

const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(crate) fn message(bytes: &[u8]) {
    if let Ok(message) = message::decode(bytes) {
        assert!(message.order_id >= 1 && message.product_id >= 1 && message.quantity >= 1, "{message:?}");
        let kept = |id: &String| !id.contains('\0') && (1..=256).contains(&id.chars().count());
        assert!(message.correlation_id.iter().all(kept), "{message:?}");
        assert_eq!(message::decode(&message.encode()).as_ref(), Ok(&message), "not the same after a round trip");
    }
}

pub(crate) fn csv(bytes: &[u8]) {
    intake(bytes, Format::Csv);
}

pub(crate) fn jsonl(bytes: &[u8]) {
    intake(bytes, Format::Jsonl);
}

fn intake(bytes: &[u8], format: Format) {
    let Ok(orders) = Orders::read(bytes, format, &Columns::default()) else { return };
    let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
    let mut last = 0;
    for entry in orders {
        let line = match entry.expect("memory can be read") {
            Entry::Order(row) => {
                assert!((1..=i64::from(i32::MAX)).contains(&row.order.quantity), "{row:?}");
                assert!((0..=9_999_999_999).contains(&row.order.price_cents), "{row:?}");
                assert!(row.order.product.chars().count() <= 255 && !row.order.product.contains('\0'), "{row:?}");
                row.line
            }
            Entry::Rejected(rejection) => {
                assert!(rejection.raw.len() <= MAX_LINE_BYTES, "{} bytes are kept", rejection.raw.len());
                assert!(!rejection.reason.contains(['\n', '\0']), "{:?}", rejection.reason);
                rejection.line
            }
        };
        // Elements of an array may stand in one line.
        let in_order = last < line || format == Format::Jsonl && last == line;
        assert!(in_order && line <= lines, "line {line} of {lines} comes after line {last}");
        last = line;
    }
}

pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let options = ["lease", "concurrency", "events", "queue", "simulate-failures"].map(str::to_owned);
    let lines = text.split('\n').count();
    match ConfigFile::parse(Path::new("worker.toml"), text, &options) {
        Ok(file) => {
            for (value, line) in options.iter().filter_map(|option| file.get(option)) {
                assert!((1..=lines).contains(line), "`{value}` in line {line} of {lines}");
            }
        }
        Err(ConfigError::Line { line, .. }) => assert!((1..=lines).contains(&line), "line {line} of {lines}"),
        Err(error) => panic!("an error of another kind: {error}"),
    }
}

/// As `--queue` and `--store`. A `*` stands for the secret, so that it may be anywhere.
pub(crate) fn server_url(bytes: &[u8]) {
    const SECRET: &str = "Hu_sh";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = text.replace('*', SECRET);
    // The name of a parameter is said, unless it may be a piece of a password; a path has none.
    let may_be_said = text.starts_with("sqlite:") || text.split_once('?').is_none_or(|(_, query)| !query.contains('@'));
    let is_hidden =
        |problem: &str| !problem.contains(SECRET) || may_be_said && problem.starts_with("unknown parameter");
    match text.parse::<QueueTarget>() {
        Ok(QueueTarget::Redis(url)) => shown_without(SECRET, &url),
        Ok(QueueTarget::Sqlite(path)) => assert!(!path.as_os_str().is_empty()),
        Err(problem) => assert!(is_hidden(&problem), "{problem}"),
    }
    match text.parse::<StoreTarget>() {
        Ok(StoreTarget::Postgres(url)) => shown_without(SECRET, &url),
        Ok(StoreTarget::Sqlite(path)) => assert!(!path.as_os_str().is_empty()),
        Err(problem) => assert!(is_hidden(&problem), "{problem}"),
    }
    let _ = redact::user_info(&text);
}

/// Whatever stands where a password may stand is hidden.
fn shown_without(secret: &str, url: &SecretUrl) {
    let exposed = url.expose();
    let hidden = [exposed.password(), exposed.query()];
    let open = [exposed.host_str(), Some(exposed.username()), Some(exposed.path()), exposed.fragment()];
    let holds = |parts: &[Option<&str>]| parts.iter().flatten().any(|part| part.contains(secret));
    if holds(&hidden) && !holds(&open) {
        assert!(!url.to_string().contains(secret) && !format!("{url:?}").contains(secret), "{url}");
    }
}

/// As RESP, which is what Redis speaks; bytes that are none of it stand for values of every kind.
pub(crate) fn redis_reply(bytes: &[u8]) {
    let answer = redis::parse_redis_value(bytes).unwrap_or_else(|_| value(&mut bytes.iter().copied(), 0));
    if let Ok((claimed, _oddities)) = reply::claimed(answer.clone(), "token") {
        let ids: BTreeSet<_> = claimed.claims.iter().map(|claim| claim.receipt.claim_id.len()).collect();
        assert!(ids.len() <= claimed.claims.len(), "more claims than were handed out");
        assert!(claimed.claims.iter().all(|claim| claim.receipt.token == "token"), "a receipt of somebody else's");
        assert!(
            claimed.claims.iter().all(|claim| claim.oversized.is_none() || claim.message().is_err()),
            "half a message"
        );
    }
    for expected in 0..4 {
        if let Ok(verdicts) = reply::verdicts(answer.clone(), expected) {
            assert!((1..=expected).contains(&verdicts.len()), "verdicts");
        }
    }
    let _ = reply::read::<(u64, u64)>(answer.clone(), "a page");
    let _ = reply::read::<usize>(answer.clone(), "a number");
    let _ = reply::read::<String>(answer.clone(), "a text");
    if let (Ok(page), Value::Array(values)) = (reply::browsed(answer.clone()), &answer) {
        assert_eq!(page.payloads.len() + 2, values.len(), "the cursor, a number, and every payload");
    }
    if let Ok(Some(master)) = reply::master(answer.clone()) {
        assert!(is_usable(&master), "{master:?}");
    }
    if let Ok(nodes) = reply::nodes(answer.clone(), "here") {
        assert!(nodes.len() <= reply::MOST_NODES && nodes.iter().all(is_usable), "{nodes:?}");
        assert_eq!(nodes.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(), nodes.len(), "a node twice");
    }
    let _ = reply::depth(answer);
}

fn is_usable(address: &reply::Address) -> bool {
    !address.host.is_empty() && address.host != "?" && address.port != 0
}

fn value(bytes: &mut impl Iterator<Item = u8>, depth: u8) -> Value {
    let Some(kind) = bytes.next() else { return Value::Nil };
    let length = usize::from(kind / 8 % 8);
    match kind % 8 {
        0 => Value::Nil,
        1 => Value::Int(i64::MAX.wrapping_add(bytes.next().unwrap_or_default().into())),
        2 => Value::Int(bytes.next().unwrap_or_default().into()),
        3 => Value::SimpleString("OK".to_owned()),
        4 => Value::BulkString(bytes.take(length).collect()),
        5 => Value::Double(f64::NAN),
        6 => Value::Okay,
        _ if depth > 4 => Value::Boolean(true),
        _ => Value::Array((0..length).map(|_| value(bytes, depth + 1)).collect()),
    }
}

/// The first line is `POST 200` or `GET 202`; then come headers, an empty line, and the body.
pub(crate) fn http_answer(bytes: &[u8]) {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default().trim_ascii();
    let asked = if first.starts_with(b"GET") { RequestKind::Status } else { RequestKind::Order };
    let digits = first.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let status = StatusCode::from_bytes(digits).unwrap_or(StatusCode::OK);
    let mut headers = HeaderMap::new();
    for line in lines.by_ref().map(<[u8]>::trim_ascii).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let value = HeaderValue::from_bytes(value.strip_prefix(b":").unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    let body = lines.collect::<Vec<_>>().concat();
    read_answer(asked, status, &headers, &body);
}

pub(crate) fn retry_after(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    let pause = read_answer(RequestKind::Order, StatusCode::SERVICE_UNAVAILABLE, &headers, b"");
    let digits = bytes.trim_ascii();
    if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
        assert!(pause.is_some(), "seconds that are not understood");
    }
}

/// Reads the answer, and returns the pause that it asks for.
fn read_answer(kind: RequestKind, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Duration> {
    let url = Url::parse("https://user@warehouse.example:8443/orders?key=1").expect("a URL");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let answer = answer::read(kind, &url, status, headers, body, now);
    match &answer.meaning {
        Meaning::Fulfilled { reference } => {
            assert!(status.is_success(), "done with status {status}");
            let is_clean = |text: &String| !text.is_empty() && text.chars().count() <= 200 && !has_control(text);
            assert!(reference.iter().all(is_clean), "{reference:?}");
        }
        Meaning::Accepted(status_url) => {
            assert_eq!(status_url.origin(), url.origin(), "credentials would go elsewhere");
        }
        _ => {}
    }
    if let Some(reason) = answer.meaning.reason() {
        assert!(reason.chars().count() <= 450 && !has_control(reason), "{reason:?}");
    }
    assert!(answer.retry_after.is_none_or(|pause| pause <= DAY), "{:?}", answer.retry_after);
    answer.retry_after
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}
