//! What operators do on the page, and nobody else.

use super::{Formed, Visited, between};

#[tokio::test]
async fn on_servers_an_order_is_cancelled_by_a_form_with_its_token_alone() {
    cancel(Visited::on_servers(&[]).await.paused().await);
}

/// Caught, when seeded: a token that nothing is compared with.
#[tokio::test]
async fn embedded_an_order_is_cancelled_by_a_form_with_its_token_alone() {
    cancel(Visited::embedded(&[]).await.paused().await);
}

fn cancel(visited: Visited) {
    let id = visited.place(1, "CUP", "basket 7")[0];
    let confirmation = format!("/confirm/cancel?id={id}");
    let fields = format!("id={id}&why=address+%3Cunknown%3E");
    let (own, other) = (Formed::at(&visited, "bob", &confirmation), Formed::at(&visited, "bob", &confirmation));
    assert_ne!(own.token, other.token);
    let without_cookie = Formed { cookie: "none=1".to_owned(), ..Formed::at(&visited, "bob", &confirmation) };
    for (form, token) in [
        (&own, None),
        (&own, Some("")),
        (&own, Some(other.token.as_str())),
        (&without_cookie, Some(own.token.as_str())),
    ] {
        let refused = form.does("cancel", token, &fields);
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(refused.text().contains("nothing was done"), "{}", refused.text());
    }
    // A viewer whose token is right.
    let viewer = Formed { user: "ann", ..Formed::at(&visited, "bob", &confirmation) };
    assert_eq!(viewer.does("cancel", Some(&viewer.token), &fields).status, 403);
    assert_eq!(visited.order(id)["state"], "pending", "nothing was done");

    assert_eq!(own.acts("cancel", &fields), format!("/orders/{id}"));
    let page = visited.page("ann", &format!("/orders/{id}"));
    assert_eq!(visited.order(id)["state"], "cancelled");
    assert!(page.contains("cancelled by bob") && page.contains("address &lt;unknown&gt;"), "{page}");
    assert!(page.contains("<circle class=\"mark\""), "{page}");
}

#[tokio::test]
async fn a_hold_says_who_holds_the_order_until_it_is_released() {
    let visited = Visited::embedded(&[]).await.paused().await;
    let ids = visited.place(2, "CUP", "c");
    let chosen = format!("id={}&id={}", ids[0], ids[1]);
    let form = Formed::at(&visited, "bob", &format!("/confirm/hold?{chosen}"));
    assert_eq!(form.acts("hold", &format!("{chosen}&why=stock&for=2h")), "/orders");
    let order = format!("/orders/{}", ids[0]);
    let held = |page: &str| between(page, "<dt>Held</dt>", "</dd>").map(str::to_owned);
    let said = held(&visited.page("ann", &order));
    assert!(
        said.as_deref().is_some_and(|held| held.contains("held for 2h by bob") && held.contains("stock")),
        "{said:?}"
    );
    Formed::at(&visited, "bob", &format!("/confirm/release?{chosen}")).acts("release", &format!("{chosen}&why=in"));
    assert_eq!(held(&visited.page("ann", &order)), None);
}

#[tokio::test]
async fn only_an_operator_sees_what_may_be_done() {
    let visited = Visited::embedded(&[]).await.paused().await;
    let id = visited.place(1, "CUP", "c")[0];
    for path in ["/orders".to_owned(), format!("/orders/{id}")] {
        let page = visited.page("bob", &path);
        for action in ["hold", "release", "enqueue", "cancel"] {
            assert!(page.contains(&format!("/confirm/{action}")), "{path}: {page}");
        }
        let page = visited.page("ann", &path);
        assert!(!page.contains("/confirm/") && !page.contains("name=\"id\""), "{path}: {page}");
    }
    assert_eq!(visited.ask("ann", "GET", &format!("/confirm/cancel?id={id}"), &[], "").status, 403);
}

/// Caught, when seeded: an answer that is the refusal alone.
#[tokio::test]
async fn a_form_that_is_refused_comes_back_as_it_was_filled_in() {
    let visited = Visited::embedded(&[]).await.paused().await;
    let id = visited.place(1, "CUP", "c")[0];
    let form = Formed::at(&visited, "bob", &format!("/confirm/hold?id={id}"));
    let refused = form.does("hold", Some(&form.token), &format!("id={id}&why=stock%3F&for=tomorrow"));
    let page = refused.text();
    assert_eq!((refused.status, page.contains("must be a time from a second on")), (400, true), "{page}");
    for kept in ["value=\"stock?\"", "value=\"tomorrow\"", &format!("name=\"id\" value=\"{id}\"")] {
        assert!(page.contains(kept), "{kept}: {page}");
    }
    let again = Formed { token: between(&page, "name=\"token\" value=\"", "\"").expect("a token").to_owned(), ..form };
    assert_eq!(again.acts("hold", &format!("id={id}&why=stock%3F&for=1h")), format!("/orders/{id}"));
}

/// Caught, when seeded: a button for every order that is named.
#[tokio::test]
async fn what_would_change_nothing_has_no_button() {
    let visited = Visited::embedded(&[]).await.paused().await;
    let id = visited.place(1, "CUP", "c")[0];
    let button = |path: &str| visited.page("bob", path).contains("type=\"submit\"");
    assert!(button(&format!("/confirm/hold?id={id}")));
    for nothing in [format!("/confirm/release?id={id}"), "/confirm/hold?id=9".to_owned()] {
        assert!(!button(&nothing), "{nothing}");
    }
}
