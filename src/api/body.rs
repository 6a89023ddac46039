//! The body of a request: JSON of the kind that its path takes, read within bounds.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::de::{self, DeserializeOwned, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::time::timeout;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::admin::Problem;
use crate::domain::order::OrderId;

/// The longest body: some thousand orders.
pub(super) const MOST_BYTES: usize = 1024 * 1024;

/// Things that one request names, at most.
pub(super) const MOST: usize = 1_000;

/// Time for the whole body.
const LIMIT: Duration = Duration::from_secs(5);

/// A body of this type, as `application/json`: no page of another site can send that without asking first.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        content_type(request.headers(), &["application/json"])?;
        parse(&bytes(request, state).await?).map(Self)
    }
}

/// Which of these the body is.
pub(super) fn content_type(headers: &HeaderMap, known: &[&'static str]) -> Result<&'static str, Problem> {
    let refused = |detail: String| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(refused("the body must not be compressed".to_owned()));
    }
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = named.split(';').next().unwrap_or_default().trim();
    let found = known.iter().find(|known| known.eq_ignore_ascii_case(named));
    found.copied().ok_or_else(|| refused(format!("Content-Type must be {}", known.join(" or "))))
}

/// All bytes of a body.
pub(super) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let late = || format!("the body has not come within {} s", LIMIT.as_secs());
    let read = timeout(LIMIT, Bytes::from_request(request, state)).await;
    let read = read.map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, late()))?;
    read.map_err(|rejection| match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(status, format!("the body has more than {MOST_BYTES} bytes"))
        }
        status => Problem::new(status, rejection.body_text()),
    })
}

/// What JSON says, or the field that is wrong.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    // Which would do for the fields in their order.
    if json.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "must be an object, and is an array"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner();
        match problem.classify() {
            serde_json::error::Category::Data if path != "." => Problem::of_field(&path, problem),
            serde_json::error::Category::Data => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, problem.to_string()),
            _ => Problem::new(StatusCode::BAD_REQUEST, format!("the body is no JSON: {problem}")),
        }
    })?;
    let rest = deserializer.end();
    rest.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("the body is no JSON: {error}")))?;
    Ok(value)
}

/// A whole number of a range, also where it is written as `7.0`: JSON knows one kind of number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole<const LEAST: i64, const MOST: i64>(pub(super) i64);

/// Up to here, two whole numbers are never the same as floating point.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

impl<'de, const LEAST: i64, const MOST: i64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not as an integer: a number with a point would be refused.
        deserializer.deserialize_any(InRange::<LEAST, MOST>)
    }
}

struct InRange<const LEAST: i64, const MOST: i64>;

impl<const LEAST: i64, const MOST: i64> Visitor<'_> for InRange<LEAST, MOST> {
    type Value = Whole<LEAST, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {LEAST} to {MOST}")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        let is_in_range = (LEAST..=MOST).contains(&number);
        is_in_range.then_some(Whole(number)).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let signed = i64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))?;
        self.visit_i64(signed)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        match number.fract() == 0.0 && number.abs() <= MOST_EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole, and far from the bounds")]
            true => self.visit_i64(number as i64),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }
}

/// In line with what holds it: a field with a comment of its own says `value_type`, as both at once are described as an object.
impl<const LEAST: i64, const MOST: i64> PartialSchema for Whole<LEAST, MOST> {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
        let object = ObjectBuilder::new().schema_type(Type::Integer).format(Some(format));
        object.minimum(Some(LEAST)).maximum(Some(MOST)).into()
    }
}

impl<const LEAST: i64, const MOST: i64> ToSchema for Whole<LEAST, MOST> {}

/// How long a hold lasts, ten years at most. The description knows types by plain names alone.
pub(super) type HoldSeconds = Whole<1, 315_576_000>;

/// Key of a row.
pub(super) type Id = Whole<1, { i64::MAX }>;

/// A time with its zone.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) Timestamp);

impl TryFrom<String> for Time {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse().map(Self).map_err(|_| "must be a time such as 2027-01-02T08:00:00Z, with its zone")
    }
}

