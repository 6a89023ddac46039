//! The body of a request: JSON of the kind that its path takes, read within bounds.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

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

/// Key of a row.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "i64")]
#[schema(minimum = 1, maximum = 9223372036854775807_i64)]
pub(super) struct Id(i64);

impl TryFrom<i64> for Id {
    type Error = &'static str;

    fn try_from(id: i64) -> Result<Self, &'static str> {
        if id > 0 { Ok(Self(id)) } else { Err("an id is a whole number from 1") }
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
