//! The file of `--rejects`: invalid lines, unchanged, with the reason.
//!
//! CSV keeps its line of column names and gets a last column `reason`, so the file can be corrected and submitted again.
//! Lines of JSON become objects with `line`, `reason` and `text`.
//!
//! The file appears when it is whole, in the place of nothing that was there.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

use super::cells;
use crate::cli::failure::Failure;
use crate::domain::text;
use crate::operations::import::Rejection;

/// What there is but for another program or for nobody, such as `/dev/stderr` and `/dev/fd/63`. Only the system puts links
/// there.
const DEVICES: [&str; 2] = ["/dev", "/dev/fd"];

pub(super) struct Rejects {
    path: PathBuf,
    out: BufWriter<Out>,
    /// What was there before may be replaced.
    force: bool,
    /// Cells of CSV that a spreadsheet would take for formulas are made text.
    escape_formulas: bool,
    /// The CSV column names written last. Inputs with the same names share them.
    header: Option<Vec<u8>>,
    /// What stands between the fields of the input, if it is CSV.
    delimiter: Option<u8>,
}

enum Out {
    /// Gets its name when it is whole. For its owner alone, as the lines that it takes may be of customers.
    File(NamedTempFile),
    Device(std::fs::File),
    /// A device that acts on control characters.
    Terminal(std::fs::File),
}

impl Rejects {
    /// Fails if `path` is one of the `inputs`, or if something is there already that `force` doesn't allow to replace. A link
    /// is replaced, and what it leads to stays.
    pub(super) fn create(path: &Path, inputs: &[PathBuf], force: bool, escape_formulas: bool) -> Result<Self, Failure> {
        let same = |input: &PathBuf| matches!((input.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if inputs.iter().any(same) {
            return Err(Failure::Usage(format!("--rejects: {} is also an input; name another file", path.display())));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let out = if DEVICES.iter().any(|devices| folder == Path::new(devices)) {
            // Neither made nor emptied: it may be where standard output goes.
            let device = OpenOptions::new().append(true).open(path).map_err(|error| failed(path, &error))?;
            if device.is_terminal() { Out::Terminal(device) } else { Out::Device(device) }
        } else {
            if !force && path.symlink_metadata().is_ok() {
                return Err(exists(path));
            }
            let made = tempfile::Builder::new().prefix(".rejects-").tempfile_in(folder);
            Out::File(made.map_err(|error| failed(path, &error))?)
        };
        Ok(Self {
            path: path.to_owned(),
            out: BufWriter::new(out),
            force,
            escape_formulas,
            header: None,
            delimiter: None,
        })
    }

    /// Begins an input; `header` holds its column names and what stands between them if it is CSV.
    pub(super) fn begin(&mut self, header: Option<(&[u8], u8)>) -> Result<(), Failure> {
        self.delimiter = header.map(|(_, delimiter)| delimiter);
        match header {
            Some((header, delimiter)) if self.header.as_deref() != Some(header) => {
                self.header = Some(header.to_owned());
                let header = self.cells_of(header, delimiter);
                self.write(&[&header, &[delimiter], b"reason\n"])
            }
            _ => Ok(()),
        }
    }

    pub(super) fn add(&mut self, rejection: &Rejection) -> Result<(), Failure> {
        let Rejection { line, reason, raw } = rejection;
        if let Some(delimiter) = self.delimiter {
            let raw = self.cells_of(raw, delimiter);
            // It quotes what is wrong.
            let reason = format!("{}\n", cells::quoted(&text::cell(&text::line(reason))));
            self.write(&[&raw, &[delimiter], reason.as_bytes()])
        } else {
            let object = serde_json::json!({ "line": line, "reason": reason, "text": String::from_utf8_lossy(raw) });
            self.write(&[object.to_string().as_bytes(), b"\n"])
        }
    }

    /// Has the file appear under its name.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let Self { path, out, force, .. } = self;
        let file = match out.into_inner().map_err(|error| failed(&path, error.error()))? {
            Out::File(file) => file,
            Out::Device(_) | Out::Terminal(_) => return Ok(()),
        };
        let named = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
        named.map(drop).map_err(|PersistError { error, .. }| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&path),
            _ => failed(&path, &error),
        })
    }

    fn cells_of<'a>(&self, line: &'a [u8], delimiter: u8) -> Cow<'a, [u8]> {
        if self.escape_formulas { cells::without_formulas(line, delimiter).into() } else { line.into() }
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), Failure> {
        parts.iter().try_for_each(|part| self.out.write_all(part)).map_err(|error| failed(&self.path, &error))
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Device(device) => device.write(bytes),
            Self::Terminal(terminal) => {
                terminal.write_all(text::lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Device(device) | Self::Terminal(device) => device.flush(),
        }
    }
}

fn exists(path: &Path) -> Failure {
    Failure::Usage(format!("--rejects: {} exists; name another file, or replace it with --force", path.display()))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("--rejects: {} can't be written: {error}", path.display()))
}