/// 1 to 1,000 ids.
pub(super) fn ids(ids: &[Id]) -> Result<Vec<i64>, Problem> {
    match ids.len() {
        1..=MOST => Ok(ids.iter().map(|id| id.0).collect()),
        count => Err(Problem::of_field("ids", format!("must name 1 to {MOST}, and names {count}"))),
    }
}

/// The same of orders.
pub(super) fn order_ids(named: &[Id]) -> Result<Vec<OrderId>, Problem> {
    Ok(ids(named)?.into_iter().map(OrderId).collect())
}

/// Text that a person wrote, of 1 to `LONGEST` characters without control characters.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Plain<const LONGEST: usize>(pub(super) String);

impl<const LONGEST: usize> TryFrom<String> for Plain<LONGEST> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let length = text.chars().count();
        if length == 0 || length > LONGEST || text.chars().any(char::is_control) {
            return Err(format!("must be 1 to {LONGEST} characters without control characters"));
        }
        Ok(Self(text))
    }
}

/// Text of `LEAST` to `MOST` characters that a database can hold.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text<const LEAST: usize, const MOST: usize>(pub(super) String);

impl<const LEAST: usize, const MOST: usize> TryFrom<String> for Text<LEAST, MOST> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.chars().count() {
            length if (LEAST..=MOST).contains(&length) && !text.contains('\0') => Ok(Self(text)),
            _ => Err(format!("must have {LEAST} to {MOST} characters, and none of them NUL")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Asked {
        ids: Vec<Id>,
        why: Plain<5>,
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_with_its_field() {
        for (json, status, expected) in [
            (r#"{"ids":[1,0],"why":"x"}"#, 422, r#""field":"ids[1]""#),
            (r#"{"ids":["1"],"why":"x"}"#, 422, r#""field":"ids[0]""#),
            (r#"{"ids":[1.5],"why":"x"}"#, 422, "from 1 to 9223372036854775807"),
            (r#"{"ids":[-1],"why":"x"}"#, 422, r#""field":"ids[0]""#),
            (r#"{"ids":[9223372036854775808],"why":"x"}"#, 422, r#""field":"ids[0]""#),
            (r#"{"ids":[1],"why":""}"#, 422, r#""field":"why""#),
            (r#"{"ids":[1],"why":"a\nb"}"#, 422, r#""field":"why""#),
            (r#"{"ids":[1],"why":"123456"}"#, 422, r#""field":"why""#),
            (r#"{"ids":[1]}"#, 422, "missing field `why`"),
            (r#"{"ids":[1],"why":"x","colour":"red"}"#, 422, "unknown field `colour`"),
            (r#"{"ids":[1],"why":"x"} {}"#, 400, "no JSON"),
            (r#"{"ids":[1"#, 400, "no JSON"),
            (r#"[[1],"x"]"#, 422, "must be an object"),
            ("", 400, "no JSON"),
        ] {
            let problem = parse::<Asked>(json.as_bytes()).unwrap_err();
            let shown = serde_json::to_string(&problem).unwrap();
            assert!(shown.contains(expected) && shown.contains(&format!(r#""status":{status}"#)), "{json}: {shown}");
        }
    }

    #[test]
    fn a_number_is_whole_whichever_way_it_is_written_and_never_rounded() {
        let read = |json: &str| serde_json::from_str::<Id>(json).map(|id| id.0).ok();
        for (json, expected) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("7e2", Some(700)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9007199254740994.0", None),
            ("1e300", None),
            ("7.5", None),
            ("0", None),
            ("true", None),
            ("null", None),
        ] {
            assert_eq!(read(json), expected, "{json}");
        }
    }

    #[test]
    fn only_what_a_page_of_another_site_can_not_send_by_itself_is_taken() {
        let of = |name: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, name.parse().unwrap())]);
            content_type(&headers, &["application/json"])
        };
        for name in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(of(name).unwrap(), "application/json");
        }
        for name in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "",
            "text/plain, application/json",
        ] {
            assert!(of(name).is_err(), "{name}");
        }
    }
}
