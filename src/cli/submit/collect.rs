//! Reads every input to its end before the first order is submitted.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};

use super::Arguments;
use super::rejects::Rejects;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::operations::import::{self, Columns, Entry, Format, ImportError, Orders, Row};

/// Bounds memory, which holds all orders of a submission until the last line is read.
const MAX_ORDERS: usize = 1_000_000;
/// Invalid lines that are shown; further ones are only counted.
const SHOWN: usize = 10;

/// The lines of all inputs.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) rows: Vec<Row>,
    /// Number of invalid lines.
    pub(super) rejected: u64,
    /// The first of them, as `FILE:LINE: reason`.
    pub(super) first_rejections: Vec<String>,
    /// Number of orders that are there again, with the same key.
    pub(super) repeated: usize,
    /// The index of the row with a key.
    keys: HashMap<String, usize>,
    /// The name of each input, and the index of its first row.
    inputs: Vec<(String, usize)>,
}

impl Collected {
    /// Adds a row, unless one with its key is there.
    ///
    /// # Errors
    /// That one is another order: the key does not tell orders apart.
    fn add(&mut self, row: Row, name: &str) -> Result<(), Failure> {
        let known = row.dedupe_key.as_ref().and_then(|key| self.keys.get(key)).copied();
        match known.and_then(|index| Some((index, self.rows.get(index)?))) {
            Some((_, known)) if known.order == row.order && known.correlation_id == row.correlation_id => {
                self.repeated += 1;
            }
            Some((index, _)) => {
                return Err(Failure::Usage(format!(
                    "{name}:{}: another order than in {}, with the same value of --dedupe-column; name a column whose \
                     values are unique, or several",
                    row.line,
                    self.place(index)
                )));
            }
            None => {
                if let Some(key) = &row.dedupe_key {
                    self.keys.insert(key.clone(), self.rows.len());
                }
                self.rows.push(row);
            }
        }
        Ok(())
    }

    /// The place of a row, as `FILE:LINE`.
    pub(super) fn place(&self, index: usize) -> String {
        let input = self.inputs.iter().rev().find(|(_, first)| *first <= index);
        let line = self.rows.get(index).map_or(0, |row| row.line);
        format!("{}:{line}", input.map_or("-", |(name, _)| name))
    }
}

pub(super) fn collect(arguments: &Arguments, columns: &Columns) -> Result<Collected, Failure> {
    let mut collected = Collected::default();
    let mut rejects = match &arguments.rejects {
        Some(path) => Some(Rejects::create(path, &arguments.files, arguments.force, arguments.escape_formulas)?),
        None => None,
    };
    refuse_repeated(&arguments.files)?;
    for path in &arguments.files {
        let name = if is_standard_input(path) { "standard input".to_owned() } else { path.display().to_string() };
        let wrong = |error: ImportError| Failure::Usage(format!("{name} {error}"));
        let format = format_of(path, arguments.format);
        if format.is_err()
            && let Ok(mut input) = open(path)
        {
            // Says more than the name of a workbook or an archive does.
            import::check_is_text(&mut input).map_err(wrong)?;
        }
        let (format, input) = (format?, open(path)?);
        if format == Format::Jsonl && arguments.delimiter.is_some() {
            return Err(Failure::Usage(format!("--delimiter: {name} is JSON, which has none")));
        }
        let orders = Orders::read(input, format, columns).map_err(wrong)?;
        if let Some(rejects) = &mut rejects {
            rejects.begin(orders.header())?;
        }
        collected.inputs.push((name.clone(), collected.rows.len()));
        let mut is_empty = true;
        for entry in orders {
            is_empty = false;
            match entry.map_err(wrong)? {
                Entry::Order(row) => collected.add(row, &name)?,
                Entry::Rejected(rejection) => {
                    collected.rejected += 1;
                    if collected.first_rejections.len() < SHOWN {
                        collected.first_rejections.push(format!("{name}:{}: {}", rejection.line, rejection.reason));
                    }
                    if let Some(rejects) = &mut rejects {
                        rejects.add(&rejection)?;
                    }
                }
            }
            if collected.rows.len() > MAX_ORDERS {
                return Err(Failure::Usage(format!(
                    "more than {MAX_ORDERS} orders, the limit of one submission; nothing was submitted. Split the input."
                )));
            }
        }
        if is_empty {
            output::note(&format!("note: {name} holds no orders"));
        }
    }
    if let Some(rejects) = rejects {
        rejects.finish()?;
    }
    Ok(collected)
}

/// A file that is named twice would be submitted twice.
fn refuse_repeated(files: &[PathBuf]) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for path in files {
        let place = if is_standard_input(path) { path.clone() } else { path.canonicalize().unwrap_or(path.clone()) };
        if !seen.insert(place) {
            return Err(Failure::Usage(format!("{} is named twice", path.display())));
        }
    }
    Ok(())
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if is_standard_input(path) {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    Ok(Box::new(BufReader::with_capacity(64 * 1024, file)))
}

fn format_of(path: &Path, chosen: Option<Format>) -> Result<Format, Failure> {
    if let Some(format) = chosen {
        return Ok(format);
    }
    if is_standard_input(path) {
        let typed = if io::stdin().is_terminal() { "; end with Ctrl-D" } else { "" };
        output::note(&format!("reading standard input as csv; --format jsonl for JSON Lines{typed}"));
        return Ok(Format::Csv);
    }
    match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("csv" | "tsv") => Ok(Format::Csv),
        Some("json" | "jsonl" | "ndjson") => Ok(Format::Jsonl),
        _ => Err(Failure::Usage(format!(
            "{}: the name does not show the format; add --format csv or --format jsonl",
            path.display()
        ))),
    }
}
