//! One order: its facts, and its timeline as a picture and as a table.

use super::{HARMLESS, HOSTILE, Visited, warehouse};

/// The warehouse's words, of which nothing that turns a line is kept.
const SAID: &str = "&lt;script&gt;alert(1)&lt;/script&gt;";

/// What the table of the timeline says, a row each.
fn rows(page: &str) -> Vec<String> {
    let table =
        page.split("The timeline's entries").nth(1).expect("the table").split("</table>").next().unwrap_or_default();
    let rows = table.split("<tr>").skip(2);
    rows.map(|row| row.split('>').filter_map(|part| part.split('<').next()).collect::<Vec<_>>().join("|")).collect()
}

async fn retried(visited: Visited) {
    let id = visited.place(1, "CUP", HOSTILE)[0];
    visited.until(id, "fulfilled").await;
    let page = visited.page("ann", &format!("/orders/{id}"));
    let rows = rows(&page);
    assert_eq!(rows.len(), 6, "{rows:#?}");
    for (row, attempt) in [(0, 1), (2, 2), (4, 3)] {
        assert!(rows[row].contains("attempt begins") && rows[row].contains(&format!("|{attempt}|")), "{rows:#?}");
    }
    // The warehouse's words, of each attempt its own.
    for (row, said) in [(1, "&gt; 0"), (3, "&gt; 1")] {
        let words = &rows[row];
        assert!(words.contains("to be tried again") && words.contains(SAID) && words.contains(said), "{rows:#?}");
    }
    assert!(rows[5].contains("|fulfilled|") && rows[5].contains(&format!("shipment {SAID}")), "{rows:#?}");
    assert!(!page.contains("<script>alert") && !page.contains('\u{202e}'), "{page}");
    assert!(page.contains(HARMLESS), "the correlation id as it is: {page}");
    assert!(page.contains("/orders?q=%22%3Cscript"), "the correlation id leads to its orders: {page}");

    for (class, count) in [("retry", 2), ("good", 1), ("wait", 3), ("bad", 0), ("call", 0)] {
        assert_eq!(page.matches(&format!("<rect class=\"{class}\"")).count(), count, "{class}: {page}");
    }
    assert!(page.contains("<title>Attempt 2 by worker "), "{page}");
    assert!(!page.contains("style="), "the policy allows none: {page}");
    let key = visited.order(id)["idempotency_key"].as_str().expect("a key").to_owned();
    assert!(page.contains(&key), "{page}");
}

const QUICKLY: [&str; 4] = ["--retry-base", "1ms", "--retry-cap", "1ms"];

#[tokio::test]
async fn on_servers_an_order_that_was_retried_shows_each_attempt_with_the_words_of_the_warehouse() {
    let fulfiller = warehouse(2, HOSTILE).await;
    retried(Visited::on_servers(&[&QUICKLY[..], &["--fulfiller", &fulfiller]].concat()).await).await;
}

#[tokio::test]
async fn embedded_an_order_that_was_retried_shows_each_attempt_with_the_words_of_the_warehouse() {
    let fulfiller = warehouse(2, HOSTILE).await;
    retried(Visited::embedded(&[&QUICKLY[..], &["--fulfiller", &fulfiller]].concat()).await).await;
}

#[tokio::test]
async fn an_order_that_was_given_up_leads_to_its_dead_letter_and_a_retry_shows_in_its_timeline() {
    let visited = Visited::embedded(&["--simulate-failures", "1", "--max-attempts", "1"]).await;
    let id = visited.place(1, "CUP", "c")[0];
    visited.until(id, "failed").await;
    let letter = visited.order(id)["dead_letters"][0]["id"].clone();
    let page = visited.page("bob", &format!("/orders/{id}"));
    assert!(page.contains(&format!("/dead-letters/{letter}\"")), "{page}");
    assert!(page.contains(&format!("/confirm/retry?letter={letter}\"")), "{page}");
    assert!(!page.contains("/confirm/cancel") && page.contains("<rect class=\"bad\""), "{page}");
    let retry = serde_json::json!({"ids": [letter], "why": "the outage is over"});
    visited.api("POST", "/dead-letters/retry", &retry);
    let page = visited.page("bob", &format!("/orders/{id}"));
    assert!(rows(&page)[2].contains("decision") && rows(&page)[2].contains("the outage is over"), "{page}");
    assert!(page.contains("retried by bob"), "{page}");
}

#[tokio::test]
async fn without_a_timeline_the_page_says_what_may_be_the_reason() {
    let visited = Visited::embedded(&["--events", "off"]).await;
    let id = visited.place(1, "CUP", "c")[0];
    visited.until(id, "fulfilled").await;
    let page = visited.page("ann", &format!("/orders/{id}"));
    assert!(page.contains("--events off") && !page.contains("<svg"), "{page}");
}
