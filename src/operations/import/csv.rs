//! CSV as in RFC 4180, with a line of column names. A quoted field may contain line ends.

use std::borrow::Cow;
use std::io::{self, BufRead};

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};
use enum_map::EnumMap;

use super::lines::{Line, Lines};
use super::text::{self, Text};
use super::{Columns, Entry, Field, ImportError, MAX_LINE_BYTES, Rejection, Row, fields, listed};
use crate::domain::label::Label;
use crate::operations::plural;

/// Tried in this order, until one of them makes the columns that are needed.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Largest number of lines in one record. Bounds what is read again after a quote that is never closed.
const MAX_RECORD_LINES: usize = 100;

pub(super) struct CsvOrders<R> {
    records: Records<Text<R>>,
    /// The line of column names, unchanged.
    pub(super) header: Vec<u8>,
    /// What stands between fields.
    pub(super) delimiter: u8,
    columns: Columns,
    positions: Positions,
}

/// Where the columns are.
struct Positions {
    fields: EnumMap<Field, Option<usize>>,
    /// Of the columns that make up the key.
    key: Vec<usize>,
}

impl Positions {
    fn find(header: &[String], columns: &Columns) -> Result<Self, ImportError> {
        let fields = EnumMap::try_from_fn(|field| {
            find(header, columns.column(field), field.as_str(), columns.is_required(field))
        })?;
        let key = columns.dedupe.iter().filter_map(|name| find(header, name, "--dedupe-column", true).transpose());
        Ok(Self { fields, key: key.collect::<Result<_, _>>()? })
    }
}

impl<R: BufRead> CsvOrders<R> {
    pub(super) fn read(input: R, columns: &Columns) -> Result<Self, ImportError> {
        let (text, is_transcoded) = text::open(input)?;
        let mut records = Records::new(Lines::new(text, is_transcoded));
        let announced = records.announced_delimiter()?;
        let chosen = columns.delimiter.or(announced);
        // Of the delimiter that makes the most columns, which is most likely the file's.
        let mut error: Option<(usize, ImportError)> = None;
        for delimiter in chosen.as_ref().map_or(&DELIMITERS[..], std::slice::from_ref) {
            records.delimiter(*delimiter);
            let header = match records.next_record()? {
                None => return Err(ImportError::Empty),
                Some(Err(Rejection { line, reason, .. })) => return Err(ImportError::Header { line, reason }),
                Some(Ok(header)) => header,
            };
            match Positions::find(&header.fields, columns) {
                Ok(positions) => {
                    records.names = header.fields.iter().map(|name| name.trim().to_owned()).collect();
                    let (header, delimiter, columns) = (header.raw, *delimiter, columns.clone());
                    return Ok(Self { records, header, delimiter, columns, positions });
                }
                Err(new) if error.as_ref().is_none_or(|(width, _)| *width < header.fields.len()) => {
                    error = Some((header.fields.len(), new));
                }
                Err(_) => {}
            }
            records.lines.give_back(header.lines.into_iter());
        }
        Err(error.map_or(ImportError::Empty, |(_, error)| error))
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
        let width = self.records.names.len();
        if record.fields.len() != width {
            return Err(format!(
                "expected {} as in the line of column names, found {}",
                plural(width as u64, "field"),
                record.fields.len()
            ));
        }
        let field = |field: Field| self.positions.fields[field].and_then(|position| record.fields.get(position));
        let of_key = |name: &str| {
            let number = self.columns.dedupe.iter().position(|column| column == name)?;
            self.positions.key.get(number).and_then(|position| record.fields.get(*position))
        };
        fields::row(
            record.line,
            &self.columns,
            |name| Ok(field(name).map(Cow::from)),
            |name| Ok(of_key(name).map(Cow::from)),
        )
    }
}

/// The position of a column, which `what` is read from; `None` if it is optional and missing.
fn find(header: &[String], column: &str, what: &'static str, is_required: bool) -> Result<Option<usize>, ImportError> {
    let mut found = header.iter().enumerate().filter(|(_, name)| name.trim() == column).map(|(position, _)| position);
    match (found.next(), found.count()) {
        (None, _) if is_required => Err(ImportError::MissingColumn {
            what,
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
    lines: Vec<Line>,
}

impl Record {
    /// Whether it is blank, as the rows below a table are that a spreadsheet leaves behind.
    fn is_blank(&self) -> bool {
        self.fields.iter().all(|field| field.trim().is_empty())
    }
}

/// Joins lines to records, one at a time. `csv_core` and not `csv`, which can't say whether a record is complete: a quote
/// that is never closed would take the rest of the file.
struct Records<R> {
    lines: Lines<R>,
    /// The names of the columns, once they are known.
    names: Vec<String>,
    parser: csv_core::Reader,
    /// The fields of the record that is read, without anything between them.
    text: Vec<u8>,
    /// The ends of these fields.
    ends: Vec<usize>,
}

impl<R: BufRead> Records<R> {
    fn new(lines: Lines<R>) -> Self {
        let parser = csv_core::Reader::new();
        Self { lines, names: Vec::new(), parser, text: Vec::new(), ends: Vec::new() }
    }

    fn delimiter(&mut self, delimiter: u8) {
        self.parser = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
    }

    /// Reads a first line `sep=;`, by which Excel is told what stands between fields.
    fn announced_delimiter(&mut self) -> io::Result<Option<u8>> {
        let Some(first) = self.lines.next_line()? else { return Ok(None) };
        let text = first.bytes.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(&first.bytes);
        match *text {
            [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] if delimiter.is_ascii() => Ok(Some(delimiter)),
            _ => {
                self.lines.give_back(std::iter::once(first));
                Ok(None)
            }
        }
    }

    /// The next record that is not blank.
    fn next_record(&mut self) -> io::Result<Option<Result<Record, Rejection>>> {
        while let Some(line) = self.lines.next_line()? {
            if line.bytes.is_empty() {
                continue;
            }
            match self.record_from(line)? {
                Ok(record) if record.is_blank() => {}
                record => return Ok(Some(record)),
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
        Ok(if complete { self.finish(lines) } else { Err(self.unclosed(lines)) })
    }

    /// Rejects the first line alone, as the following ones may be valid.
    fn unclosed(&mut self, lines: Vec<Line>) -> Rejection {
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or(Line { number: 0, bytes: Vec::new(), cut: false, lossy: false });
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

    fn finish(&self, lines: Vec<Line>) -> Result<Record, Rejection> {
        let raw = lines.iter().map(|line| line.bytes.as_slice()).collect::<Vec<_>>().join(&b'\n');
        let mut start = 0;
        let fields: Vec<&[u8]> = self
            .ends
            .iter()
            .map(|end| self.text.get(std::mem::replace(&mut start, *end)..*end).unwrap_or_default())
            .collect();
        for line in &lines {
            if let Err(problem) = line.text() {
                let wrong = fields.iter().position(|field| std::str::from_utf8(field).is_err());
                let column = wrong.and_then(|number| self.names.get(number));
                let reason = column.map_or(problem.clone(), |name| format!("`{}`: {problem}", fields::excerpt(name)));
                return Err(Rejection { line: line.number, reason, raw });
            }
        }
        // Fields of a line that is UTF-8 are so too: they are split at ASCII characters.
        let fields = fields.into_iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
        Ok(Record { line: lines.first().map_or(0, |line| line.number), fields, raw, lines })
    }
}
