//! Metric families as the text describes them.

use std::collections::{BTreeMap, BTreeSet};

/// What the text says of a metric.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) help: String,
    /// Labels of its samples, each with its values, `le` left out.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

/// Reads Prometheus text.
pub(crate) fn families(text: &str) -> Vec<Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            current = name.to_owned();
            let family = Family { name: name.to_owned(), help: help.to_owned(), ..Family::default() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} is described twice");
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            assert_eq!(name, current);
            families.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let family = families.get_mut(&current).unwrap();
            assert!(line.starts_with(&current), "{line} stands below {current}");
            for (label, value) in labels(line) {
                family.labels.entry(label).or_default().insert(value);
            }
        }
    }
    families.into_values().collect()
}

/// Labels with their values; no value here contains a comma or an equals sign.
fn labels(sample: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = sample.split_once('{') else { return Vec::new() };
    let pairs = rest.split('}').next().unwrap_or_default().split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(label, _)| *label != "le")
        .map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}
