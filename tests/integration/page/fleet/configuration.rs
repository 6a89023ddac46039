//! The configuration with its sources, and the links of every page.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::Served;
use crate::access::{Folder, users};
use crate::support::worker::{WorkerProcess, run_to_end};
use crate::support::{LONG, eventually};

#[tokio::test]
async fn the_page_shows_each_option_as_the_command_prints_it() {
    let options =
        ["--concurrency", "17", "--service-name", "<shop>", "--runbook-url", "https://wiki.example/run?a=1&b=2"];
    let served = Served::embedded(&options).await;
    let shown = served.page("ann", "/configuration");
    let web_config = served.folder.file("web.yml");
    let address = served.worker.address().to_string();
    let given = ["config", "--json", "--listen", &address, "--log-format", "json", "--queue", &served.queue];
    let more = ["--store", &served.store, "--web-config", &web_config, "--operators", "bob", "--simulate-latency", "0"];
    let printed = run_to_end(&[&given[..], &more, &options].concat());
    let lines: Vec<serde_json::Value> = serde_json::from_slice(&printed.stdout).expect("JSON");
    assert!(lines.len() > 40, "{lines:?}");
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for line in lines {
        let [option, source] = ["option", "source"].map(|field| line[field].as_str().expect("a text"));
        let row = shown.split("<tr>").find(|row| row.contains(&format!("<code>--{option}</code>")));
        let row = row.unwrap_or_else(|| panic!("--{option} is missing: {shown}"));
        let value = line["value"].as_str().map_or_else(|| "none".to_owned(), escaped);
        assert!(row.contains(&format!(">{value}</span>")) && row.contains(&format!(">{source}<")), "{line}: {row}");
    }
    let link = "<a href=\"https://wiki.example/run?a=1&amp;b=2\" rel=\"noreferrer\">Runbook</a>";
    assert!(shown.contains(link) && !shown.contains(">Grafana<"), "{shown}");
}

/// In every secret.
const MARK: &str = "PLANTED";

/// Each option that has one.
fn secrets() -> Vec<(&'static str, String)> {
    let signing = format!("whsec_{}", BASE64_STANDARD.encode(format!("{MARK}-{MARK}-{MARK}-{MARK}")));
    vec![
        ("queue", format!("redis://clerk:queue-{MARK}@127.0.0.1:9/1")),
        ("store", format!("postgres://clerk:store-{MARK}@127.0.0.1:9/shop")),
        ("fulfiller", format!("https://hooks.example/services/T0{MARK}/x?key={MARK}")),
        ("fulfiller-token", format!("token-{MARK}")),
        ("fulfiller-secret", signing),
    ]
}

#[tokio::test]
async fn no_secret_is_on_any_page_wherever_it_is_set() {
    let secrets = secrets();
    let hidden: Vec<&str> = [MARK, &secrets[4].1, &secrets[4].1[6..20]].to_vec();
    for source in ["flags", "variables", "files of variables", "the file of options"] {
        let folder = Folder::with(&users(&["ann"]));
        let mut options = vec!["--web-config".to_owned(), folder.file("web.yml")];
        let mut variables = Vec::new();
        let name = |option: &str| format!("FULFILLMENT_{}", option.to_uppercase().replace('-', "_"));
        for (option, secret) in &secrets {
            match source {
                "flags" => options.push(format!("--{option}={secret}")),
                "variables" => variables.push((name(option), secret.clone())),
                "files of variables" => {
                    folder.write(option, secret);
                    variables.push((format!("{}_FILE", name(option)), folder.file(option)));
                }
                _ => {}
            }
        }
        if source == "the file of options" {
            let lines = secrets.iter().map(|(option, secret)| format!("{option} = \"{secret}\"\n"));
            folder.write("worker.toml", &lines.collect::<String>());
            options.extend(["--config".to_owned(), folder.file("worker.toml")]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let worker = WorkerProcess::configured(&options, &variables);
        eventually(LONG, "the worker answers", async || worker.answers("/livez", 200)).await;
        let login = [("Authorization", "Basic YW5uOmFubidz")];
        let shown = worker.get("/configuration", &login);
        assert_eq!(shown.status, 200, "{}", shown.text());
        let shown = shown.text();
        // Of a token in a file of its own, the page has the file.
        let token = if source == "files of variables" { "fulfiller-token" } else { ">***</span>" };
        for known in ["redis://clerk:***@127.0.0.1:9", "clerk:***@127.0.0.1:9/shop", "hooks.example", token] {
            assert!(shown.contains(known), "{source}: {known}: {shown}");
        }
        let pages = ["/", "/workers", "/dependencies", "/activity", "/orders", "/dead-letters", "/jobs"];
        let others: String = pages.iter().map(|path| worker.get(path, &login).text()).collect();
        for secret in &hidden {
            assert!(!shown.contains(secret) && !others.contains(secret), "set by {source}: {secret}: {shown}{others}");
        }
    }
}

#[test]
fn a_link_of_the_page_is_refused_with_a_password_in_it_and_with_another_scheme() {
    for (url, problem) in [
        (format!("https://ann:{MARK}@wiki.example/"), "the URL has a user or a password"),
        ("javascript:alert(1)".to_owned(), "the scheme `javascript:` is not known here"),
        ("wiki".to_owned(), "not a URL"),
        ("https://".to_owned(), "not a URL"),
    ] {
        for option in ["runbook-url", "grafana-url"] {
            let output = run_to_end(&["config", "--store", "sqlite:w.db", &format!("--{option}={url}")]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(&format!("--{option}: {problem}")) && !said.contains(MARK), "{said}");
        }
    }
}
