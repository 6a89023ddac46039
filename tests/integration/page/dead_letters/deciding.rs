//! Letters that are chosen are retried and discarded.

use fulfillment_worker::domain::dead_letter::DeadReason;
use serde_json::json;

use super::{Served, form, links};

#[tokio::test]
async fn on_servers_a_letter_that_is_retried_by_the_form_ends_fulfilled() {
    retried(Served::by_servers().await).await;
}

#[tokio::test]
async fn embedded_a_letter_that_is_retried_by_the_form_ends_fulfilled() {
    retried(Served::embedded().await).await;
}

async fn retried(served: Served) {
    let order = served.fail("CUP", DeadReason::Rejected, "422: no such colour").await;
    let letter = served.letter_of(order);
    let shown = served.page("bob", &format!("/dead-letters/{letter}"));
    let asked = links(&shown, "Retry…").remove(0);
    let page = served.page("bob", &asked);
    assert!(page.contains(&format!("dead letter {letter}: its order would be pending again")), "{page}");
    assert_eq!(served.letters(false).len(), 1, "it was only asked about");

    let answer = served.confirm("bob", &asked, &[("why", "back in stock")]);
    assert_eq!((answer.status, answer.headers["location"].as_str()), (303, &*format!("/dead-letters/{letter}")));
    served.becomes(order, "fulfilled").await;
    let shown = served.page("ann", &format!("/dead-letters/{letter}"));
    assert!(shown.contains("<dd>retried</dd>") && shown.contains("<dd>back in stock</dd>"), "{shown}");
    assert!(shown.contains("<dd>bob at 127.0.0.1"), "{shown}");
    assert!(links(&served.page("bob", &format!("/dead-letters/{letter}")), "Retry…").is_empty(), "it is done");
}

#[tokio::test]
async fn several_letters_are_chosen_from_the_list_and_discarded_with_a_reason() {
    let served = Served::embedded().await;
    let mut letters = Vec::new();
    for _ in 0..3 {
        let order = served.fail("CUP", DeadReason::Rejected, "422: no such colour").await;
        letters.push(served.letter_of(order));
    }
    let list = served.page("bob", "/dead-letters?view=list");
    for letter in &letters {
        let of_box = format!("type=\"checkbox\" name=\"letter\" value=\"{letter}\"");
        assert!(list.contains(&of_box), "{list}");
    }
    assert!(list.contains("data-all=\"letter\"") && list.contains("formaction=\"/confirm/discard\""), "{list}");
    let asked = format!("/confirm/discard?letter={}&letter={}", letters[0], letters[2]);
    let answer = served.confirm("bob", &asked, &[("why", "refunded <by hand>")]);
    assert_eq!((answer.status, answer.headers["location"].as_str()), (303, "/dead-letters"), "{}", answer.text());
    let open: Vec<_> = served.letters(false).iter().map(|letter| letter["id"].clone()).collect();
    assert_eq!(open, [json!(letters[1])]);
    let decided = served.page("ann", "/dead-letters?view=list&resolved=true");
    assert!(decided.contains("discarded by bob at 127.0.0.1"), "{decided}");
    assert!(decided.contains(": refunded &lt;by hand&gt;"), "{decided}");
    let again = served.page("bob", &asked);
    assert!(again.contains("would be left as it is: it has a decision already") && form(&again).is_none(), "{again}");
    let none = served.ask("bob", "GET", "/confirm/retry", &[], "");
    assert_eq!((none.status, none.text().contains("nothing is chosen")), (400, true));
}

/// Caught, when seeded: a token that nothing is compared with, a confirmation for viewers, viewers with operators' rights.
#[tokio::test]
async fn a_viewer_and_a_form_without_a_token_change_nothing() {
    let served = Served::embedded().await;
    let order = served.fail("CUP", DeadReason::Rejected, "422: no such colour").await;
    let letter = served.letter_of(order);
    for path in ["/dead-letters", "/dead-letters?view=list", &format!("/dead-letters/{letter}")] {
        let page = served.page("ann", path);
        assert!(!page.contains("/confirm/") && !page.contains("type=\"checkbox\""), "{path}: {page}");
    }
    let confirm = format!("/confirm/discard?letter={letter}");
    let refused = served.ask("ann", "GET", &confirm, &[], "");
    assert_eq!((refused.status, refused.text().contains("only an operator")), (403, true), "{}", refused.text());

    let page = served.page("bob", &confirm);
    let (action, fields) = form(&page).expect("a form");
    let token = fields.iter().find(|(name, _)| name == "token").expect("a token").1.clone();
    let with = |name: &str, value: &str| [fields.clone(), vec![(name.to_owned(), value.to_owned())]].concat();
    // By hand, with all that a browser would have.
    let by_ann = served.post("ann", &action, &token, &with("why", "x"));
    assert_eq!(by_ann.status, 403, "{}", by_ann.text());
    let without: Vec<_> = with("why", "x").into_iter().filter(|(name, _)| name != "token").collect();
    let other = token.replace(|letter: char| letter.is_ascii_lowercase(), "A");
    for (token, fields) in [(token.as_str(), without), (&other, with("why", "x")), ("", with("why", "x"))] {
        let refused = served.post("bob", &action, token, &fields);
        assert_eq!(refused.status, 403, "{token}: {}", refused.text());
    }
    let without_reason = served.post("bob", &action, &token, &fields);
    assert_eq!(without_reason.status, 422, "{}", without_reason.text());
    assert_eq!((served.letters(false).len(), served.letters(true).len()), (1, 0));
    assert_eq!(served.post("bob", &action, &token, &with("why", "x")).status, 303);
    assert_eq!(served.letters(true).len(), 1);
}
