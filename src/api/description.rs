//! The description of the API (OpenAPI), made from the types that it reads and answers with.

use axum::http::StatusCode;
use axum::response::Response;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, OpenApi, Ref, RefOr};
use utoipa::{Modify, OpenApi as _};

use super::{activity, controls, dead_letters, decide, events, fleet, intake, jobs, json, orders, reason, status};
use crate::admin::{PROBLEM_TYPE, Problem};

/// Orders, dead letters and workers of one store, through one of its workers.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "fulfillment-worker",
        version = "1",
        description = "Lists come in pages: `next_cursor` of one leads to the next. Whatever is refused is refused with a problem \
                       document (RFC 9457). A worker takes few requests at once, and answers 503 with Retry-After beyond."
    ),
    paths(
        orders::list, orders::show, decide::cancel, decide::hold, decide::release, decide::enqueue,
        dead_letters::list, dead_letters::show, dead_letters::grouped, decide::retry, decide::discard,
        fleet::workers, fleet::controls, activity::list, controls::pause, controls::quiet, controls::resume, controls::concurrency,
        controls::rate, controls::clear, intake::one, intake::batch, jobs::list, jobs::show, jobs::make, jobs::cancel,
        events::list, status::show,
    ),
    components(schemas(Problem, reason::Reason, orders::StateName, jobs::body::LettersJob, jobs::body::OrdersJob, jobs::body::HoldJob)),
    modifiers(&Refusals)
)]
struct Description;

/// What any path may answer with.
const REFUSALS: [(StatusCode, &str); 8] = [
    (StatusCode::BAD_REQUEST, "A parameter can't be used; `parameter` names it"),
    (StatusCode::UNAUTHORIZED, "Nobody has logged in"),
    (StatusCode::FORBIDDEN, "The client may not do this"),
    (StatusCode::NOT_FOUND, "There is no such thing, or no such page"),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too long, or there should be none"),
    (StatusCode::TOO_MANY_REQUESTS, "Too many requests or wrong passwords; Retry-After says when to come again"),
    (StatusCode::INTERNAL_SERVER_ERROR, "Queue or store refused"),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "Queue or store doesn't answer, or too much is asked at once; Retry-After says when to come again",
    ),
];

/// And what a path with a body may.
const OF_BODIES: [(StatusCode, &str); 3] = [
    (StatusCode::REQUEST_TIMEOUT, "The body has not come in time"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of another type"),
    (StatusCode::UNPROCESSABLE_ENTITY, "The body can't be used; `field` names what is wrong"),
];

const LOGIN: &str = "login";

struct Refusals;

impl Modify for Refusals {
    fn modify(&self, api: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Basic);
        let scheme = scheme.description(Some("A user of --web-config; nobody logs in on the admin socket"));
        let components = api.components.get_or_insert_with(Components::new);
        components.add_security_scheme(LOGIN, SecurityScheme::Http(scheme.build()));
        api.security = Some(vec![SecurityRequirement::new(LOGIN, std::iter::empty::<String>())]);
        for path in api.paths.paths.values_mut() {
            for (operation, refusals) in [(&mut path.get, &[][..]), (&mut path.post, &OF_BODIES)] {
                let Some(operation) = operation else { continue };
                for (status, description) in REFUSALS.iter().chain(refusals) {
                    let content = Content::new(Some(Ref::from_schema_name("Problem")));
                    let response = ResponseBuilder::new().description(*description).content(PROBLEM_TYPE, content);
                    operation
                        .responses
                        .responses
                        .entry(status.as_str().to_owned())
                        .or_insert(RefOr::T(response.build()));
                }
            }
        }
    }
}

/// For whoever may look at the worker: there is nothing of anybody in it.
pub(super) async fn openapi() -> Result<Response, Problem> {
    json(StatusCode::OK, &Description::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::API_ROUTES;

    #[test]
    fn metrics_know_every_route_that_is_described_and_no_other() {
        let description = serde_json::to_value(Description::openapi()).unwrap();
        let of_path = |(path, item): (&String, &serde_json::Value)| {
            let methods: Vec<String> = item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
            methods.into_iter().map(|method| (method, path.clone())).collect::<Vec<_>>()
        };
        let mut described: Vec<_> = description["paths"].as_object().unwrap().iter().flat_map(of_path).collect();
        described.push(("GET".to_owned(), "/api/v1/openapi.json".to_owned()));
        described.sort();
        let known = API_ROUTES.map(|(method, path)| (method.to_owned(), path.to_owned()));
        assert_eq!(described, known);
    }

    #[test]
    fn every_path_has_an_id_of_its_own_and_says_how_it_refuses() {
        let description = serde_json::to_value(Description::openapi()).unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in description["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
                let problem = &operation["responses"]["503"]["content"][PROBLEM_TYPE]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{method} {path}");
            }
        }
        assert!(ids.len() >= 7, "{ids:?}");
    }
}
