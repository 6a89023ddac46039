//! The actions: their names in addresses, their paths in the API, and what a form says of them.

use enum_map::Enum;
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use strum::IntoStaticStr;

use super::fields::{lasts, number, text, whole};
use super::{ids, matching};
use crate::domain::label::Label;
use crate::page::caller::Refusal;
use crate::page::form::Form;
use crate::page::frame::Tab;

/// Something that an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum Action {
    Cancel,
    Hold,
    Release,
    Enqueue,
    Retry,
    Discard,
    RetryMatching,
    DiscardMatching,
    Pause,
    Quiet,
    Resume,
    LimitConcurrency,
    LimitRate,
    ClearLimit,
    StopJob,
}

impl Action {
    /// The one of this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::from_label(name)
    }

    pub(super) fn name(self) -> &'static str {
        self.as_str()
    }

    /// The page that it belongs to.
    pub(super) fn tab(self) -> Tab {
        match self {
            Self::Cancel | Self::Hold | Self::Release | Self::Enqueue => Tab::Orders,
            Self::Retry | Self::Discard | Self::RetryMatching | Self::DiscardMatching => Tab::DeadLetters,
            Self::StopJob => Tab::Jobs,
            _ => Tab::Workers,
        }
    }

    /// Below `/api/v1`.
    pub(super) fn path(self, form: &Form) -> String {
        match self {
            Self::Cancel | Self::Hold | Self::Release | Self::Enqueue => format!("/orders/{}", self.name()),
            Self::Retry | Self::Discard => format!("/dead-letters/{}", self.name()),
            Self::RetryMatching | Self::DiscardMatching => "/jobs".to_owned(),
            Self::Pause | Self::Quiet | Self::Resume => format!("/{}", self.name()),
            Self::LimitConcurrency => "/limits/concurrency".to_owned(),
            Self::LimitRate => "/limits/rate".to_owned(),
            Self::ClearLimit => "/limits/clear".to_owned(),
            // A number or nothing: no other path.
            Self::StopJob => format!("/jobs/{}/cancel", form.one("id").parse::<u64>().unwrap_or_default()),
        }
    }

    /// Whether the API can say what it would do.
    pub(super) fn has_dry_run(self) -> bool {
        !matches!(self.tab(), Tab::Workers | Tab::Jobs)
    }

    /// Whether it can't be undone.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Cancel | Self::Discard | Self::DiscardMatching | Self::StopJob)
    }

    /// What the API is told.
    pub(super) fn body(self, form: &Form, why: &str, dry_run: bool) -> Result<Value, Refusal> {
        let mut body = Map::from_iter([("why".to_owned(), json!(why))]);
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                body.insert(name.to_owned(), value);
            }
        };
        if self.has_dry_run() {
            put("dry_run", json!(dry_run));
        }
        match self {
            Self::Cancel | Self::Hold | Self::Release | Self::Enqueue => put("ids", ids(form, "id")?),
            Self::Retry | Self::Discard => put("ids", ids(form, "letter")?),
            Self::RetryMatching | Self::DiscardMatching => {
                put("kind", json!(if self == Self::RetryMatching { "dead_retry" } else { "dead_discard" }));
                put("selection", matching::selection(form)?);
                put("rate", whole(form, "rate")?);
            }
            Self::Quiet | Self::Resume | Self::LimitConcurrency | Self::LimitRate | Self::ClearLimit => {
                put("worker", text(form, "worker"));
            }
            Self::Pause | Self::StopJob => {}
        }
        match self {
            Self::Hold | Self::Pause | Self::Quiet | Self::LimitConcurrency | Self::LimitRate => {
                put("for_seconds", lasts(form)?);
            }
            _ => {}
        }
        match self {
            Self::LimitConcurrency => put("value", whole(form, "value")?),
            Self::LimitRate => put("value", json!(number(form, "value")?)),
            Self::ClearLimit => put("limit", text(form, "limit")),
            _ => {}
        }
        Ok(Value::Object(body))
    }

    /// Its title, and its button.
    pub(super) fn title(self, form: &Form) -> String {
        let orders = || named("order", &form.all("id"));
        let letters = || named("dead letter", &form.all("letter"));
        let whom = || match form.one("worker") {
            "" => "the fleet".to_owned(),
            worker => format!("worker {worker}"),
        };
        match self {
            Self::Cancel => format!("Cancel {}", orders()),
            Self::Hold => format!("Hold {}", orders()),
            Self::Release => format!("Release {}", orders()),
            Self::Enqueue => format!("Push the message of {} again", orders()),
            Self::Retry => format!("Retry {}", letters()),
            Self::Discard => format!("Discard {}", letters()),
            Self::RetryMatching => "Retry all that match".to_owned(),
            Self::DiscardMatching => "Discard all that match".to_owned(),
            Self::Pause => "Pause the fleet".to_owned(),
            Self::Quiet => format!("Quiet {}", whom()),
            Self::Resume => format!("Resume {}", whom()),
            Self::LimitConcurrency => format!("Limit the calls at once of {}", whom()),
            Self::LimitRate => format!("Limit the claims of {}", whom()),
            Self::ClearLimit => format!("Clear the limit of {}", whom()),
            Self::StopJob => format!("Stop job {}", form.one("id")),
        }
    }

    /// What it does, in words.
    pub(super) fn effect(self) -> &'static str {
        match self {
            Self::Cancel => {
                "A cancelled order is never begun again. Whether one that is being worked on was shipped, only the warehouse knows."
            }
            Self::Hold => "No worker begins a held order until it is released or its time is over.",
            Self::Release => "A released order is worked on as soon as a worker is free.",
            Self::Enqueue => "A message too many does no harm: the order's row decides.",
            Self::Retry => {
                "The order is pending again, under the same idempotency key, and begins with its first attempt. A letter whose order \
                 didn't fail with it has its message pushed again."
            }
            Self::Discard => "The dead letter is closed, and its order stays failed. It can still be retried later.",
            Self::RetryMatching => {
                "A job puts their orders back to pending, under the same idempotency keys, and pushes their messages. Workers work it \
                 off, at the rate that you set. It takes the letters of now: those that come later stay as they are."
            }
            Self::DiscardMatching => {
                "A job closes them, and workers work it off. Their orders stay failed. It takes the letters of now: those that come \
                 later stay as they are. One that was closed by mistake can still be retried."
            }
            Self::Pause => "No worker claims an order until the pause ends. Orders in hand are finished.",
            Self::Quiet => "This worker claims no order until it is resumed. Orders in hand are finished.",
            Self::Resume => "Orders are claimed again within two seconds.",
            Self::LimitConcurrency => "No worker makes more calls to the warehouse at once.",
            Self::LimitRate => "No worker claims more orders per second.",
            Self::ClearLimit => "What the configuration says is in force again.",
            Self::StopJob => "What it has done stays done.",
        }
    }

    /// What it asks besides the reason.
    pub(super) fn fields(self, asked: &Form) -> Markup {
        let value = match self {
            Self::LimitConcurrency => Some(("Calls at once, of each worker", "1", "100000", "1")),
            Self::LimitRate => Some(("Claims per second, of each worker", "0.001", "1000000", "any")),
            _ => None,
        };
        let has_end = matches!(self, Self::Hold | Self::Pause | Self::Quiet | Self::LimitConcurrency | Self::LimitRate);
        html! {
            @if let Some((label, least, most, step)) = value {
                label for="value" { (label) }
                input id="value" name="value" type="number" required min=(least) max=(most) step=(step) value=(asked.one("value"));
            }
            @if has_end {
                label for="for" { "For how long, such as " code { "30m" } " or " code { "8h" } "; empty for no end" }
                input id="for" name="for" autocomplete="off" pattern="[0-9a-z ]*" maxlength="40" value=(asked.one("for"));
            }
            @if matches!(self, Self::RetryMatching | Self::DiscardMatching) {
                label for="rate" { "Dead letters per second, at most; empty for as fast as it goes" }
                input id="rate" name="rate" type="number" min="1" max="10000" step="1"
                    value=(if asked.names().any(|name| name == "rate") { asked.one("rate") } else { "100" });
            }
        }
    }

    /// What it is about, for the form to send again.
    pub(super) fn kept(self, asked: &Form) -> Markup {
        html! {
            @for name in ["id", "letter", "worker", "limit"] {
                @for value in asked.all(name) { input type="hidden" name=(name) value=(value); }
            }
            (matching::kept(asked))
        }
    }

    /// The page to go back to.
    pub(super) fn leads_back(self, form: &Form) -> String {
        let one = |name: &str, all: Vec<String>, list: &str| match &all[..] {
            [id] if id.bytes().all(|byte| byte.is_ascii_digit()) => format!("{name}/{id}"),
            _ => list.to_owned(),
        };
        match self {
            Self::Cancel | Self::Hold | Self::Release | Self::Enqueue => one("/orders", form.all("id"), "/orders"),
            Self::Retry | Self::Discard => one("/dead-letters", form.all("letter"), "/dead-letters"),
            Self::RetryMatching | Self::DiscardMatching => matching::list(form),
            Self::StopJob => one("/jobs", form.all("id"), "/jobs"),
            _ => "/workers".to_owned(),
        }
    }

    /// The page that shows what came of it.
    pub(super) fn leads_to(self, form: &Form, answer: &Value) -> String {
        match (self, answer["job"]["id"].as_i64()) {
            (Self::RetryMatching | Self::DiscardMatching, Some(job)) => format!("/jobs/{job}"),
            _ => self.leads_back(form),
        }
    }
}

fn named(noun: &str, ids: &[String]) -> String {
    match ids {
        [id] => format!("{noun} {id}"),
        ids => format!("{} {noun}s", ids.len()),
    }
}
