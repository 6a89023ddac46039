//! `sslmode`: TLS by rustls, trusting what the system trusts.

use std::path::Path;
use std::process::Command;

use fulfillment_worker::port::schema::Schema;

use crate::postgres_store::{LEASE, migrated, open};
use crate::support::again::{again, assert_passed};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::{LONG, eventually};

/// Tells the inner test, which runs as a process of its own, where to connect.
const URL: &str = "TLS_TEST_POSTGRES_URL";

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().expect("openssl");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority of the test's own, and a certificate of it for 127.0.0.1.
fn make_certificates(folder: &Path) {
    let key = "-nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
    openssl(folder, &format!("req -x509 {key} -days 2 -keyout ca.key -out ca.crt -subj /CN=authority"));
    openssl(folder, &format!("req {key} -keyout server.key -out server.csr -subj /CN=postgres"));
    std::fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let signing = "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2";
    openssl(folder, &format!("{signing} -extfile server.ext -out server.crt"));
}

/// Switches TLS on.
async fn serve_tls(database: &TestDatabase, folder: &Path) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let client = database.connect().await;
    // Written by the server itself, so that it owns its key.
    for (name, content) in [("server.crt", read("server.crt")), ("server.key", read("server.key"))] {
        let sql = format!(
            "COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM
             'umask 077; cat >\"$PWD/{name}\"'",
            content.trim_end()
        );
        client.batch_execute(&sql).await.unwrap();
    }
    client.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_verified_and_an_unknown_authority_is_not_trusted() {
    let server = PostgresServer::start().await;
    let database = server.database().await;
    migrated(&database).await;
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    serve_tls(&database, folder.path()).await;
    let error =
        eventually(LONG, "the server offers TLS", async || match open(database.url(), LEASE, 1).check().await {
            Ok(()) => Err("connected without TLS"),
            Err(error) => Ok(error),
        })
        .await;
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("UnknownIssuer") && error.to_string().contains("SSL_CERT_FILE"), "{error}");
    open(&format!("{}?sslmode=disable", database.url()), LEASE, 1).check().await.unwrap();

    for mode in ["prefer", "require", "verify-full"] {
        let inner = again("postgres_store::tls::inner_a_store_that_trusts_the_authority_works")
            .env("SSL_CERT_FILE", folder.path().join("ca.crt"))
            .env(URL, format!("{}?sslmode={mode}", database.url()))
            .output()
            .unwrap();
        assert_passed(&inner);
    }
}

#[tokio::test]
#[ignore = "run by the test above, with another trusted authority"]
async fn inner_a_store_that_trusts_the_authority_works() {
    let url = std::env::var(URL).expect("started by another test");
    open(&url, LEASE, 1).check().await.unwrap();
    let client_name = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                       WHERE s.ssl AND a.application_name LIKE 'fulfillment-worker %'";
    let store = open(&url, LEASE, 1);
    store.check().await.unwrap();
    let plain = url.split('?').next().unwrap();
    let (client, connection) =
        tokio_postgres::connect(&format!("{plain}?sslmode=disable"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    assert!(client.query_one(client_name, &[]).await.unwrap().get::<_, i64>(0) >= 1, "the connection is encrypted");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let database = TestDatabase::create().await;
    let error = open(&format!("{}?sslmode=require", database.url()), LEASE, 1).check().await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("does not support TLS"), "{error}");
}
