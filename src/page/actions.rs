//! What an operator does on the page: each action is shown with what it will hit, confirmed once with a reason, and done by the
//! API, which notes who did it.

use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::{Value, json};

use self::action::Action;
use super::caller::Refusal;
use super::form::Form;
use super::frame::{Content, Tab};
use super::html::nothing;
use super::visit::Visit;

mod action;
mod fields;
mod letters;
mod matching;
mod told;

/// The fields that a person fills in. What an action hits does not depend on them, so one that is wrong doesn't hide it.
const FILLED_IN: [&str; 4] = ["why", "for", "value", "rate"];

/// What a dry run names as its reason.
const LOOKING: &str = "a look at what it would do";

/// Shows what an action would hit, and asks for its reason.
pub(super) async fn confirm(visit: Visit, Path(name): Path<String>) -> Response {
    let asked = Form::of_query(&visit.query);
    match Action::of(&name) {
        None => visit.answer(Tab::Overview, Err(unknown(&name))),
        Some(action) => {
            let content = confirmation(&visit, action, &asked, None).await;
            visit.answer(action.tab(), content)
        }
    }
}

/// Does it.
pub(super) async fn carry_out(visit: Visit, Path(name): Path<String>, body: Body) -> Response {
    let Some(action) = Action::of(&name) else { return visit.answer(Tab::Overview, Err(unknown(&name))) };
    let form = match Form::read(body, &visit.token).await {
        Ok(form) => form,
        Err(refusal) => return visit.answer(action.tab(), Err(refusal)),
    };
    match done(&visit, action, &form).await {
        Ok((to, notice)) => visit.done(&to, &notice).into_response(),
        // What can be mended is mended in the form, with what was filled in.
        Err(refusal) => match confirmation(&visit, action, &form, Some(&refusal)).await {
            Ok(content) => visit.answer_with(refusal.status, action.tab(), &content),
            Err(_) => visit.answer(action.tab(), Err(refusal)),
        },
    }
}

async fn done(visit: &Visit, action: Action, form: &Form) -> Result<(String, String), Refusal> {
    let body = action.body(form, form.one("why"), false)?;
    let answer: Value = visit.api.post(&action.path(form), &body).await?;
    Ok((action.leads_to(form, &answer), told::notice(action, &answer)))
}

fn unknown(name: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no action `{name}`"))
}

/// With what is wrong with the form as it was sent, where something is.
async fn confirmation(
    visit: &Visit,
    action: Action,
    asked: &Form,
    problem: Option<&Refusal>,
) -> Result<Content, Refusal> {
    if !visit.is_operator() {
        let why = "only an operator may do that: a user whom --operators names, or whoever has the admin socket";
        return Err(Refusal::new(StatusCode::FORBIDDEN, why));
    }
    let Hits { shown, is_any, button } = hits(visit, action, &asked.without(&FILLED_IN)).await?;
    let title = action.title(asked);
    let button = button.as_ref().unwrap_or(&title);
    let body = html! {
        @if let Some(Refusal { detail, .. }) = problem {
            p.problem role="alert" { (detail) }
        }
        p { (action.effect()) }
        section.card {
            h2 { "What it will hit" }
            (shown)
        }
        @if is_any {
            form.action method="post" action={ "/do/" (action.name()) } {
                (visit.token.field())
                (action.kept(asked))
                (action.fields(asked))
                label for="why" { "Reason, for whoever looks at this later" }
                input id="why" name="why" required maxlength="500" autocomplete="off" autofocus value=(asked.one("why"));
                div.buttons {
                    button.danger[action.is_final()] type="submit" { (button) }
                    a href=(action.leads_back(asked)) { "Leave it" }
                }
            }
        } @else {
            p { a href=(action.leads_back(asked)) { "Back" } }
        }
    };
    Ok(Content::new(title, body))
}

/// What an action would hit.
struct Hits {
    shown: Markup,
    is_any: bool,
    /// What stands on the button, where the title says less.
    button: Option<String>,
}

async fn hits(visit: &Visit, action: Action, asked: &Form) -> Result<Hits, Refusal> {
    if !action.has_dry_run() {
        let lines = told::without_dry_run(visit, action, asked).await?;
        let shown = html! { ul.plain { @for line in &lines { li { (line) } } } };
        return Ok(Hits { shown, is_any: true, button: None });
    }
    let answer: Value = visit.api.post(&action.path(asked), &action.body(asked, LOOKING, true)?).await?;
    if let Action::RetryMatching | Action::DiscardMatching = action {
        let (count, is_any) = letters::matching(&answer);
        let verb = if action == Action::RetryMatching { "Retry" } else { "Discard" };
        let shown = html! { (matching::words(asked)) p #count { strong { (count) } } };
        return Ok(Hits { shown, is_any, button: Some(format!("{verb} {}", letters::at_once(&answer))) });
    }
    let (lines, is_any) = told::dry_run(action, &answer);
    let shown = match lines.is_empty() {
        true => nothing("Nothing."),
        false => html! { ul.plain { @for line in &lines { li { (line) } } } },
    };
    Ok(Hits { shown, is_any, button: None })
}

/// Ids of a form, each once.
fn ids(form: &Form, name: &str) -> Result<Value, Refusal> {
    let mut ids = Vec::new();
    for text in form.all(name) {
        let id: i64 = text.parse().map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, format!("`{name}` is `{text}`, and must be a whole number"))
        })?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    match ids.is_empty() {
        true => Err(Refusal::new(StatusCode::BAD_REQUEST, format!("nothing is chosen; name at least one `{name}`"))),
        false => Ok(json!(ids)),
    }
}
