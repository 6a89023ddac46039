//! The rendered pods as processes: with the variables, the files and the arguments that a kubelet would give them, against real
//! servers that know the roles of `deploy/`. Nobody can mount here, so each mount is a folder, and what names it names that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::{RENDERED, texts, the};
use crate::support::process::{Process, Signal};
use crate::support::roles::ServersWithRoles;
use crate::support::worker::binary;
use crate::support::{LONG, eventually, expect_equal, free_port, http};

/// Secrets by name, with their keys.
type Secrets = BTreeMap<&'static str, BTreeMap<&'static str, String>>;

/// What stands beside a pod: ConfigMaps are among the manifests, Secrets were made before.
struct Kubelet<'a> {
    documents: &'a [Value],
    secrets: Secrets,
    folder: TempDir,
}

impl<'a> Kubelet<'a> {
    fn new(servers: &ServersWithRoles, documents: &'a [Value]) -> Self {
        let redis = format!("redis://worker:{}@{}", servers.secret("redis-worker-password"), servers.redis_address());
        let worker = BTreeMap::from([("redis-url", redis), ("database-url", servers.database_url("worker"))]);
        let migrate = BTreeMap::from([("database-url", servers.database_url("migrator"))]);
        let secrets = Secrets::from([("fulfillment-worker", worker), ("fulfillment-worker-migrate", migrate)]);
        Self { documents, secrets, folder: tempfile::tempdir().expect("a folder") }
    }

    /// The folder in place of a mount, with what its volume holds.
    fn mount(&self, pod: &Value, mount: &Value) -> PathBuf {
        let name = mount["name"].as_str().expect("a name");
        let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|volume| volume["name"] == name).unwrap_or_else(|| panic!("no volume {name}"));
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let put = |of: &Value, secret: &Value| {
            let known = &self.secrets[secret.as_str().expect("a name")];
            for item in of["items"].as_array().expect("items") {
                let value = &known[item["key"].as_str().expect("a key")];
                let file = folder.join(item["path"].as_str().expect("a path"));
                std::fs::write(&file, value).expect("a file");
                let private = std::os::unix::fs::PermissionsExt::from_mode(0o400);
                std::fs::set_permissions(&file, private).expect("its mode");
            }
        };
        if let Some(secret) = volume["secret"].as_object() {
            put(&volume["secret"], &secret["secretName"]);
        }
        for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
            put(&source["secret"], &source["secret"]["name"]);
        }
        if let Some(name) = volume["configMap"]["name"].as_str() {
            let map = the(self.documents, "ConfigMap");
            assert_eq!(map["metadata"]["name"], name);
            for (file, text) in map["data"].as_object().expect("data") {
                std::fs::write(folder.join(file), text.as_str().expect("text")).expect("a file");
            }
        }
        folder
    }

    /// Starts the pod's only container, listening on `address`.
    fn start(&self, pod: &Value, address: Option<SocketAddr>) -> Process {
        let container = &pod["spec"]["containers"][0];
        let mut environment: Vec<(String, String)> = Vec::new();
        if pod["spec"]["enableServiceLinks"] != false {
            // What Services called `redis` and `postgres` would put there.
            environment
                .extend(["REDIS_PORT", "POSTGRES_PORT"].map(|name| (name.to_owned(), "tcp://10.0.0.1:1".to_owned())));
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let text = |key: &str| variable[key].as_str().expect("text").to_owned();
            environment.push((text("name"), text("value")));
        }
        for mount in container["volumeMounts"].as_array().expect("mounts") {
            let folder = self.mount(pod, mount);
            let path = mount["mountPath"].as_str().expect("a path");
            if path == "/tmp" {
                // Which is this machine's, too: the folder takes its place for the admin socket alone.
                environment.push(("XDG_RUNTIME_DIR".to_owned(), folder.display().to_string()));
                continue;
            }
            for (_, value) in &mut environment {
                if let Some(rest) = value.strip_prefix(path) {
                    *value = format!("{}{rest}", folder.display());
                }
            }
        }
        let arguments = texts(&container["args"]);
        let mut command = binary(&arguments);
        command.envs(environment).env("FULFILLMENT_SIMULATE_LATENCY", "0").current_dir(self.folder.path());
        if let Some(address) = address {
            command.env("FULFILLMENT_LISTEN", address.to_string());
        }
        Process::start(arguments[0], command, self.folder.path().join(format!("{}.log", arguments[0])))
    }
}

/// What the kubelet learns from a probe.
fn probe(pod: &Value, name: &str, address: SocketAddr) -> Result<u16, String> {
    let get = &pod["spec"]["containers"][0][name]["httpGet"];
    let path = get["path"].as_str().expect("a path");
    http::get(address, path, &[]).map(|answer| answer.status).map_err(|error| error.to_string())
}

async fn becomes(pod: &Value, name: &str, address: SocketAddr, expected: u16) {
    eventually(LONG, name, async || expect_equal(probe(pod, name, address)?, expected)).await;
}

