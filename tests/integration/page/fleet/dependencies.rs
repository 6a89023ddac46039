//! Queue, store and fulfiller.

use super::{Served, within};
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

#[tokio::test]
async fn each_dependency_is_up_with_its_calls() {
    let served = Served::embedded(&[]).await;
    let order = served.place(1)[0];
    served.becomes(order, "fulfilled").await;
    let shown = served.page("ann", "/dependencies");
    for name in ["Queue", "Store", "Fulfiller"] {
        let card = within(&shown, &format!("<h2>{name} "), "</section>");
        assert!(card.starts_with("<span class=\"state good\">up</span>"), "{card}");
        assert!(card.contains("under way") && card.contains("slow from"), "{card}");
    }
    assert!(within(&shown, "<h2>Fulfiller ", "</section>").contains("closed: calls go through"), "{shown}");
}

#[tokio::test]
async fn a_queue_that_is_down_is_shown_to_everybody_and_why_to_those_who_have_logged_in() {
    let open = WorkerProcess::start("redis://127.0.0.1:9", "sqlite:w.db", &[]);
    let folder = crate::access::Folder::with(&crate::access::users(&["ann"]));
    let closed = folder.answering_with("redis://127.0.0.1:9").await;
    let queue = |text: &str| within(text, "<h2>Queue ", "</section>");
    eventually(LONG, "it is down", async || {
        let answer =
            crate::support::http::get(open.address(), "/dependencies", &[]).map_err(|error| error.to_string())?;
        match queue(&answer.text()) {
            card if card.contains(">down</span>") && card.contains("down for ") && !card.contains("127.0.0.1") => {
                Ok(())
            }
            card => Err(card),
        }
    })
    .await;
    let login = [("Authorization", "Basic YW5uOmFubidz")];
    eventually(LONG, "it says why", async || match queue(&closed.get("/dependencies", &login).text()) {
        card if card.contains(">down</span>") && card.contains("refused") => Ok(()),
        card => Err(card),
    })
    .await;
}

/// Caught, when seeded: a list of what the workers have recorded alone, which is nothing before the minute is over.
#[tokio::test]
async fn what_is_down_now_is_among_the_days_outages() {
    let mut redis = RedisServer::start().await;
    let worker = WorkerProcess::ready(&redis.url(), "sqlite:w.db", &[]).await;
    let outages = |page: &str| page.split("<h2>Outages of the last day").nth(1).unwrap_or_default().to_owned();
    let page = || worker.get("/dependencies", &[]).text();
    eventually(LONG, "none is told", async || match outages(&page()) {
        day if day.contains("None of a second or longer.") => Ok(()),
        day => Err(day),
    })
    .await;
    redis.kill().await;
    let down = eventually(LONG, "the queue is down", async || match page() {
        page if within(&page, "<h2>Queue ", "</section>").contains(">down</span>") => Ok(page),
        page => Err(page),
    })
    .await;
    let day = outages(&down);
    assert!(day.contains("not listed yet: Queue.") || day.contains("goes on"), "{day}");
}
