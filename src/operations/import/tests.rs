use proptest::prelude::*;

use super::*;

const RETAIL: &[u8] = include_bytes!("../../../tests/data/online-retail-2010-12-01.csv");

pub(super) fn columns(named: &[(Field, &str)]) -> Columns {
    let mut columns = Columns::default();
    for (field, column) in named {
        assert!(columns.set(*field, (*column).to_owned()));
    }
    columns
}

fn retail_columns() -> Columns {
    columns(&[
        (Field::Product, "Description"),
        (Field::Quantity, "Quantity"),
        (Field::Price, "UnitPrice"),
        (Field::CorrelationId, "InvoiceNo"),
    ])
}

pub(super) fn read(input: &[u8], format: Format, columns: &Columns) -> (Vec<Row>, Vec<Rejection>) {
    let (mut rows, mut rejections) = (Vec::new(), Vec::new());
    for entry in Orders::read(input, format, columns).unwrap() {
        match entry.unwrap() {
            Entry::Order(row) => rows.push(row),
            Entry::Rejected(rejection) => rejections.push(rejection),
        }
    }
    (rows, rejections)
}

pub(super) fn csv(input: impl AsRef<[u8]>) -> (Vec<Row>, Vec<Rejection>) {
    read(input.as_ref(), Format::Csv, &Columns::default())
}

pub(super) fn jsonl(input: impl AsRef<[u8]>) -> (Vec<Row>, Vec<Rejection>) {
    read(input.as_ref(), Format::Jsonl, &Columns::default())
}

pub(super) fn row(line: u64, product: &str, quantity: i64) -> Row {
    let order = NewOrder { product: product.to_owned(), price_cents: 0, quantity };
    Row { line, order, correlation_id: None, dedupe_key: None }
}

pub(super) fn reasons(rejections: &[Rejection]) -> Vec<(u64, &str)> {
    rejections.iter().map(|rejection| (rejection.line, rejection.reason.as_str())).collect()
}

#[test]
fn of_999_real_lines_989_are_orders_and_10_are_rejected_by_number() {
    let (rows, rejections) = read(RETAIL, Format::Csv, &retail_columns());
    assert_eq!(rows.len(), 989);
    let lines: Vec<u64> = rejections.iter().map(|rejection| rejection.line).collect();
    assert_eq!(lines, [143, 156, 237, 238, 239, 240, 241, 242, 243, 941]);
    assert_eq!(rejections[0].reason, "quantity -1 is below 1");
    assert!(rejections[0].raw.starts_with(b"C536379,"));
}

#[test]
fn real_lines_keep_their_names_prices_and_invoices_to_the_letter() {
    let (rows, _) = read(RETAIL, Format::Csv, &retail_columns());
    let on = |line| rows.iter().find(|row| row.line == line).unwrap();
    let first = NewOrder { product: "WHITE HANGING HEART T-LIGHT HOLDER".to_owned(), price_cents: 255, quantity: 6 };
    assert_eq!(*on(2), Row { line: 2, order: first, correlation_id: Some("536365".to_owned()), dedupe_key: None });
    assert_eq!(on(255).order.product, "FANCY FONT BIRTHDAY CARD, ");
    assert_eq!(on(873).order.product, "RECORD FRAME 7\" SINGLE SIZE ");
    assert_eq!(on(624).order, NewOrder { product: String::new(), price_cents: 0, quantity: 56 });
}

#[test]
fn columns_are_found_by_name_in_any_order_and_the_optional_ones_may_be_missing() {
    assert_eq!(csv("quantity,x,product\n3,,Cup\n"), (vec![row(2, "Cup", 3)], vec![]));
}

#[test]
fn a_byte_order_mark_blank_lines_and_a_missing_last_line_end_do_no_harm() {
    assert_eq!(
        csv("\u{feff}product,quantity\r\n\r\nCup,3\r\n\n\nJug,1"),
        (vec![row(3, "Cup", 3), row(6, "Jug", 1)], vec![])
    );
}

#[test]
fn a_quoted_field_may_run_over_lines_and_numbers_stay_physical() {
    let (rows, rejections) = csv("product,quantity\n\"Cup\nwith \"\"lid\"\"\",3\nJug,0\n");
    assert_eq!(rows, [row(2, "Cup\nwith \"lid\"", 3)]);
    assert_eq!(reasons(&rejections), [(4, "quantity 0 is below 1")]);
}

#[test]
fn an_unclosed_quote_costs_its_own_line_only() {
    let (rows, rejections) = csv("product,quantity\n\"Cup,3\nJug,1\nPot,2\n");
    assert_eq!(rows, [row(3, "Jug", 1), row(4, "Pot", 2)]);
    assert_eq!(reasons(&rejections), [(2, "a quote that opens in this line is not closed within 100 lines")]);
    assert_eq!(rejections[0].raw, b"\"Cup,3");
}

#[test]
fn lines_that_all_leave_a_quote_open_are_not_read_over_and_over() {
    let (rows, rejections) = csv(format!("product,quantity\n{}", "\"a\",\"\n".repeat(20_000)));
    assert_eq!((rows.len(), rejections.len()), (0, 20_000));
}

#[test]
fn a_quote_within_an_unquoted_field_is_text() {
    assert_eq!(
        csv("product,quantity\nFRAME 7\" SINGLE,3\nJug,1\n"),
        (vec![row(2, "FRAME 7\" SINGLE", 3), row(3, "Jug", 1)], vec![])
    );
}

