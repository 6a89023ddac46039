//! Reads files of orders, line by line, and puts the orders in as an order API would: the rows, then the messages.
//!
//! A line that is no order is a [`Rejection`] with its number and the reason; the lines around it are read on. What
//! makes a whole file unusable is an [`IntakeError`]. Memory is bounded by [`MAX_LINE_BYTES`], whatever the input.

use std::io::{self, BufRead};

use crate::port::store::NewOrder;

mod csv;
mod fields;
mod jsonl;
mod lines;
pub mod submit;

/// The longest line that is read. A CSV record that runs over several lines may be as long in all.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Format {
    /// RFC 4180 with a header line; `,` between fields.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// What an order is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "cli", value(rename_all = "snake_case"))]
pub enum Field {
    /// The product's name, at most 255 characters; may be empty.
    Product,
    /// A whole number from 1 to 2147483647.
    Quantity,
    /// The product's price, 0 to 99999999.99; optional.
    Price,
    /// Follows the order into logs and traces; optional.
    CorrelationId,
}

impl Field {
    const ALL: [Self; 4] = [Self::Product, Self::Quantity, Self::Price, Self::CorrelationId];

    /// The field's name, which is also the column it is read from when nobody names another.
    pub fn name(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Quantity => "quantity",
            Self::Price => "price",
            Self::CorrelationId => "correlation_id",
        }
    }

    fn is_optional(self) -> bool {
        matches!(self, Self::Price | Self::CorrelationId)
    }
}

/// Which column (CSV) or key (JSON Lines) holds which field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns(Vec<(Field, String)>);

impl Columns {
    /// Reads `field` from `column`. False when the field has a column already.
    pub fn set(&mut self, field: Field, column: String) -> bool {
        let new = self.named(field).is_none();
        if new {
            self.0.push((field, column));
        }
        new
    }

    fn named(&self, field: Field) -> Option<&str> {
        self.0.iter().find(|(named, _)| *named == field).map(|(_, column)| column.as_str())
    }

    /// Where the field is read from.
    fn column(&self, field: Field) -> &str {
        self.named(field).unwrap_or_else(|| field.name())
    }

    /// Whether a file without the field's column is wrong. A column that was asked for by name has to be there.
    fn is_required(&self, field: Field) -> bool {
        !field.is_optional() || self.named(field).is_some()
    }
}

/// A line that is an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it stands, counted from 1: the first line of a CSV record that runs over several.
    pub line: u64,
    /// The order.
    pub order: NewOrder,
    /// For its message.
    pub correlation_id: Option<String>,
}

/// A line that is no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Where it stands, counted from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// The line as it was, without its line end; only the first [`MAX_LINE_BYTES`] of a longer one.
    pub raw: Vec<u8>,
}

/// What a line was found to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// An order.
    Order(Row),
    /// Not an order.
    Rejected(Rejection),
}

/// Why a whole file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// It could not be read on.
    #[error("can't be read: {0}")]
    Read(#[from] io::Error),
    /// There is nothing in it.
    #[error("is empty; a CSV file begins with a line of column names")]
    Empty,
    /// The first line is not one of column names.
    #[error("line {line}: the line of column names is not valid: {reason}")]
    Header {
        /// Where, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A column is not there.
    #[error("has no column `{column}` for {}; it has {present}. Name the right one with --column {}=COLUMN", .field.name(), .field.name())]
    MissingColumn {
        /// Which field was to be read from it.
        field: Field,
        /// The name that was looked for.
        column: String,
        /// The columns that exist.
        present: String,
    },
    /// A column that is to be read is there more than once.
    #[error("has {count} columns `{column}`; rename all but one")]
    AmbiguousColumn {
        /// Its name.
        column: String,
        /// How many.
        count: usize,
    },
}

/// The orders of one file.
pub struct Orders<R>(Reader<R>);

enum Reader<R> {
    Csv(Box<csv::CsvOrders<R>>),
    Jsonl(jsonl::JsonOrders<R>),
}

impl<R: BufRead> Orders<R> {
    /// Begins to read: for CSV up to the column names.
    ///
    /// # Errors
    /// [`IntakeError`] when there is nothing to be read from the input.
    pub fn read(input: R, format: Format, columns: &Columns) -> Result<Self, IntakeError> {
        Ok(Self(match format {
            Format::Csv => Reader::Csv(Box::new(csv::CsvOrders::read(input, columns)?)),
            Format::Jsonl => Reader::Jsonl(jsonl::JsonOrders::read(input, columns.clone())),
        }))
    }

    /// The line of column names as it was, for CSV.
    pub fn header(&self) -> Option<&[u8]> {
        match &self.0 {
            Reader::Csv(orders) => Some(orders.header()),
            Reader::Jsonl(_) => None,
        }
    }
}

/// Ends after the first error: what follows it can't be made sense of.
impl<R: BufRead> Iterator for Orders<R> {
    type Item = Result<Entry, IntakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Reader::Csv(orders) => orders.next_entry(),
            Reader::Jsonl(orders) => orders.next_entry(),
        }
        .map_err(IntakeError::Read)
        .transpose()
    }
}

/// Names for an error message: the first few, quoted.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let mut names: Vec<String> = names.take(SHOWN + 1).map(|name| format!("`{}`", fields::excerpt(name))).collect();
    if names.len() > SHOWN {
        names.truncate(SHOWN);
        names.push("more".to_owned());
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
