//! TLS as libpq has it: each mode against each kind of certificate, asked of `psql` on this machine and of the worker. Where they
//! differ, the worker is the stricter one, and the difference stands here.

use std::path::Path;
use std::process::Command;

use fulfillment_worker::port::schema::Schema;
use tokio::net::TcpStream;

use crate::postgres_store::encryption::{EC, show};
use crate::postgres_store::pooler::Pooler;
use crate::postgres_store::tls::openssl;
use crate::postgres_store::{LEASE, migrated, open};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::process::Process;
use crate::support::{LONG, eventually, free_port};

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Tls,
    Plain,
    Refused,
}
use Outcome::{Plain, Refused, Tls};

const MODES: [&str; 7] = ["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// A server of the test's own, and a folder with its certificates. `psql` and the worker see the same host and files.
struct World {
    _server: PostgresServer,
    database: TestDatabase,
    folder: tempfile::TempDir,
    rows: std::cell::Cell<u32>,
}

impl World {
    async fn new() -> Self {
        let server = PostgresServer::start().await;
        let database = server.database().await;
        migrated(&database).await;
        let folder = tempfile::tempdir().unwrap();
        for authority in ["ca", "other"] {
            let key = format!("req -x509 {EC} -days 2 -keyout {authority}.key -out {authority}.crt");
            openssl(folder.path(), &format!("{key} -subj /CN={authority}"));
        }
        Self { _server: server, database, folder, rows: Default::default() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// Makes a certificate and its key: signed by `authority`, for this subject, with further options of `openssl x509`.
    fn sign(&self, name: &str, authority: &str, subject: &str, extensions: Option<&str>, days: &str) {
        openssl(self.path(), &format!("req {EC} -keyout {name}.key -out {name}.csr -subj /CN={subject}"));
        let mut signing =
            format!("x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial");
        signing.push_str(&format!(" -days {days} -out {name}.crt"));
        if let Some(extensions) = extensions {
            std::fs::write(self.path().join("extensions"), extensions).unwrap();
            signing.push_str(" -extfile extensions");
        }
        openssl(self.path(), &signing);
    }

    async fn show(&self, authority: &str, subject: &str, extensions: Option<&str>, days: &str) {
        self.sign("server", authority, subject, extensions, days);
        show(&self.database, self.path()).await;
    }

    /// Replaces the rules, in front of those for the test's own user, and returns once they hold for new connections.
    async fn rules(&self, rules: &str) {
        let client = self.database.connect().await;
        let sql = format!(
            "DO $$ BEGIN
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'clerk') THEN
                     CREATE ROLE clerk SUPERUSER LOGIN PASSWORD 'hunter2';
                 END IF;
                 EXECUTE format('COPY (SELECT unnest(string_to_array(%L, E''\\n''))) TO %L',
                     E'{rules}\\nhost all postgres 127.0.0.1/32 trust', current_setting('hba_file'));
             END $$"
        );
        client.batch_execute(&sql).await.unwrap();
        self.reload().await;
    }

    async fn reload(&self) {
        let now: f64 = self.database.query("SELECT extract(epoch FROM clock_timestamp())::float8", &[]).await[0].get(0);
        self.database.connect().await.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        eventually(LONG, "the configuration is read", async || {
            let sql = "SELECT extract(epoch FROM pg_conf_load_time())::float8";
            let loaded: f64 = self.database.query(sql, &[]).await[0].get(0);
            if loaded > now { Ok(()) } else { Err("not yet") }
        })
        .await;
    }

    fn url(&self, user: &str, parameters: &[String]) -> String {
        let port = self.database.url().parse::<url::Url>().unwrap().port().unwrap();
        format!("postgres://{user}:hunter2@127.0.0.1:{port}/orders?{}", parameters.join("&"))
    }

    /// What `psql` does, which finds no files of its own accord.
    fn psql(&self, url: &str) -> Outcome {
        let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let output = Command::new("psql")
            .env("HOME", self.path().join("nobody"))
            .args([url, "-XAtc", encrypted])
            .output()
            .expect("psql; run scripts/install-packages.sh");
        match output.stdout.trim_ascii() {
            b"t" => Tls,
            b"f" => Plain,
            _ => Refused,
        }
    }

    async fn worker(&self, url: &str) -> (Outcome, String) {
        self.rows.set(self.rows.get() + 1);
        let name = format!("row_{}", self.rows.get());
        let store = open(&format!("{url}&application_name={name}"), LEASE, 1);
        if let Err(error) = store.check().await {
            assert!(!error.to_string().contains("hunter2"), "{error}");
            return (Refused, error.to_string());
        }
        let encrypted = format!(
            "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = '{name}'"
        );
        (if self.database.number(&encrypted).await > 0 { Tls } else { Plain }, String::new())
    }

    /// Asks both, and returns what is not as expected: `differences` are those of the worker from libpq.
    async fn compare(&self, kind: &str, parameters: &[String], ours: Option<Outcome>) -> Vec<String> {
        let url = self.url("clerk", parameters);
        let libpq = self.psql(&url);
        let (worker, error) = self.worker(&url).await;
        let expected = ours.unwrap_or(libpq);
        let mut wrong = Vec::new();
        if worker != expected {
            wrong.push(format!("{kind} {parameters:?}: worker {worker:?} ({error}), libpq {libpq:?}"));
        }
        if ours == Some(libpq) {
            wrong.push(format!("{kind} {parameters:?}: libpq {libpq:?} is no difference"));
        }
        wrong
    }
}

fn mode(mode: &str) -> Vec<String> {
    if mode.is_empty() { Vec::new() } else { vec![format!("sslmode={mode}")] }
}

/// What it is called; its authority, subject, extensions and days; and where the worker differs from libpq, given the authority.
type Kind<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, &'a str, &'a [(&'a str, Outcome)]);

const FOR_THE_HOST: Option<&str> = Some("subjectAltName=IP:127.0.0.1\n");

/// Seeded and caught: `require` with a root that doesn't verify, `allow` that asks for TLS first, `verify-full` that passes over the name.
#[tokio::test]
async fn each_mode_does_with_each_certificate_what_libpq_does_or_is_stricter() {
    let world = World::new().await;
    world.rules("host all clerk 127.0.0.1/32 trust").await;
    let mut wrong = Vec::new();
    for mode_name in MODES {
        wrong.extend(world.compare("no TLS", &mode(mode_name), None).await);
    }
    // libpq goes on without TLS where it can't verify a certificate, and takes what has no alternative name.
    let unverified: &[(&str, Outcome)] = &[("", Tls), ("prefer", Tls)];
    let old: &[(&str, Outcome)] = &[("require", Refused), ("verify-ca", Refused), ("verify-full", Refused)];
    let kinds: [Kind; 6] = [
        ("good", "ca", "postgres", FOR_THE_HOST, "2", &[]),
        ("other name", "ca", "postgres", Some("subjectAltName=DNS:elsewhere\n"), "2", &[]),
        ("expired", "ca", "postgres", FOR_THE_HOST, "-1", unverified),
        ("other authority", "other", "postgres", FOR_THE_HOST, "2", unverified),
        ("common name", "ca", "127.0.0.1", Some("basicConstraints=CA:FALSE\n"), "2", &[("verify-full", Refused)]),
        ("version 1", "ca", "127.0.0.1", None, "2", old),
    ];
    for (kind, authority, subject, extensions, days, differences) in kinds {
        world.show(authority, subject, extensions, days).await;
        for mode_name in MODES {
            wrong.extend(world.compare(kind, &mode(mode_name), None).await);
            let with_root = [mode(mode_name), vec![format!("sslrootcert={}", world.file("ca.crt"))]].concat();
            let ours = differences.iter().find(|(of, _)| *of == mode_name).map(|(_, ours)| *ours);
            wrong.extend(world.compare(&format!("{kind}, root"), &with_root, ours).await);
        }
    }
    assert!(world.rows.get() >= 90, "{} rows", world.rows.get());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Seeded and caught: no second try.
#[tokio::test]
async fn a_server_with_rules_for_one_kind_of_connection_is_reached_as_libpq_reaches_it() {
    let world = World::new().await;
    world.show("ca", "postgres", FOR_THE_HOST, "2").await;
    let mut wrong = Vec::new();
    for rule in ["hostssl all clerk 127.0.0.1/32 scram-sha-256", "hostnossl all clerk 127.0.0.1/32 scram-sha-256"] {
        world.rules(rule).await;
        for mode_name in MODES {
            wrong.extend(world.compare(rule, &mode(mode_name), None).await);
        }
    }
    // The password itself is what libpq sends to anybody, and the worker by TLS alone.
    let rule = "host all clerk 127.0.0.1/32 password";
    world.rules(rule).await;
    for (mode_name, ours) in [("disable", Some(Refused)), ("allow", Some(Tls)), ("prefer", None), ("require", None)] {
        wrong.extend(world.compare(rule, &mode(mode_name), ours).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_name_that_is_verified_is_the_hosts_wherever_its_address_leads() {
    let world = World::new().await;
    world.rules("host all clerk 127.0.0.1/32 trust").await;
    world.show("ca", "postgres", Some("subjectAltName=DNS:db.example\n"), "2").await;
    let root = format!("sslrootcert={}", world.file("ca.crt"));
    for (host, expected) in [("db.example", Tls), ("other.example", Refused)] {
        let parameters = ["hostaddr=127.0.0.1".to_owned(), "sslmode=verify-full".to_owned(), root.clone()];
        let url = world.url("clerk", &parameters).replace("@127.0.0.1", &format!("@{host}"));
        let (ours, error) = world.worker(&url).await;
        assert_eq!((ours, world.psql(&url)), (expected, expected), "{error}");
    }
}

/// Seeded and caught: a certificate that is not shown.
#[tokio::test]
async fn a_client_certificate_is_shown_as_libpq_shows_it() {
    let world = World::new().await;
    let client = world.database.connect().await;
    let authority = std::fs::read_to_string(world.file("ca.crt")).unwrap();
    let sql = format!(
        "COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM 'cat >\"$PWD/root.crt\"'",
        authority.trim_end()
    );
    client.batch_execute(&sql).await.unwrap();
    client.batch_execute("ALTER SYSTEM SET ssl_ca_file = 'root.crt'").await.unwrap();
    world.show("ca", "postgres", FOR_THE_HOST, "2").await;
    world.sign("clerk", "ca", "clerk", Some("basicConstraints=CA:FALSE\n"), "2");
    world.sign("nobody", "ca", "nobody", Some("basicConstraints=CA:FALSE\n"), "2");
    world.sign("foreign", "other", "clerk", Some("basicConstraints=CA:FALSE\n"), "2");
    world.sign("expired", "ca", "clerk", Some("basicConstraints=CA:FALSE\n"), "-1");
    let root = format!("sslrootcert={}", world.file("ca.crt"));
    let mut wrong = Vec::new();
    for rule in
        ["hostssl all clerk 127.0.0.1/32 cert", "hostssl all clerk 127.0.0.1/32 scram-sha-256 clientcert=verify-full"]
    {
        world.rules(rule).await;
        for (name, expected) in
            [("", Refused), ("clerk", Tls), ("nobody", Refused), ("foreign", Refused), ("expired", Refused)]
        {
            let mut parameters = vec!["sslmode=verify-full".to_owned(), root.clone()];
            if !name.is_empty() {
                parameters.push(format!("sslcert={}", world.file(&format!("{name}.crt"))));
                parameters.push(format!("sslkey={}", world.file(&format!("{name}.key"))));
            }
            wrong.extend(world.compare(&format!("{rule}: {name}"), &parameters, None).await);
            assert_eq!(world.psql(&world.url("clerk", &parameters)), expected, "{rule}: {name}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As they are renewed while the worker runs: each connection reads them again.
#[tokio::test]
async fn files_that_were_renewed_count_for_the_next_connection() {
    let world = World::new().await;
    world.rules("hostssl all clerk 127.0.0.1/32 trust").await;
    world.show("ca", "postgres", FOR_THE_HOST, "2").await;
    std::fs::copy(world.file("other.crt"), world.file("trusted.crt")).unwrap();
    let parameters = ["sslmode=verify-full".to_owned(), format!("sslrootcert={}", world.file("trusted.crt"))];
    let store = open(&world.url("clerk", &parameters), LEASE, 1);
    let error = store.check().await.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer") && error.contains("sslrootcert"), "{error}");
    std::fs::copy(world.file("ca.crt"), world.file("trusted.crt")).unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_take_tls_without_a_question_is_said_to_be_too_old() {
    let world = World::new().await;
    world.show("ca", "postgres", FOR_THE_HOST, "2").await;
    let version = world.database.number("SELECT current_setting('server_version_num')::bigint").await;
    let (outcome, error) =
        world.worker(&world.url("postgres", &["sslmode=require&sslnegotiation=direct".into()])).await;
    match outcome {
        Tls => assert!(version >= 170_000, "{version}"),
        _ => assert!(version < 170_000 && error.contains("needs Postgres 17"), "{version}: {error}"),
    }
}

/// PgBouncer has one SQLSTATE for whatever it refuses: `allow` is let in by TLS all the same, as by libpq.
#[tokio::test]
async fn a_pooler_that_insists_on_tls_is_reached_as_libpq_reaches_it() {
    let world = World::new().await;
    world.sign("server", "ca", "postgres", FOR_THE_HOST, "2");
    let (port, server) = (free_port(), world.database.url().parse::<url::Url>().unwrap().port().unwrap());
    let configuration = format!(
        "[databases]\norders = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
         client_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n",
        world.file("server.crt"),
        world.file("server.key"),
    );
    std::fs::write(world.file("pgbouncer.ini"), configuration).unwrap();
    let command = Pooler::program(world.path());
    let _pooler = Process::start("pgbouncer", command, world.path().join("output.log"));
    eventually(LONG, "PgBouncer listens", async || TcpStream::connect(("127.0.0.1", port)).await.map(drop)).await;
    let root = format!("sslrootcert={}", world.file("ca.crt"));
    for (mode_name, expected) in
        [("disable", false), ("allow", true), ("prefer", true), ("require", true), ("verify-full", true)]
    {
        let url = world.url("clerk", &[mode(mode_name), vec![root.clone()]].concat());
        let url = url.replace(&format!(":{server}/"), &format!(":{port}/"));
        let (ours, error) = world.worker(&url).await;
        let libpq = Command::new("psql").env("HOME", world.path()).args([&url, "-XAtc", "SELECT 1"]).output().unwrap();
        assert_eq!((ours != Refused, libpq.status.success()), (expected, expected), "{mode_name}: {error}");
    }
}

/// By a server whose highest version is known from what it accepts.
#[tokio::test]
async fn versions_are_limited_as_they_are_by_libpq() {
    let world = World::new().await;
    world.rules("host all clerk 127.0.0.1/32 trust").await;
    world.show("ca", "postgres", FOR_THE_HOST, "2").await;
    world
        .database
        .connect()
        .await
        .batch_execute("ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.2'")
        .await
        .unwrap();
    world.reload().await;
    let mut wrong = Vec::new();
    for limit in
        ["ssl_min_protocol_version=TLSv1.3", "ssl_min_protocol_version=TLSv1.2", "ssl_max_protocol_version=TLSv1.2"]
    {
        wrong.extend(world.compare("1.2", &["sslmode=require".to_owned(), limit.to_owned()], None).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
