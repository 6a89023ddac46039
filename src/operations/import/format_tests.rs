//! What other programs save: other line ends, delimiters and encodings, arrays, and files that are something else.

use super::tests::{columns, csv, jsonl, read, reasons, row};
use super::*;

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

fn error(input: &[u8], format: Format) -> String {
    Orders::read(input, format, &Columns::default()).err().expect("no orders").to_string()
}

#[test]
fn a_line_may_end_with_cr_alone_as_on_a_classic_mac() {
    let file = "product,quantity,comment\rBlue Cup,3,ok\rRed Mug,2,ok\r";
    assert_eq!(csv(file), (vec![row(2, "Blue Cup", 3), row(3, "Red Mug", 2)], vec![]));
    // In a mixture each counts once, and a quoted field keeps its lines.
    let mixed = "product,quantity\r\nCup,1\rJug,2\n\"a\rb\",3\r\n\rPot,0\r";
    let (rows, rejections) = csv(mixed);
    assert_eq!(rows, [row(2, "Cup", 1), row(3, "Jug", 2), row(4, "a\nb", 3)]);
    assert_eq!(reasons(&rejections), [(7, "quantity 0 is below 1")]);
    let objects = "{\"product\":\"Cup\",\"quantity\":1}\r{\"product\":\"Jug\",\"quantity\":2}";
    assert_eq!(jsonl(objects), (vec![row(1, "Cup", 1), row(2, "Jug", 2)], vec![]));
}

#[test]
fn rows_of_delimiters_alone_are_no_orders() {
    assert_eq!(csv("product,quantity\r\nBlue Cup,3\r\n,\r\n,\r\n"), (vec![row(2, "Blue Cup", 3)], vec![]));
    assert_eq!(csv("product,quantity\n, \nCup,3\n\"\",\"\"\n,,,,\n"), (vec![row(3, "Cup", 3)], vec![]));
}

#[test]
fn the_delimiter_is_the_one_that_makes_the_columns() {
    for (file, name) in [
        ("product;quantity\r\nBlue, Cup;3\r\n", "Blue, Cup"),
        ("product\tquantity\nBlue; Cup\t3\n", "Blue; Cup"),
        ("product|quantity\nCup|3\n", "Cup"),
        ("\"product\";\"quantity\"\n\"Cup; blue\";\"3\"\n", "Cup; blue"),
    ] {
        assert_eq!(csv(file), (vec![row(2, name, 3)], vec![]), "{file}");
    }
    // Where none does, the one that makes the most columns is the file's.
    assert!(error(b"product;menge\nCup;3\n", Format::Csv).contains("it has `product`, `menge`"));
    assert_eq!(error(b"product;quantity;quantity\n", Format::Csv), "has 2 columns `quantity`; rename all but one");
    // Comma wins where it makes them.
    assert_eq!(csv("product,quantity,a;b\nCup;x,3,\n"), (vec![row(2, "Cup;x", 3)], vec![]));
}

#[test]
fn a_first_line_or_an_option_names_the_delimiter() {
    for first in ["sep=;", "SEP=;", "\"sep=;\""] {
        assert_eq!(csv(format!("{first}\r\nproduct;quantity\r\nCup;3\r\n")), (vec![row(3, "Cup", 3)], vec![]));
    }
    assert_eq!(csv("sep=,\nproduct,quantity\nCup,3\n"), (vec![row(3, "Cup", 3)], vec![]));
    let hash = Columns { delimiter: Some(b'#'), ..Columns::default() };
    assert_eq!(read(b"product#quantity\nCup#3\n", Format::Csv, &hash), (vec![row(2, "Cup", 3)], vec![]));
    let error = Orders::read(&b"product;quantity\n"[..], Format::Csv, &hash).err().unwrap().to_string();
    assert!(error.starts_with("has no column `product` for product; it has `product;quantity`"), "{error}");
}

#[test]
fn utf_16_is_taken_with_and_without_its_mark() {
    let text = "product,quantity\r\nTasse \u{1f375} blau,3\r\nKrug,x\r\n";
    for (bytes, mark) in [(u16::to_le_bytes as fn(u16) -> [u8; 2], 0xfeff), (u16::to_be_bytes, 0xfeff)] {
        let plain = utf16(text, bytes);
        for input in [[bytes(mark).to_vec(), plain.clone()].concat(), plain] {
            let (rows, rejections) = csv(&input);
            assert_eq!(rows, [row(2, "Tasse \u{1f375} blau", 3)]);
            assert_eq!(reasons(&rejections), [(3, "quantity `x` is not a whole number from 1 to 2147483647")]);
        }
    }
    // Half of a pair, and half of a unit.
    let broken = [utf16("product,quantity\n", u16::to_le_bytes), vec![0x3d, 0xd8], utf16(",3\n", u16::to_le_bytes)];
    assert_eq!(reasons(&csv(broken.concat()).1), [(2, "has a character that is not UTF-16")]);
    let object = utf16("[{\"product\":\"Cup\",\"quantity\":1}]", u16::to_be_bytes);
    assert_eq!(jsonl(object).0, [row(1, "Cup", 1)]);
}

#[test]
fn latin_1_is_told_by_line_and_column() {
    let (rows, rejections) = csv(b"product,quantity,note\nCup,1,caf\xe9\nJug,2,\nT\xeate,3,\n");
    assert_eq!(rows, [row(3, "Jug", 2)]);
    assert_eq!(
        reasons(&rejections),
        [
            (2, "`note`: not UTF-8 from byte 10 of the line on; it may be Latin-1: save the file as UTF-8"),
            (4, "`product`: not UTF-8 from byte 2 of the line on; it may be Latin-1: save the file as UTF-8")
        ]
    );
}

