//! The operator's page for whoever has logged in, for whoever hasn't, and for pages of others.

use serde_json::json;

use super::desk::Desk;
use super::served::Served;
use crate::access::{Folder, users};
use crate::support::browser::Browser;

/// What shows orders, errors and names.
const OF_USERS: [&str; 6] = ["/orders", "/dead-letters", "/jobs", "/workers", "/activity", "/configuration"];

/// Caught on a page that fetched relative to its address, which browsers forbid where that has a password.
#[tokio::test]
async fn the_page_works_for_a_user_and_shows_nothing_to_others() {
    let folder = Folder::with(&users(&["ann"]));
    let worker = folder.answering(&[]).await;
    let address = worker.address();
    let browser = Browser::at(&format!("http://{address}/")).await;
    assert_eq!(browser.count("#state").await, 0);
    browser.open(&format!("http://ann:ann%27s@{address}/")).await;
    browser.wait_for("#state.good").await;
    browser.wait_for_text(".who", "viewer may look").await;
}

#[tokio::test]
async fn without_a_login_the_page_shows_what_is_down_and_not_why() {
    let folder = Folder::with("");
    let nowhere = "redis://127.0.0.1:9";
    let worker = folder.answering_with(nowhere).await;
    let browser = Browser::at(&format!("http://{}/", worker.address())).await;
    browser.wait_for_text("#state.bad", "the queue does not answer (queue: down").await;
    browser.wait_for("#open").await;
    let text = browser.text("main").await;
    assert!(!text.contains("127.0.0.1") && !text.contains("refused"), "{text}");
    assert_eq!(browser.text(".who").await, "not logged in sees numbers alone");
}

/// Caught, when seeded: a page that asks the API with the rights of an operator, whoever looks.
#[tokio::test]
async fn without_a_login_the_other_pages_say_how_one_gets_in() {
    let folder = Folder::with("");
    let worker = folder.answering(&[]).await;
    let browser = Browser::at(&format!("http://{}/", worker.address())).await;
    browser.wait_for("#state.good").await;
    for path in OF_USERS {
        browser.click(&format!("header nav a[href='{path}']")).await;
        browser.wait_for_text("h1", "Not without a login").await;
        browser.wait_for_text("main", "--web-config").await;
        assert_eq!(
            browser.attribute(&format!("header nav a[href='{path}']"), "aria-current").await.as_deref(),
            Some("page")
        );
    }
    browser.click("header nav a[href='/dependencies']").await;
    browser.wait_for_text("h1", "Dependencies").await;
}

/// Caught, when seeded: a confirmation that viewers get as well.
#[tokio::test]
async fn a_viewer_sees_no_button_on_any_page() {
    let desk = Desk::with(&[]).await;
    let orders = json!({"orders": [{"product": "CUP", "quantity": 1}]});
    let placed = desk.act("/orders/batch", &orders);
    let order = format!("/orders/{}", placed["orders"][0]["order_id"]);
    let browser = desk.browser("ann", "/").await;
    for path in OF_USERS.into_iter().chain(["/", &order, "/dependencies"]) {
        browser.open(&desk.at("ann", path)).await;
        browser.wait_for("main h1").await;
        let actions = "main a[href^='/confirm/'], main form[method=post], main button:not(form.filter button)";
        assert_eq!(browser.texts(actions).await, Vec::<String>::new(), "{path}");
    }
    browser.open(&desk.at("ann", "/confirm/pause")).await;
    browser.wait_for_text("main .problem", "only an operator may do that").await;
}

/// Caught, when seeded: a token that nothing is compared with.
#[tokio::test]
async fn a_form_that_its_page_does_not_vouch_for_changes_nothing() {
    let desk = Desk::with(&[]).await;
    let browser = desk.browser("bob", "/confirm/pause").await;
    browser.wait_for("form.action").await;
    let send = async |change: &str| {
        browser.open(&desk.at("bob", "/confirm/pause")).await;
        browser.script(change, json!([])).await;
        browser.fill("#why", "a trick").await;
        browser.submit("#why").await;
        browser.wait_for_text("main .problem", "this form is not of a page that this browser has just loaded").await;
    };
    send("document.querySelector('[name=token]').remove()").await;
    send("document.querySelector('[name=token]').value = 'A'.repeat(32)").await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for user in ["ann", "bob"] {
        assert_eq!(desk.ask(user, "POST", "/do/pause", &form, "why=by+hand").status, 403, "{user}");
    }
    assert_eq!(desk.read("/controls")["controls"], json!([]));
}

#[tokio::test]
async fn a_form_on_a_page_of_others_changes_nothing() {
    let desk = Desk::with(&[]).await;
    let browser = desk.browser("bob", "/confirm/pause").await;
    let token = browser.attribute("[name=token]", "value").await.expect("a token");
    // Not even one that has got hold of the token.
    let form = format!(
        "<!doctype html><html lang=en><title>Win a tea pot</title><form method=post action='http://{}/do/pause'>
         <input type=hidden name=why value=trick><input type=hidden name=token value='{token}'><button>Win</button></form>",
        desk.worker.address()
    );
    let others = Served::start(&[("/", form.leak())]).await;
    browser.open(&others.at("/")).await;
    browser.click("button").await;
    browser.wait_for_url(&format!("http://{}/do/pause", desk.worker.address())).await;
    browser.wait_for_text("body", "a page of another site sent it").await;
    assert_eq!(desk.read("/controls")["controls"], json!([]));
}
