//! `pause`, `resume`, `quiet` and `limit`: what workers may claim.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args};
use serde_json::{Map, Value};

use super::author;
use super::failure::Failure;
use super::format::FormatOptions;
use super::output;
use super::reach::{ReachOptions, Way, whole_seconds};
use crate::config::Origins;
use crate::config::environment::Environment;
use crate::config::values;
use crate::domain::label::Label;
use crate::operations::controls::{self, ControlError, FOLLOW_LIMIT, Followed, SetControlJson};
use crate::operations::documents::fleet::{ControlsDocument, FollowedDocument};
use crate::operations::plural;
use crate::port::controls::{Control, Target};
use crate::port::dead_letters::Decision;

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(8_766 * 3_600);

const DECISION: &str = "Decision";

/// For each command that changes something.
#[derive(Debug, Args)]
struct DecisionOptions {
    /// Author of the decision; if not set, your login name, or user id and host such as `1000@host` where no variable
    /// has one
    #[arg(long, value_name = "NAME", value_parser = values::text(100), help_heading = DECISION)]
    actor: Option<String>,

    #[command(flatten)]
    format: FormatOptions,

    #[command(flatten)]
    reach: ReachOptions,
}

impl DecisionOptions {
    /// Fails where an author is named whom a server would not take.
    fn no_actor(&self) -> Result<(), Failure> {
        author::is_the_login(self.actor.as_ref())
    }

    fn decision(&self, why: &str, environment: &Environment) -> Result<Decision, Failure> {
        Ok(Decision { by: author::author(self.actor.as_ref(), environment)?, reason: why.to_owned() })
    }
}

/// Pause the fleet: no worker claims a message
///
/// In force on every worker within 2 s, and kept in the store until `resume`: workers that start later claim nothing either.
/// Calls under way finish, leases are kept, and messages and retries wait in the queue. Waits up to 5 s until each worker that
/// reports has stopped to claim, and names those that have not. Workers of versions that have no `pause` don't report, and go on.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker pause --why 'the warehouse moves'
  fulfillment-worker pause --for 2h --why 'the warehouse moves'     resumes by itself
  fulfillment-worker resume --why 'moved'

JSON: version, changed, holding and outstanding (workers that have stopped to claim, and that have not). Exit code 1 where
some have not.")]
pub(super) struct PauseArguments {
    /// Reason, in your words: kept with the pause and in the activity
    #[arg(long, value_name = "TEXT", value_parser = values::text(500), help_heading = DECISION)]
    why: String,

    /// How long it lasts, by the store's clock; until `resume` if not set
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration(SECOND, YEAR))]
    lasts: Option<Duration>,

    #[command(flatten)]
    options: DecisionOptions,
}

/// Quiet one worker: it claims no further message
///
/// As `pause`, for the one worker that `workers` lists by this name. It goes on until `resume WORKER`, or until that worker
/// ends: the next start has another name.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker workers
  fulfillment-worker quiet 3f1c9a0be4d27786 --why 'its host is to be drained'
  fulfillment-worker resume 3f1c9a0be4d27786 --why 'the host stays'

JSON: as of `pause`.")]
pub(super) struct QuietArguments {
    /// The worker's name in `workers`
    #[arg(value_name = "WORKER", value_parser = values::text(100))]
    worker: String,

    /// Reason, in your words: kept with the pause and in the activity
    #[arg(long, value_name = "TEXT", value_parser = values::text(500), help_heading = DECISION)]
    why: String,

    /// How long it lasts, by the store's clock; until `resume` if not set
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration(SECOND, YEAR))]
    lasts: Option<Duration>,

    #[command(flatten)]
    options: DecisionOptions,
}

/// Resume the fleet after `pause`, or one worker after `quiet`
///
/// Does no harm where nothing is paused. A worker that is quiet stays so when the fleet resumes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker resume --why 'the warehouse is back'
  fulfillment-worker resume 3f1c9a0be4d27786 --why 'the host stays'

JSON: version, changed (false where nothing was paused), holding and outstanding (empty).")]
pub(super) struct ResumeArguments {
    /// The worker to resume; without it, the fleet
    #[arg(value_name = "WORKER", value_parser = values::text(100))]
    worker: Option<String>,

    /// Reason, in your words: kept in the activity
    #[arg(long, value_name = "TEXT", value_parser = values::text(500), help_heading = DECISION)]
    why: String,

    #[command(flatten)]
    options: DecisionOptions,
}

