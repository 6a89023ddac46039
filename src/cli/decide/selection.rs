//! The orders that a command is about: by their keys, or by a filter.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::config::values;
use crate::domain::order::State;
use crate::port::search::OrderFilter;

const TEN_YEARS: Duration = Duration::from_secs(10 * 8_766 * 3600);

const WHICH: &str = "Which orders";

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true, args = ["ids", "states", "older_than", "newer_than", "product", "correlation_id"])]
pub(super) struct Selection {
    /// Keys of the orders' rows, at most 1,000
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    #[arg(conflicts_with_all = ["states", "older_than", "newer_than", "product", "correlation_id"])]
    pub(super) ids: Vec<i64>,

    /// All orders in this state; without it, in both; repeatable
    #[arg(long = "state", value_name = "STATE", value_parser = state(), help_heading = WHICH)]
    states: Vec<State>,

    /// All orders created longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = values::duration(Duration::ZERO, TEN_YEARS), help_heading = WHICH)]
    older_than: Option<Duration>,

    /// All orders created at most this long ago
    #[arg(long, value_name = "DURATION", value_parser = values::duration(Duration::ZERO, TEN_YEARS), help_heading = WHICH)]
    newer_than: Option<Duration>,

    /// All orders of this product
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..), help_heading = WHICH)]
    product: Option<i64>,

    /// All orders whose message had this correlation id
    #[arg(long, value_name = "TEXT", value_parser = values::not_empty, help_heading = WHICH)]
    correlation_id: Option<String>,

    /// With a filter: largest number of orders per second
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "ids", help_heading = WHICH)]
    pub(super) rate: Option<NonZeroU32>,

    /// With a filter: make a job of it, leave that to the workers, and don't wait
    #[arg(long, conflicts_with_all = ["ids", "dry_run"], help_heading = WHICH)]
    pub(super) detach: bool,
}

fn state() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(["pending", "processing"]).map(|text| State::from(text.as_str()))
}

pub(in crate::cli) fn rate(text: &str) -> Result<NonZeroU32, String> {
    match text.parse() {
        Ok(rate) if rate <= NonZeroU32::MIN.saturating_add(9_999) => Ok(rate),
        _ => Err("must be a whole number from 1 to 10000".to_owned()),
    }
}

impl Selection {
    /// What is asked for, if it isn't ids: orders that are not done.
    pub(super) fn filter(&self) -> Option<OrderFilter> {
        let states = if self.states.is_empty() { vec![State::Pending, State::Processing] } else { self.states.clone() };
        self.ids.is_empty().then(|| OrderFilter {
            states,
            product_id: self.product,
            correlation_id: self.correlation_id.clone(),
            older_than: self.older_than,
            newer_than: self.newer_than,
        })
    }
}
