//! Every case: where a failpoint is, what happens there, and what else goes wrong at the same moment.

use std::fmt;

use fulfillment_worker::domain::label::Label;
use fulfillment_worker::testing::failpoint::{Action, Place, Side, Step};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// What the worker works with, and what happens to it while the worker is at its failpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Setting {
    /// Redis and Postgres, and nothing else goes wrong.
    Alone,
    /// Redis is killed and comes back empty.
    RedisEmptied,
    /// Postgres crashes and comes back.
    PostgresRestarted,
    /// Queue and store in one SQLite file.
    Embedded,
}

/// One cell of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    pub(crate) place: Place,
    pub(crate) setting: Setting,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.place, self.setting.as_str())
    }
}

impl Case {
    /// Whether the workers reconcile, and one order has no message from the start. Elsewhere no message gets lost, and
    /// nobody looks for lost ones, as that would hide a message that the worker itself lost.
    pub(crate) fn reconciles(&self) -> bool {
        self.setting == Setting::RedisEmptied || matches!(self.place.step, Step::Lead | Step::Adopt)
    }

    /// Whether the step belongs to the worker's end, so that it has to be told to stop.
    pub(crate) fn drains(&self) -> bool {
        self.place.step == Step::HandBack
    }

    /// Whether the step is about the places of calls, of which the worker then has one.
    pub(crate) fn is_about_places(&self) -> bool {
        matches!(self.place.step, Step::Turn | Step::Keep)
    }

    /// Whether a command has the failpoint, and not a worker.
    pub(crate) fn is_a_commands(&self) -> bool {
        is_a_commands(self.place.step)
    }

    /// Whether one message names a time before which its order isn't to be begun.
    pub(crate) fn names_a_time(&self) -> bool {
        self.place.step == Step::NoteNotBefore
    }

    /// Whether messages get lost before the first start has noted the horizon: it leaves their orders alone unless they are
    /// asked for.
    pub(crate) fn loses_before_first_start(&self) -> bool {
        let Place { side, step, .. } = self.place;
        self.setting == Setting::RedisEmptied
            && (step == Step::Migrate || (side, step) == (Side::Before, Step::Horizon))
    }
}

/// Whether a step is carried out by an operator's command, and not by a worker.
fn is_a_commands(step: Step) -> bool {
    step == Step::SetControl
}

/// Each side of each step, as the table's rows.
pub(crate) fn points() -> Vec<(Side, Step)> {
    Step::all().flat_map(|step| Side::all().map(move |side| (side, step))).collect()
}

/// What can happen in a setting, as the table's columns.
pub(crate) fn actions(setting: Setting) -> Vec<Action> {
    // A process that is stopped keeps the lock of the file that it was writing, and no lease takes that from it: the
    // others wait until it goes on.
    let is_possible = |action: &Action| setting != Setting::Embedded || *action != Action::Stop;
    Action::all().filter(is_possible).collect()
}

/// The whole matrix.
pub(crate) fn all() -> Vec<Case> {
    let columns = Setting::all().flat_map(|setting| actions(setting).into_iter().map(move |a| (setting, a)));
    let cell = |(setting, action), (side, step)| Case { place: Place { side, step, action }, setting };
    let cells = columns.flat_map(|column| points().into_iter().map(move |point| cell(column, point)));
    // A command that is held up or told of an error is there to say so: what matters is one that ends.
    cells.filter(|case| !is_a_commands(case.place.step) || case.place.action == Action::Kill).collect()
}

/// What every run of the tests has time for: a kill at each point, and some of the others, drawn by the seed.
pub(crate) fn slice(seed: u64, others: usize) -> Vec<Case> {
    let is_kill = |case: &Case| case.place.action == Action::Kill && case.setting == Setting::Alone;
    let (mut slice, mut rest): (Vec<Case>, Vec<Case>) = all().into_iter().partition(is_kill);
    rest.shuffle(&mut StdRng::seed_from_u64(seed));
    slice.extend(rest.into_iter().take(others));
    slice
}
