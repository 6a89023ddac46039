//! CSV as in RFC 4180, with a line of column names. A quoted field may contain line ends.

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
    header: Vec<u8>,
    width: usize,
    /// The position of each field's column.
    positions: EnumMap<Field, Option<usize>>,
}

impl<R: BufRead> CsvOrders<R> {
    pub(super) fn read(input: R, columns: &Columns) -> Result<Self, ImportError> {
        let mut records = Records { lines: Lines::new(input), parser: RecordParser::new() };
        let header = match records.next_record()? {
            None => return Err(ImportError::Empty),
            Some(Err(Rejection { line, reason, .. })) => return Err(ImportError::Header { line, reason }),
            Some(Ok(header)) => header,
        };
        let positions = EnumMap::try_from_fn(|field| find(&header.fields, field, columns))?;
        Ok(Self { records, width: header.fields.len(), header: header.raw, positions })
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        Ok(self.records.next_record()?.map(|record| match record {
            Ok(record) => match self.order(&record) {
                Ok(row) => Entry::Order(row),
                Err(reason) => Entry::Rejected(Rejection { line: record.line, reason, raw: record.raw }),
            },
            Err(rejection) => Entry::Rejected(rejection),
        }))
    }

    fn order(&self, record: &Record) -> Result<Row, String> {
        if record.fields.len() != self.width {
            return Err(format!(
                "expected {} as in the line of column names, found {}",
                plural(self.width as u64, "field"),
                record.fields.len()
            ));
        }
        let field = |field| self.positions[field].and_then(|position| record.fields.get(position)).map(String::as_str);
        let raw = fields::RawFields {
            product: field(Field::Product).unwrap_or_default(),
            quantity: field(Field::Quantity).unwrap_or_default(),
            price: field(Field::Price),
            correlation_id: field(Field::CorrelationId),
        };
        let (order, correlation_id) = fields::order(&raw)?;
        Ok(Row { line: record.line, order, correlation_id })
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

/// Joins lines to records.
struct Records<R> {
    lines: Lines<R>,
    parser: RecordParser,
}

impl<R: BufRead> Records<R> {
    fn next_record(&mut self) -> io::Result<Option<Result<Record, Rejection>>> {
        loop {
            match self.lines.next_line()? {
                None => return Ok(None),
                Some(line) if line.bytes.is_empty() => {}
                Some(line) => return self.record_from(line).map(Some),
            }
        }
    }

    fn record_from(&mut self, first: Line) -> io::Result<Result<Record, Rejection>> {
        if first.cut {
            let reason = format!("longer than {MAX_LINE_BYTES} bytes");
            return Ok(Err(Rejection { line: first.number, reason, raw: first.bytes }));
        }
        self.parser.start();
        let mut size = first.bytes.len();
        let mut complete = self.parser.feed_line(&first.bytes);
        let mut lines = vec![first];
        while !complete && lines.len() < MAX_RECORD_LINES {
            match self.lines.next_line()? {
                Some(line) if !line.cut && size + line.bytes.len() < MAX_LINE_BYTES => {
                    size += line.bytes.len() + 1;
                    complete = self.parser.feed_line(&line.bytes);
                    lines.push(line);
                }
                beyond => {
                    lines.extend(beyond);
                    break;
                }
            }
        }
        if complete { Ok(self.parser.finish(&lines)) } else { Ok(Err(self.unclosed(lines))) }
    }

    /// Rejects the first line alone, as the following ones may be valid.
    fn unclosed(&mut self, lines: Vec<Line>) -> Rejection {
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or(Line { number: 0, bytes: Vec::new(), cut: false });
        self.lines.give_back(lines);
        let reason = format!("a quote that opens in this line is not closed within {MAX_RECORD_LINES} lines");
        Rejection { line: first.number, reason, raw: first.bytes }
    }
}

/// Splits one record at a time. `csv_core` and not `csv`, which can't say whether a record is complete: a quote that is
/// never closed would take the rest of the file.
struct RecordParser {
    core: csv_core::Reader,
    text: Vec<u8>,
    text_length: usize,
    ends: Vec<usize>,
    ends_length: usize,
}

impl RecordParser {
    fn new() -> Self {
        // Lines come without their ends, so a carriage return within one is text.
        let core = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
        Self { core, text: Vec::new(), text_length: 0, ends: Vec::new(), ends_length: 0 }
    }

    fn start(&mut self) {
        self.core.reset();
        self.text_length = 0;
        self.ends_length = 0;
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
        // Each byte adds at most one to the text and ends at most one field, so neither buffer is ever full.
        self.text.resize(self.text.len().max(self.text_length + input.len() + 1), 0);
        self.ends.resize(self.ends.len().max(self.ends_length + input.len() + 1), 0);
        let text = self.text.get_mut(self.text_length..).unwrap_or_default();
        let ends = self.ends.get_mut(self.ends_length..).unwrap_or_default();
        let (result, _, written, ended) = self.core.read_record(input, text, ends);
        self.text_length += written;
        self.ends_length += ended;
        matches!(result, ReadRecordResult::Record)
    }

    fn finish(&self, lines: &[Line]) -> Result<Record, Rejection> {
        let raw = lines.iter().map(|line| line.bytes.as_slice()).collect::<Vec<_>>().join(&b'\n');
        for line in lines {
            if let Err(error) = std::str::from_utf8(&line.bytes) {
                let reason = format!("not UTF-8 from byte {} of the line on", error.valid_up_to() + 1);
                return Err(Rejection { line: line.number, reason, raw });
            }
        }
        let mut start = 0;
        let fields = self.ends.iter().take(self.ends_length).map(|end| {
            let field = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            // Fields of a line that is UTF-8 are so too: they are split at ASCII characters.
            String::from_utf8_lossy(field).into_owned()
        });
        Ok(Record { line: lines.first().map_or(0, |line| line.number), fields: fields.collect(), raw })
    }
}
