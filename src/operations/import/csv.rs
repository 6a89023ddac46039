//! CSV as in RFC 4180, with a line of column names. A quoted field may contain line ends.

use std::borrow::Cow;
use std::io::{self, BufRead};

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};
use enum_map::EnumMap;

use super::lines::{Line, Lines};
use super::{Columns, Entry, Field, ImportError, MAX_LINE_BYTES, Rejection, Row, fields, listed};
use crate::operations::plural;

/// Largest number of lines in one record. Bounds what is read again after a quote that is never closed.
const MAX_RECORD_LINES: usize = 100;

pub(super) struct CsvOrders<R> {
    records: Records<R>,
    /// The line of column names, unchanged.
    pub(super) header: Vec<u8>,
    width: usize,
    /// The position of each field's column.
    positions: EnumMap<Field, Option<usize>>,
}

impl<R: BufRead> CsvOrders<R> {
    pub(super) fn read(input: R, columns: &Columns) -> Result<Self, ImportError> {
        let mut records = Records::new(input);
        let header = match records.next_record()? {
            None => return Err(ImportError::Empty),
            Some(Err(Rejection { line, reason, .. })) => return Err(ImportError::Header { line, reason }),
            Some(Ok(header)) => header,
        };
        let positions = EnumMap::try_from_fn(|field| find(&header.fields, field, columns))?;
        Ok(Self { records, width: header.fields.len(), header: header.raw, positions })
    }

    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        Ok(self.records.next_record()?.map(|record| match record {
            Ok(record) => {
                let row = self.row(&record);
                fields::entry(record.line, record.raw, row)
            }
            Err(rejection) => Entry::Rejected(rejection),
        }))
    }

    fn row(&self, record: &Record) -> Result<Row, String> {
        if record.fields.len() != self.width {
            return Err(format!(
                "expected {} as in the line of column names, found {}",
                plural(self.width as u64, "field"),
                record.fields.len()
            ));
        }
        let position = |field: Field| self.positions[field].and_then(|position| record.fields.get(position));
        fields::row(record.line, |field| Ok(position(field).map(Cow::from)))
    }
}

/// The position of the field's column, `None` if it is optional and missing.
fn find(header: &[String], field: Field, columns: &Columns) -> Result<Option<usize>, ImportError> {
    let column = columns.column(field);
    let mut found = header.iter().enumerate().filter(|(_, name)| name.trim() == column).map(|(position, _)| position);
    match (found.next(), found.count()) {
        (None, _) if columns.is_required(field) => Err(ImportError::MissingColumn {
            field,
            column: column.to_owned(),
            present: listed(header.iter().map(|name| name.trim())),
        }),
        (position, 0) => Ok(position),
        (_, further) => Err(ImportError::AmbiguousColumn { column: column.to_owned(), count: further + 1 }),
    }
}

struct Record {
    line: u64,
    fields: Vec<String>,
    raw: Vec<u8>,
}

/// Joins lines to records, one at a time. `csv_core` and not `csv`, which can't say whether a record is complete: a quote
/// that is never closed would take the rest of the file.
struct Records<R> {
    lines: Lines<R>,
    parser: csv_core::Reader,
    /// The fields of the record that is read, without anything between them.
    text: Vec<u8>,
    /// The ends of these fields.
    ends: Vec<usize>,
}

impl<R: BufRead> Records<R> {
    fn new(input: R) -> Self {
        // Lines come without their ends, so a carriage return within one is text.
        let parser = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
        Self { lines: Lines::new(input), parser, text: Vec::new(), ends: Vec::new() }
    }

    fn next_record(&mut self) -> io::Result<Option<Result<Record, Rejection>>> {
        while let Some(line) = self.lines.next_line()? {
            if !line.bytes.is_empty() {
                return self.record_from(line).map(Some);
            }
        }
        Ok(None)
    }

    fn record_from(&mut self, first: Line) -> io::Result<Result<Record, Rejection>> {
        if first.cut {
            return Ok(Err(Rejection { line: first.number, reason: Line::too_long(), raw: first.bytes }));
        }
        self.parser.reset();
        self.text.clear();
        self.ends.clear();
        let mut size = first.bytes.len();
        let mut complete = self.feed_line(&first.bytes);
        let mut lines = vec![first];
        while !complete && lines.len() < MAX_RECORD_LINES {
            match self.lines.next_line()? {
                Some(line) if !line.cut && size + line.bytes.len() < MAX_LINE_BYTES => {
                    size += line.bytes.len() + 1;
                    complete = self.feed_line(&line.bytes);
                    lines.push(line);
                }
                beyond => {
                    lines.extend(beyond);
                    break;
                }
            }
        }
        Ok(if complete { self.finish(&lines) } else { Err(self.unclosed(lines)) })
    }

    /// Rejects the first line alone, as the following ones may be valid.
    fn unclosed(&mut self, lines: Vec<Line>) -> Rejection {
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or(Line { number: 0, bytes: Vec::new(), cut: false });
        self.lines.give_back(lines);
        let reason = format!("a quote that opens in this line is not closed within {MAX_RECORD_LINES} lines");
        Rejection { line: first.number, reason, raw: first.bytes }
    }

    /// Whether the record ends with this line, which has no line end.
    fn feed_line(&mut self, line: &[u8]) -> bool {
        self.feed(line) || self.feed(b"\n")
    }

    fn feed(&mut self, input: &[u8]) -> bool {
        // csv-core takes empty input for the end of the file.
        if input.is_empty() {
            return false;
        }
        let (text, ends) = (self.text.len(), self.ends.len());
        // Each byte adds at most one to the text and ends at most one field, so neither buffer is ever full.
        self.text.resize(text + input.len() + 1, 0);
        self.ends.resize(ends + input.len() + 1, 0);
        let free_text = self.text.get_mut(text..).unwrap_or_default();
        let free_ends = self.ends.get_mut(ends..).unwrap_or_default();
        let (result, _, written, ended) = self.parser.read_record(input, free_text, free_ends);
        self.text.truncate(text + written);
        self.ends.truncate(ends + ended);
        matches!(result, ReadRecordResult::Record)
    }

    fn finish(&self, lines: &[Line]) -> Result<Record, Rejection> {
        let raw = lines.iter().map(|line| line.bytes.as_slice()).collect::<Vec<_>>().join(&b'\n');
        for line in lines {
            if let Err(reason) = line.text() {
                return Err(Rejection { line: line.number, reason, raw });
            }
        }
        let mut start = 0;
        let fields = self.ends.iter().map(|end| {
            let field = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            // Fields of a line that is UTF-8 are so too: they are split at ASCII characters.
            String::from_utf8_lossy(field).into_owned()
        });
        Ok(Record { line: lines.first().map_or(0, |line| line.number), fields: fields.collect(), raw })
    }
}