#[test]
fn a_wrong_number_of_fields_and_bytes_that_are_not_utf_8_are_named() {
    let (rows, rejections) = csv(b"product,quantity\nCup\nC\xffp,1\nCup,1,2\nJug,1\n");
    assert_eq!(rows, [row(5, "Jug", 1)]);
    assert_eq!(
        reasons(&rejections),
        [
            (2, "expected 2 fields as in the line of column names, found 1"),
            (3, "`product`: not UTF-8 from byte 2 of the line on; it may be Latin-1: save the file as UTF-8"),
            (4, "expected 2 fields as in the line of column names, found 3"),
        ]
    );
}

#[test]
fn a_line_over_the_limit_is_rejected_and_the_next_one_read() {
    let long = "x".repeat(MAX_LINE_BYTES + 10);
    let (rows, rejections) = csv(format!("product,quantity\n{long},1\nJug,1\n"));
    assert_eq!(rows, [row(3, "Jug", 1)]);
    assert_eq!(reasons(&rejections), [(2, "longer than 1048576 bytes")]);
    assert_eq!(rejections[0].raw.len(), MAX_LINE_BYTES);

    let (rows, rejections) = jsonl(format!("{long}\n{{\"product\":\"Jug\",\"quantity\":1}}"));
    assert_eq!(rows, [row(2, "Jug", 1)]);
    assert_eq!(reasons(&rejections), [(1, "longer than 1048576 bytes")]);
}

#[test]
fn a_missing_column_is_named_with_those_that_exist() {
    let error = Orders::read(RETAIL, Format::Csv, &Columns::default()).err().unwrap().to_string();
    assert_eq!(
        error,
        "has no column `product` for product; it has `InvoiceNo`, `StockCode`, `Description`, `Quantity`, \
         `InvoiceDate`, `UnitPrice`, `CustomerID`, `Country`. Name the right one with --column product=COLUMN"
    );
}

#[test]
fn an_optional_column_that_was_asked_for_must_be_there() {
    let asked = columns(&[(Field::Price, "cost")]);
    let error = Orders::read(&b"product,quantity\n"[..], Format::Csv, &asked).err().unwrap().to_string();
    assert!(error.starts_with("has no column `cost` for price; it has `product`, `quantity`."), "{error}");
}

#[test]
fn a_column_that_is_there_twice_is_ambiguous() {
    let error = Orders::read(&b"product,quantity,product\n"[..], Format::Csv, &Columns::default()).err().unwrap();
    assert_eq!(error.to_string(), "has 2 columns `product`; rename all but one");
}

#[test]
fn an_empty_file_has_no_column_names() {
    let error = Orders::read(&b"\n\n"[..], Format::Csv, &Columns::default()).err().unwrap();
    assert!(matches!(error, ImportError::Empty));
}

#[test]
fn a_field_has_one_column() {
    let mut columns = columns(&[(Field::Price, "cost")]);
    assert!(!columns.set(Field::Price, "amount".to_owned()));
}

#[test]
fn json_numbers_are_read_as_they_are_written() {
    let (rows, rejections) = jsonl(concat!(
        r#"{"product":"Cup","quantity":3,"price":2.55,"correlation_id":536365}"#,
        "\n\n",
        r#"{"product":"C\u00fcp","quantity":"4","price":"1","correlation_id":null}"#,
        "\n",
        r#"{"product":"Jug","quantity":1.0}"#,
        "\n",
        r#"{"product":"Jug","quantity":1,"price":0.10000000000000000001}"#,
    ));
    let cup = NewOrder { product: "Cup".to_owned(), price_cents: 255, quantity: 3 };
    let other = NewOrder { product: "Cüp".to_owned(), price_cents: 100, quantity: 4 };
    assert_eq!(
        rows,
        [
            Row { line: 1, order: cup, correlation_id: Some("536365".to_owned()), dedupe_key: None },
            Row { line: 3, order: other, correlation_id: None, dedupe_key: None }
        ]
    );
    assert_eq!(
        reasons(&rejections),
        [
            (4, "quantity `1.0` is not a whole number from 1 to 2147483647"),
            (5, "price `0.10000000000000000001` is not a number from 0 to 99999999.99 with at most 2 decimals"),
        ]
    );
}

#[test]
fn invalid_json_lines_have_a_reason() {
    let (rows, rejections) =
        jsonl("1\n{\"name\":\"Cup\",\"quantity\":1}\n{\"product\":[],\"quantity\":1}\n{\"product\":\"Cup\"\n\u{0}");
    assert_eq!(rows, []);
    let reasons = reasons(&rejections);
    assert!(reasons[0].1.starts_with("not a JSON object: invalid type: integer"), "{}", reasons[0].1);
    assert_eq!(reasons[1], (2, "has no `product`; the keys are `name`, `quantity`"));
    assert_eq!(reasons[2], (3, "`product` must be a string or a number"));
    assert!(reasons[3].1.starts_with("not a JSON object: EOF while parsing an object at column"), "{}", reasons[3].1);
    assert_eq!(rejections.len(), 5);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_no_line_is_lost(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut input = b"product,quantity\n".to_vec();
        input.extend(&bytes);
        let physical = input.split(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
        for format in [Format::Csv, Format::Jsonl] {
            let (rows, rejections) = read(&input, format, &Columns::default());
            let last = rows.iter().map(|row| row.line).chain(rejections.iter().map(|rejection| rejection.line)).max();
            prop_assert!(last.unwrap_or(0) <= physical);
        }
    }

    #[test]
    fn quotes_commas_and_line_ends_in_any_mixture_keep_line_numbers_rising(text in "[\",\r\na1]{0,200}") {
        let (rows, rejections) = csv(format!("product,quantity\n{text}"));
        for lines in [rows.iter().map(|row| row.line).collect::<Vec<_>>(), rejections.iter().map(|r| r.line).collect()] {
            prop_assert!(lines.is_sorted_by(|a, b| a < b), "{lines:?}");
        }
    }
}
