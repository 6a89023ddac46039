//! Other secrets and certificates while calls are under way.

use std::sync::Arc;

use fulfillment_worker::config::{ClientCertificate, HttpTarget, Secret};
use fulfillment_worker::port::fulfiller::Outcome;
use tokio::sync::Semaphore;

use crate::http_fulfiller::peer::{Peer, Reply, answer, ok};
use crate::http_fulfiller::rig::{Rig, fulfilled, order, target};
use crate::http_fulfiller::tls::{certificates, https};
use crate::support::{LONG, eventually};

fn with_token(target: &HttpTarget, token: &str) -> HttpTarget {
    HttpTarget { token: Some(Secret::new(token.to_owned())), ..target.clone() }
}

#[tokio::test]
async fn a_call_under_way_ends_as_it_began_and_the_next_one_has_the_new_token() {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = gate.clone();
    let peer = Peer::start(move |received| match received.nth {
        0 => Reply::When(waiting.clone(), answer("200 OK", "", r#"{"reference": "WH-0"}"#)),
        _ => ok(),
    })
    .await;
    let target = target(&peer.url());
    let rig = Rig::new(&with_token(&target, "hush-first"));
    let slow = rig.begin(1);
    eventually(LONG, "the first call is under way", async || match peer.requests().len() {
        1 => Ok(()),
        calls => Err(calls),
    })
    .await;

    rig.fulfiller.reload(&with_token(&target, "hush-second")).unwrap();
    assert_eq!(rig.call(&order(2)).await, fulfilled(Some("WH-1")));
    gate.add_permits(1);
    assert_eq!(slow.await.unwrap(), fulfilled(Some("WH-0")));
    let tokens: Vec<_> = peer.requests().iter().map(|one| one.header("authorization").map(str::to_owned)).collect();
    assert_eq!(tokens, ["Bearer hush-first", "Bearer hush-second"].map(|token| Some(token.to_owned())));
}

/// Caught, when seeded: a reload after which the token before is no secret.
#[tokio::test]
async fn a_warehouse_that_names_the_token_before_is_not_quoted_with_it() {
    let named = r#"{"detail": "hush-second, where hush-first was"}"#;
    let peer = Peer::start(move |_| Reply::Bytes(answer("422 Unprocessable Content", "", named))).await;
    let target = target(&peer.url());
    let rig = Rig::new(&with_token(&target, "hush-first"));
    rig.fulfiller.reload(&with_token(&target, "hush-second")).unwrap();
    let outcome = format!("{:?}", rig.call(&order(1)).await);
    assert!(outcome.contains("***, where *** was") && !outcome.contains("hush"), "{outcome}");
}

#[tokio::test]
async fn a_token_that_no_header_takes_changes_nothing() {
    let peer = Peer::start(|_| ok()).await;
    let target = target(&peer.url());
    let rig = Rig::new(&with_token(&target, "hush-first"));
    let error = rig.fulfiller.reload(&with_token(&target, "hush\n")).unwrap_err().to_string();
    assert!(error.starts_with("--fulfiller-token: ") && !error.contains("hush"), "{error}");
    rig.call(&order(1)).await;
    assert_eq!(peer.requests()[0].header("authorization"), Some("Bearer hush-first"));
}

#[tokio::test]
async fn a_client_certificate_and_authorities_that_change_are_shown_to_the_next_connection() {
    let folder = certificates();
    let path = |name: &str| folder.path().join(name);
    let peer = Peer::start_tls(folder.path(), "server", true).await;
    let copy = |from: &str, to: &str| std::fs::copy(path(from), path(to)).unwrap();
    copy("client.crt", "mine.crt");
    copy("client.key", "mine.key");
    copy("ca.crt", "trusted.crt");
    let client = ClientCertificate { certificate: path("mine.crt"), key: path("mine.key") };
    let target = HttpTarget { client_certificate: Some(client), ..https(&peer, &path("trusted.crt")) };
    let rig = Rig::new(&target);
    assert_eq!(rig.call(&order(1)).await, fulfilled(Some("WH-1")));

    // A certificate whose key is still the old one.
    copy("elsewhere.crt", "mine.crt");
    let error = rig.fulfiller.reload(&target).unwrap_err().to_string();
    assert!(error.starts_with("--fulfiller-certificate ") && error.contains("mine.crt"), "{error}");
    std::fs::write(path("mine.key"), "hush").unwrap();
    let error = rig.fulfiller.reload(&target).unwrap_err().to_string();
    assert!(error.starts_with("--fulfiller-key ") && !error.contains("hush"), "{error}");
    assert_eq!(rig.call(&order(2)).await, fulfilled(Some("WH-1")), "the old ones stay in use");

    copy("client.crt", "mine.crt");
    copy("client.key", "mine.key");
    copy("other.crt", "trusted.crt");
    rig.fulfiller.reload(&target).unwrap();
    let outcome = rig.call(&order(3)).await;
    assert!(matches!(&outcome, Outcome::Unavailable { reason, .. } if reason.contains("UnknownIssuer")), "{outcome:?}");
    assert_eq!(peer.requests().len(), 2);
}
