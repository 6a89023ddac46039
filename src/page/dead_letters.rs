//! Dead letters: what went wrong and how often, the letters themselves, and one with its message. What is decided about them is
//! confirmed on a page of its own.

use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use self::filter::Filter;
use super::Page;
use super::caller::Refusal;
use super::frame::Content;
use super::frame::Tab;
use super::html::number;
use super::visit::Visit;
use crate::operations::documents::letters::{GroupsDocument, LettersDocument, WholeLetterDocument};

mod filter;
mod groups;
mod letter;
mod list;
mod message;
mod words;

/// Groups or letters on a page.
const ON_PAGE: usize = 50;

pub(super) fn router() -> Router<Page> {
    Router::new().route("/dead-letters", get(show)).route("/dead-letters/{id}", get(show_one))
}

async fn show(visit: Visit) -> Response {
    let content = overview(&visit).await;
    visit.answer(Tab::DeadLetters, content)
}

async fn show_one(visit: Visit, Path(id): Path<String>) -> Response {
    let content = whole(&visit, &id).await;
    visit.answer(Tab::DeadLetters, content)
}

async fn overview(visit: &Visit) -> Result<Content, Refusal> {
    let filter = Filter::of(visit);
    let cursor = visit.parameter("cursor");
    let asked = |limit: usize| filter.query_with(&[("limit", &limit.to_string()), ("cursor", &cursor)]);
    let (letters, shown) = if filter.is_list {
        let page: LettersDocument = visit.api.get(&format!("/dead-letters?{}", asked(ON_PAGE))).await?;
        let shown = list::shown(visit, &filter, &page);
        (page, shown)
    } else {
        let found: GroupsDocument = visit.api.get(&format!("/dead-letter-groups?{}", asked(ON_PAGE))).await?;
        let count = filter.query_with(&[("limit", "1")]);
        (visit.api.get(&format!("/dead-letters?{count}")).await?, groups::shown(visit, &filter, &found))
    };
    let body = html! {
        (filter.form())
        (matching(visit, &filter, &letters))
        (views(&filter))
        (shown)
    };
    Ok(Content::new("Dead letters", body))
}

/// How many match, and what can be done with all of them.
fn matching(visit: &Visit, filter: &Filter, letters: &LettersDocument) -> Markup {
    let at_least = if letters.is_partial { "At least " } else { "" };
    let kind = if filter.is_decided { "with a decision" } else { "without a decision" };
    let all = if filter.is_any() { " that match" } else { "" };
    let matches = if filter.is_any() && letters.matching == 1 { " that matches" } else { all };
    let query = filter.query();
    html! {
        section.card {
            h2 #matching { (at_least) (counted(letters.matching)) " " (kind) (matches) }
            @if filter.is_decided {
                p.quiet { "Those that were discarded can be retried one by one." }
            } @else if letters.matching > 0 && visit.is_operator() {
                div.buttons {
                    a.button href={ "/confirm/retry-matching?" (query) } { "Retry all" (all) "…" }
                    a.button href={ "/confirm/discard-matching?" (query) } { "Discard all" (all) "…" }
                }
            }
        }
    }
}

fn views(filter: &Filter) -> Markup {
    html! {
        nav.views aria-label="View" {
            @for (is_list, name) in [(false, "By what went wrong"), (true, "Each letter")] {
                a href=(filter.with_view(is_list).link(&[])) aria-current=[(is_list == filter.is_list).then_some("true")] {
                    (name)
                }
            }
        }
    }
}

async fn whole(visit: &Visit, id: &str) -> Result<Content, Refusal> {
    // Any other text is another path of the API, or none.
    let number = id.parse::<i64>().ok().filter(|id| *id > 0);
    let id = number
        .ok_or_else(|| Refusal::new(axum::http::StatusCode::NOT_FOUND, "the number of a dead letter is a whole one"))?;
    let document: WholeLetterDocument = visit.api.get(&format!("/dead-letters/{id}")).await?;
    Ok(Content::new(format!("Dead letter {id}"), letter::shown(visit, &document)))
}

/// As `1,234 dead letters`.
fn counted(letters: u64) -> String {
    let noun = if letters == 1 { "dead letter" } else { "dead letters" };
    format!("{} {noun}", number(letters))
}

/// Links to the first and to the next page.
fn pages(visit: &Visit, filter: &Filter, next: Option<&str>) -> Markup {
    let is_first = visit.parameter("cursor").is_empty();
    html! {
        @if !is_first || next.is_some() {
            nav.pages aria-label="Pages of this list" {
                @if !is_first { a href=(filter.link(&[])) rel="first" { "First page" } }
                @if let Some(cursor) = next { a href=(filter.link(&[("cursor", cursor)])) rel="next" { "Next page" } }
            }
        }
    }
}

/// A table that is a list of cards on a phone, with a caption for those who can't see it.
fn cells(caption: &str, heads: &[&str], rows: &[Markup]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.cells {
                caption.unseen { (caption) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { @for row in rows { (row) } }
            }
        }
    }
}
