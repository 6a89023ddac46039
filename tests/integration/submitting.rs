//! `submit` with files as other programs save them, and with the same file twice. The binary; Postgres for one test.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;

const RETAIL: &str = include_str!("../data/online-retail-2010-12-01.csv");
const RETAIL_COLUMNS: &str = "--column product=Description --column quantity=Quantity --skip-invalid";

fn submit(folder: &TempDir, words: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fulfillment-worker"));
    command.arg("submit").args(words.split_whitespace()).current_dir(folder.path()).env_clear().stdin(Stdio::null());
    let output = command.envs(variables.iter().copied()).output().expect("the binary starts");
    (output.status.code(), said(&output))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const EMBEDDED: [(&str, &str); 1] = [("FULFILLMENT_STORE", "sqlite:orders.db")];

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[test]
fn files_of_other_programs_are_taken() {
    let utf16: Vec<u8> = "\u{feff}product\tquantity\r\nCup\t3\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes) in [
        ("mac.csv", b"product,quantity,comment\rBlue Cup,3,ok\r".as_slice()),
        ("excel.csv", b"sep=;\r\nproduct;quantity\r\nBlue Cup;3\r\n;\r\n;\r\n"),
        ("unicode.tsv", &utf16),
        ("array.json", b"[\n  {\"product\": \"Cup\", \"quantity\": 3}\n]\n"),
    ] {
        let (code, said) = submit(&folder(&[(name, bytes)]), name, &EMBEDDED);
        assert!(code == Some(0) && said.contains("submitted 1 order (1 product, id 1)"), "{name}: {said}");
    }
}

#[test]
fn files_that_can_not_be_taken_are_called_what_they_are() {
    for (name, bytes, says) in [
        ("orders.csv", b"\x1f\x8b\x08\0".as_slice(), "orders.csv is compressed by gzip"),
        ("orders.csv.gz", b"\x1f\x8b\x08\0", "orders.csv.gz is compressed by gzip"),
        ("orders.xlsx", b"PK\x03\x04\x14\0[Content_Types].xml", "orders.xlsx is an Excel workbook (.xlsx)"),
        ("orders.csv", b"<!doctype html>", "orders.csv is an HTML page"),
        ("orders.csv", b"", "orders.csv is empty"),
        ("orders.csv", b"product,quantity\nT\xeate,3\n", "orders.csv:2: `product`: not UTF-8 from byte 2 of the line"),
        ("orders.json", b"[{]", "orders.json is no valid JSON array: "),
        (
            "orders.jsonl",
            b"{\"product\":\"Cup\",\"quantity\":1,\"quantity\":2}",
            "orders.jsonl:1: has 2 keys `quantity`",
        ),
    ] {
        let (code, said) = submit(&folder(&[(name, bytes)]), name, &EMBEDDED);
        assert!(code == Some(2) && said.contains(says), "{name}: {code:?} {said}");
    }
}

#[test]
fn a_file_without_orders_is_said_to_have_none() {
    for (name, bytes) in [("orders.csv", b"product,quantity\r\n".as_slice()), ("orders.json", b"[]")] {
        let (code, said) = submit(&folder(&[(name, bytes)]), name, &EMBEDDED);
        assert!(code == Some(0) && said.contains(&format!("note: {name} holds no orders")), "{said}");
    }
}

#[test]
fn a_delimiter_can_be_named_and_rejects_keep_it() {
    let folder = folder(&[("orders.csv", b"product^quantity\nCup^3\nJug^0\n")]);
    let (code, said) = submit(&folder, "orders.csv --delimiter ^ --skip-invalid --rejects rejects.csv", &EMBEDDED);
    assert!(code == Some(0) && said.contains("submitted 1 order"), "{said}");
    let rejects = std::fs::read_to_string(folder.path().join("rejects.csv")).unwrap();
    assert_eq!(rejects, "product^quantity^reason\nJug^0^\"quantity 0 is below 1\"\n");
    for wrong in ["ab", "a", "\"", "é"] {
        let (code, said) = submit(&folder, &format!("orders.csv --delimiter {wrong}"), &EMBEDDED);
        assert!(code == Some(2) && said.contains("--delimiter: `"), "{wrong}: {said}");
    }
}