/// Places an order, as an order API would.
async fn place(servers: &ServersWithRoles) -> i32 {
    let client = crate::support::postgres::connect(&servers.owners_url()).await;
    client
        .batch_execute("INSERT INTO products (name, price) VALUES ('tea', 1) ON CONFLICT DO NOTHING")
        .await
        .expect("a product");
    let row = client.query_one("INSERT INTO orders (product_id, quantity) VALUES (1, 2) RETURNING id", &[]).await;
    let id: i32 = row.expect("an order").get(0);
    let message = format!(r#"{{"order_id":{id},"product_id":1,"quantity":2}}"#);
    servers.ask::<()>(&format!("LPUSH fulfillment_queue {message}"));
    id
}

async fn fulfilled(servers: &ServersWithRoles, id: i32) {
    let client = crate::support::postgres::connect(&servers.owners_url()).await;
    eventually(LONG, "the order is fulfilled", async || {
        let row = client.query_one("SELECT status FROM orders WHERE id = $1", &[&id]).await;
        let status: String = row.map_err(|error| error.to_string())?.get(0);
        expect_equal(status.as_str(), "fulfilled")
    })
    .await;
}

/// Caught, when seeded: a migration with the worker's login, a variable that names no file, an unknown option in the ConfigMap, and a
/// grace period that is shorter than the drain.
#[tokio::test]
async fn the_migration_and_then_a_worker_fulfil_an_order_and_the_probes_say_so() {
    let servers = ServersWithRoles::start().await;
    let documents = &RENDERED["default"];
    let kubelet = Kubelet::new(&servers, documents);
    let job = documents.iter().find(|document| document["kind"] == "Job").expect("a Job");
    let mut migration = kubelet.start(&job["spec"]["template"], None);
    assert!(migration.ended(LONG).await.success(), "{}", migration.output());

    let pod = &the(documents, "Deployment")["spec"]["template"];
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut worker = kubelet.start(pod, Some(address));
    for name in ["startupProbe", "livenessProbe", "readinessProbe"] {
        becomes(pod, name, address, 200).await;
    }
    let id = place(&servers).await;
    fulfilled(&servers, id).await;

    let config = the(documents, "ConfigMap")["data"]["config.toml"].as_str().expect("the file");
    let drain: i64 = config
        .split_once("drain-timeout = \"")
        .and_then(|(_, rest)| rest.split_once('s')?.0.parse().ok())
        .expect("a time");
    assert!(pod["spec"]["terminationGracePeriodSeconds"].as_i64().expect("a number") > drain);
    worker.signal(Signal::Term);
    assert!(worker.ended(LONG).await.success(), "{}", worker.output());
    assert!(!worker.output().contains(&servers.secret("worker-password")), "a secret was logged");
}

/// A worker that ran stays ready without Redis and Postgres, and one that never reached them doesn't become it: an outage makes
/// no rollout go back, and a wrong password goes no further than one pod.
///
/// Caught, when seeded: a readiness probe that asks `/readyz` for everything.
#[tokio::test]
async fn an_outage_makes_no_running_pod_unready_and_a_pod_that_never_worked_does_not_become_ready() {
    let mut servers = ServersWithRoles::start().await;
    let documents = &RENDERED["default"];
    let kubelet = Kubelet::new(&servers, documents);
    let job = documents.iter().find(|document| document["kind"] == "Job").expect("a Job");
    assert!(kubelet.start(&job["spec"]["template"], None).ended(LONG).await.success());
    let pod = &the(documents, "Deployment")["spec"]["template"];
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let _worker = kubelet.start(pod, Some(address));
    becomes(pod, "readinessProbe", address, 200).await;

    servers.redis.stop().await;
    eventually(LONG, "the outage shows", async || {
        let whole = http::get(address, "/readyz", &[]).map_err(|error| error.to_string())?.status;
        expect_equal(whole, 503)
    })
    .await;
    for name in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(probe(pod, name, address), Ok(200), "{name}");
    }

    let second = Kubelet::new(&servers, documents);
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let _never = second.start(pod, Some(address));
    becomes(pod, "livenessProbe", address, 200).await;
    assert_eq!(probe(pod, "readinessProbe", address), Ok(503), "it has not started");
}

/// Every option that the chart writes or names is one that the worker knows, and `config` shows the file's value.
#[tokio::test]
async fn the_worker_knows_every_option_and_variable_of_the_chart() {
    let servers = ServersWithRoles::start().await;
    let documents = &RENDERED["everything"];
    let config = the(documents, "ConfigMap")["data"]["config.toml"].as_str().expect("the file");
    let folder = tempfile::tempdir().expect("a folder");
    // The file it names is tried elsewhere.
    let config: String =
        config.lines().filter(|line| !line.starts_with("web-config")).map(|line| format!("{line}\n")).collect();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, config).expect("a file");
    let output = binary(&["config", "--config", file.to_str().expect("a path")])
        .env("REDIS_URL", servers.redis.url())
        .env("DATABASE_URL", servers.database_url("worker"))
        .output()
        .expect("the binary");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("10000000") && shown.contains("https://warehouse.example/shipments"), "{shown}");

    let page = super::read("docs/CONFIGURATION.md");
    let pods = super::pods::pods();
    let variables =
        pods.iter().flat_map(|(_, pod)| pod["spec"]["containers"][0]["env"].as_array().into_iter().flatten());
    for name in variables.filter_map(|variable| variable["name"].as_str()).filter(|name| !name.starts_with("OTEL_")) {
        let documented = match name.strip_suffix("_FILE") {
            Some(secret) => page.contains(&format!("`{secret}[_FILE]`")),
            None => page.contains(&format!("`{name}`")),
        };
        assert!(documented, "{name} is no variable of docs/CONFIGURATION.md");
    }
}
