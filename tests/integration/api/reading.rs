//! What viewers read.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Served, problem};
use crate::support::{LONG, eventually, expect_equal};

/// Every order fails at once.
const FAILING: [&str; 4] = ["--simulate-failures", "1", "--max-attempts", "1"];

#[tokio::test]
async fn on_servers_everything_is_read_page_by_page_as_commands_print_it() {
    read_everything(Served::by_servers(&FAILING).await).await;
}

#[tokio::test]
async fn embedded_everything_is_read_page_by_page_as_commands_print_it() {
    read_everything(Served::embedded(&FAILING).await).await;
}

async fn read_everything(served: Served) {
    let ids = served.put_in(5);
    let failed =
        async || expect_equal(served.read("/orders?state=failed&limit=10")["orders"].as_array().map(Vec::len), Some(5));
    eventually(LONG, "all have failed", failed).await;

    let mut newest_first = ids.clone();
    newest_first.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(keys(&served, "/orders?correlation_id=c-7", "orders", "order_id"), newest_first);
    assert_eq!(keys(&served, "/orders?state=pending&state=fulfilled", "orders", "order_id"), [0_i64; 0]);
    let letters = keys(&served, "/dead-letters?reason=attempts_exhausted", "dead_letters", "id");
    assert_eq!(letters.len(), 5);
    assert!(letters.is_sorted(), "{letters:?}");

    let order = format!("/orders/{}", ids[0]);
    let shown = served.read(&order);
    assert_eq!(shown["state"], "failed");
    assert_eq!(shown["timeline"].as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(shown["dead_letters"][0]["order_id"], ids[0]);
    let id = ids[0].to_string();
    same(&shown, &served.printed(&["order", &id]));
    same(&served.read("/orders"), &served.printed(&["orders"]));
    same(&served.read("/dead-letters"), &served.printed(&["dead", "list"]));
    let letter = letters[0].to_string();
    same(&served.read(&format!("/dead-letters/{letter}")), &served.printed(&["dead", "show", &letter]));

    let groups = served.read("/dead-letter-groups");
    assert_eq!(
        (&groups["groups"][0]["letters"], &groups["looked"], &groups["next_cursor"]),
        (&json!(5), &json!(5), &Value::Null)
    );
    same(&groups, &served.printed(&["dead", "list", "--group"]));
    let fingerprint = groups["groups"][0]["fingerprint"].as_str().expect("a text");
    let encoded = utf8_percent_encode(fingerprint, NON_ALPHANUMERIC);
    assert_eq!(keys(&served, &format!("/dead-letters?fingerprint={encoded}"), "dead_letters", "id"), letters);
    assert_eq!(keys(&served, "/dead-letters?fingerprint=another", "dead_letters", "id"), [0_i64; 0]);
    let of_group = served.read(&format!("/dead-letters?fingerprint={encoded}"));
    same(&of_group, &served.printed(&["dead", "list", "--fingerprint", fingerprint]));
    assert_eq!(served.read("/dead-letter-groups?fingerprint=another")["groups"], json!([]));
    let selection = json!({"reasons": ["attempts_exhausted"], "fingerprint": fingerprint});
    let body = json!({"kind": "dead_discard", "selection": selection, "why": "x", "dry_run": true});
    assert_eq!(served.decide("/jobs", &body)["matching"], 5);
    let workers = served.read("/workers");
    assert_eq!((&workers["workers"][0]["state"], &workers["workers"][1]), (&json!("running"), &Value::Null));
    assert_eq!(served.read("/controls")["controls"], json!([]));

    for path in ["/orders/999999", "/dead-letters/999999"] {
        let missing = problem(&served.ask("ann", "GET", path, &[], ""), 404);
        assert!(missing["detail"].as_str().is_some_and(|detail| detail.contains("999999 does not exist")), "{missing}");
    }
}

/// The keys of a whole list, read two at a time.
fn keys(served: &Served, list: &str, elements: &str, key: &str) -> Vec<i64> {
    let separator = if list.contains('?') { '&' } else { '?' };
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.read(&format!("{list}{separator}limit=2{cursor}"));
        let found = page[elements].as_array().expect("elements");
        assert!(found.len() <= 2, "{page}");
        keys.extend(found.iter().map(|element| element[key].as_i64().expect("a key")));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return keys,
        }
        assert!(keys.len() < 100, "without an end");
    }
}

/// Compares two documents, ages aside: time goes on.
fn same(one: &Value, other: &Value) {
    fn timeless(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields.iter().filter(|(name, _)| !name.ends_with("_seconds"));
                kept.map(|(name, value)| (name.clone(), timeless(value))).collect()
            }
            Value::Array(elements) => elements.iter().map(timeless).collect(),
            other => other.clone(),
        }
    }
    assert_eq!(timeless(one), timeless(other));
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_said_with_its_parameter() {
    let served = Served::embedded(&[]).await;
    served.put_in(3);
    let cursor = served.read("/orders?limit=1")["next_cursor"].as_str().expect("a cursor").to_owned();
    for (query, status, parameter) in [
        ("/orders?limit=0", 400, "limit"),
        ("/orders?limit=1001", 400, "limit"),
        ("/orders?limit=1&limit=2", 400, "limit"),
        ("/orders?state=", 400, "state"),
        ("/orders?state=%00", 400, "state"),
        ("/orders?product_id=0", 400, "product_id"),
        ("/orders?product_id=9223372036854775808", 400, "product_id"),
        ("/orders?older_than_seconds=1.5", 400, "older_than_seconds"),
        ("/orders?newer_than_seconds=-1", 400, "newer_than_seconds"),
        ("/orders?correlation_id=", 400, "correlation_id"),
        ("/orders?cursor=garbage", 404, "cursor"),
        (&format!("/orders?state=pending&cursor={cursor}"), 404, "cursor"),
        (&format!("/dead-letters?cursor={cursor}"), 404, "cursor"),
        ("/orders?colour=red", 400, "colour"),
        ("/orders/0", 400, "id"),
        ("/orders/seven", 400, "id"),
        ("/orders/1?verbose=1", 400, "verbose"),
        ("/dead-letters?reason=sleepy", 400, "reason"),
        ("/dead-letters?resolved=yes", 400, "resolved"),
        ("/dead-letters?fingerprint=", 400, "fingerprint"),
        ("/dead-letter-groups?fingerprint=%00", 400, "fingerprint"),
        ("/orders?fingerprint=x", 400, "fingerprint"),
        ("/dead-letter-groups?limit=x", 400, "limit"),
        ("/workers?cursor=%F0%9F%8E%81", 404, "cursor"),
        ("/controls?limit=", 400, "limit"),
    ] {
        let said = problem(&served.ask("ann", "GET", query, &[], ""), status);
        assert_eq!(said["parameter"], parameter, "{query}: {said}");
    }
    for (method, path, status) in [("GET", "/nothing", 404), ("PUT", "/orders", 405), ("DELETE", "/workers", 405)] {
        problem(&served.ask("bob", method, path, &[], ""), status);
    }
}
