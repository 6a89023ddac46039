//! A real Prometheus, and the rules that come with the worker in a time that suits a test.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::free_port;
use crate::support::http;
use crate::support::process::Process;

const RECORDING: &str = include_str!("../../../deploy/prometheus/recording.yml");
const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yml");

/// A Prometheus server in a folder of its own.
pub(crate) struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one with this configuration, and with further files beside it, each a name and a text.
    pub(crate) fn start_with(configuration: &str, files: &[(&str, String)]) -> Self {
        Self::start_as(configuration, files, &[])
    }

    /// Starts one with further options on its command line, too.
    pub(crate) fn start_as(configuration: &str, files: &[(&str, String)], options: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Prometheus");
        let path = folder.path().join("prometheus.yml");
        std::fs::write(&path, configuration).expect("its configuration");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a file beside its configuration");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(options);
        let process = Process::start("prometheus", command, folder.path().join("output.log"));
        Self { address, _process: process, _folder: folder }
    }

    /// The vector that an instant query answers; a scalar is a vector of one.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let data = self.api(&format!("/api/v1/query?query={encoded}"))?;
        match data["resultType"].as_str() {
            Some("scalar") => Ok(vec![serde_json::json!({"metric": {}, "value": data["result"]})]),
            _ => data["result"].as_array().cloned().ok_or_else(|| data.to_string()),
        }
    }

    /// What it makes of its rules: each with its `name`, `query`, `health` and `lastError`.
    pub(crate) fn rules(&self) -> Result<Vec<Value>, String> {
        let data = self.api("/api/v1/rules")?;
        let groups = data["groups"].as_array().ok_or_else(|| data.to_string())?;
        Ok(groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect())
    }

    /// The `data` of what a path of its API answers.
    pub(crate) fn api(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(self.address, path, &[]).map_err(|error| format!("Prometheus: {error}"))?;
        let mut json: Value =
            serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", answer.text()))?;
        if json["status"] == "success" { Ok(json["data"].take()) } else { Err(json.to_string()) }
    }
}

/// The number of a sample.
pub(crate) fn value(sample: &Value) -> f64 {
    sample["value"][1].as_str().and_then(|text| text.parse().ok()).expect("a number")
}

/// The files of the rules that come with the worker, with every time at a sixtieth.
pub(crate) fn hurried_rules() -> [(&'static str, String); 2] {
    [("recording.yml", hurried(RECORDING)), ("alerts.yml", hurried(ALERTS))]
}

/// Every window, every interval and every time that a condition has to last, at a sixtieth.
pub(crate) fn hurried(rules: &str) -> String {
    let hurry = |line: &str| match line.split_once(": ") {
        Some((before, time)) if ["for", "interval"].contains(&before.trim()) => {
            format!("{before}: {}\n", sixtieth(time))
        }
        _ => {
            let mut parts = line.split('[');
            let first = parts.next().unwrap_or_default().to_owned();
            let hurried = parts.fold(first, |before, part| match part.split_once(']') {
                Some((window, after)) => format!("{before}[{}]{after}", sixtieth(window)),
                None => format!("{before}[{part}"),
            });
            hurried + "\n"
        }
    };
    rules.lines().map(hurry).collect()
}

/// A time in minutes, hours or days, at a sixtieth.
pub(crate) fn sixtieth(time: &str) -> String {
    let (number, unit) = time.split_at(time.len() - 1);
    match unit {
        "m" => format!("{number}s"),
        "h" => format!("{number}m"),
        "d" => format!("{}m", number.parse::<u32>().expect("a number of days") * 24),
        _ => panic!("{time} is not in minutes, hours or days"),
    }
}
