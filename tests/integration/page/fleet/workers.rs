//! Workers, and what is set for them by forms.

use super::{Served, within};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

/// The line of the table that has this text.
#[track_caller]
fn row(page: &str, part: &str) -> String {
    let row = page.split("<tr>").find(|row| row.contains(part));
    row.unwrap_or_else(|| panic!("no row with {part}: {page}")).split("</tr>").next().unwrap_or_default().to_owned()
}

fn names(served: &Served) -> Vec<String> {
    let listed = served.read("/workers");
    let workers = listed["workers"].as_array().expect("workers");
    workers.iter().map(|worker| worker["worker"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn the_page_lists_each_worker_as_the_api_does() {
    let served = Served::by_servers().await;
    let _another = served.another().await;
    let shown = served.page("ann", "/workers");
    let listed = served.read("/workers");
    for worker in listed["workers"].as_array().expect("workers") {
        let row = row(&shown, worker["worker"].as_str().expect("a name"));
        for value in [&worker["host"], &worker["version"]] {
            assert!(row.contains(value.as_str().expect("a text")), "{value}: {row}");
        }
        assert!(row.contains(&format!(">{}<", worker["pid"])) && row.contains(">running<"), "{row}");
        assert!(row.contains("up to 256"), "{row}");
    }
    assert!(!shown.contains("/confirm/"), "a viewer has no buttons: {shown}");
}

#[tokio::test]
async fn on_servers_a_pause_by_the_form_stops_the_fleet_until_it_is_resumed() {
    paused(Served::by_servers().await).await;
}

#[tokio::test]
async fn embedded_a_pause_by_the_form_stops_the_fleet_until_it_is_resumed() {
    paused(Served::embedded(&[]).await).await;
}

async fn paused(served: Served) {
    let shown = served.page("bob", "/workers");
    assert!(shown.contains("href=\"/confirm/pause\"") && !shown.contains("href=\"/confirm/resume\""), "{shown}");
    let shown = served.confirm("/confirm/pause", &[("why", "the warehouse moves"), ("for", "")]);
    assert!(shown.contains("Claims have stopped on 1 worker."), "{}", within(&shown, "<main", "</main>"));
    let set = row(&shown, "claims nothing");
    assert!(set.contains("every worker") && set.contains("until it is ended"), "{set}");
    assert!(set.contains("bob at 127.0.0.1") && set.contains("the warehouse moves"), "{set}");
    assert!(row(&shown, "up to 256").contains(">paused<"), "{shown}");
    let order = served.place(1)[0];
    assert_eq!(served.read(&format!("/orders/{order}"))["state"], "pending");

    let shown = served.confirm("/confirm/resume", &[("why", "it has moved")]);
    assert!(shown.contains("Resumed.") && !shown.contains("claims nothing"), "{shown}");
    served.becomes(order, "fulfilled").await;
    let activity = served.page("ann", "/activity");
    for (what, why) in [("paused the fleet", "the warehouse moves"), ("resumed the fleet", "it has moved")] {
        let row = row(&activity, what);
        assert!(row.contains("bob at 127.0.0.1") && row.contains(why) && row.contains("every worker"), "{row}");
    }
}

#[tokio::test]
async fn one_worker_is_quiet_by_its_button_and_the_other_one_goes_on() {
    let served = Served::by_servers().await;
    let _another = served.another().await;
    let [one, other] = &names(&served)[..] else { panic!("two workers") };
    let shown = served.page("bob", "/workers");
    let link = within(&row(&shown, one), "<a href=\"/confirm/quiet?", "\"");
    let shown = served.confirm(&format!("/confirm/quiet?{link}"), &[("why", "it is slow"), ("for", "1h")]);
    assert!(
        row(&shown, &format!("<th scope=\"row\" data-label=\"Worker\"><code>{one}")).contains(">quiet<"),
        "{shown}"
    );
    assert!(
        row(&shown, &format!("<th scope=\"row\" data-label=\"Worker\"><code>{other}")).contains(">running<"),
        "{shown}"
    );
    let set = row(&shown, "claims nothing");
    assert!(set.contains(one.as_str()) && set.contains("another 60 min"), "{set}");
    let order = served.place(1)[0];
    served.becomes(order, "fulfilled").await;
    let by = served.read(&format!("/orders/{order}"))["timeline"].as_array().expect("a timeline").clone();
    assert!(by.iter().all(|entry| entry["worker"] != one.as_str()), "{by:?}");
    let link = within(&row(&shown, "claims nothing"), "<a href=\"", "\"");
    let shown = served.confirm(&link, &[("why", "it is well again")]);
    assert!(!shown.contains(">quiet<"), "{shown}");
}

#[tokio::test]
async fn a_limit_is_set_and_cleared_by_forms() {
    let served = Served::embedded(&[]).await;
    let shown = served.confirm("/confirm/limit-rate", &[("why", "go slow"), ("value", "2.5"), ("for", "")]);
    let set = row(&shown, "at most 2.5 claims per second");
    let link = within(&set, "<a href=\"", "\"").replace("&amp;", "&");
    assert_eq!(link, "/confirm/clear-limit?limit=rate");
    let shown = served.confirm(&link, &[("why", "go on")]);
    assert!(shown.contains("The limit is cleared.") && !shown.contains("at most 2.5"), "{shown}");
}

/// Caught, when seeded: a token that nothing is compared with, a confirmation for viewers, operators' rights for anybody.
#[tokio::test]
async fn a_viewer_and_a_stranger_change_nothing() {
    let served = Served::embedded(&[]).await;
    let asked = served.ask("ann", "GET", "/confirm/pause", &[], "");
    assert_eq!(asked.status, 403, "{}", asked.text());
    let token = within(&served.page("bob", "/confirm/pause"), "name=\"token\" value=\"", "\"");
    let form = format!("token={token}&why=x");
    assert_eq!(served.send_form("ann", "/do/pause", &token, &form).status, 403);
    assert_eq!(served.send_form("bob", "/do/pause", &token, "why=x").status, 403, "without the token of the form");
    assert_eq!(served.send_form("bob", "/do/pause", "other", &form).status, 403, "with the token of another browser");
    assert_eq!(served.read("/controls")["controls"], serde_json::json!([]));

    let open = WorkerProcess::ready("sqlite:w.db", "sqlite:w.db", &[]).await;
    for path in ["/workers", "/activity", "/configuration"] {
        let answer = open.get(path, &[]);
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.text().contains("--web-config"), "{path} says what to do: {}", answer.text());
    }
    assert_eq!(open.get("/dependencies", &[]).status, 200);
}

#[tokio::test]
async fn a_worker_that_was_killed_is_among_the_stopped_with_what_it_held() {
    let served = Served::by_servers().await;
    let first = names(&served)[0].clone();
    let mut slow = super::started(&served.folder, &served.queue, &served.store, &["--lease", "2s"]).await;
    eventually(LONG, "both are in the registry", async || expect_equal(names(&served).len(), 2)).await;
    let killed = names(&served).into_iter().find(|name| *name != first).expect("the other one");
    slow.kill().await;
    eventually(LONG, "it counts as dead", async || {
        let shown = served.page("ann", "/workers");
        match row(&shown, &killed) {
            row if row.contains(">dead<") => Ok(()),
            row => Err(row),
        }
    })
    .await;
    let shown = served.page("ann", "/workers");
    assert!(shown.contains("Stopped without a word") && shown.contains("another worker takes its"), "{shown}");
    assert!(row(&shown, &killed).contains("nothing"), "{shown}");
}
