//! Intake: orders as an order API puts them in, the rows first and then their messages. All of a request or none of it.

use std::collections::HashSet;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Api;
use super::body::{self, MOST, Text, Whole};
use super::parameters::Parameters;
use crate::admin::{ElementProblem, Operator, Problem};
use crate::domain::text;
use crate::operations::documents::Document;
use crate::operations::documents::intake::IntakeDocument;
use crate::operations::import::submit::{SubmitError, submit, submit_once};
use crate::operations::import::{Row, price_cents};
use crate::port::intake::{NewOrder as Placed, Request};

/// How long the queue is asked again.
const WAIT: Duration = Duration::from_secs(5);

/// The longest `Idempotency-Key`.
const MOST_KEY: usize = 255;

/// What a batch may be.
const TYPES: [&str; 3] = ["application/json", "application/x-ndjson", "application/jsonl"];

pub(super) fn router() -> Router<Api> {
    Router::new().route("/orders", post(one)).route("/orders/batch", post(batch))
}

/// An order to put in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrder {
    /// The product's name; the product is made if there is none yet.
    #[schema(value_type = String, max_length = 255, pattern = "^[^\\u0000]*$")]
    product: Text<0, 255>,
    /// Pieces.
    #[schema(value_type = i32, minimum = 1, maximum = 2147483647)]
    quantity: Quantity,
    /// The price of a product that has to be made; 0 if it is missing or null.
    #[schema(value_type = Option<String>, pattern = "^[0-9]{1,8}(\\.[0-9]{1,2})?$", example = "12.50")]
    price: Option<Price>,
    /// Follows the order into logs and traces.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = "^[^\\u0000]*$")]
    correlation_id: Option<Text<1, 256>>,
    /// What no two orders share: an order whose key is in already is left out of the answer. All orders of a request have one,
    /// or none.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 512, pattern = "^[^\\u0000]*$")]
    dedupe_key: Option<Text<1, 512>>,
}

/// Orders to put in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    #[schema(value_type = Vec<NewOrder>, min_items = 1, max_items = 1000)]
    orders: Vec<Box<RawValue>>,
}

type Quantity = Whole<1, 2_147_483_647>;

/// In hundredths.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Price(i64);

impl TryFrom<String> for Price {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits =
            |part: &str, most| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_written_so = match text.split_once('.') {
            Some((whole, hundredths)) => digits(whole, 8) && digits(hundredths, 2),
            None => digits(&text, 8),
        };
        if !is_written_so {
            return Err("must be written as \"12.50\", from 0 to 99999999.99".to_owned());
        }
        price_cents(&text).map(Self)
    }
}

/// Puts one order in
///
/// With an `Idempotency-Key` the same request may be sent again, for a week: it is answered as before, and nothing is put in twice.
/// Another request under its key is refused.
#[utoipa::path(post, path = "/api/v1/orders", tag = "intake", operation_id = "createOrder", request_body = NewOrder,
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this request among all others", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 201, description = "It is in", body = Document<IntakeDocument>),
        (status = 409, description = "Some of the orders have a `dedupe_key`, or two the same, or there is an Idempotency-Key, too", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn one(
    State(api): State<Api>,
    _: Operator,
    query: Parameters,
    request: HttpRequest,
) -> Result<Response, Problem> {
    query.none_left()?;
    let key = key(request.headers())?;
    body::content_type(request.headers(), &["application/json"])?;
    let bytes = body::bytes(request, &()).await?;
    put_in(&api, vec![body::parse(&bytes)?], key.map(|key| named(key, "one", &bytes))).await
}

/// Puts up to 1,000 orders in
///
/// All or none: where one can't be used, `errors` of the problem names each that can't, and nothing is put in.
#[utoipa::path(post, path = "/api/v1/orders/batch", tag = "intake", operation_id = "createOrders",
    request_body(content((Batch = "application/json"), (NewOrder = "application/x-ndjson"))),
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this request among all others", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 201, description = "They are in", body = Document<IntakeDocument>),
        (status = 409, description = "Some of the orders have a `dedupe_key`, or two the same, or there is an Idempotency-Key, too", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn batch(
    State(api): State<Api>,
    _: Operator,
    query: Parameters,
    request: HttpRequest,
) -> Result<Response, Problem> {
    query.none_left()?;
    let key = key(request.headers())?;
    let kind = body::content_type(request.headers(), &TYPES)?;
    let bytes = body::bytes(request, &()).await?;
    let orders = match kind {
        "application/json" => {
            let batch: Batch = body::parse(&bytes)?;
            elements(batch.orders.iter().map(|order| order.get().as_bytes()))
        }
        _ => elements(bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())),
    }?;
    put_in(&api, orders, key.map(|key| named(key, kind, &bytes))).await
}

fn elements<'a>(elements: impl Iterator<Item = &'a [u8]>) -> Result<Vec<NewOrder>, Problem> {
    let (mut orders, mut errors, mut count) = (Vec::new(), Vec::new(), 0);
    for (index, element) in elements.enumerate() {
        count = index + 1;
        if count > MOST {
            break;
        }
        match body::parse(element) {
            Ok(order) => orders.push(order),
            Err(problem) => errors.push(ElementProblem { index, detail: problem.into_detail() }),
        }
    }
    match count {
        1..=MOST if errors.is_empty() => Ok(orders),
        1..=MOST => Err(Problem::of_elements(errors)),
        _ => Err(Problem::of_field("orders", format!("must be 1 to {MOST} orders"))),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut named = headers.get_all("idempotency-key").iter();
    let (first, second) = (named.next(), named.next());
    let Some(value) = first else { return Ok(None) };
    let text = value.as_bytes();
    if second.is_none() && (1..=MOST_KEY).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic) {
        return Ok(Some(String::from_utf8_lossy(text).into_owned()));
    }
    let problem = format!("must be there once, with 1 to {MOST_KEY} visible characters of ASCII");
    Err(Problem::of_parameter("Idempotency-Key", problem))
}

