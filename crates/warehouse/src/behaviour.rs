//! How a warehouse behaves, and misbehaves: options at the start, JSON at run time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::http::HeaderValue;
use clap::{ArgAction, Args, value_parser};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

mod text;

pub use text::Latency;

const MILLISECOND: Duration = Duration::from_millis(1);

/// How a warehouse behaves. The default is without fault and takes no time.
///
/// Shares are of the calls that keep to the contract, from 0 to 1. Of `cut_before`, `errors`, `cut_after` and `hang`
/// at most one befalls a call, so that together they are at most 1. As JSON, durations are texts such as `"500ms"`,
/// and a field that is missing has its default.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Behaviour")]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// How long a new order takes: LOW..HIGH, or 0
    #[arg(long, value_name = "LOW..HIGH", default_value = "0", value_parser = text::latency)]
    #[serde(with = "text::latency")]
    pub latency: Latency,

    /// Share of calls whose connection is cut before the order is taken
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = text::share)]
    pub cut_before: f64,

    /// Share of calls whose connection is cut after the order was taken, in place of the answer
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = text::share)]
    pub cut_after: f64,

    /// Share of calls that get no answer after the order was taken
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = text::share)]
    pub hang: f64,

    /// How long a call without an answer is kept before its connection is cut
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = text::duration_from(MILLISECOND))]
    #[serde(with = "text::duration")]
    pub hang_limit: Duration,

    /// Share of calls answered with --error-status, the order not taken
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = text::share)]
    pub errors: f64,

    /// Status of these answers, from 400 to 599
    #[arg(long, value_name = "STATUS", default_value_t = 500, value_parser = value_parser!(u16).range(400..=599))]
    pub error_status: u16,

    /// Retry-After of these answers, in whole seconds
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(0..=86_400))]
    pub error_retry_after_seconds: Option<u64>,

    /// Answer 202 with a Location, and be done with the order so much later
    #[arg(long, value_name = "DURATION", value_parser = text::duration_from(Duration::ZERO))]
    #[serde(with = "text::optional_duration")]
    pub finish_after: Option<Duration>,

    /// Ship a key once; `false` ships with every call
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub honour_keys: bool,

    /// Refuse every order with 422
    #[arg(long)]
    pub reject_all: bool,

    /// Refuse orders of this product with 422; may be given several times
    #[arg(long = "reject-product", value_name = "ID")]
    pub reject_products: Vec<u64>,

    /// Answer every call with 307 and this Location
    #[arg(long, value_name = "URL")]
    pub redirect: Option<String>,

    /// Pad answers to a shipment by so many bytes, at most 1 GiB
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = value_parser!(u64).range(0..=MOST_PADDING))]
    pub padding_bytes: u64,

    /// Compress answers to a shipment with gzip, asked for or not; with padding, a bomb
    #[arg(long)]
    pub gzip: bool,
}

const MOST_PADDING: u64 = 1 << 30;

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            latency: Latency::default(),
            cut_before: 0.0,
            cut_after: 0.0,
            hang: 0.0,
            hang_limit: Duration::from_secs(60),
            errors: 0.0,
            error_status: 500,
            error_retry_after_seconds: None,
            finish_after: None,
            honour_keys: true,
            reject_all: false,
            reject_products: Vec::new(),
            redirect: None,
            padding_bytes: 0,
            gzip: false,
        }
    }
}

/// A behaviour that can't be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct WrongBehaviour {
    /// As in the JSON.
    pub field: &'static str,
    /// What would be right.
    pub problem: &'static str,
}

/// What befalls one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Nothing,
    CutBefore,
    Error,
    CutAfter,
    Hang,
}

/// What is decided of one call before anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Draw {
    pub(super) fate: Fate,
    pub(super) latency: Duration,
}

impl Behaviour {
    /// Checks ranges, and what single values don't show.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), WrongBehaviour> {
        let shares = [self.cut_before, self.errors, self.cut_after, self.hang];
        for (field, share) in ["cut_before", "errors", "cut_after", "hang"].into_iter().zip(shares) {
            require((0.0..=1.0).contains(&share), field, "must be a number from 0 to 1")?;
        }
        let all = "and the other shares (cut_before, errors, cut_after) are more than 1 together";
        // A sum of decimal fractions may be a little off.
        require(shares.iter().sum::<f64>() <= 1.0 + 1e-9, "hang", all)?;
        require((400..=599).contains(&self.error_status), "error_status", "must be from 400 to 599")?;
        let pause = self.error_retry_after_seconds.unwrap_or_default();
        require(pause <= 86_400, "error_retry_after_seconds", "must be from 0 to 86400")?;
        let sendable = self.redirect.iter().all(|url| HeaderValue::from_str(url).is_ok());
        require(sendable, "redirect", "must be visible ASCII characters, as of a URL")?;
        require(self.padding_bytes <= MOST_PADDING, "padding_bytes", "must be at most 1073741824")
    }

    /// Depends on nothing but the seed, the key and how many calls with this key came before.
    pub(super) fn draw(&self, seed: u64, key: &str, calls_before: u64) -> Draw {
        let shares = [
            (self.cut_before, Fate::CutBefore),
            (self.errors, Fate::Error),
            (self.cut_after, Fate::CutAfter),
            (self.hang, Fate::Hang),
        ];
        let Latency { shortest, longest } = self.latency;
        if shortest == longest && shares.iter().all(|(share, _)| *share == 0.0) {
            return Draw { fate: Fate::Nothing, latency: shortest };
        }
        let mut hasher = DefaultHasher::new();
        (seed, key, calls_before).hash(&mut hasher);
        let mut random = StdRng::seed_from_u64(hasher.finish());
        let latency = random.random_range(shortest..=longest);
        let point: f64 = random.random();
        let mut end = 0.0;
        for (share, fate) in shares {
            end += share;
            if point < end {
                return Draw { fate, latency };
            }
        }
        Draw { fate: Fate::Nothing, latency }
    }

    pub(super) fn rejects(&self, product_id: u64) -> bool {
        self.reject_all || self.reject_products.contains(&product_id)
    }
}

fn require(right: bool, field: &'static str, problem: &'static str) -> Result<(), WrongBehaviour> {
    if right { Ok(()) } else { Err(WrongBehaviour { field, problem }) }
}

#[cfg(test)]
mod tests;
