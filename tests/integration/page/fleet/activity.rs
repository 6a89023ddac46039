//! Who did what.

use serde_json::{Value, json};

use super::Served;
use crate::support::worker::binary;

/// Decides by the API, as bob.
fn decide(served: &Served, path: &str, body: &Value) -> Value {
    let json = [("Content-Type", "application/json")];
    let answer = served.ask("bob", "POST", &format!("/api/v1{path}"), &json, &body.to_string());
    assert!([200, 201].contains(&answer.status), "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Action, detail and reason of each entry, the newest first.
fn noted(served: &Served) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let entries = served.read("/activity")["activity"].as_array().expect("activity").clone();
    entries.iter().map(|entry| ["action", "detail", "why"].map(|field| text(&entry[field]))).collect()
}

#[tokio::test]
async fn on_servers_decisions_about_orders_are_in_the_activity() {
    decisions(Served::by_servers().await).await;
}

#[tokio::test]
async fn embedded_decisions_about_orders_are_in_the_activity() {
    decisions(Served::embedded(&[]).await).await;
}

async fn decisions(served: Served) {
    decide(&served, "/pause", &json!({"why": "so that nothing is done"}));
    let ids = served.place(3);
    let [first, second, third] = ids[..] else { panic!("three orders") };
    decide(&served, "/orders/hold", &json!({"ids": [first, second], "why": "fraud?", "for_seconds": 1_800}));
    decide(&served, "/orders/release", &json!({"ids": [second], "why": "no fraud"}));
    decide(&served, "/orders/enqueue", &json!({"ids": [third], "why": "nothing comes of it"}));
    decide(&served, "/orders/cancel", &json!({"ids": [first, third, i64::MAX], "why": "as asked"}));
    decide(&served, "/orders/cancel", &json!({"ids": [first, third], "why": "twice"}));
    decide(&served, "/orders/cancel", &json!({"ids": [second], "why": "only looking", "dry_run": true}));
    decide(&served, "/jobs", &json!({"kind": "hold", "selection": {"states": ["pending"]}, "why": "all"}));
    let expected = [
        ["cancel", &format!("2 orders: {first}, {third}"), "as asked"],
        ["enqueue", &format!("order {third}"), "nothing comes of it"],
        ["release", &format!("order {second}"), "no fraud"],
        ["hold", &format!("2 orders for 30m: {first}, {second}"), "fraud?"],
        ["pause", "", "so that nothing is done"],
    ];
    let noted = noted(&served);
    assert!(noted[0][0] == "hold" && noted[0][1].starts_with("job 1: 1 of "), "{noted:?}");
    assert_eq!(noted[1..], expected.map(|entry| entry.map(str::to_owned)));
    let entry = &served.read("/activity?limit=1")["activity"][0];
    assert!(entry["by"].as_str().is_some_and(|by| by.starts_with("bob at 127.0.0.1")), "{entry}");
    assert_eq!(entry["worker"], Value::Null);

    let shown = served.page("ann", "/activity");
    for part in ["cancelled orders", "pushed messages again", "released orders", "held orders", "as asked", "fraud?"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.contains(&format!("<a href=\"/orders/{third}\">order {third}</a>")), "{shown}");
    assert!(shown.contains("<a href=\"/jobs/1\">job 1: "), "{shown}");
}

#[tokio::test]
async fn what_commands_decide_is_in_the_activity_too() {
    let served = Served::by_servers().await;
    decide(&served, "/pause", &json!({"why": "so that nothing is done"}));
    let id = served.place(1)[0].to_string();
    let words =
        ["cancel", &id, "--why", "by hand", "--actor", "carl", "--queue", &served.queue, "--store", &served.store];
    let output = binary(&words).output().expect("the binary starts");
    assert!(output.status.success(), "{output:?}");
    let entry = served.read("/activity?limit=1")["activity"][0].clone();
    assert_eq!((&entry["action"], &entry["why"]), (&json!("cancel"), &json!("by hand")), "{entry}");
    assert!(entry["by"].as_str().is_some_and(|by| by.contains("carl")), "{entry}");
}

#[tokio::test]
async fn the_activity_comes_in_pages_with_each_entry_once() {
    let served = Served::embedded(&[]).await;
    for number in 0..55 {
        let path = if number % 2 == 0 { "/limits/rate" } else { "/limits/clear" };
        let mut body = json!({"why": format!("reason {number:02}")});
        match number % 2 {
            0 => body["value"] = json!(5),
            _ => body["limit"] = json!("rate"),
        }
        decide(&served, path, &body);
    }
    let first = served.page("ann", "/activity");
    assert!(first.contains("reason 54") && first.contains("reason 05") && !first.contains("reason 04"), "{first}");
    let older = super::within(&first, "<a href=\"/activity?", "\">Older");
    let second = served.page("ann", &format!("/activity?{older}"));
    assert!(second.contains("reason 04") && second.contains("reason 00") && !second.contains("reason 05"), "{second}");
    assert!(second.contains("Newest") && !second.contains("Older"), "{second}");
    let (mut path, mut seen) = ("/activity?limit=10".to_owned(), Vec::new());
    loop {
        let page = served.read(&path);
        seen.extend(page["activity"].as_array().expect("activity").iter().map(|entry| entry["why"].to_string()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/activity?limit=10&cursor={cursor}");
    }
    let expected: Vec<String> = (0..55).rev().map(|number| format!("\"reason {number:02}\"")).collect();
    assert_eq!(seen, expected);
    let wrong = served.ask("ann", "GET", "/activity?cursor=x", &[], "");
    assert_eq!(wrong.status, 404, "{}", wrong.text());
}
