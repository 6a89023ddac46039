//! What servers get that nobody has prepared: connections by default, one warning, and never a password in clear text.

use std::path::Path;
use std::process::Output;

use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::schema::Schema;

use crate::postgres_store::tls::{openssl, serve_tls};
use crate::postgres_store::{LEASE, migrated, open};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::worker::binary;
use crate::support::{LONG, eventually, expect_equal};

pub(crate) const EC: &str = "-nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";

/// Certificates as people and packages make them for themselves, none of which can be verified.
const SELF_MADE: &[(&str, &[&str])] = &[
    ("a name that is no alternative name", &["req -x509 EC -days 2 -subj /CN=stock"]),
    ("RSA", &["req -x509 -nodes -newkey rsa:2048 -days 2 -subj /CN=stock"]),
    (
        "no authority, as Debian's snakeoil",
        &["req -x509 EC -days 2 -subj /CN=stock -addext basicConstraints=CA:FALSE -addext subjectAltName=DNS:stock"],
    ),
    (
        "expired",
        &["req -new EC -subj /CN=stock -out server.csr", "x509 -req -in server.csr -signkey server.key -days -1"],
    ),
    (
        "version 1",
        &["req -new EC -subj /CN=stock -out server.csr", "x509 -req -in server.csr -signkey server.key -days 2"],
    ),
    ("Ed25519", &["req -x509 -nodes -newkey ed25519 -days 2 -subj /CN=stock"]),
];

/// Makes `server.key` and `server.crt`.
fn make(folder: &Path, commands: &[&str]) {
    for (number, command) in commands.iter().enumerate() {
        let key = if number == 0 { " -keyout server.key" } else { "" };
        let certificate = if number + 1 == commands.len() { " -out server.crt" } else { "" };
        openssl(folder, &format!("{}{key}{certificate}", command.replace("EC", EC)));
    }
}

/// A server with TLS on and a certificate of its own.
async fn stock_server(folder: &Path, commands: &[&str]) -> (PostgresServer, TestDatabase) {
    let server = PostgresServer::start().await;
    let database = server.database().await;
    migrated(&database).await;
    offer(&database, folder, commands).await;
    (server, database)
}

/// Returns once the server shows this certificate.
async fn offer(database: &TestDatabase, folder: &Path, commands: &[&str]) {
    make(folder, commands);
    show(database, folder).await;
}

/// Has the server show the certificate in the folder's `server.crt`, and returns once it does.
pub(crate) async fn show(database: &TestDatabase, folder: &Path) {
    serve_tls(database, folder).await;
    let wanted = pem(&std::fs::read_to_string(folder.join("server.crt")).unwrap());
    let address: url::Url = database.url().parse().unwrap();
    let address = format!("127.0.0.1:{}", address.port().unwrap());
    eventually(LONG, "the server shows the certificate", async || {
        let shown = std::process::Command::new("openssl")
            .args(["s_client", "-starttls", "postgres", "-connect", &address])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        expect_equal(pem(&String::from_utf8_lossy(&shown.stdout)), wanted.clone())
    })
    .await;
}

/// The certificate within other text.
fn pem(text: &str) -> Option<String> {
    let (_, after) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    Some(after.split_once("-----END CERTIFICATE-----")?.0.to_owned())
}

fn migrate(url: &str, authority: Option<&Path>) -> Output {
    let mut command = binary(&["migrate", "--wait", "10s", "--store", url]);
    if let Some(authority) = authority {
        command.env("SSL_CERT_FILE", authority);
    }
    command.output().unwrap()
}

/// What it wrote to standard error, having succeeded.
fn warned(output: &Output, what: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {errors}");
    errors
}

