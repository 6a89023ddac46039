//! Which dead letters a command is about, and who decides.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::config::environment::Environment;
use crate::config::values;
use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;
use crate::domain::order::OrderId;
use crate::port::dead_letters::{DeadLetterFilter, Decision};

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[derive(Debug, Args)]
#[command(next_help_heading = "Which letters")]
pub(super) struct FilterOptions {
    /// Only letters with this reason; may be given several times
    #[arg(long = "reason", value_name = "REASON", value_parser = reason())]
    reasons: Vec<DeadReason>,

    /// Only letters buried longer ago than this, by the database's clock
    #[arg(long, value_name = "DURATION", value_parser = values::duration(Duration::ZERO, TEN_YEARS))]
    older_than: Option<Duration>,

    /// Only letters buried at most this long ago, by the database's clock
    #[arg(long, value_name = "DURATION", value_parser = values::duration(Duration::ZERO, TEN_YEARS))]
    newer_than: Option<Duration>,

    /// Only letters whose order's row has this product
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    product: Option<i64>,

    /// Only letters that name this order
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    order: Option<i64>,
}

fn reason() -> impl TypedValueParser<Value = DeadReason> {
    PossibleValuesParser::new(DeadReason::all().map(DeadReason::as_str))
        .try_map(|text| DeadReason::from_label(&text).ok_or_else(|| format!("no reason: {text}")))
}

impl FilterOptions {
    /// Those about which nothing was decided, or those about which something was.
    pub(super) fn filter(&self, resolved: bool) -> DeadLetterFilter {
        DeadLetterFilter {
            reasons: self.reasons.clone(),
            older_than: self.older_than,
            newer_than: self.newer_than,
            product_id: self.product,
            order_id: self.order.map(OrderId),
            resolved: Some(resolved),
            ..DeadLetterFilter::default()
        }
    }
}

/// For the commands that decide: letters by id, by a filter, or all of them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which letters")]
#[group(id = "which", required = true, multiple = true, args = ["ids", "all", "reasons", "older_than", "newer_than", "product", "order"])]
pub(super) struct Selection {
    /// Keys of letters
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    #[arg(conflicts_with_all = ["all", "reasons", "older_than", "newer_than", "product", "order"])]
    pub(super) ids: Vec<i64>,

    /// All letters about which nothing was decided
    #[arg(long, conflicts_with_all = ["reasons", "older_than", "newer_than", "product", "order"])]
    all: bool,

    #[command(flatten)]
    filter: FilterOptions,
}

impl Selection {
    /// A filter takes letters about which nothing was decided; an id takes its letter in any case.
    pub(super) fn filter(&self) -> DeadLetterFilter {
        if self.ids.is_empty() {
            return self.filter.filter(false);
        }
        DeadLetterFilter { ids: Some(self.ids.clone()), ..DeadLetterFilter::default() }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Decision")]
pub(super) struct DecisionOptions {
    /// Why, in your words: kept with the letter and in the order's timeline
    #[arg(long, value_name = "TEXT", value_parser = values::text(500))]
    why: String,

    /// Who decides; your login name if not set
    #[arg(long, value_name = "NAME", value_parser = values::text(100))]
    actor: Option<String>,
}

impl DecisionOptions {
    pub(super) fn decision(&self, environment: &Environment) -> Decision {
        let by = self.actor.clone().or_else(|| environment.login()).unwrap_or_else(|| "unknown".to_owned());
        Decision { by, reason: self.why.clone() }
    }
}
