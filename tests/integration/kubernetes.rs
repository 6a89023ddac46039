//! The Helm chart and the plain manifests, as far as they can be tried without a cluster: what `helm` renders is what the schemas
//! of Kubernetes, of the Prometheus operator and of KEDA allow, and the worker that a pod would run does its work.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

mod pod_as_process;
mod pods;
mod scaling;
mod values;

const CHART: &str = "deploy/helm/fulfillment-worker";

/// The oldest version of Kubernetes that the chart allows, and the newest that there are schemas of.
const VERSIONS: [&str; 2] = ["v1.28.0", "v1.37.0"];

/// Everything that can be on or off, on.
const EVERYTHING: &str = r#"
replicaCount: 3
image: {repository: registry.example/fulfillment-worker, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", pullSecrets: [registry]}
config: {fulfiller: "https://warehouse.example/shipments", concurrency: 1000000, simulate-failures: 0.05, log-orders: all}
drainTimeoutSeconds: 50
secrets:
  redis: {name: redis-login, key: url}
  warehouseSecret: {name: warehouse, key: secret}
  warehouseToken: {name: warehouse, key: token}
  create: {enabled: true, redisUrl: "redis://worker:SECRET@redis", databaseUrl: "postgres://w:SECRET@db/orders", migrateDatabaseUrl: "postgres://m:SECRET@db/orders"}
web: {secretName: web-config, tls: true}
extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://collector:4318"}]
extraVolumes: [{name: authority, configMap: {name: authority}}]
extraVolumeMounts: [{name: authority, mountPath: /etc/authority}]
networkPolicy: {ingress: {namespaces: [], from: [{podSelector: {}}]}, egress: {redis: {to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [6379, 26379]}, tracing: {ports: [4318]}}}
metrics:
  podMonitor: {enabled: true, labels: {release: prometheus}, basicAuth: {username: {name: web-user, key: name}, password: {name: web-user, key: password}}, tlsConfig: {ca: {configMap: {name: authority, key: ca.crt}}, serverName: worker}}
  rules: {enabled: true, labels: {release: prometheus}, runbookUrl: "https://runbooks.example/RUNBOOK.md"}
autoscaling: {enabled: true, prometheusUrl: "http://prometheus:9090", authenticationRef: prometheus}
podAnnotations: {example/annotation: "yes"}
podLabels: {team: orders}
priorityClassName: high
nodeSelector: {disk: ssd}
tolerations: [{key: spot, operator: Exists}]
"#;

/// As little as can be.
const LITTLE: &str = r#"
migrate: {enabled: false}
service: {enabled: false}
serviceAccount: {create: false, name: default}
podDisruptionBudget: {enabled: false}
networkPolicy: {enabled: false}
probes: {readinessExclude: []}
"#;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file beside the Python of the tests.
fn beside_python(name: &str) -> PathBuf {
    let python = PathBuf::from(crate::support::python::python().get_program());
    let path = python.parent().and_then(Path::parent).expect("its folder").join(name);
    assert!(path.exists(), "no {}; run scripts/install-python.sh", path.display());
    path
}

/// What `helm` says, which has to be content.
fn helm(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(beside_python("bin/helm")).args(arguments).current_dir(repository()).output();
    let output = output.expect("helm");
    let told = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(told(&output.stdout)) } else { Err(told(&output.stderr)) }
}

/// The chart's YAML with these values.
fn render(values: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("values.yaml");
    fs::write(&file, values).expect("a file");
    helm(&["template", "fulfillment-worker", CHART, "--namespace", "shop", "--values", file.to_str().expect("a path")])
}

/// Manifests as JSON, if the schemas allow them.
fn checked(manifests: &str) -> Result<Vec<Value>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("manifests.yaml");
    fs::write(&file, manifests).expect("a file");
    let output = crate::support::python::python()
        .arg(repository().join("tests/python/kubernetes.py"))
        .arg(beside_python("files"))
        .args(VERSIONS)
        .stdin(Stdio::from(fs::File::open(&file).expect("the file")))
        .output()
        .expect("Python");
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// What the chart renders with each set of values, by its name: read once, as the schemas take seconds.
static RENDERED: LazyLock<BTreeMap<&str, Vec<Value>>> = LazyLock::new(|| {
    let sets = [("default", "{}"), ("everything", EVERYTHING), ("little", LITTLE)];
    let rendered = sets.map(|(name, values)| (name, render(values).unwrap_or_else(|error| panic!("{name}: {error}"))));
    let all = rendered.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n---\nkind: End\n---\n");
    let plain = ["migrate", "worker", "monitoring", "autoscaling"]
        .map(|file| read(&format!("deploy/kubernetes/{file}.yaml")))
        .join("\n---\n");
    let documents = checked(&format!("{all}\n---\nkind: End\n---\n{plain}")).unwrap_or_else(|error| panic!("{error}"));
    let sets = documents.split(|document| document["kind"] == "End").map(<[Value]>::to_vec);
    ["default", "everything", "little", "plain"].into_iter().zip(sets).collect()
});

