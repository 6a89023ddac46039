//! Jobs that are made, listed and cancelled.

use serde_json::{Value, json};

use super::{Served, document, problem};
use crate::support::{LONG, eventually, expect_equal};

#[tokio::test]
async fn on_servers_a_job_is_counted_made_worked_off_and_listed() {
    worked_off(Served::by_servers(&[]).await).await;
}

#[tokio::test]
async fn embedded_a_job_is_counted_made_worked_off_and_listed() {
    worked_off(Served::embedded(&[]).await).await;
}

async fn worked_off(served: Served) {
    served.decide("/pause", &json!({"why": "a trial"}));
    served.put_in(120);
    let asked = |dry_run: bool| json!({"kind": "cancel", "selection": {"product_id": 1}, "why": "recalled", "rate": 10_000, "dry_run": dry_run});
    let counted = served.decide("/jobs", &asked(true));
    assert_eq!((&counted["matching"], &counted["is_partial"]), (&json!(120), &json!(false)), "{counted}");
    assert_eq!((&counted["dry_run"], &counted["job"]), (&json!(true), &Value::Null));
    assert_eq!(served.read("/jobs")["jobs"], json!([]), "a dry run makes none");

    let made = document(&served.post("/jobs", &asked(false)), 201);
    let id = made["job"]["id"].as_i64().expect("a number");
    assert_eq!((&made["job"]["rate"], &made["job"]["why"]), (&json!(10_000), &json!("recalled")), "{made}");
    assert!(made["job"]["by"].as_str().is_some_and(|by| by.starts_with("bob at 127.0.0.1")), "{made}");
    let states = json!(["pending", "processing"]);
    assert_eq!(made["job"]["selection"], json!({"states": states, "product_id": 1}));
    let state = async || expect_equal(served.read(&format!("/jobs/{id}"))["job"]["state"].clone(), json!("done"));
    eventually(LONG, "a worker works it off", state).await;
    let job = served.read(&format!("/jobs/{id}"))["job"].clone();
    assert_eq!((&job["done"], &job["refused"]), (&json!(120), &json!(0)), "{job}");
    assert_eq!(served.read("/orders?state=cancelled&limit=1000")["orders"].as_array().map(Vec::len), Some(120));
    let listed = served.printed(&["jobs", "list"]);
    assert_eq!((&listed["jobs"][0]["id"], &listed["jobs"][0]["state"]), (&json!(id), &json!("done")));
    let nothing = served.decide("/jobs", &asked(false));
    assert_eq!((&nothing["matching"], &nothing["job"]), (&json!(0), &Value::Null), "{nothing}");
}

/// Caught, when seeded: a second job in the place of the open one; a cursor that leads to the job before it.
#[tokio::test]
async fn an_open_job_is_not_made_twice_and_is_cancelled_once() {
    let served = Served::by_servers(&[]).await;
    let (_, database) = served.servers.as_ref().expect("servers");
    served.decide("/pause", &json!({"why": "a trial"}));
    served.put_in(2);
    // Whoever works on a job decides about its orders: none can be, as long as these are locked.
    let mut ids = Vec::new();
    for product in [1, 2, 3] {
        let body = json!({"kind": "hold", "selection": {"older_than_seconds": 0, "product_id": product}, "why": "x"});
        if product == 1 {
            let held = served.post("/jobs", &body);
            ids.push(document(&held, 201)["job"]["id"].as_i64().expect("a number"));
        } else {
            assert_eq!(served.decide("/jobs", &body)["job"], Value::Null, "there is no such product");
        }
    }
    let ended = async || expect_equal(served.read(&format!("/jobs/{}", ids[0]))["job"]["state"].clone(), json!("done"));
    eventually(LONG, "the first is done", ended).await;

    let term = "now() + interval '1 hour'";
    let waiting = |kind: &str| {
        format!(
            "INSERT INTO fulfillment.jobs (kind, selection, fingerprint, by, why, up_to, matching, at, holder, lease_until)
             VALUES ('{kind}', '{{}}', '{kind}', 'ann', 'x', 1, 1, now(), 'another', {term})"
        )
    };
    let client = database.connect().await;
    for kind in ["one", "two", "three"] {
        client.batch_execute(&waiting(kind)).await.expect("a job of somebody else");
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = served.read(&format!("/jobs?limit=1{cursor}"));
        let jobs = page["jobs"].as_array().expect("jobs");
        assert_eq!(jobs.len(), 1);
        listed.push(jobs[0]["id"].as_i64().expect("a number"));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, [4, 3, 2, 1].map(|place| ids[0] - 1 + place), "newest first, each once");

    let cancel = |id: i64| served.post(&format!("/jobs/{id}/cancel"), &json!({"why": "the wrong product"}));
    assert_eq!(document(&cancel(listed[0]), 200)["job"]["state"], "cancelled");
    let again = problem(&cancel(listed[0]), 409);
    assert!(again["detail"].as_str().is_some_and(|detail| detail.contains("has ended before: cancelled")), "{again}");
    problem(&cancel(999_999), 404);
    problem(&served.ask("ann", "GET", "/jobs/999999", &[], ""), 404);
    let body = json!({"kind": "release", "selection": {"states": ["pending"]}, "why": "x", "rate": 1});
    let made = document(&served.post("/jobs", &body), 201);
    let same = document(
        &served.post("/jobs", &json!({"kind": "release", "selection": {"states": ["pending"]}, "why": "y"})),
        200,
    );
    assert_eq!((&same["job"]["id"], &same["job"]["why"]), (&made["job"]["id"], &json!("x")), "{same}");
}

#[tokio::test]
async fn what_can_not_be_a_job_is_said_with_its_field() {
    let served = Served::embedded(&[]).await;
    served.put_in(1);
    for (body, field) in [
        (json!({"kind": "enqueue", "selection": {"product_id": 1}, "why": "x"}), "kind"),
        (json!({"kind": "cancel", "selection": {}, "why": "x"}), "selection"),
        (json!({"kind": "cancel", "selection": {"product_id": null}, "why": "x"}), "selection.product_id"),
        (json!({"kind": "cancel", "selection": {"states": ["fulfilled"]}, "why": "x"}), "selection.states[0]"),
        (json!({"kind": "dead_retry", "selection": {"reasons": ["sleepy"]}, "why": "x"}), "selection.reasons[0]"),
        (json!({"kind": "hold", "selection": {"product_id": 1}, "why": ""}), "why"),
        (json!({"kind": "hold", "selection": {"product_id": 1}, "why": "x", "rate": 10_001}), "rate"),
    ] {
        let said = problem(&served.post("/jobs", &body), 422);
        assert_eq!(said["field"], field, "{body}: {said}");
    }
    assert_eq!(served.read("/jobs")["jobs"], json!([]));
}
