//! The state of the worker in a sentence, for `systemctl status`. Every user of the machine may read it, so it has no address
//! and nobody's text.

use crate::observe::health::{Check, Health};

/// What is said of controls where there is nothing to say.
const SETTLED: [&str; 2] = ["operators have set nothing", "not read yet"];

/// Has no duration in it, so that it changes with the state alone.
pub(super) fn sentence(health: &Health) -> String {
    let checks = health.ready().without_texts().checks;
    let failing = |check: &&Check| !check.ok;
    let named = |name: &str| checks.iter().find(|check| check.name == name);
    if named("progress").is_some_and(|check| !check.ok) {
        let silent: Vec<&str> = health.liveness().checks.iter().filter(failing).map(|check| check.name).collect();
        return format!("Stands still: no sign of life from {}", silent.join(", "));
    }
    if named("started").is_some_and(|check| !check.ok) {
        let servers = checks.iter().filter(|check| ["queue", "store"].contains(&check.name));
        let awaited: Vec<&str> = servers.filter(failing).map(|check| check.name).collect();
        return match awaited[..] {
            [] => "Starting".to_owned(),
            _ => format!("Starting: waits for {}", awaited.join(" and ")),
        };
    }
    let work = named("accepts_work").map(|check| capitalized(&check.detail)).unwrap_or_default();
    match named("controls") {
        Some(controls) if !controls.ok => capitalized(&controls.detail),
        Some(controls) if !SETTLED.contains(&controls.detail.as_str()) => format!("{work}; {}", controls.detail),
        _ => work,
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
