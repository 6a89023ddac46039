//! JSON: one object per line, or an array of objects, with keys in place of columns.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead};
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::lines::Lines;
use super::text::{self, Text};
use super::{Columns, Entry, Field, ImportError, MAX_LINE_BYTES, Row, fields, listed};

/// The largest array, which is read whole.
const MAX_ARRAY_BYTES: usize = 64 * 1024 * 1024;

pub(super) enum JsonOrders<R> {
    Lines(Lines<Text<R>>, Columns),
    Array(Elements, Columns),
}

impl<R: BufRead> JsonOrders<R> {
    pub(super) fn read(input: R, columns: Columns) -> Result<Self, ImportError> {
        let (mut input, is_transcoded) = text::open(input)?;
        let begins_array = input.fill_buf()?.trim_ascii_start().first() == Some(&b'[');
        Ok(match begins_array {
            true => Self::Array(Elements::read(input)?, columns),
            false => Self::Lines(Lines::new(input, is_transcoded), columns),
        })
    }

    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        match self {
            Self::Lines(lines, columns) => {
                while let Some(line) = lines.next_line()? {
                    if !line.bytes.trim_ascii().is_empty() {
                        let row = line.text().and_then(|text| Object::read(text, at_column));
                        let row = row.and_then(|object| self::row(columns, line.number, &object));
                        return Ok(Some(fields::entry(line.number, line.bytes, row)));
                    }
                }
                Ok(None)
            }
            Self::Array(elements, columns) => Ok(elements.next().map(|(line, text)| {
                let row = Object::read(text, at_no_place).and_then(|object| row(columns, line, &object));
                let raw = text.as_bytes().iter().take(MAX_LINE_BYTES).copied().collect();
                fields::entry(line, raw, row)
            })),
        }
    }
}

/// The elements of an array.
pub(super) struct Elements {
    text: String,
    /// Where each stands in the text, the last one first.
    places: Vec<Range<usize>>,
    /// The line of the place after which `counted` bytes are counted.
    line: u64,
    counted: usize,
}

impl Elements {
    fn read(input: impl BufRead) -> Result<Self, ImportError> {
        let bytes = text::read_whole(input, MAX_ARRAY_BYTES)?.ok_or(ImportError::LargeArray)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let (good, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
            ImportError::Array(format!("not UTF-8 in line {}", 1 + lines_in(good)))
        })?;
        let elements: Vec<&RawValue> =
            serde_json::from_str(&text).map_err(|error| ImportError::Array(error.to_string()))?;
        let place = |element: &&RawValue| {
            let start = (element.get().as_ptr() as usize) - (text.as_ptr() as usize);
            start..start + element.get().len()
        };
        let places = elements.iter().rev().map(place).collect();
        Ok(Self { text, places, line: 1, counted: 0 })
    }

    /// The next one with its line.
    fn next(&mut self) -> Option<(u64, &str)> {
        let place = self.places.pop()?;
        self.line += lines_in(self.text.as_bytes().get(self.counted..place.start).unwrap_or_default());
        self.counted = place.start;
        self.text.get(place).map(|text| (self.line, text))
    }
}

fn lines_in(bytes: &[u8]) -> u64 {
    let lf = bytes.iter().filter(|byte| **byte == b'\n').count();
    // Alone, as on a classic Mac.
    let cr = bytes.windows(2).filter(|two| two.first() == Some(&b'\r') && two.last() != Some(&b'\n')).count();
    (lf + cr) as u64
}

/// Every key with its value, in order: keys that are there twice are seen. Values stay text: no number is rounded.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    fn read(text: &'a str, reason: fn(&serde_json::Error) -> String) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {}", reason(&error)))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, _>()? {
                    pairs.push((key.0, value));
                }
                Ok(Object(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// Borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn row(columns: &Columns, line: u64, object: &Object<'_>) -> Result<Row, String> {
    let of_field = |field: Field| value(object, columns.column(field), columns.is_required(field));
    fields::row(line, columns, of_field, |name| value(object, name, true))
}

/// The text of a string or number. `null` counts as missing.
fn value<'a>(object: &Object<'a>, key: &str, is_required: bool) -> Result<Option<Cow<'a, str>>, String> {
    let mut found = object.0.iter().filter(|(name, _)| name == key).map(|(_, value)| value.get());
    let value = found.next();
    let further = found.count();
    if further > 0 {
        return Err(format!("has {} keys `{key}`; keep one of them", further + 1));
    }
    match value.filter(|raw| *raw != "null") {
        None if is_required => {
            Err(format!("has no `{key}`; the keys are {}", listed(object.0.iter().map(|(name, _)| name.as_ref()))))
        }
        None => Ok(None),
        Some(text) if text.starts_with('"') => {
            serde_json::from_str(text).map(Some).map_err(|error| format!("`{key}`: {}", at_no_place(&error)))
        }
        Some(text) if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            Ok(Some(Cow::Borrowed(text)))
        }
        Some(_) => Err(format!("`{key}` must be a string or a number")),
    }
}

/// serde_json counts lines within what it was given, which is always one.
fn at_column(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// The lines of an element are not those of the file.
fn at_no_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").and_then(|end| text.get(..end)).unwrap_or(&text).to_owned()
}
