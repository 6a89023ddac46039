//! What is shown.

use fulfillment_worker::domain::dead_letter::DeadReason;
use serde_json::Value;

use super::{Served, links, plain};
use crate::support::http;

#[tokio::test]
async fn on_servers_groups_and_letters_are_those_of_the_api() {
    groups_and_letters(Served::by_servers().await).await;
}

#[tokio::test]
async fn embedded_groups_and_letters_are_those_of_the_api() {
    groups_and_letters(Served::embedded().await).await;
}

async fn groups_and_letters(served: Served) {
    for colour in ["red", "blue", "teal"] {
        served.fail("CUP", DeadReason::Rejected, &format!("422: no colour '{colour}' & <none>")).await;
    }
    let lamp = served.fail("LAMP", DeadReason::AttemptsExhausted, "503: busy").await;
    let page = served.page("ann", "/dead-letters");
    assert!(page.contains("4 dead letters without a decision"), "{page}");
    let found = served.read("/dead-letter-groups");
    let groups = found["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 2);
    let (shown, text) = (&page, |value: &Value| value.as_str().expect("a text").to_owned());
    for group in groups {
        let (letters, fingerprint) = (group["letters"].to_string(), text(&group["fingerprint"]));
        assert!(plain(shown).contains(&format!("<code>{fingerprint}</code>")), "{fingerprint}: {page}");
        assert!(plain(shown).contains(&text(&group["example_detail"])), "{page}");
        assert!(page.contains(&format!("/dead-letters/{}", group["example"])), "{page}");
        let link = links(&page, &letters);
        assert_eq!(link.len(), 1, "{letters}: {page}");
        let list = served.page("ann", &link[0]);
        let noun = if letters == "1" { "dead letter" } else { "dead letters" };
        assert!(list.contains(&format!("{letters} {noun} without a decision that match")), "{list}");
        assert_eq!(list.matches("<th scope=\"row\"").count().to_string(), letters, "{list}");
    }
    let list = served.page("ann", "/dead-letters?view=list&reason=attempts_exhausted");
    assert!(list.contains(&format!("/orders/{lamp}\"")) && list.matches("<th scope=\"row\"").count() == 1, "{list}");
    let none = served.page("ann", "/dead-letters?resolved=true");
    assert!(none.contains("0 dead letters with a decision") && none.contains("No dead letter matches."), "{none}");
    let refused = served.ask("ann", "GET", "/dead-letters?product_id=cup", &[], "");
    assert_eq!((refused.status, refused.text().contains("must be a whole number")), (400, true));
}

#[tokio::test]
async fn both_views_have_pages_that_follow_each_other() {
    let served = Served::embedded().await;
    for at in 0..52 {
        // Words, as numbers are one error.
        let word: String = format!("{at:02}").bytes().map(|digit| char::from(digit - b'0' + b'g')).collect();
        served.fail("CUP", DeadReason::Rejected, &format!("422: no {word}")).await;
    }
    served.fail("LAMP", DeadReason::Ambiguous, "the answer got lost").await;
    for view in ["", "&view=list"] {
        let first = served.page("ann", &format!("/dead-letters?reason=rejected{view}"));
        let rows = |page: &str| page.split("<tbody>").nth(1).map_or(0, |body| body.matches("<tr>").count());
        let next = links(&first, "Next page");
        assert_eq!((rows(&first), next.len()), (50, 1), "{first}");
        let second = served.page("ann", &next[0]);
        let onward = [links(&second, "Next page").len(), links(&second, "First page").len()];
        assert_eq!((rows(&second), onward), (2, [0, 1]), "{second}");
        assert!(!second.contains("the answer got lost"));
    }
}

#[tokio::test]
async fn a_letter_is_shown_whole_with_its_message_as_it_can_be_read_best() {
    let served = Served::embedded().await;
    let order = served.fail("CUP", DeadReason::Rejected, "422: no such\ncolour").await;
    served.bury(b"{\"order_id\": 12345678901234567890123}", "not an order message").await;
    served.bury(b"order 7, please", "not JSON").await;
    served.bury(b"\xff\x00{", "not UTF-8").await;
    let first = served.letter_of(order);
    let page = served.page("bob", &format!("/dead-letters/{first}"));
    for expected in [
        "The warehouse refused the order for good.",
        "<pre>422: no such\ncolour</pre>",
        "<dt>Attempts</dt><dd>3</dd>",
        "Nobody has decided about it yet.",
        &format!("<a href=\"/orders/{order}\">order {order}</a>"),
        "state bad",
        &format!("/confirm/retry?letter={first}"),
        &format!("/confirm/discard?letter={first}"),
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(plain(&page).contains(&format!("{{\n  \"order_id\": {order},\n")), "{page}");
    assert!(!page.contains("the runbook says"), "no link is given: {page}");
    let other = |at: i64| plain(&served.page("ann", &format!("/dead-letters/{}", first + at)));
    let [json, text, bytes] = [other(1), other(2), other(3)];
    assert!(json.contains("{\n  \"order_id\": 12345678901234567890123\n}"), "{json}");
    assert!(text.contains("15 bytes, text that is no JSON:") && text.contains("order 7, please"), "{text}");
    assert!(bytes.contains("3 bytes that are no text, in base64:") && bytes.contains("/wB7"), "{bytes}");
    for (path, said) in [("/dead-letters/999999", "does not exist"), ("/dead-letters/seven", "is a whole one")] {
        let missing = served.ask("ann", "GET", path, &[], "");
        assert_eq!((missing.status, missing.text().contains(said)), (404, true), "{path}: {}", missing.text());
    }
}

/// Caught, when seeded: a page that spells nothing out.
#[tokio::test]
async fn what_others_wrote_is_shown_and_not_acted_on() {
    let served = Served::embedded().await;
    let hostile = "422: <script>alert(1)</script> \u{202e}\u{1b}[2J\" onload=x";
    let order = served.fail("CUP", DeadReason::Rejected, hostile).await;
    served.bury("<img src=x>\u{202e}".as_bytes(), hostile).await;
    let letter = served.letter_of(order);
    let groups = served.page("bob", "/dead-letters");
    let of_group = links(&groups, "Retry this group…").remove(0);
    let whole = |at: i64| format!("/dead-letters/{}", letter + at);
    let list = "/dead-letters?view=list".to_owned();
    let typed = "/dead-letters?fingerprint=%3Cscript%3E%22%E2%80%AE".to_owned();
    for path in ["/dead-letters".to_owned(), list, whole(0), whole(1), of_group.clone(), typed] {
        let page = served.page("bob", &path);
        let harmless = !page.contains("<script>") && !page.contains("<img") && !page.contains("\" onload=x");
        let visible = !page.contains(['\u{202e}', '\u{1b}']);
        assert!(harmless && visible, "{path}: {page}");
    }
    // What is spelled out is found again by what was spelled out, in a link as in a form.
    assert!(served.page("bob", &of_group).contains("1 dead letter matches."), "{of_group}");
    let answer = served.confirm("bob", &of_group, &[("why", "x")]);
    assert_eq!((answer.status, answer.headers["location"].starts_with("/jobs/")), (303, true), "{}", answer.text());
}

#[tokio::test]
async fn who_is_not_logged_in_sees_none_of_it() {
    let served = Served::embedded().await;
    let order = served.fail("CUP", DeadReason::Rejected, "422: a customer's name").await;
    let letter = served.letter_of(order);
    for path in ["/dead-letters", "/dead-letters?view=list", &format!("/dead-letters/{letter}")] {
        let answer = http::get(served.worker.address(), path, &[]).expect("an answer");
        assert!(matches!(answer.status, 401 | 403), "{path}: {}", answer.status);
        assert!(!answer.text().contains("customer"), "{path}: {}", answer.text());
    }
}
