//! The results, for people and for machines.

use std::fmt;
use std::time::Duration;

use fulfillment_worker::domain::label::Label;
use fulfillment_worker::testing::failpoint::{Action, Place, Side, Step};
use serde_json::{Value, json};

use crate::matrix::cases::{Case, Setting, actions, points};
use crate::matrix::lanes::Result;

/// The matrix, as far as it was run.
pub(crate) struct Table {
    pub(crate) results: Vec<Result>,
    pub(crate) took: Duration,
}

impl Table {
    /// The cases that failed.
    pub(crate) fn failed(&self) -> impl Iterator<Item = &Result> {
        self.results.iter().filter(|result| !result.violations.is_empty())
    }

    /// Everything, as JSON.
    pub(crate) fn json(&self) -> Value {
        let case = |result: &Result| {
            let Case { place: Place { side, step, action }, setting } = result.case;
            json!({
                "point": format!("{}-{}", side.as_str(), step.as_str()),
                "action": action.as_str(),
                "setting": setting.as_str(),
                "seconds": result.took.as_secs_f64(),
                "violations": result.violations,
            })
        };
        json!({
            "cases": self.results.len(),
            "failed": self.failed().count(),
            "seconds": self.took.as_secs_f64(),
            "results": self.results.iter().map(case).collect::<Vec<_>>(),
        })
    }

    fn cell(&self, side: Side, step: Step, action: Action, setting: Setting) -> String {
        let case = Case { place: Place { side, step, action }, setting };
        match self.results.iter().find(|result| result.case == case) {
            Some(result) if result.violations.is_empty() => format!("{:.1}", result.took.as_secs_f64()),
            Some(_) => "FAIL".to_owned(),
            None => "·".to_owned(),
        }
    }
}

const POINT: usize = 21;
const CELL: usize = 6;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:POINT$}", "seconds")?;
        for setting in Setting::all() {
            write!(f, "  {:<width$}", setting.as_str(), width = CELL * actions(setting).len())?;
        }
        write!(f, "\n{:POINT$}", "point")?;
        for setting in Setting::all() {
            write!(f, "  ")?;
            for action in actions(setting) {
                write!(f, "{:<CELL$}", action.as_str())?;
            }
        }
        writeln!(f)?;
        for (side, step) in points() {
            write!(f, "{:POINT$}", format!("{}-{}", side.as_str(), step.as_str()))?;
            for setting in Setting::all() {
                write!(f, "  ")?;
                for action in actions(setting) {
                    write!(f, "{:<CELL$}", self.cell(side, step, action, setting))?;
                }
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "left out: stop, embedded; a stopped process keeps the file's lock, and no lease takes that from it"
        )?;
        let failed = self.failed().count();
        writeln!(f, "{} cases, {failed} failed, in {:.0} s", self.results.len(), self.took.as_secs_f64())?;
        for result in self.failed() {
            writeln!(f, "FAILED {}\n  {}", result.case, result.violations.join("\n  "))?;
        }
        Ok(())
    }
}