/// The manifest of a kind that is there once, but for hooks.
fn the<'a>(set: &'a [Value], kind: &str) -> &'a Value {
    let mut of_kind = set.iter().filter(|document| document["kind"] == kind);
    of_kind
        .find(|document| document["metadata"]["annotations"]["helm.sh/hook"].is_null())
        .unwrap_or_else(|| panic!("no {kind}"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Caught, when seeded: a misspelt key in a template, `maxReplicaCont` for KEDA and a group of rules without its rules.
#[test]
fn whatever_the_values_are_the_schemas_allow_what_is_rendered() {
    let kinds = |set: &str| {
        let mut kinds: Vec<&str> = RENDERED[set].iter().filter_map(|document| document["kind"].as_str()).collect();
        kinds.sort_unstable();
        kinds
    };
    assert_eq!(kinds("little"), ["ConfigMap", "Deployment"]);
    let default = [
        "ConfigMap",
        "Deployment",
        "Job",
        "NetworkPolicy",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    ];
    assert_eq!(kinds("default"), default);
    let mut everything = default.to_vec();
    everything.extend(["PodMonitor", "PrometheusRule", "ScaledObject", "Secret", "Secret", "Secret"]);
    everything.sort_unstable();
    assert_eq!(kinds("everything"), everything);
}

/// Caught, when seeded: a manifest that was changed by hand.
#[test]
fn the_plain_manifests_are_what_the_chart_renders() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(repository().join("scripts/manifests.sh"))
        .arg(folder.path())
        .env("HELM", beside_python("bin/helm"))
        .output()
        .expect("the script");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for entry in fs::read_dir(folder.path()).expect("the folder").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        let rendered = fs::read_to_string(entry.path()).expect("a file");
        assert!(rendered == read(&format!("deploy/kubernetes/{name}")), "{name} is out of date: run `make manifests`");
    }
}

/// Caught, when seeded: a threshold that was changed in one of the two files.
#[test]
fn the_charts_rules_are_the_repositorys() {
    for file in ["alerts.yml", "recording.yml"] {
        let same = read(&format!("deploy/prometheus/{file}")) == read(&format!("{CHART}/files/{file}"));
        assert!(same, "{file} is out of date: run `make manifests`");
    }
    let rule = the(&RENDERED["everything"], "PrometheusRule");
    let groups = rule["spec"]["groups"].as_array().expect("groups");
    let of_file = |file: &str| {
        let rules: Value = serde_saphyr::from_str(&read(&format!("deploy/prometheus/{file}"))).expect("YAML");
        rules["groups"].as_array().expect("groups").len()
    };
    assert_eq!(groups.len(), of_file("alerts.yml") + of_file("recording.yml"));
    let text = rule.to_string();
    assert!(
        !text.contains("externalLabels") && text.contains("https://runbooks.example/RUNBOOK.md#fulfillmentstalled")
    );
    // Templates are Prometheus' to fill in.
    assert!(text.contains("{{ $labels.job }}"), "{text}");
}

#[test]
fn the_chart_has_the_packages_version_and_passes_helms_own_checks() {
    let chart: Value = serde_saphyr::from_str(&read(&format!("{CHART}/Chart.yaml"))).expect("YAML");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let linted = helm(&["lint", "--strict", CHART]).unwrap_or_else(|error| panic!("{error}"));
    assert!(!linted.contains("WARNING") && !linted.contains("ERROR"), "{linted}");
    let folder = tempfile::tempdir().expect("a folder");
    helm(&["package", CHART, "--destination", folder.path().to_str().expect("a path")]).expect("a package");
    let packed = fs::read_dir(folder.path()).expect("the folder").flatten().next().expect("a package").path();
    let shown = helm(&["show", "values", packed.to_str().expect("a path")]).expect("its values");
    assert_eq!(shown.trim(), read(&format!("{CHART}/values.yaml")).trim());
}
