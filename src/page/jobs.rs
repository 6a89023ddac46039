//! Jobs: what was decided about everything that matches a filter, and how far that is.

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::Page;
use super::caller::Refusal;
use super::frame::Content;
use super::frame::Tab;
use super::html::{ago, nothing, number, query, state, time};
use super::visit::Visit;
use crate::operations::documents::jobs::{JobDocument, JobJson, JobsDocument};

mod words;

/// How often the page of an open job is asked for again, in seconds.
const REFRESH: &str = "2";

/// Jobs of a page.
const ON_PAGE: &str = "50";

pub(super) fn router() -> Router<Page> {
    Router::new().route("/jobs", get(list)).route("/jobs/{id}", get(show))
}

async fn list(visit: Visit) -> Response {
    let content = jobs(&visit).await;
    visit.answer(Tab::Jobs, content)
}

async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    let content = match id.parse::<u64>() {
        Ok(id) => job(&visit, id).await,
        Err(_) => Err(Refusal::new(StatusCode::NOT_FOUND, format!("`{id}` is no job's number"))),
    };
    visit.answer(Tab::Jobs, content)
}

async fn jobs(visit: &Visit) -> Result<Content, Refusal> {
    let cursor = visit.parameter("cursor");
    let asked = query([("limit", ON_PAGE), ("cursor", cursor.as_str())]);
    let page: JobsDocument = visit.api.get(&format!("/jobs?{asked}")).await?;
    let body = html! {
        p.quiet {
            "What was decided about everything that matches a filter, such as " q { "retry all that match" }
            ". Workers work it off. Of jobs that have ended, the last 1,000 are kept."
        }
        @if page.jobs.is_empty() {
            (nothing("No jobs."))
        } @else {
            (table(&page.jobs))
        }
        div.pages {
            @if !cursor.is_empty() { a href="/jobs" { "The newest" } }
            @if let Some(next) = &page.next_cursor {
                a href={ "/jobs?" (query([("cursor", next.as_str())])) } rel="next" { "Older jobs" }
            }
        }
    };
    Ok(Content::new("Jobs", body))
}

fn table(jobs: &[JobJson]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Jobs" {
            table.cells {
                caption.unseen { "Jobs, the newest first" }
                thead {
                    tr {
                        th scope="col" { "Job" }
                        th scope="col" { "State" }
                        th scope="col" { "What" }
                        th scope="col" { "Progress" }
                        th scope="col" { "Who and why" }
                        th scope="col" { "Made" }
                    }
                }
                tbody { @for job in jobs { (row(job)) } }
            }
        }
    }
}

fn row(job: &JobJson) -> Markup {
    html! {
        tr {
            th scope="row" data-label="Job" { a href={ "/jobs/" (job.id) } aria-label={ "Job " (job.id) } { (job.id) } }
            td data-label="State" { (state(&job.state)) }
            td data-label="What" { span.text { (words::kind(&job.kind)) ": " (words::filter(job)) } }
            td data-label="Progress" {
                span {
                    (words::progress(job))
                    @if let Some(problem) = &job.problem { br; span.text { "Problem: " (problem) } }
                }
            }
            td data-label="Who and why" { span.text { (job.by) ": " (job.why) } }
            td data-label="Made" { span.nowrap title=(job.made_at) { (ago(job.age_seconds)) } }
        }
    }
}

async fn job(visit: &Visit, id: u64) -> Result<Content, Refusal> {
    let JobDocument { job } = visit.api.get(&format!("/jobs/{id}")).await?;
    let is_open = job.ended_at.is_none();
    let body = html! {
        p.quiet id="lost" role="status" {}
        section.card id="job" aria-label="The job" data-refresh=[is_open.then_some(REFRESH)] {
            (progress(&job))
            (facts(&job))
            @if is_open && visit.is_operator() {
                div.buttons { a.button id="stop" href={ "/confirm/stop-job?id=" (id) } { "Stop the job" } }
            }
        }
        p { a href="/jobs" { "All jobs" } }
    };
    Ok(Content::new(format!("Job {id}: {}", words::kind(&job.kind)), body))
}

fn progress(job: &JobJson) -> Markup {
    let decided = words::decided(job);
    html! {
        p { (state(&job.state)) " " (words::progress(job)) }
        // As far as they were counted: there may be more.
        progress max=(job.matching.max(decided).max(1)) value=(decided) aria-label="Decided about" {}
        @if let Some(problem) = &job.problem { p.problem { (problem) } }
    }
}

fn facts(job: &JobJson) -> Markup {
    html! {
        dl.facts {
            dt { "What" }
            dd { (words::kind(&job.kind)) }
            dt { "Filter" }
            dd { (words::filter(job)) }
            dt { "Done" }
            dd { (number(job.done)) }
            dt { "Skipped" }
            dd { (number(job.skipped)) span.quiet { " there was nothing to do" } }
            dt { "Refused" }
            dd { (number(job.refused)) span.quiet { " it could not be done" } }
            dt { "Rate" }
            dd { @match job.rate { Some(rate) => { "at most " (number(u64::from(rate))) " per second" }, None => "as fast as it goes" } }
            dt { "Worker" }
            dd { @match &job.worker { Some(worker) => span.mono { (worker) }, None => span.quiet { "none has it" } } }
            dt { "Who" }
            dd { (job.by) }
            dt { "Why" }
            dd { (job.why) }
            dt { "Made" }
            dd { (time(&job.made_at)) span.quiet { ", " (ago(job.age_seconds)) } }
            @if let Some(ended) = &job.ended_at {
                dt { "Ended" }
                dd { (time(ended)) }
            }
        }
    }
}