/// Caught before it was mended: every one of them was refused.
#[tokio::test]
async fn any_certificate_of_a_stock_server_will_do_with_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, database) = stock_server(folder.path(), SELF_MADE[0].1).await;
    for (kind, commands) in SELF_MADE {
        offer(&database, folder.path(), commands).await;
        for parameters in ["", "?sslmode=prefer", "?sslmode=require"] {
            let errors = warned(&migrate(&format!("{}{parameters}", database.url()), None), kind);
            assert_eq!(errors.lines().count(), 1, "{kind}{parameters}: {errors}");
            for part in ["warning: ", "127.0.0.1", "not verified", "sslmode=verify-full"] {
                assert!(errors.contains(part), "{kind}{parameters}: {errors}");
            }
        }
    }
}

#[tokio::test]
async fn a_self_made_certificate_that_is_named_as_trusted_is_verified_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let named = ["req -x509 EC -days 2 -subj /CN=stock -addext subjectAltName=IP:127.0.0.1"];
    let (_server, database) = stock_server(folder.path(), &named).await;
    let authority = folder.path().join("server.crt");
    for parameters in ["", "?sslmode=require", "?sslmode=verify-ca", "?sslmode=verify-full"] {
        let errors = warned(&migrate(&format!("{}{parameters}", database.url()), Some(&authority)), parameters);
        assert_eq!(errors, "", "{parameters}");
    }
    let refused = migrate(&format!("{}?sslmode=verify-ca", database.url()), None);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("SSL_CERT_FILE") && !errors.contains("disable"), "{errors}");
}

#[tokio::test]
async fn verify_ca_passes_over_the_name_and_verify_full_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, database) = stock_server(folder.path(), SELF_MADE[2].1).await;
    let authority = folder.path().join("server.crt");
    let errors = warned(&migrate(&format!("{}?sslmode=verify-ca", database.url()), Some(&authority)), "verify-ca");
    assert_eq!(errors, "");
    let refused = migrate(&format!("{}?sslmode=verify-full", database.url()), Some(&authority));
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("subject alternative name") && !errors.contains("disable"), "{errors}");
}

/// Replaces the rules by which the server lets clients in. The test's own connections are the user `postgres`'s.
async fn let_clerk_in(database: &TestDatabase, rule: &str) {
    let client = database.connect().await;
    let sql = format!(
        "DO $$ BEGIN
             IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'clerk') THEN
                 CREATE ROLE clerk SUPERUSER LOGIN PASSWORD 'hunter2';
             END IF;
             EXECUTE format('COPY (SELECT unnest(string_to_array(%L, E''\\n''))) TO %L',
                 '{rule}' || E'\\n' || 'host all postgres 127.0.0.1/32 trust', current_setting('hba_file'));
         END $$;
         SELECT pg_reload_conf();"
    );
    client.batch_execute(&sql).await.unwrap();
    let loaded = format!("SELECT count(*) FROM pg_hba_file_rules WHERE '{rule}' LIKE '%' || auth_method");
    eventually(LONG, "the rule is there", async || match database.number(&loaded).await {
        0 => Err("not yet"),
        _ => Ok(()),
    })
    .await;
}

fn as_clerk(database: &TestDatabase, host: Option<&str>, parameters: &str) -> String {
    let port = database.url().parse::<url::Url>().unwrap().port().unwrap();
    let host = host.map_or("127.0.0.1".to_owned(), |folder| folder.replace('/', "%2F"));
    format!("postgres://clerk:hunter2@{host}:{port}/orders{parameters}")
}

/// Caught before it was mended: whoever asked for the password got it.
#[tokio::test]
async fn a_password_in_clear_text_is_sent_by_tls_and_by_a_socket_and_never_otherwise() {
    let server = PostgresServer::start().await;
    let database = server.database().await;
    migrated(&database).await;
    let folder: String = database.query("SHOW unix_socket_directories", &[]).await[0].get(0);
    let_clerk_in(&database, "host all clerk 127.0.0.1/32 password").await;
    for parameters in ["", "?sslmode=prefer", "?sslmode=disable"] {
        let error = eventually(LONG, "the server asks for the password", async || {
            open(&as_clerk(&database, None, parameters), LEASE, 1).check().await.err().ok_or("let in without one")
        })
        .await;
        let text = error.to_string();
        assert!(!error.is_transient() && text.contains("clear text"), "{parameters}: {text}");
        assert!(text.contains("scram-sha-256") && !text.contains("hunter2"), "{parameters}: {text}");
    }
    let_clerk_in(&database, "local all clerk password").await;
    open(&as_clerk(&database, Some(&folder), ""), LEASE, 1).check().await.unwrap();

    let_clerk_in(&database, "hostssl all clerk 127.0.0.1/32 password").await;
    let certificates = tempfile::tempdir().unwrap();
    offer(&database, certificates.path(), SELF_MADE[0].1).await;
    open(&as_clerk(&database, None, ""), LEASE, 1).check().await.unwrap();
}

