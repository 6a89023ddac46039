//! Reads files of orders line by line, or an array of JSON whole, and submits the orders as an order API would: first the rows, then the messages.
//!
//! An invalid line becomes a [`Rejection`] with its number and the reason, and reading goes on. An unusable file is an
//! [`ImportError`]. Memory is bounded by [`MAX_LINE_BYTES`], whatever the input.

use std::io::{self, BufRead};

use enum_map::EnumMap;

use crate::domain::label::Label;
use crate::port::intake::NewOrder;

mod csv;
mod fields;
mod json;
mod lines;
pub mod submit;
mod text;

pub(crate) use fields::price_cents;
#[cfg(any(feature = "cli", feature = "internals"))]
pub use text::check_is_text;

/// The longest line that is read, in bytes, and the longest CSV record over several lines.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Format {
    /// RFC 4180 with a line of column names
    Csv,
    /// One JSON object per line, or an array of objects
    #[cfg_attr(feature = "cli", value(alias = "json"))]
    Jsonl,
}

/// What an order is made of. A field's label is also the column that it is read from, unless another one is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, enum_map::Enum, strum::IntoStaticStr)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum), value(rename_all = "snake_case"))]
#[strum(serialize_all = "snake_case")]
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

/// The column (CSV) or key (JSON) that holds each field, and what stands between columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    fields: EnumMap<Field, Option<String>>,
    /// Columns whose values together tell one order from every other one; none if orders have no key.
    pub dedupe: Vec<String>,
    /// An ASCII character. `None` takes what a first line `sep=;` says, or else the first of `,`, `;`, tab and `|` that
    /// makes the columns.
    pub delimiter: Option<u8>,
}

impl Columns {
    /// Reads `field` from `column`. `false` if the field has a column already.
    pub fn set(&mut self, field: Field, column: String) -> bool {
        let is_new = self.fields[field].is_none();
        self.fields[field].get_or_insert(column);
        is_new
    }

    fn column(&self, field: Field) -> &str {
        self.fields[field].as_deref().unwrap_or_else(|| field.as_str())
    }

    /// Whether the field's column must exist. It must if it was given by name.
    fn is_required(&self, field: Field) -> bool {
        !matches!(field, Field::Price | Field::CorrelationId) || self.fields[field].is_some()
    }
}

/// A valid line.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Number of the line, from 1; of the first line of a CSV record over several.
    pub line: u64,
    /// The order.
    pub order: NewOrder,
    /// Goes into its message.
    pub correlation_id: Option<String>,
    /// Tells it from every other order, where [`Columns::dedupe`] says by what.
    pub dedupe_key: Option<String>,
}

/// An invalid line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Number of the line, from 1.
    pub line: u64,
    /// The reason, in one line.
    pub reason: String,
    /// The line unchanged (of UTF-16: in UTF-8), without its line end, cut at [`MAX_LINE_BYTES`].
    pub raw: Vec<u8>,
}

/// A line that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Valid.
    Order(Row),
    /// Invalid.
    Rejected(Rejection),
}

/// Why a whole file can't be used. Begins in the middle of a sentence, after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Reading failed.
    #[error("can't be read: {0}")]
    Read(#[from] io::Error),
    /// The file has no lines.
    #[error("is empty; a CSV file begins with a line of column names")]
    Empty,
    /// It is no text. Says what it is, and what to do.
    #[error("is {0}")]
    NotText(&'static str),
    /// It begins like an array of JSON, and is none.
    #[error("is no valid JSON array: {0}")]
    Array(String),
    /// It is an array of JSON, which is read whole.
    #[error("is a JSON array of more than 64 MiB; write one object per line instead")]
    LargeArray,
    /// The first line is not valid CSV.
    #[error("has an invalid line of column names (line {line}): {reason}")]
    Header {
        /// Number of the line, from 1.
        line: u64,
        /// The reason.
        reason: String,
    },
    /// A column is missing.
    #[error("has no column `{column}` for {what}; it has {present}.{}", way_out(.what))]
    MissingColumn {
        /// What is read from it: a field, or an option.
        what: &'static str,
        /// Its name.
        column: String,
        /// The columns that exist.
        present: String,
    },
    /// A column to read exists more than once.
    #[error("has {count} columns `{column}`; rename all but one")]
    AmbiguousColumn {
        /// Its name.
        column: String,
        /// Their number.
        count: usize,
    },
}

fn way_out(what: &str) -> String {
    if what.starts_with('-') { String::new() } else { format!(" Name the right one with --column {what}=COLUMN") }
}

/// The orders of one file.
pub struct Orders<R>(Reader<R>);

enum Reader<R> {
    Csv(Box<csv::CsvOrders<R>>),
    Json(Box<json::JsonOrders<R>>),
}

impl<R: BufRead> Orders<R> {
    /// Begins to read; of CSV it reads the column names.
    ///
    /// # Errors
    /// [`ImportError`] if the input can't be used.
    pub fn read(input: R, format: Format, columns: &Columns) -> Result<Self, ImportError> {
        Ok(Self(match format {
            Format::Csv => Reader::Csv(Box::new(csv::CsvOrders::read(input, columns)?)),
            Format::Jsonl => Reader::Json(Box::new(json::JsonOrders::read(input, columns.clone())?)),
        }))
    }

    /// The line of column names, unchanged, and what stands between them, for CSV.
    pub fn header(&self) -> Option<(&[u8], u8)> {
        match &self.0 {
            Reader::Csv(orders) => Some((&orders.header, orders.delimiter)),
            Reader::Json(_) => None,
        }
    }
}

/// Ends after the first error.
impl<R: BufRead> Iterator for Orders<R> {
    type Item = Result<Entry, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Reader::Csv(orders) => orders.next_entry(),
            Reader::Json(orders) => orders.next_entry(),
        }
        .map_err(ImportError::Read)
        .transpose()
    }
}

/// The first few of the names, quoted, for an error message.
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
mod format_tests;
#[cfg(test)]
mod tests;
