//! Token and signature.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::python::python;
use crate::support::warehouse::{WarehouseProcess, body, headers, key, order};
use crate::support::worker::run_to_end;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

#[tokio::test]
async fn without_the_token_nothing_is_shipped_and_nothing_shown() {
    let warehouse = WarehouseProcess::start(&["--token", "open-sesame"]).await;
    let key = key(1);
    let order = order(1, 1).to_string();
    let with = |authorization| [headers(&key).as_slice(), &[("Authorization", authorization)]].concat();
    for headers in [headers(&key).to_vec(), with("Bearer wrong"), with("Basic open-sesame"), with("Bearer")] {
        let answer = warehouse.ask("POST", "/shipments", &headers, order.as_bytes());
        assert_eq!((answer.status, &body(&answer)["field"]), (401, &json!("Authorization")), "{headers:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(warehouse.ask("POST", "/shipments", &with("Bearer open-sesame"), order.as_bytes()).status, 201);

    let path = format!("/shipments/{key}");
    assert_eq!(warehouse.ask("GET", &path, &[], b"").status, 401);
    assert_eq!(warehouse.ask("GET", &path, &[("Authorization", "bearer open-sesame")], b"").status, 200);
    assert_eq!(warehouse.stats()["done"], json!({"shipped": 1, "unauthorized": 4}));
}

/// Caught, when seeded: routes that ask for no token.
#[tokio::test]
async fn without_the_token_no_route_says_anything_but_that_it_is_alive() {
    let warehouse = WarehouseProcess::start(&["--token", "open-sesame"]).await;
    let before = warehouse.stats();
    let cut = br#"{"errors": 1}"#;
    let requests = [
        ("GET", "/stats", &b""[..]),
        ("HEAD", "/stats", b""),
        ("GET", "/behaviour", b""),
        ("PUT", "/behaviour", cut),
        ("PUT", "/behaviour", b"not JSON"),
        ("POST", "/stats", b""),
        ("DELETE", "/shipments", b""),
        ("GET", "/shipments/order-1-1", b""),
        ("GET", "/", b""),
        ("GET", "/%2e%2e/stats", b""),
    ];
    for (method, path, sent) in requests {
        for authorization in ["", "Bearer ", "Bearer open-sesam", "Bearer open-sesame2", "Basic open-sesame"] {
            let answer = warehouse.ask(method, path, &[("Authorization", authorization)], sent);
            assert_eq!(answer.status, 401, "{method} {path} with `{authorization}`: {}", answer.text());
        }
    }
    assert_eq!(warehouse.ask("GET", "/health", &[], b"").status, 200);
    let token = [("Authorization", "Bearer open-sesame")];
    assert_eq!(warehouse.ask("GET", "/nowhere", &token, b"").status, 404);
    assert_eq!(warehouse.ask("POST", "/stats", &token, b"").status, 405);
    assert_eq!(body(&warehouse.ask("GET", "/behaviour", &token, b""))["errors"], json!(0.0), "none of them changed it");
    assert_eq!(warehouse.stats()["done"], before["done"]);
}

#[tokio::test]
async fn token_and_secrets_may_be_in_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("token", "open-sesame\n");
    write("secrets", &format!("{OTHER_SECRET}\n{SECRET}\n"));
    let files = ["--token-file", "token", "--secret-file", "secrets"];
    let warehouse = WarehouseProcess::start_in(folder, &files).await;
    assert_eq!(warehouse.ask("GET", "/stats", &[], b"").status, 401);
    let token = ("Authorization", "Bearer open-sesame");
    assert_eq!(warehouse.ask("GET", "/stats", &[token], b"").status, 200);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs();
    let (key, text) = (key(1), order(1, 1).to_string());
    let signature = signature(SECRET, &key, now, &text);
    let at = now.to_string();
    let signed = [token, ("webhook-id", &key), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
    let headers = [headers(&key).as_slice(), &signed].concat();
    assert_eq!(warehouse.ask("POST", "/shipments", &headers, text.as_bytes()).status, 201);
}

#[test]
fn a_file_without_a_token_is_a_usage_error_that_names_it() {
    for (arguments, problem) in [
        (["--token-file", "/none"], "--token-file /none: No such file"),
        (["--token-file", "/dev/null"], "--token-file /dev/null: is empty"),
        (["--secret-file", "/"], "--secret-file /: is a folder"),
    ] {
        let output = run_to_end(&[&["warehouse", "--listen", "127.0.0.1:0"], &arguments[..]].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(problem), "{errors}");
    }
}

/// `webhook-signature` as the library of Standard Webhooks for Python makes it.
fn signature(secret: &str, id: &str, seconds: u64, body: &str) -> String {
    let script = "import sys, datetime; from standardwebhooks import Webhook; _, secret, id, at, body = sys.argv; \
        at = datetime.datetime.fromtimestamp(int(at), datetime.timezone.utc); \
        print(Webhook(secret).sign(id, at, body))";
    let output = python().args(["-c", script, secret, id, &seconds.to_string(), body]).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("ASCII").trim().to_owned()
}

/// Caught, when seeded: a signature that is not looked at where there are two secrets.
#[tokio::test]
async fn only_what_one_of_the_secrets_signed_now_and_for_this_key_is_shipped() {
    let warehouse = WarehouseProcess::start(&["--secret", OTHER_SECRET, "--secret", SECRET]).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs();
    let (key, text) = (key(1), order(1, 1).to_string());
    let post = |id: &str, at: u64, signature: &str, text: &str| {
        let at = at.to_string();
        let signed = [("webhook-id", id), ("webhook-timestamp", &at), ("webhook-signature", signature)];
        warehouse.ask("POST", "/shipments", &[headers(&key).as_slice(), &signed].concat(), text.as_bytes())
    };
    let refused = |answer, field: &str| assert_eq!(body(&answer)["field"], field, "{}", answer.text());

    let right = signature(SECRET, &key, now, &text);
    refused(post(&key, now, &right, &order(1, 2).to_string()), "webhook-signature");
    refused(post(&key, now + 1, &right, &text), "webhook-signature");
    let stranger = signature("whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA==", &key, now, &text);
    refused(post(&key, now, &stranger, &text), "webhook-signature");
    let old = signature(SECRET, &key, now - 600, &text);
    refused(post(&key, now - 600, &old, &text), "webhook-timestamp");
    let other_key = signature(SECRET, "order-2", now, &text);
    refused(post("order-2", now, &other_key, &text), "webhook-id");
    let unsigned = warehouse.ask("POST", "/shipments", &headers(&key), text.as_bytes());
    refused(unsigned, "webhook-signature");
    assert_eq!(warehouse.stats()["done"], json!({"unauthorized": 6}));

    let both = format!("{stranger} {right}");
    assert_eq!(post(&key, now, &both, &text).status, 201);
}

/// Caught, when seeded: a status that was told to whoever had the token.
#[tokio::test]
async fn only_a_signed_question_is_answered() {
    let warehouse = WarehouseProcess::start(&["--secret", SECRET]).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs();
    let key = key(1);
    let ask = |signature: &str| {
        let signed =
            [("webhook-id", key.as_str()), ("webhook-timestamp", &now.to_string()), ("webhook-signature", signature)];
        warehouse.ask("GET", &format!("/shipments/{key}"), &signed, b"")
    };
    let unsigned = warehouse.ask("GET", &format!("/shipments/{key}"), &[], b"");
    for refused in [unsigned, ask(&signature(SECRET, &key, now, "a body"))] {
        assert_eq!((refused.status, &body(&refused)["field"]), (401, &json!("webhook-signature")));
    }
    assert_eq!(ask(&signature(SECRET, &key, now, "")).status, 404, "no such order, as is told to those who may ask");
}

#[test]
fn a_secret_that_is_none_is_a_usage_error_that_does_not_show_it() {
    let output = run_to_end(&["warehouse", "--listen", "127.0.0.1:0", "--secret", "hush"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("--secret must be whsec_") && !errors.contains("hush"), "{errors}");
}
