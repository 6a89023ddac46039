//! What pods may do, what they are asked, and what they are told.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{RENDERED, checked, render, texts, the};

/// The template of every pod that is rendered, with where it is from.
pub(super) fn pods() -> Vec<(String, &'static Value)> {
    let of_set = |(set, documents): (&&str, &'static Vec<Value>)| {
        let set = (*set).to_owned();
        documents
            .iter()
            .filter(|document| ["Deployment", "Job"].contains(&document["kind"].as_str().unwrap_or_default()))
            .map(move |document| (format!("{set}: {}", document["kind"]), &document["spec"]["template"]))
    };
    RENDERED.iter().flat_map(of_set).collect()
}

/// Caught, when seeded: a Job without `readOnlyRootFilesystem`, a pod with a token, service links on.
#[test]
fn no_pod_may_do_more_than_it_does() {
    let pods = pods();
    assert_eq!(pods.len(), 7, "a Deployment in each of four sets, a Job in three");
    for (from, pod) in pods {
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false, "{from}");
        assert_eq!(spec["enableServiceLinks"], false, "{from}: a Service `postgres` would set POSTGRES_PORT");
        let security = &spec["securityContext"];
        assert_eq!((&security["runAsNonRoot"], &security["runAsUser"]), (&true.into(), &10001.into()), "{from}");
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{from}");
        assert!(["hostNetwork", "hostPID", "hostIPC", "hostUsers"].iter().all(|key| spec[key].is_null()), "{from}");
        let containers = spec["containers"].as_array().expect("containers");
        assert!(containers.len() == 1 && spec["initContainers"].is_null(), "{from}");
        let security = &containers[0]["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{from}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{from}");
        assert_eq!(texts(&security["capabilities"]["drop"]), ["ALL"], "{from}");
        assert!(security["privileged"].is_null() && security["capabilities"]["add"].is_null(), "{from}");
        assert!(containers[0]["resources"]["limits"]["memory"].is_string(), "{from} may take all memory");
    }
}

/// Caught, when seeded: the user in the Dockerfile changed.
#[test]
fn the_user_and_the_port_are_the_images() {
    let dockerfile = super::read("Dockerfile");
    assert!(dockerfile.contains("\nUSER 10001") && dockerfile.contains("\nEXPOSE 2112\n"));
    let port = &the(&RENDERED["default"], "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][0];
    assert_eq!(port["containerPort"], 2112);
}

/// Caught, when seeded: a grace period that is a number of its own.
#[test]
fn nobody_is_killed_who_still_drains() {
    for (set, drain, grace) in [("default", "25s", 35), ("everything", "50s", 60)] {
        let documents = &RENDERED[set];
        let pod = &the(documents, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["terminationGracePeriodSeconds"], grace, "{set}");
        let config = the(documents, "ConfigMap")["data"]["config.toml"].as_str().expect("the file");
        assert!(config.contains(&format!("drain-timeout = \"{drain}\"\n")), "{config}");
        assert!(pod["containers"][0]["lifecycle"].is_null(), "a hook before the signal takes from the same time");
    }
}

#[test]
fn a_rollout_takes_no_worker_away_before_another_is_ready() {
    let strategy = &the(&RENDERED["default"], "Deployment")["spec"]["strategy"]["rollingUpdate"];
    assert_eq!((&strategy["maxSurge"], &strategy["maxUnavailable"]), (&1.into(), &0.into()));
    let budget = the(&RENDERED["default"], "PodDisruptionBudget");
    assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    let selector = &budget["spec"]["selector"]["matchLabels"];
    assert_eq!(selector, &the(&RENDERED["default"], "Deployment")["spec"]["selector"]["matchLabels"]);
}

/// Another file of options is another pod.
#[test]
fn a_changed_option_restarts_the_workers() {
    let checksum = |set: &str| {
        let annotations = &the(&RENDERED[set], "Deployment")["spec"]["template"]["metadata"]["annotations"];
        annotations["checksum/config"].as_str().expect("a checksum").to_owned()
    };
    assert_ne!(checksum("default"), checksum("everything"));
    assert_eq!(checksum("default"), checksum("plain"));
}

/// Caught, when seeded: a URL as the value of a variable.
#[test]
fn secrets_are_files_and_stand_in_no_variable_argument_or_configmap() {
    for (from, pod) in pods() {
        let container = &pod["spec"]["containers"][0];
        for variable in container["env"].as_array().into_iter().flatten() {
            let name = variable["name"].as_str().expect("a name");
            let secret =
                ["PASSWORD", "SECRET", "TOKEN", "REDIS_URL", "DATABASE_URL"].iter().any(|part| name.contains(part));
            assert!(!secret || name.ends_with("_FILE"), "{from}: {name}");
        }
    }
    for (set, documents) in &*RENDERED {
        for document in documents.iter().filter(|document| document["kind"] != "Secret") {
            assert!(!document.to_string().contains(":SECRET@"), "{set}: {}", document["kind"]);
        }
    }
}

/// The worker never sees the role that may change tables.
#[test]
fn the_migration_runs_before_with_a_login_of_its_own() {
    let documents = &RENDERED["default"];
    let job = documents.iter().find(|document| document["kind"] == "Job").expect("a Job");
    assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
    let weight =
        |document: &Value| document["metadata"]["annotations"]["helm.sh/hook-weight"].as_str().map(str::to_owned);
    let weight_of_job: i32 = weight(job).expect("a weight").parse().expect("a number");
    for document in RENDERED["everything"]
        .iter()
        .filter(|document| ["Secret", "NetworkPolicy"].contains(&document["kind"].as_str().unwrap_or_default()))
    {
        if let Some(weight) = weight(document) {
            assert!(weight.parse::<i32>().expect("a number") < weight_of_job, "{document}");
        }
    }
    let secrets = |pod: &Value| -> BTreeSet<String> {
        let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
        let plain = volumes.iter().filter_map(|volume| volume["secret"]["secretName"].as_str());
        let projected =
            volumes.iter().flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten());
        plain.chain(projected.filter_map(|source| source["secret"]["name"].as_str())).map(str::to_owned).collect()
    };
    let worker = secrets(&the(documents, "Deployment")["spec"]["template"]);
    assert!(worker.is_disjoint(&secrets(&job["spec"]["template"])), "{worker:?}");
}

