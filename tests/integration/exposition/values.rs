//! The documentation names every value of every label.

use std::collections::{BTreeMap, BTreeSet};

use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::observe::metrics::Format;

use crate::exposition::family::families;
use crate::exposition::{code, metrics, repository, rows, runtime, text};

/// A label whose values are the configuration's and the build's.
const OPEN: &str = "fulfillment_build_info";
/// A label whose values are the paths of the API, which its description explains; a test beside that compares them.
const PATH: &str = "path";

/// Caught, when seeded: a reason of retries that docs/METRICS.md lacks.
#[test]
fn the_documentation_of_metrics_names_every_value_of_every_label() {
    let meanings: BTreeMap<String, BTreeSet<String>> = rows("## Metrics")
        .into_iter()
        .map(|cells| (code(&cells[0])[0].clone(), code(&cells[4]).into_iter().collect()))
        .collect();
    // Metrics with the same values explain these once.
    let mut named: BTreeMap<(String, BTreeSet<String>), BTreeSet<String>> = BTreeMap::new();
    let runtime = runtime();
    for family in families(&text(&metrics(&runtime), Format::PrometheusText, true)) {
        for (label, values) in family.labels {
            if family.name != OPEN && label != PATH {
                named.entry((label, values)).or_default().extend(meanings[&family.name].clone());
            }
        }
    }
    for ((label, values), named) in named {
        let missing: Vec<_> = values.difference(&named).collect();
        assert!(missing.is_empty(), "docs/METRICS.md does not say what {label}={missing:?} means");
    }
}

#[test]
fn the_documentation_of_dead_letters_says_what_to_do_about_each_reason() {
    let text = std::fs::read_to_string(repository().join("docs/DEAD_LETTERS.md")).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| reason |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let explained: BTreeSet<String> = rows.map(|row| code(row)[0].clone()).collect();
    assert_eq!(explained, DeadReason::all().map(|reason| reason.as_str().to_owned()).collect());
}