#[test]
fn a_nul_is_told_by_line_and_field() {
    let (_, rejections) = csv(b"product,quantity\nC\0p,1\nCup,1\0\n");
    assert_eq!(
        reasons(&rejections),
        [(2, "product contains a NUL character"), (3, "quantity `1\\0` is not a whole number from 1 to 2147483647")]
    );
}

#[test]
fn a_file_that_is_no_text_is_called_what_it_is() {
    let xlsx = [b"PK\x03\x04\x14\0\x06\0".as_slice(), b"[Content_Types].xml"].concat();
    for (input, says) in [
        (b"\x1f\x8b\x08\0\0".as_slice(), "compressed by gzip"),
        (&xlsx, "an Excel workbook (.xlsx); save it as CSV"),
        (b"PK\x03\x04orders.csv", "a ZIP archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\n <!DOCTYPE HTML><p>Sign in", "an HTML page"),
        (b"\xef\xbb\xbf<?xml version=", "an XML document"),
        (b"\xff\xfe\0\0p\0\0\0", "UTF-32"),
    ] {
        for format in [Format::Csv, Format::Jsonl] {
            let error = error(input, format);
            assert!(error.starts_with("is ") && error.contains(says), "{error}");
        }
    }
}

#[test]
fn nothing_but_a_header_is_no_order_and_no_header_is_an_error() {
    assert_eq!(csv("product,quantity\n"), (vec![], vec![]));
    assert_eq!(csv("\u{feff}product,quantity"), (vec![], vec![]));
    assert_eq!(jsonl(""), (vec![], vec![]));
    assert_eq!(jsonl("[]"), (vec![], vec![]));
    for empty in ["", "\n", "\u{feff}", "\r\n\r\n", ",,,\n"] {
        assert!(error(empty.as_bytes(), Format::Csv).starts_with("is empty"), "{empty:?}");
    }
}

#[test]
fn an_array_of_objects_is_taken_with_the_lines_of_its_elements() {
    let array =
        "\n[\n  {\"product\": \"Cup\",\n   \"quantity\": 3},\n\n  7, {\"product\":\"Jug\",\"quantity\":1},\n  {}\n]\n";
    let (rows, rejections) = jsonl(array);
    assert_eq!(rows, [row(3, "Cup", 3), row(6, "Jug", 1)]);
    assert_eq!(
        reasons(&rejections),
        [
            (6, "not a JSON object: invalid type: integer `7`, expected a map"),
            (7, "has no `product`; the keys are none")
        ]
    );
    assert_eq!(rejections[0].raw, b"7");
    assert_eq!(jsonl("[{\"product\":\"a]},{\\\"\",\"quantity\":1}]").0, [row(1, "a]},{\"", 1)]);
}

#[test]
fn an_array_that_is_not_whole_is_an_error_with_its_line() {
    for (input, says) in [
        (b"[{\"product\":\"Cup\",\n\"quantity\":1}\n".as_slice(), "EOF while parsing a list at line 3"),
        (b"[{\"product\":\"Cup\",\"quantity\":1},]", "at line 1 column"),
        (b"[]\n{\"product\":\"Cup\",\"quantity\":1}", "trailing characters at line 2"),
        (b"[\n\"\xff\"]", "not UTF-8 in line 2"),
    ] {
        let error = error(input, Format::Jsonl);
        assert!(error.starts_with("is no valid JSON array") && error.contains(says), "{error}");
    }
    let large = format!("[{}]", " ".repeat(64 * 1024 * 1024));
    assert!(error(large.as_bytes(), Format::Jsonl).starts_with("is a JSON array of more than 64 MiB"));
}

#[test]
fn a_key_that_is_there_twice_is_ambiguous_if_it_is_read() {
    let (rows, rejections) = jsonl(concat!(
        r#"{"product":"Cup","quantity":1,"quantity":100}"#,
        "\n",
        r#"{"product":"Cup","prod\u0075ct":"Jug","quantity":1}"#,
        "\n",
        r#"{"product":"Cup","quantity":2,"note":1,"note":2}"#,
    ));
    assert_eq!(rows, [row(3, "Cup", 2)]);
    assert_eq!(
        reasons(&rejections),
        [(1, "has 2 keys `quantity`; keep one of them"), (2, "has 2 keys `product`; keep one of them")]
    );
}

#[test]
fn a_row_has_the_key_that_its_columns_make() {
    let keyed = |names: &[&str]| Columns { dedupe: names.iter().map(ToString::to_string).collect(), ..columns(&[]) };
    let keys = |input: &str, format, names: &[&str]| {
        let (rows, rejections) = read(input.as_bytes(), format, &keyed(names));
        (rows.into_iter().map(|row| row.dedupe_key.unwrap()).collect::<Vec<_>>(), rejections)
    };
    let file = "no,product,quantity,pos\n 7 ,Cup,1,a\n8,Jug,1,b\n,Pot,1,c\n";
    let (found, rejections) = keys(file, Format::Csv, &["no", "pos"]);
    assert_eq!(found, ["7\u{1f}a", "8\u{1f}b"]);
    assert_eq!(reasons(&rejections), [(4, "`no` is empty, and --dedupe-column needs it")]);
    let (found, rejections) = keys(
        "{\"product\":\"Cup\",\"quantity\":1,\"no\":7}\n{\"product\":\"Cup\",\"quantity\":1}",
        Format::Jsonl,
        &["no"],
    );
    assert_eq!(found, ["7"]);
    assert_eq!(reasons(&rejections), [(2, "has no `no`; the keys are `product`, `quantity`")]);
    let missing = Orders::read(file.as_bytes(), Format::Csv, &keyed(&["nr"])).err().unwrap().to_string();
    assert_eq!(missing, "has no column `nr` for --dedupe-column; it has `no`, `product`, `quantity`, `pos`.");
}