/// The request under this key, which is another one if it has another body or kind.
fn named(key: String, kind: &str, body: &[u8]) -> Request {
    let mut context = Context::new(&SHA256);
    for part in [kind.as_bytes(), b"\n", body] {
        context.update(part);
    }
    Request { key, fingerprint: BASE64_STANDARD.encode(context.finish()) }
}

async fn put_in(api: &Api, orders: Vec<NewOrder>, request: Option<Request>) -> Result<Response, Problem> {
    let row = |(index, order): (usize, NewOrder)| Row {
        line: index as u64,
        order: Placed {
            product: order.product.0,
            price_cents: order.price.map_or(0, |price| price.0),
            quantity: order.quantity.0,
        },
        correlation_id: order.correlation_id.and_then(|id| text::correlation_id(&id.0)),
        dedupe_key: order.dedupe_key.map(|key| key.0),
    };
    let rows: Vec<Row> = orders.into_iter().enumerate().map(row).collect();
    let keys: HashSet<&str> = rows.iter().filter_map(|row| row.dedupe_key.as_deref()).collect();
    if !keys.is_empty() {
        let conflict = |problem| Problem::of_field("dedupe_key", problem).with_status(StatusCode::CONFLICT);
        if request.is_some() {
            return Err(conflict("and an Idempotency-Key exclude each other"));
        }
        if keys.len() < rows.len() {
            return Err(conflict("must be there in each order of the request, and no two the same"));
        }
    }
    let answer = api.decide_as(|open| async move {
        let (queue, store) = (&*open.roles.producer, &*open.roles.intake);
        let inserted = match &request {
            Some(request) => {
                submit_once(&rows, request, queue, store, Some(WAIT)).await?.ok_or_else(another_request)?
            }
            None => submit(&rows, queue, store, Some(WAIT)).await?,
        };
        Ok((StatusCode::CREATED, IntakeDocument::from(&*inserted)))
    });
    answer.await
}

fn another_request() -> Problem {
    let problem = "names another request; repeat that one as it was, or take a new key";
    Problem::of_parameter("Idempotency-Key", problem).with_status(StatusCode::UNPROCESSABLE_ENTITY)
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let text = error.to_string();
        match error {
            SubmitError::UnknownWithKeys(_) => Self::unavailable(text, 5),
            SubmitError::Refused(error) => error.into(),
            SubmitError::Unknown(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, text),
            SubmitError::NoMessages { .. } => {
                let text =
                    format!("{text}; the orders are in: don't send them again, the reconciler pushes their messages");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_that_can_not_be_used_is_named() {
        let lines = [r#"{"product":"A","quantity":1}"#, r#"{"product":"A","quantity":0}"#, "{", r#"{"product":"A"}"#];
        let problem = elements(lines.iter().map(|line| line.as_bytes())).unwrap_err();
        let shown = serde_json::to_value(&problem).unwrap();
        let errors: Vec<(u64, &str)> = shown["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (error["index"].as_u64().unwrap(), error["detail"].as_str().unwrap()))
            .collect();
        assert_eq!(errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(errors[0].1.contains("quantity") && errors[2].1.contains("quantity"), "{errors:?}");
        assert_eq!(shown["status"], 422);
    }

    #[test]
    fn a_batch_has_one_to_a_thousand_orders() {
        let order: &[u8] = br#"{"product":"","quantity":2147483647,"price":"0.5","correlation_id":"c"}"#;
        assert_eq!(elements(std::iter::repeat_n(order, MOST)).unwrap().len(), MOST);
        for count in [0, MOST + 1] {
            assert!(elements(std::iter::repeat_n(order, count)).is_err(), "{count}");
        }
    }

    #[test]
    fn prices_are_never_rounded() {
        for (text, cents) in [("0", 0), ("12.5", 1_250), ("99999999.99", 9_999_999_999)] {
            assert_eq!(Price::try_from(text.to_owned()).unwrap().0, cents, "{text}");
        }
        for text in ["", "1.", ".5", "1.005", "-1", "1e3", " 1", "100000000", "1,5"] {
            assert!(Price::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