/// Limit how much each worker takes on, or list what is set
///
/// `concurrency` is the number of calls to the fulfiller at once of each worker, and `rate` the messages that each claims per
/// second. The lowest of what is configured, set for the fleet and set for the worker holds. Calls under way finish.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  fulfillment-worker limit                                                 list pauses and limits
  fulfillment-worker limit concurrency 50 --for 2h --why 'warehouse is slow'
  fulfillment-worker limit rate 10 --worker 3f1c9a0be4d27786 --why 'a trial'
  fulfillment-worker limit concurrency off --why 'warehouse is fast again'

JSON: version, changed, and controls: each with control (pause, concurrency, rate), worker (null: the fleet), value, by, why,
since, age_seconds, seconds_left (null: until cleared); next_cursor (null; for the API).")]
pub(super) struct LimitArguments {
    /// What to limit; without it, lists what is set
    #[arg(value_name = "WHAT", value_parser = limit_kind(), requires = "value", requires = "why")]
    what: Option<Control>,

    /// The limit, or `off`
    #[arg(value_name = "VALUE", value_parser = limit_value, action = ArgAction::Set)]
    value: Option<LimitValue>,

    /// Only for this worker of `workers`
    #[arg(long, value_name = "WORKER", requires = "what", value_parser = values::text(100))]
    worker: Option<String>,

    /// How long it lasts, by the store's clock; until `off` if not set
    #[arg(long = "for", value_name = "DURATION", requires = "what", value_parser = values::duration(SECOND, YEAR))]
    lasts: Option<Duration>,

    /// Reason, in your words: kept with the limit and in the activity
    #[arg(long, value_name = "TEXT", requires = "what", value_parser = values::text(500), help_heading = DECISION)]
    why: Option<String>,

    #[command(flatten)]
    options: DecisionOptions,
}

#[derive(Debug, Clone, Copy)]
enum LimitValue {
    Off,
    At(f64),
}

fn limit_kind() -> impl TypedValueParser<Value = Control> {
    PossibleValuesParser::new([Control::Concurrency, Control::Rate].map(Control::as_str))
        .try_map(|text| Control::from_name(&text).ok_or("no limit"))
}

fn limit_value(text: &str) -> Result<LimitValue, String> {
    match text {
        "off" => Ok(LimitValue::Off),
        _ => text.parse().map(LimitValue::At).map_err(|_| "must be a number or `off`".to_owned()),
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Value(problem) => Self::Usage(problem),
            other => Self::Work(other.to_string()),
        }
    }
}

pub(super) async fn pause(
    arguments: PauseArguments,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    let PauseArguments { why, lasts, options } = arguments;
    hold(&Target::Fleet, lasts, &why, &options, origins, environment).await
}

pub(super) async fn quiet(
    arguments: QuietArguments,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    let QuietArguments { worker, why, lasts, options } = arguments;
    hold(&Target::Worker(worker), lasts, &why, &options, origins, environment).await
}

async fn hold(
    target: &Target,
    lasts: Option<Duration>,
    why: &str,
    options: &DecisionOptions,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    let changed = match options.reach.way(origins)? {
        Way::Server(server) => {
            options.no_actor()?;
            let path = if *target == Target::Fleet { "/pause" } else { "/quiet" };
            server.post(path, &body(target, why, lasts)).await?
        }
        Way::Stores(connect) => {
            let decision = options.decision(why, environment)?;
            let (_, store) = connect.open_store(origins).await?;
            let store = &*store.controls;
            controls::set(store, Control::Pause, target, None, lasts, &decision).await?;
            let followed = controls::followed(store, target, FOLLOW_LIMIT).await.map_err(|error| {
                Failure::Work(format!("the pause is set, but whether workers follow can't be seen: {error}"))
            })?;
            FollowedDocument { changed: true, followed }
        }
    };
    output::show(options.format.is_json(), &changed, || vec![paused_in_words(target, &changed.followed)])?;
    if changed.followed.outstanding.is_empty() {
        return Ok(());
    }
    Err(Failure::Work(format!(
        "the pause is set, but not followed within {} s by {}; each does as soon as it reads the store",
        FOLLOW_LIMIT.as_secs(),
        changed.followed.outstanding.join(", ")
    )))
}

/// What the API takes.
fn body(target: &Target, why: &str, lasts: Option<Duration>) -> Map<String, Value> {
    let worker = (*target != Target::Fleet).then(|| ("worker".to_owned(), target.as_str().into()));
    let lasts = lasts.map(|lasts| ("for_seconds".to_owned(), whole_seconds(lasts).into()));
    [Some(("why".to_owned(), why.into())), worker, lasts].into_iter().flatten().collect()
}