/// A hook runs before the account that the chart makes.
#[test]
fn the_migration_runs_as_the_account_that_is_there_and_has_labels_of_its_own() {
    let values = "serviceAccount: {create: false, name: orders}\npodLabels: {team: orders}\npodAnnotations: {a: b}\n\
                  migrate: {podLabels: {sidecar: none}, podAnnotations: {sidecar.istio.io/inject: \"false\"}}";
    let documents = checked(&render(values).expect("manifests")).unwrap_or_else(|error| panic!("{error}"));
    let pod = |documents: &[Value]| {
        documents.iter().find(|document| document["kind"] == "Job").expect("a Job")["spec"]["template"].clone()
    };
    let migration = pod(&documents);
    assert_eq!(migration["spec"]["serviceAccountName"], "orders");
    assert_eq!(migration["metadata"]["annotations"], json!({"sidecar.istio.io/inject": "false"}));
    let labels = &migration["metadata"]["labels"];
    assert_eq!((&labels["sidecar"], &labels["team"]), (&json!("none"), &Value::Null));
    assert_eq!(labels["app.kubernetes.io/component"], "migrate");
    let default = pod(&RENDERED["default"]);
    assert!(default["spec"]["serviceAccountName"].is_null() && default["metadata"]["annotations"].is_null());
}

/// Whoever may be reached is whom the worker speaks to, and who may reach it reaches its one port.
#[test]
fn the_network_policies_cover_both_pods_and_open_one_port() {
    let documents = &RENDERED["default"];
    for (component, ports) in [("worker", vec![53, 53, 6379, 5432, 443]), ("migrate", vec![53, 53, 5432])] {
        let policy = documents.iter().find(|document| {
            document["kind"] == "NetworkPolicy"
                && document["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == component
        });
        let policy = &policy.expect(component)["spec"];
        assert_eq!(texts(&policy["policyTypes"]), ["Ingress", "Egress"]);
        let of_rule = |rule: &Value| {
            rule["ports"].as_array().expect("ports").iter().filter_map(|port| port["port"].as_i64()).collect::<Vec<_>>()
        };
        let found: Vec<i64> = policy["egress"].as_array().expect("egress").iter().flat_map(of_rule).collect();
        assert_eq!(found, ports, "{component}");
        let ingress = policy["ingress"].as_array().expect("ingress");
        assert_eq!(ingress.len(), usize::from(component == "worker"));
        assert!(ingress.iter().all(|rule| rule["ports"][0]["port"] == "metrics" && !rule["from"][0].is_null()));
    }
}
