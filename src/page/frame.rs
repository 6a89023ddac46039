//! What every page has around its content.

use maud::{DOCTYPE, Markup, html};

use super::{Parts, assets};

/// A page of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Orders,
    DeadLetters,
    Jobs,
    Workers,
    Dependencies,
    Activity,
    Configuration,
}

const TABS: [(Tab, &str, &str); 8] = [
    (Tab::Overview, "/", "Overview"),
    (Tab::Orders, "/orders", "Orders"),
    (Tab::DeadLetters, "/dead-letters", "Dead letters"),
    (Tab::Jobs, "/jobs", "Jobs"),
    (Tab::Workers, "/workers", "Workers"),
    (Tab::Dependencies, "/dependencies", "Dependencies"),
    (Tab::Activity, "/activity", "Activity"),
    (Tab::Configuration, "/configuration", "Configuration"),
];

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    /// Sees numbers and states.
    Anybody,
    /// Sees orders, errors and names, too.
    Viewer,
    /// May change something, too.
    Operator(String),
}

/// A page's content under its title.
pub(super) struct Content {
    pub(super) title: String,
    pub(super) body: Markup,
}

impl Content {
    pub(super) fn new(title: impl Into<String>, body: Markup) -> Self {
        Self { title: title.into(), body }
    }
}

/// What a page has around its content.
pub(super) struct Frame<'a> {
    pub(super) parts: &'a Parts,
    pub(super) who: &'a Who,
    pub(super) tab: Tab,
    /// What came of the action before.
    pub(super) notice: Option<&'a str>,
}

/// The whole page.
pub(super) fn page(frame: &Frame<'_>, content: &Content) -> Markup {
    let [style, script] = &*assets::PATHS;
    let Frame { parts, who, tab, notice } = frame;
    let service = &parts.service_name;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (content.title) " · " (service) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(style);
                script src=(script) defer {}
            }
            body {
                a.skip href="#content" { "To the content" }
                header {
                    a.service href="/" { (service) }
                    nav aria-label="Pages" {
                        @for (of, path, name) in TABS {
                            a href=(path) aria-current=[(of == *tab).then_some("page")] { (name) }
                        }
                    }
                    (login(who))
                }
                main id="content" tabindex="-1" {
                    @if let Some(notice) = notice { p.notice role="status" { (notice) } }
                    h1 { (content.title) }
                    (content.body)
                }
                (footer(parts))
            }
        }
    }
}

fn login(who: &Who) -> Markup {
    let (name, may) = match who {
        Who::Anybody => ("not logged in".to_owned(), "sees numbers alone"),
        Who::Viewer => ("viewer".to_owned(), "may look"),
        Who::Operator(name) => (name.clone(), "may act"),
    };
    html! { span.who { (name) span.quiet { " " (may) } } }
}

fn footer(parts: &Parts) -> Markup {
    html! {
        footer {
            span { "fulfillment-worker " (env!("CARGO_PKG_VERSION")) }
            @if let Some(runbook) = &parts.runbook { a href=(runbook) rel="noreferrer" { "Runbook" } }
            @if let Some(grafana) = &parts.grafana { a href=(grafana) rel="noreferrer" { "Grafana" } }
            a href="/metrics" { "Metrics" }
            a href="/readyz" { "Readiness" }
            a href="/api/v1/openapi.json" { "API" }
        }
    }
}
