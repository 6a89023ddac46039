//! JSON Lines: one object per line, with keys in place of columns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead};

use serde_json::value::RawValue;

use super::lines::{Line, Lines};
use super::{Columns, Entry, Field, Row, fields, listed};

pub(super) struct JsonOrders<R> {
    lines: Lines<R>,
    columns: Columns,
}

/// Values stay text: no number is rounded.
type Object<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

impl<R: BufRead> JsonOrders<R> {
    pub(super) fn read(input: R, columns: Columns) -> Self {
        Self { lines: Lines::new(input), columns }
    }

    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        while let Some(line) = self.lines.next_line()? {
            if !line.bytes.trim_ascii().is_empty() {
                let row = self.row(&line);
                return Ok(Some(fields::entry(line.number, line.bytes, row)));
            }
        }
        Ok(None)
    }

    fn row(&self, line: &Line) -> Result<Row, String> {
        let object: Object<'_> = serde_json::from_str(line.text()?)
            .map_err(|error| format!("not a JSON object: {}", without_line(&error)))?;
        fields::row(line.number, |field| self.value(&object, field))
    }

    /// The text of a string or number. `null` counts as missing.
    fn value<'a>(&self, object: &Object<'a>, field: Field) -> Result<Option<Cow<'a, str>>, String> {
        let key = self.columns.column(field);
        let value = object.get(key).map(|raw| raw.get()).filter(|raw| *raw != "null");
        match value {
            None if self.columns.is_required(field) => {
                Err(format!("has no `{key}`; the keys are {}", listed(object.keys().map(AsRef::as_ref))))
            }
            None => Ok(None),
            Some(text) if text.starts_with('"') => {
                serde_json::from_str(text).map(Some).map_err(|error| format!("`{key}`: {}", without_line(&error)))
            }
            Some(text) if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                Ok(Some(Cow::Borrowed(text)))
            }
            Some(_) => Err(format!("`{key}` must be a string or a number")),
        }
    }
}

/// serde_json counts lines within what it was given, which is always one.
fn without_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}
