//! The rules of accessibility that axe-core knows.

use std::sync::OnceLock;

use serde_json::Value;

use crate::support::python::python;

/// Where the Python package is that brings it. The package's own code would need Playwright, and isn't run.
const FIND: &str = "import importlib.util as u
print(u.find_spec('axe_playwright_python').submodule_search_locations[0] + '/axe.min.js')";

/// Runs the rules of WCAG 2.2 up to level AA, and what is good practice.
pub(super) const RUN: &str = "const done = arguments[0];
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa', 'best-practice'];
    axe.run(document, {runOnly: tags, resultTypes: ['violations']})
        .then(found => done(found.violations), error => done({error: String(error)}))";

/// axe-core, to be run in the page.
pub(super) fn axe() -> &'static str {
    static AXE: OnceLock<String> = OnceLock::new();
    AXE.get_or_init(|| {
        let found = python().args(["-c", FIND]).output().expect("Python starts");
        assert!(found.status.success(), "axe-core; run scripts/install-python.sh: {found:?}");
        let path = String::from_utf8(found.stdout).expect("UTF-8");
        std::fs::read_to_string(path.trim_end()).unwrap_or_else(|error| panic!("{path}: {error}"))
    })
}

/// A line for each rule that is broken.
pub(super) fn in_words(violations: &Value) -> Vec<String> {
    let violations = violations.as_array().unwrap_or_else(|| panic!("axe-core: {violations}"));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = |rule: &Value| {
        let nodes = rule["nodes"].as_array().into_iter().flatten();
        let selectors: Vec<String> = nodes.flat_map(|node| node["target"].as_array()).flatten().map(text).collect();
        let [id, impact, help] = ["id", "impact", "help"].map(|key| text(&rule[key]));
        format!("{id} ({impact}): {help}: {}", selectors.join(", "))
    };
    violations.iter().map(line).collect()
}
