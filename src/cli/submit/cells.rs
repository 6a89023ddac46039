//! Lines of CSV for spreadsheets, which take a cell that begins with `=` and others for a formula, whoever wrote it.

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};

use crate::domain::text;

/// A cell of CSV, whatever is in it.
pub(super) fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}

/// The same cells as text, each in quotes.
pub(super) fn without_formulas(line: &[u8], delimiter: u8) -> Vec<u8> {
    let cells = cells(ReaderBuilder::new().delimiter(delimiter).build(), line);
    let shown = cells.iter().map(|cell| quoted(&text::cell(&String::from_utf8_lossy(cell))));
    shown.collect::<Vec<_>>().join(&char::from(delimiter).to_string()).into_bytes()
}

fn cells(mut reader: Reader, mut rest: &[u8]) -> Vec<Vec<u8>> {
    let (mut cells, mut cell) = (Vec::new(), Vec::new());
    let mut buffer = [0; 1024];
    loop {
        // Nothing left to read tells it that this is the end.
        let (result, read, written) = reader.read_field(rest, &mut buffer);
        rest = rest.get(read..).unwrap_or_default();
        cell.extend_from_slice(buffer.get(..written).unwrap_or_default());
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { .. } => cells.push(std::mem::take(&mut cell)),
            ReadFieldResult::End => return cells,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        String::from_utf8(without_formulas(line.as_bytes(), b',')).unwrap()
    }

    #[test]
    fn cells_that_begin_a_formula_begin_with_a_quote_mark() {
        assert_eq!(shown("=1+1,Cup,-3"), r#""'=1+1","Cup","'-3""#);
        assert_eq!(shown(r#""=HYPERLINK(""http://x"",""y"")",2"#), r#""'=HYPERLINK(""http://x"",""y"")","2""#);
        assert_eq!(shown("\"\t=1\",@x"), "\"'\t=1\",\"'@x\"");
    }

    #[test]
    fn what_is_no_formula_keeps_its_value_and_its_place() {
        assert_eq!(shown("a,,c"), r#""a","","c""#);
        assert_eq!(shown("a,"), r#""a","""#);
        assert_eq!(shown("\"one\ntwo\",3"), "\"one\ntwo\",\"3\"");
        assert_eq!(without_formulas(b"a;=b", b';'), br#""a";"'=b""#);
    }

    #[test]
    fn broken_lines_end() {
        for line in ["", "\"open", "\"a\"b,=c", "\u{feff}=1", &"x".repeat(5_000)] {
            shown(line);
        }
        assert_eq!(without_formulas(b"\xff=,=1", b','), "\"\u{fffd}=\",\"'=1\"".as_bytes());
    }
}