/// The binding names the certificate: it works although nobody has verified that.
#[tokio::test]
async fn scram_is_bound_to_the_channel() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, database) = stock_server(folder.path(), SELF_MADE[0].1).await;
    let_clerk_in(&database, "hostssl all clerk 127.0.0.1/32 scram-sha-256").await;
    open(&as_clerk(&database, None, "?channel_binding=require"), LEASE, 1).check().await.unwrap();
    let encrypted =
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'clerk'";
    let store = open(&as_clerk(&database, None, ""), LEASE, 1);
    store.check().await.unwrap();
    assert!(database.number(encrypted).await >= 1);
}

/// A closed connection alone doesn't end a statement that waits for a lock.
#[tokio::test]
async fn a_statement_that_nobody_waits_for_is_cancelled_by_tls_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, database) = stock_server(folder.path(), SELF_MADE[0].1).await;
    let blocker = database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for parameters in ["?sslmode=require", "?sslmode=disable"] {
        let error = open(&format!("{}{parameters}", database.url()), LEASE, 1).open_orders().await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        eventually(LONG, "it is cancelled", async || expect_equal(database.number(waiting).await, 0)).await;
    }
}

/// The second server is asked where the first one is away, whatever their kinds.
#[tokio::test]
async fn several_servers_are_tried_in_turn() {
    let database = TestDatabase::create().await;
    let port = database.url().parse::<url::Url>().unwrap().port().unwrap();
    let name = database.url().rsplit('/').next().unwrap();
    for hosts in [format!("127.0.0.1:1,127.0.0.1:{port}"), format!("%2Fnowhere:1,127.0.0.1:{port}")] {
        for parameters in ["", "?target_session_attrs=read-write", "?load_balance_hosts=random"] {
            let url = format!("postgres://postgres@{hosts}/{name}{parameters}");
            warned(&migrate(&url, None), &url);
        }
    }
    let refused = migrate(&format!("postgres://postgres@127.0.0.1:{port}/{name}?target_session_attrs=read-only"), None);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("takes no writes"), "{refused:?}");
}

/// Only the address of `db.example` is this machine's.
#[tokio::test]
async fn a_server_elsewhere_that_offers_no_tls_is_warned_of_unless_that_is_meant() {
    let database = TestDatabase::create().await;
    let elsewhere = format!("{}?hostaddr=127.0.0.1", database.url().replace("127.0.0.1", "db.example"));
    let errors = warned(&migrate(&elsewhere, None), &elsewhere);
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("db.example") && errors.contains("not encrypted"), "{errors}");
    // Of several, each for itself; by `allow`, which does not ask for TLS; and by an address that is another's.
    let port = database.url().parse::<url::Url>().unwrap().port().unwrap();
    let name = database.url().rsplit('/').next().unwrap();
    let several = format!("postgres://postgres@db.example:1,other.example:{port}/{name}?hostaddr=127.0.0.1,127.0.0.1");
    for url in [several, format!("{elsewhere}&sslmode=allow")] {
        let errors = warned(&migrate(&url, None), &url);
        assert_eq!(errors.matches("not encrypted").count(), 1, "{errors}");
    }
    for url in [format!("{elsewhere}&sslmode=disable"), database.url().to_owned()] {
        assert_eq!(warned(&migrate(&url, None), &url), "");
    }
}
