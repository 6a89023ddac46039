//! A scrape as numbers.

use std::collections::BTreeMap;

/// Values of one scrape by series, written as in the text: `name` or `name{label="value"}`.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the Prometheus text format.
    pub(crate) fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            samples
                .filter_map(|line| line.rsplit_once(' '))
                .map(|(series, value)| (series.to_owned(), value.parse().unwrap_or(f64::NAN)))
                .collect(),
        )
    }

    /// The value of a series.
    ///
    /// # Panics
    /// When there is none: every series with a closed set of labels is there from the start.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let name = series.split('{').next().unwrap_or(series);
        let others: Vec<&String> = self.0.keys().filter(|key| key.starts_with(name)).collect();
        *self.0.get(series).unwrap_or_else(|| panic!("no series {series}; by that name there are {others:?}"))
    }

    /// Attempts that ended with this status, `success` or `error`.
    pub(crate) fn processed(&self, status: &str) -> f64 {
        self.value(&format!("orders_processed_total{{status=\"{status}\"}}"))
    }
}