fn paused_in_words(target: &Target, followed: &Followed) -> String {
    let holding = plural(followed.holding.len() as u64, "worker");
    match target {
        Target::Fleet if followed.holding.is_empty() && followed.outstanding.is_empty() => {
            "paused; no worker reports: one that starts claims nothing, and one of a version without `pause` goes on"
                .to_owned()
        }
        Target::Fleet => format!("paused: {holding} stopped to claim"),
        Target::Worker(worker) => format!("quiet: {worker}, {holding} stopped to claim"),
    }
}

pub(super) async fn resume(
    arguments: ResumeArguments,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    let ResumeArguments { worker, why, options } = arguments;
    let target = worker.map_or(Target::Fleet, Target::Worker);
    let answer: FollowedDocument = match options.reach.way(origins)? {
        Way::Server(server) => {
            options.no_actor()?;
            server.post("/resume", &body(&target, &why, None)).await?
        }
        Way::Stores(connect) => {
            let decision = options.decision(&why, environment)?;
            let (_, store) = connect.open_store(origins).await?;
            let changed = controls::clear(&*store.controls, Control::Pause, &target, &decision).await?;
            FollowedDocument { changed, followed: Followed::default() }
        }
    };
    let words = || match (answer.changed, &target) {
        (true, Target::Fleet) => vec!["resumed: workers claim again within a second".to_owned()],
        (true, Target::Worker(worker)) => vec![format!("resumed: {worker} claims again within a second")],
        (false, Target::Fleet) => vec!["the fleet was not paused".to_owned()],
        (false, Target::Worker(worker)) => vec![format!("{worker} was not quiet")],
    };
    output::show(options.format.is_json(), &answer, words)
}

pub(super) async fn limit(
    arguments: LimitArguments,
    origins: &Origins,
    environment: &Environment,
) -> Result<(), Failure> {
    let LimitArguments { what, value, worker, lasts, why, options } = arguments;
    let target = worker.map_or(Target::Fleet, Target::Worker);
    let change = what.zip(value).zip(why);
    let listed = match options.reach.way(origins)? {
        Way::Server(server) => {
            let mut changed = false;
            if let Some(((what, value), why)) = &change {
                options.no_actor()?;
                let mut body = body(&target, why, lasts);
                let path = match value {
                    LimitValue::Off => {
                        body.insert("limit".to_owned(), what.as_str().into());
                        "/limits/clear".to_owned()
                    }
                    LimitValue::At(value) => {
                        body.insert("value".to_owned(), number(*value));
                        format!("/limits/{}", what.as_str())
                    }
                };
                changed = server.post::<FollowedDocument>(&path, &body).await?.changed;
            }
            let listed: ControlsDocument = server.get("/controls", &[("limit", "1000".to_owned())]).await?;
            ControlsDocument { changed, ..listed }
        }
        Way::Stores(connect) => {
            let decision = change.as_ref().map(|(_, why)| options.decision(why, environment)).transpose()?;
            let (_, store) = connect.open_store(origins).await?;
            let store = &*store.controls;
            let changed = match (change, &decision) {
                (Some(((what, LimitValue::Off), _)), Some(decision)) => {
                    controls::clear(store, what, &target, decision).await?
                }
                (Some(((what, LimitValue::At(value)), _)), Some(decision)) => {
                    controls::set(store, what, &target, Some(value), lasts, decision).await?;
                    true
                }
                _ => false,
            };
            let set = store.controls().await.map_err(Failure::work)?;
            ControlsDocument { changed, controls: set.iter().map(SetControlJson::from).collect(), next_cursor: None }
        }
    };
    output::show(options.format.is_json(), &listed, || table(&listed.controls, &options.format))
}

/// A whole number as one, which the API takes for a concurrency.
fn number(value: f64) -> Value {
    let whole = format!("{value}").parse::<u64>();
    whole.map_or_else(|_| value.into(), Value::from)
}

fn table(set: &[SetControlJson], format: &FormatOptions) -> Vec<String> {
    if set.is_empty() {
        return vec!["nothing is paused or limited".to_owned()];
    }
    let row = |set: &SetControlJson| {
        [
            set.control.clone(),
            set.value.map_or_else(String::new, |value| value.to_string()),
            set.worker.clone().unwrap_or_else(|| "fleet".to_owned()),
            output::age(set.age_seconds),
            set.seconds_left.map_or_else(|| "until cleared".to_owned(), output::age),
            set.by.clone(),
            set.why.clone(),
        ]
    };
    let rows: Vec<_> = set.iter().map(row).collect();
    output::table(["CONTROL", "VALUE", "FOR", "SINCE", "LEFT", "BY", "WHY"], &rows, format.columns())
}
