//! Makes UTF-8 text of a file, or says what the file is instead.
//!
//! UTF-16 is transcoded: by its byte order mark, or because its first character is ASCII, as that of a table or of JSON is.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};

use super::ImportError;

/// What is looked at to find out what a file is.
const HEAD_BYTES: usize = 4096;

/// The text of a file.
pub(super) type Text<R> = BufReader<DecodeReaderBytes<Chain<Cursor<Vec<u8>>, R>, Vec<u8>>>;

/// Opens the text without its byte order mark, and says whether it was transcoded: then U+FFFD stands for what could not be.
pub(super) fn open<R: BufRead>(mut input: R) -> Result<(Text<R>, bool), ImportError> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    input.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    refuse_other_than_text(&head)?;
    let utf16 = utf16(&head);
    let decoder = DecodeReaderBytesBuilder::new()
        .encoding(utf16)
        .utf8_passthru(true)
        .strip_bom(true)
        .bom_override(true)
        .build(Cursor::new(head).chain(input));
    Ok((BufReader::with_capacity(64 * 1024, decoder), utf16.is_some()))
}

fn utf16(head: &[u8]) -> Option<&'static Encoding> {
    match *head {
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        [1..=0xff, 0, ..] => Some(UTF_16LE),
        [0, 1..=0xff, ..] => Some(UTF_16BE),
        _ => None,
    }
}

/// First bytes that give a file away, what it is, and what to do.
const SIGNATURES: [(&[u8], &str); 13] = [
    (b"\x1f\x8b", "compressed by gzip; unpack it first: gunzip -c FILE | fulfillment-worker submit -"),
    (b"BZh", "compressed by bzip2; unpack it first"),
    (b"\xfd7zXZ\0", "compressed by xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls) or another document of Office; save it as CSV"),
    (b"%PDF", "a PDF document; export its table as CSV"),
    (b"PAR1", "a Parquet file; export it as CSV"),
    (b"SQLite format 3\0", "an SQLite database; export its table as CSV"),
    (b"{\\rtf", "an RTF document; save it as CSV"),
    (b"\x7fELF", "a program"),
    (b"\xff\xfe\0\0", "text in UTF-32; save it as UTF-8"),
    (b"\0\0\xfe\xff", "text in UTF-32; save it as UTF-8"),
];

/// Looks at the beginning of a file, and reads nothing of it.
///
/// # Errors
/// [`ImportError::NotText`] says what it is instead of text.
pub fn check_is_text(input: &mut dyn BufRead) -> Result<(), ImportError> {
    refuse_other_than_text(input.fill_buf().map_err(ImportError::Read)?)
}

fn refuse_other_than_text(head: &[u8]) -> Result<(), ImportError> {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    let contains = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
    let what = match SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        Some((_, what)) => what,
        None if head.starts_with(b"PK") && (contains(b"xl/") || contains(b"[Content_Types].xml")) => {
            "an Excel workbook (.xlsx); save it as CSV"
        }
        None if head.starts_with(b"PK") && contains(b"opendocument.spreadsheet") => {
            "an OpenDocument spreadsheet (.ods); save it as CSV"
        }
        None if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") => "a ZIP archive; unpack it first",
        None => match markup(head) {
            Some(what) => what,
            None => return Ok(()),
        },
    };
    Err(ImportError::NotText(what))
}

fn markup(head: &[u8]) -> Option<&'static str> {
    let text = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(head).trim_ascii_start();
    let begins = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    match () {
        () if begins("<!doctype html") || begins("<html") => Some("an HTML page, as that of an error or a login is"),
        () if begins("<?xml") => Some("an XML document; export it as CSV"),
        () => None,
    }
}

/// Reads all of a text, which may have `limit` bytes.
pub(super) fn read_whole(input: impl Read, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    input.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() <= limit))
}
