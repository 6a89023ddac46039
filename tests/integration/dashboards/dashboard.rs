//! The files of the dashboards, and what the tests ask of them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One file below `deploy/grafana/dashboards`.
#[derive(Clone)]
pub(crate) struct Dashboard {
    pub(crate) json: Value,
}

/// A query of a panel or of an annotation.
pub(crate) struct Query {
    pub(crate) dashboard: String,
    pub(crate) panel: String,
    /// As it is in the file, with Grafana's variables.
    pub(crate) expression: String,
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Its text.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file of YAML, as JSON.
pub(crate) fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All of them, by file name.
pub(crate) fn dashboards() -> Vec<Dashboard> {
    let folder = repository("deploy/grafana/dashboards");
    let entries = fs::read_dir(&folder).expect("the folder of the dashboards");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file of the folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    assert_eq!(paths.len(), 3, "{paths:?}");
    let parse = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a dashboard");
        Dashboard { json: serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())) }
    };
    paths.into_iter().map(parse).collect()
}

impl Dashboard {
    pub(crate) fn title(&self) -> &str {
        text(&self.json["title"])
    }

    /// Panels, rows left out.
    pub(crate) fn panels(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row")
    }

    /// Panels that show numbers.
    pub(crate) fn charts(&self) -> impl Iterator<Item = &Value> {
        self.panels().filter(|panel| panel["type"] != "text")
    }

    pub(crate) fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    /// The variable of this name.
    pub(crate) fn variable(&self, name: &str) -> &Value {
        self.variables().iter().find(|variable| variable["name"] == name).unwrap_or(&Value::Null)
    }

    /// Every query of every panel, in the order of the file.
    pub(crate) fn queries(&self) -> Vec<Query> {
        let targets = self.panels().flat_map(|panel| list(&panel["targets"]).iter().map(move |target| (panel, target)));
        targets.map(|(panel, target)| self.query(&panel["title"], &target["expr"])).collect()
    }

    /// The queries of the annotations.
    pub(crate) fn annotations(&self) -> Vec<Query> {
        let annotations = list(&self.json["annotations"]["list"]).iter();
        let asking = annotations.filter(|annotation| annotation["builtIn"] != 1);
        asking.map(|annotation| self.query(&annotation["name"], &annotation["expr"])).collect()
    }

    fn query(&self, panel: &Value, expression: &Value) -> Query {
        Query {
            dashboard: self.title().to_owned(),
            panel: text(panel).to_owned(),
            expression: text(expression).to_owned(),
        }
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}, {}: {}", self.dashboard, self.panel, self.expression)
    }
}

/// A text, or nothing.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list, or an empty one.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