#[test]
fn a_file_that_is_named_twice_is_refused() {
    let folder = folder(&[("orders.csv", b"product,quantity\nCup,3\n")]);
    std::os::unix::fs::symlink("orders.csv", folder.path().join("same.csv")).unwrap();
    for words in ["orders.csv orders.csv", "orders.csv ./orders.csv", "orders.csv same.csv"] {
        let (code, said) = submit(&folder, words, &EMBEDDED);
        assert!(code == Some(2) && said.contains("is named twice"), "{words}: {said}");
    }
}

/// The file of real orders with a number of its own in each line, as the whole has none.
fn numbered() -> String {
    let lines = RETAIL.lines().enumerate();
    lines
        .map(|(number, line)| if number == 0 { format!("no,{line}\n") } else { format!("{number},{line}\n") })
        .collect()
}

#[test]
fn real_orders_that_are_submitted_twice_go_in_once_by_their_key() {
    let folder = folder(&[("orders.csv", numbered().as_bytes())]);
    let words = format!("orders.csv {RETAIL_COLUMNS} --dedupe-column no");
    let (code, first) = submit(&folder, &words, &EMBEDDED);
    assert!(code == Some(0) && first.contains("submitted 989 orders"), "{first}");
    let (code, second) = submit(&folder, &words, &EMBEDDED);
    assert!(code == Some(0) && second.contains("submitted 0 orders"), "{second}");
    assert!(second.contains("989 skipped as submitted before"), "{second}");
}

#[test]
fn a_column_that_does_not_tell_orders_apart_is_refused_with_both_lines() {
    let folder = folder(&[("orders.csv", RETAIL.as_bytes())]);
    let (code, said) = submit(&folder, &format!("orders.csv {RETAIL_COLUMNS} --dedupe-column InvoiceNo"), &EMBEDDED);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("orders.csv:3: another order than in orders.csv:2, with the same value"), "{said}");
    assert!(!Path::new(&folder.path().join("orders.db")).exists(), "something went in");
}

#[test]
fn the_same_order_twice_in_one_file_goes_in_once_by_its_key() {
    let folder = folder(&[("orders.csv", b"no,product,quantity\n1,Cup,3\n2,Jug,1\n1,Cup,3\n")]);
    let (code, said) = submit(&folder, "orders.csv --dedupe-column no --json", &EMBEDDED);
    assert!(code == Some(0) && said.contains("\"submitted\":2,\"skipped\":1"), "{said}");
}

#[tokio::test]
async fn keys_hold_in_postgres_too_and_the_skipped_orders_get_no_message() {
    let (database, redis) = (TestDatabase::create().await, RedisServer::start().await);
    let folder = folder(&[
        ("monday.csv", b"no,product,quantity\n1,Cup,3\n2,Jug,1\n".as_slice()),
        ("tuesday.csv", b"no,product,quantity\n2,Jug,1\n3,Pot,1\n"),
    ]);
    let variables = [("DATABASE_URL", database.url()), ("REDIS_URL", &redis.url())];
    for (file, says) in [("monday.csv", "submitted 2 orders"), ("tuesday.csv", "submitted 1 order (1 product, id ")] {
        let (code, said) = submit(&folder, &format!("{file} --dedupe-column no"), &variables);
        assert!(code == Some(0) && said.contains(says), "{said}");
    }
    assert_eq!(database.number("SELECT count(*) FROM orders").await, 3);
    let messages: u64 = redis.ask(&format!("LLEN {}", crate::support::redis::QUEUE_KEY));
    assert_eq!(messages, 3);
}

#[tokio::test]
async fn without_the_table_of_keys_the_way_out_is_named() {
    let (database, redis) = (TestDatabase::create().await, RedisServer::start().await);
    let folder = folder(&[("orders.csv", b"no,product,quantity\n1,Cup,3\n")]);
    let variables = [("DATABASE_URL", database.url()), ("REDIS_URL", &redis.url())];
    submit(&folder, "orders.csv --dedupe-column no", &variables);
    database.connect().await.batch_execute("DROP TABLE fulfillment.submissions").await.unwrap();
    let (code, said) = submit(&folder, "orders.csv --dedupe-column no --migrate off", &variables);
    assert!(code == Some(1) && said.contains("run `fulfillment-worker migrate`"), "{said}");
    assert_eq!(database.number("SELECT count(*) FROM orders").await, 1);
}
