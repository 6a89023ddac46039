//! Plays a scene without and with a bug, and holds what came of it against what is promised.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use fulfillment_worker::domain::label::Label;
use fulfillment_worker::testing::mutant::Mutant;

use crate::chaos::world::Workers;
use crate::mutants::scene::Scene;
use crate::support::worker::binary;

/// Where the table is written to, a line for each mutant.
const TABLE: &str = "MUTANTS_TABLE";

/// The workers' own bounds of these scenes, beside what the soak has.
pub(crate) const WITHOUT_RECONCILER: &[(&str, &str)] = &[("--reconcile-interval", "0")];
/// One that finds orders soon.
pub(crate) const WITH_RECONCILER: &[(&str, &str)] = &[("--reconcile-interval", "500ms"), ("--reconcile-grace", "1s")];

/// A mutant, and how it is noticed.
pub(crate) struct Hunt {
    pub(crate) mutant: Mutant,
    /// Of the test.
    pub(crate) case: &'static str,
    /// The promise that it breaks, as the checker has it.
    pub(crate) breaks: &'static str,
    pub(crate) options: &'static [(&'static str, &'static str)],
}

impl Hunt {
    /// # Panics
    /// When a worker without the bug breaks any promise, or one with it keeps the one that is named.
    pub(crate) async fn play(self, scene: impl AsyncFn(&mut Scene)) {
        let mut workers = Workers { count: 1, ..Workers::default() };
        // A call under way leaves no room for another order.
        workers.options.extend([("--concurrency", "1"), ("--store-connections", "4")]);
        workers.options.extend(self.options.iter().copied());
        let mut stage = Scene::start(workers).await;
        scene(&mut stage).await;
        let verdict = stage.verdict().await;
        assert!(
            verdict.findings.violations().is_empty(),
            "without any bug: {}",
            verdict.findings.violations().join("\n")
        );

        let began = Instant::now();
        stage.recast(self.mutant).await;
        scene(&mut stage).await;
        let verdict = stage.verdict().await;
        let broken = verdict.findings.violations();
        let caught = broken.iter().any(|line| line.starts_with(self.breaks));
        let (name, breaks) = (self.mutant.as_str(), self.breaks);
        if !caught {
            panic!("{name} survived; it was to break {breaks:?}, and broke {broken:?}\n{}", stage.stories().await);
        }
        let took = began.elapsed().as_secs_f64();
        let line = format!("{name:<26}  {:<76}  {breaks:<42}  {took:>4.1} s", self.case);
        println!("{line}");
        if let Some(path) = std::env::var_os(TABLE) {
            write(Path::new(&path), &line);
        }
    }
}

/// Tests run at the same time: each line goes in one piece.
fn write(path: &Path, line: &str) {
    let written = File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("{TABLE}={} can't be written: {error}", path.display()));
}

/// As many tests as there are mutants, each with its own.
#[test]
fn every_mutant_is_hunted_by_one_test() {
    let sources = [
        include_str!("bounds.rs"),
        include_str!("controls.rs"),
        include_str!("gone_rows.rs"),
        include_str!("jobs.rs"),
        include_str!("live_work.rs"),
        include_str!("lost_orders.rs"),
        include_str!("low_water_mark.rs"),
        include_str!("operators.rs"),
        include_str!("repeated_work.rs"),
        include_str!("stale_workers.rs"),
        include_str!("timelines.rs"),
    ]
    .concat();
    for mutant in Mutant::all() {
        let hunts = sources.matches(&format!("mutant: Mutant::{mutant:?},")).count();
        assert_eq!(hunts, 1, "{mutant:?}");
    }
    assert_eq!(sources.matches("#[tokio::test").count(), Mutant::all().count());
}

/// Nor one that would change nothing: a bug that isn't there must not pass for one that was noticed.
#[test]
fn a_worker_refuses_a_bug_that_it_does_not_know() {
    let output = binary(&["run", "--queue", "redis://127.0.0.1:1", "--store", "postgres://127.0.0.1:1/orders"])
        .env("FULFILLMENT_MUTANT", "no-fences")
        .output()
        .expect("the binary starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("FULFILLMENT_MUTANT=no-fences: there are ack-before-commit, no-fence,"), "{told}");
}
