//! All that match are retried and discarded.

use fulfillment_worker::domain::dead_letter::DeadReason;
use serde_json::{Value, json};

use super::{Served, form, links};
use crate::support::{LONG, eventually, expect_equal};

const COLOUR: &str = "422: no colour ";

/// Caught, when seeded: a job without its fingerprint or its reasons, a form without the reasons, a count of all errors.
#[tokio::test]
async fn on_servers_exactly_what_matches_is_decided_about() {
    exactly(Served::by_servers().await).await;
}

/// Caught, when seeded: what is caught on servers.
#[tokio::test]
async fn embedded_exactly_what_matches_is_decided_about() {
    exactly(Served::embedded().await).await;
}

async fn exactly(served: Served) {
    let mut colours = Vec::new();
    for colour in 1..=3 {
        colours.push(served.fail("CUP", DeadReason::Rejected, &format!("{COLOUR}{colour}")).await);
    }
    let ambiguous = served.fail("CUP", DeadReason::Ambiguous, &format!("{COLOUR}4")).await;
    let street = served.fail("CUP", DeadReason::Rejected, "422: no such street").await;
    let lamps = [
        served.fail("LAMP", DeadReason::AttemptsExhausted, "503: busy").await,
        served.fail("LAMP", DeadReason::AttemptsExhausted, "no answer").await,
    ];

    // By reason and fingerprint, from the group.
    let groups = served.page("bob", "/dead-letters");
    let of_group = links(&groups, "Retry this group…").remove(0);
    let page = served.page("bob", &of_group);
    assert!(page.contains("3 dead letters match.") && page.contains("Retry 3 dead letters</button>"), "{page}");
    assert!(page.contains("<dt>Reason</dt><dd>rejected</dd>") && page.contains("<dd>422: no colour #</dd>"), "{page}");
    assert_eq!(
        (served.read("/jobs")["jobs"].clone(), served.letters(true).len()),
        (json!([]), 0),
        "a look does nothing"
    );
    let job = made(&served, &of_group, "the colours are back");
    done(&served, &job, 3).await;
    for order in &colours {
        served.becomes(*order, "fulfilled").await;
    }
    assert_eq!(open(&served), [ambiguous, street, lamps[0], lamps[1]]);
    let letter = &served.letters(true)[0];
    let reason = letter["resolved_reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("the colours are back (job "), "{letter}");
    assert!(letter["resolved_by"].as_str().is_some_and(|by| by.starts_with("bob at 127.0.0.1")), "{letter}");

    // By product, from the page of the filter.
    let filtered = served.page("bob", &format!("/dead-letters?product_id={}", product(&served, lamps[0])));
    let asked = links(&filtered, "Discard all that match…").remove(0);
    let page = served.page("bob", &asked);
    assert!(page.contains("Discard 2 dead letters</button>"), "{page}");
    done(&served, &made(&served, &asked, "discontinued"), 2).await;
    assert_eq!(open(&served), [ambiguous, street]);
    assert_eq!(served.read(&format!("/orders/{}", lamps[0]))["state"], "failed");

    // By reason alone; and where there is nothing to do.
    done(&served, &made(&served, "/confirm/discard-matching?reason=ambiguous", "asked them"), 1).await;
    assert_eq!(open(&served), [street]);
    let nothing = served.page("bob", "/confirm/retry-matching?reason=ambiguous");
    assert!(nothing.contains("No dead letter matches.") && form(&nothing).is_none(), "{nothing}");

    // All.
    let all = links(&served.page("bob", "/dead-letters"), "Discard all…").remove(0);
    assert!(served.page("bob", &all).contains("Every dead letter without a decision."));
    done(&served, &made(&served, &all, "a new start"), 1).await;
    assert_eq!(open(&served), [0_i64; 0]);
}

/// Caught a field of a form that was sent which nobody knew, and which was left out: the job was of all letters.
#[tokio::test]
async fn a_form_with_a_field_that_is_none_of_the_filters_decides_about_nothing() {
    let served = Served::embedded().await;
    let order = served.fail("LAMP", DeadReason::Rejected, "no such street").await;
    let more = [("why", "discontinued"), ("rate", "1000"), ("raeson", "ambiguous")];
    let answer = served.confirm("bob", "/confirm/discard-matching", &more);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("`raeson` is no field of this filter"), "{}", answer.text());
    assert_eq!(open(&served), [order]);
}

/// Confirms it, and returns where that leads: to the job.
fn made(served: &Served, asked: &str, why: &str) -> String {
    let answer = served.confirm("bob", asked, &[("why", why), ("rate", "1000")]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    let to = answer.headers["location"].clone();
    assert!(to.starts_with("/jobs/"), "{to}");
    to
}

async fn done(served: &Served, job: &str, count: u64) {
    let read = || served.read(job)["job"].clone();
    eventually(LONG, "a worker works it off", async || expect_equal(read()["state"].clone(), json!("done"))).await;
    let job = read();
    assert_eq!((&job["done"], &job["skipped"], &job["rate"]), (&json!(count), &json!(0), &json!(1_000)), "{job}");
}

/// The orders whose letters await a decision.
fn open(served: &Served) -> Vec<i64> {
    served.letters(false).iter().map(|letter| letter["order_id"].as_i64().expect("an order")).collect()
}

fn product(served: &Served, order: i64) -> Value {
    served.read(&format!("/orders/{order}"))["product_id"].clone()
}
