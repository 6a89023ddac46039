//! The file of `--rejects`: invalid lines, unchanged, with the reason.
//!
//! CSV keeps its line of column names and gets a last column `reason`, so the file can be corrected and submitted again.
//! Lines of JSON become objects with `line`, `reason` and `text`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::operations::import::Rejection;

pub(super) struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
    /// The CSV column names written last. Inputs with the same names share them.
    header: Option<Vec<u8>>,
    /// What stands between the fields of the input, if it is CSV.
    delimiter: Option<u8>,
}

impl Rejects {
    /// Creates or empties the file. An error if it is one of the `inputs`.
    pub(super) fn create(path: &Path, inputs: &[PathBuf]) -> Result<Self, Failure> {
        let same = |input: &PathBuf| matches!((input.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if inputs.iter().any(same) {
            return Err(Failure::Usage(format!("--rejects: {} is also an input; name another file", path.display())));
        }
        let file = File::create(path).map_err(|error| failed(path, &error))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), header: None, delimiter: None })
    }

    /// Begins an input; `header` holds its column names and what stands between them if it is CSV.
    pub(super) fn begin(&mut self, header: Option<(&[u8], u8)>) -> Result<(), Failure> {
        self.delimiter = header.map(|(_, delimiter)| delimiter);
        match header {
            Some((header, delimiter)) if self.header.as_deref() != Some(header) => {
                self.header = Some(header.to_owned());
                self.write(&[header, &[delimiter], b"reason\n"])
            }
            _ => Ok(()),
        }
    }

    pub(super) fn add(&mut self, rejection: &Rejection) -> Result<(), Failure> {
        let Rejection { line, reason, raw } = rejection;
        if let Some(delimiter) = self.delimiter {
            let reason = format!("\"{}\"\n", reason.replace('"', "\"\""));
            self.write(&[raw, &[delimiter], reason.as_bytes()])
        } else {
            let object = serde_json::json!({ "line": line, "reason": reason, "text": String::from_utf8_lossy(raw) });
            self.write(&[object.to_string().as_bytes(), b"\n"])
        }
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|error| failed(&self.path, &error))
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), Failure> {
        parts.iter().try_for_each(|part| self.file.write_all(part)).map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("--rejects: {} can't be written: {error}", path.display()))
}
