//! The dead letters that a command is about, and the author of the decision.

use crate::cli::format::FormatOptions;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::cli::author::AuthorOptions;
use crate::cli::reach::{ReachOptions, whole_seconds};
use crate::config::values;
use crate::domain::dead_letter::DeadReason;
use crate::domain::fingerprint::MOST_CHARS;
use crate::domain::label::Label;
use crate::domain::order::OrderId;
use crate::port::dead_letters::{DeadLetterFilter, DeadLetterSelection};

const TEN_YEARS: Duration = Duration::from_secs(10 * 8_766 * 3600);

#[derive(Debug, Args)]
#[command(next_help_heading = "Which dead letters")]
pub(super) struct FilterOptions {
    /// Only dead letters with this reason; repeatable
    #[arg(long = "reason", value_name = "REASON", value_parser = reason())]
    reasons: Vec<DeadReason>,

    /// Only dead letters older than this, by the database's clock
    #[arg(long, value_name = "DURATION", value_parser = values::duration(Duration::ZERO, TEN_YEARS))]
    older_than: Option<Duration>,

    /// Only dead letters of at most this age, by the database's clock
    #[arg(long, value_name = "DURATION", value_parser = values::duration(Duration::ZERO, TEN_YEARS))]
    newer_than: Option<Duration>,

    /// Only dead letters of orders of this product
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    product: Option<i64>,

    /// Only dead letters of this order
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    order: Option<i64>,

    /// Only dead letters whose errors have this in common: the ERROR of `dead list --group`, whole
    #[arg(long, value_name = "TEXT", value_parser = fingerprint)]
    fingerprint: Option<String>,
}

fn reason() -> impl TypedValueParser<Value = DeadReason> {
    PossibleValuesParser::new(DeadReason::all().map(DeadReason::as_str))
        .try_map(|text| DeadReason::from_label(&text).ok_or_else(|| format!("no reason: {text}")))
}

fn fingerprint(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=MOST_CHARS => Ok(text.to_owned()),
        _ => Err(format!("must have 1 to {MOST_CHARS} characters")),
    }
}

impl FilterOptions {
    /// Dead letters with a decision (`resolved`) or without one.
    pub(super) fn selection(&self, resolved: bool) -> DeadLetterSelection {
        let filter = DeadLetterFilter {
            reasons: self.reasons.clone(),
            older_than: self.older_than,
            newer_than: self.newer_than,
            product_id: self.product,
            order_id: self.order.map(OrderId),
            resolved: Some(resolved),
            ..DeadLetterFilter::default()
        };
        DeadLetterSelection { filter, fingerprint: self.fingerprint.clone() }
    }
}

/// What the API takes for a selection without ids.
pub(super) fn query(selection: &DeadLetterSelection) -> Vec<(&'static str, String)> {
    let DeadLetterSelection { filter, fingerprint } = selection;
    let mut query = vec![("resolved", filter.resolved.unwrap_or_default().to_string())];
    query.extend(filter.reasons.iter().map(|reason| ("reason", reason.as_str().to_owned())));
    query.extend(filter.older_than.map(|age| ("older_than_seconds", whole_seconds(age).to_string())));
    query.extend(filter.newer_than.map(|age| ("newer_than_seconds", whole_seconds(age).to_string())));
    query.extend(filter.product_id.map(|id| ("product_id", id.to_string())));
    query.extend(filter.order_id.map(|id| ("order_id", id.to_string())));
    query.extend(fingerprint.clone().map(|text| ("fingerprint", text)));
    query
}

/// Dead letters by id, by a filter, or all of them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which dead letters")]
#[group(id = "which", required = true, multiple = true, args = ["ids", "all", "reasons", "older_than", "newer_than", "product", "order", "fingerprint"])]
pub(super) struct Selection {
    /// Ids of dead letters
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    #[arg(conflicts_with_all = ["all", "reasons", "older_than", "newer_than", "product", "order", "fingerprint"])]
    pub(super) ids: Vec<i64>,

    /// All dead letters without a decision
    #[arg(long, conflicts_with_all = ["reasons", "older_than", "newer_than", "product", "order", "fingerprint"])]
    all: bool,

    #[command(flatten)]
    filter: FilterOptions,
}

impl Selection {
    /// A filter selects among dead letters without a decision; an id selects its dead letter in any case.
    pub(super) fn selection(&self) -> DeadLetterSelection {
        if self.ids.is_empty() {
            return self.filter.selection(false);
        }
        DeadLetterFilter { ids: Some(self.ids.clone()), ..DeadLetterFilter::default() }.into()
    }
}

/// For the commands that decide.
#[derive(Debug, Args)]
#[command(mut_arg("wait", |wait| wait.default_value("30s")))]
pub(super) struct DecideOptions {
    #[command(flatten)]
    pub(super) author: AuthorOptions,

    /// Count what would change, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// With a filter: make a job of it, leave that to the workers, and don't wait
    #[arg(long, conflicts_with_all = ["ids", "dry_run"])]
    pub(super) detach: bool,

    #[command(flatten)]
    pub(super) format: FormatOptions,

    #[command(flatten)]
    pub(super) reach: ReachOptions,

    // Last, as a heading holds for all options that follow.
    #[command(flatten)]
    pub(super) selection: Selection,
}
