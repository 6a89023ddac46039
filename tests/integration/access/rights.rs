//! Users over the network, with curl.

use super::{Folder, TLS, curl, users};
use crate::support::{LONG, eventually};

#[tokio::test]
async fn users_look_operators_change_and_probes_need_no_login() {
    let folder = Folder::with_certificates(&format!("{TLS}{}", users(&["ann", "bob"])));
    let worker = folder.answering(&["--operators", "bob", "--log", "info"]).await;
    let ca = folder.file("ca.crt");
    let ask =
        |path: &str, options: &[&str]| curl("https", worker.address(), path, &[&["--cacert", &ca], options].concat());
    for path in ["/", "/metrics", "/log"] {
        assert_eq!(ask(path, &[]).status, 401, "{path}");
        assert_eq!(ask(path, &["--user", "ann:wrong"]).status, 401, "{path}");
        assert_eq!(ask(path, &["--user", "ann:ann's"]).status, 200, "{path}");
    }
    for path in ["/health", "/livez"] {
        assert_eq!(ask(path, &[]).status, 200, "{path}");
    }
    eventually(LONG, "it is ready", async || match ask("/readyz", &[]) {
        ready if ready.status == 200 => Ok(()),
        other => Err(other.text),
    })
    .await;

    let change = ["--request", "PUT", "--data", "debug"];
    let by = |user: &str| ask("/log?for=1h", &[&["--user", user], &change[..]].concat());
    assert_eq!(ask("/log", &change).status, 401);
    let refused = by("ann:ann's");
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("--operators"), "{}", refused.text);
    let changed = by("bob:bob's");
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert!(changed.text.starts_with("debug (PUT /log by bob at 127.0.0.1:"), "{}", changed.text);
    let from_a_page = [&["--user", "bob:bob's", "--header", "Origin: https://evil.example"], &change[..]].concat();
    assert_eq!(ask("/log", &from_a_page).status, 403);
}

/// Caught, when seeded: rights for whoever comes from loopback.
#[tokio::test]
async fn without_users_nobody_on_the_network_changes_anything_whatever_the_request_says_of_itself() {
    let folder = Folder::with("");
    let worker = folder.answering(&["--log", "info"]).await;
    let change = ["--request", "PUT", "--data", "off"];
    for more in [
        &[][..],
        &["--user", "ann:ann's"],
        &["--header", "X-Forwarded-For: 127.0.0.1"],
        &["--header", "Forwarded: for=unix:/admin.sock"],
        &["--header", "Host: localhost"],
        &["--header", "Cookie: fulfillment_session="],
        &["--header", "X-HTTP-Method-Override: PUT"],
        &["--header", "Connection: Upgrade", "--header", "Upgrade: h2c"],
        &["--path-as-is", "--http1.0"],
    ] {
        assert_eq!(curl("http", worker.address(), "/log", &[&change[..], more].concat()).status, 403, "{more:?}");
    }
    for path in ["/./log", "//log", "/log/", "/%6cog", "/metrics/../log", "/log%00", "/LOG", "/log;x", "/log?token=x"] {
        let status = curl("http", worker.address(), path, &[&change[..], &["--path-as-is"]].concat()).status;
        assert!([400, 403, 404, 405, 413].contains(&status), "{path}: {status}");
    }
    let overridden = ["--header", "X-HTTP-Method-Override: PUT", "--header", "X-Method-Override: PUT"];
    let looked = curl("http", worker.address(), "/log?_method=PUT", &overridden);
    assert_eq!((looked.status, looked.text.trim()), (200, "info (command line)"));
}
