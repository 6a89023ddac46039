//! What this worker was started with: every option, its value and where that comes from, without secrets.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::Page;
use super::caller::Refusal;
use super::frame::Tab;
use super::frame::{Content, Who};
use super::html::nothing;
use super::visit::Visit;
use crate::config::ConfigurationLine;

pub(super) fn router() -> Router<Page> {
    Router::new().route("/configuration", get(show))
}

async fn show(State(page): State<Page>, visit: Visit) -> Response {
    let content = match visit.who {
        Who::Anybody => Err(Refusal::new(StatusCode::FORBIDDEN, "the configuration names servers and files")),
        Who::Viewer | Who::Operator(_) => Ok(Content::new("Configuration", lines(&page.parts.configuration))),
    };
    visit.answer(Tab::Configuration, content)
}

fn lines(configuration: &[ConfigurationLine]) -> Markup {
    let (given, defaults): (Vec<_>, Vec<_>) = configuration.iter().partition(|line| line.source != "default");
    html! {
        @if configuration.is_empty() {
            (nothing("The program that this worker runs in configured it; there are no options to show."))
        } @else {
            p.quiet {
                "Of this worker alone, as " code { "fulfillment-worker config" } " prints it. Secrets are shown as "
                code { "***" } "."
            }
            section.card {
                h2 { "Set" }
                @if given.is_empty() { (nothing("Nothing: every option has its default.")) } @else { (table("Options that are set", &given)) }
            }
            section.card {
                h2 { "Left at their defaults" }
                (table("Options with their defaults", &defaults))
            }
        }
    }
}

fn table(caption: &str, lines: &[&ConfigurationLine]) -> Markup {
    html! {
        table.cells {
            caption.unseen { (caption) }
            thead { tr { th scope="col" { "Option" } th scope="col" { "Value" } th scope="col" { "Source" } } }
            tbody {
                @for line in lines {
                    tr {
                        th scope="row" data-label="Option" { code { "--" (line.option) } }
                        td data-label="Value" {
                            @match &line.value { Some(value) => span.text { (value) }, None => span.quiet { "none" } }
                        }
                        td data-label="Source" { span.text { (line.source) } }
                    }
                }
            }
        }
    }
}
