//! Whether the worker is alive and ready, from events alone: asking never waits for anything.
//!
//! *Live* means that every loop goes round; a worker that is not should be restarted. *Ready* means that it takes
//! orders and can finish them; a worker that is not should be looked at, and is usually waiting for a dependency.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::event::{Dependency, Event, Loop, Observer};

/// How long a loop may stay silent before the worker counts as wedged.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// The longest error of a dependency that is shown, in characters.
const MAX_ERROR: usize = 300;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How it is, for a person.
    pub detail: String,
}

/// Whether every loop goes round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Liveness {
    /// Whether all checks are.
    pub live: bool,
    /// One for each loop.
    pub checks: Vec<Check>,
}

/// Whether the worker takes orders and can finish them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether all checks are.
    pub ready: bool,
    /// `started`, one for each dependency, `progress` and `accepts_work`.
    pub checks: Vec<Check>,
}

/// How far the engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Draining,
    Drained,
}

impl Phase {
    /// Whether `of` has to go round in this phase.
    fn expects(self, of: Loop) -> bool {
        match self {
            Self::Starting | Self::Drained => false,
            Self::Running => true,
            // A drain ends the claims first, then works off what is in hand.
            Self::Draining => of != Loop::Worker,
        }
    }
}

/// What was last heard of a dependency.
#[derive(Debug, Clone)]
enum Contact {
    Unknown,
    Up,
    Down { since: Instant, error: String },
}

/// Follows the events of one worker.
#[derive(Debug)]
pub struct Health {
    silence_limit: Duration,
    created: Instant,
    phase: AtomicU8,
    last_beats: [(Loop, AtomicU64); 3],
    dependencies: [DependencyHealth; 3],
}

#[derive(Debug)]
struct DependencyHealth {
    dependency: Dependency,
    contact: Mutex<Contact>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new(SILENCE_LIMIT)
    }
}

impl Health {
    /// A worker that has not started: live, and not ready. `silence_limit` is how long a loop may stay silent, see
    /// [`SILENCE_LIMIT`].
    pub fn new(silence_limit: Duration) -> Self {
        Self {
            silence_limit,
            created: Instant::now(),
            phase: AtomicU8::new(Phase::Starting as u8),
            last_beats: Loop::ALL.map(|each| (each, AtomicU64::new(0))),
            dependencies: Dependency::ALL
                .map(|dependency| DependencyHealth { dependency, contact: Mutex::new(Contact::Unknown) }),
        }
    }

    /// Whether every loop goes round.
    ///
    /// # Errors
    /// Names the loops that don't, and since when.
    pub fn live(&self) -> Result<(), String> {
        let Liveness { live, checks } = self.liveness();
        if live { Ok(()) } else { Err(failures(&checks)) }
    }

    /// As [`Health::live`], with a check for each loop. Looks at no dependency.
    pub fn liveness(&self) -> Liveness {
        self.liveness_at(Instant::now())
    }

    /// Whether the worker takes orders and can finish them.
    pub fn ready(&self) -> Readiness {
        self.readiness_at(Instant::now())
    }

    fn liveness_at(&self, now: Instant) -> Liveness {
        let phase = self.phase();
        let checks: Vec<Check> = self
            .last_beats
            .iter()
            .map(|(each, last_beat)| self.loop_check(phase, *each, last_beat.load(Ordering::Relaxed), now))
            .collect();
        Liveness { live: checks.iter().all(|check| check.ok), checks }
    }

    fn loop_check(&self, phase: Phase, of: Loop, last_beat: u64, now: Instant) -> Check {
        let silent = self.micros_until(now).saturating_sub(last_beat);
        let silent = Duration::from_micros(silent);
        let name = of.as_str();
        if !phase.expects(of) {
            return Check { name, ok: true, detail: "not expected to run now".to_owned() };
        }
        let seconds = silent.as_secs_f64();
        if silent > self.silence_limit {
            let limit = self.silence_limit.as_secs_f64();
            return Check { name, ok: false, detail: format!("silent for {seconds:.0} s, limit {limit:.0} s") };
        }
        Check { name, ok: true, detail: format!("went round {seconds:.1} s ago") }
    }

    fn readiness_at(&self, now: Instant) -> Readiness {
        let phase = self.phase();
        let mut checks = vec![started_check(phase)];
        checks.extend(self.dependencies.iter().map(|each| each.check(now)));
        let liveness = self.liveness_at(now);
        checks.push(Check {
            name: "progress",
            ok: liveness.live,
            detail: if liveness.live { "every loop goes round".to_owned() } else { failures(&liveness.checks) },
        });
        checks.push(accepts_work_check(phase));
        Readiness { ready: checks.iter().all(|check| check.ok), checks }
    }

    fn micros_until(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.created).as_micros()).unwrap_or(u64::MAX)
    }

    fn phase(&self) -> Phase {
        [Phase::Starting, Phase::Running, Phase::Draining]
            .into_iter()
            .find(|phase| *phase as u8 == self.phase.load(Ordering::Relaxed))
            .unwrap_or(Phase::Drained)
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn beat(&self, of: Loop, at: Instant) {
        let at = self.micros_until(at);
        for (_, last_beat) in self.last_beats.iter().filter(|(each, _)| *each == of) {
            last_beat.store(at, Ordering::Relaxed);
        }
    }

    fn dependency(&self, dependency: Dependency, change: impl Fn(&mut Contact)) {
        for health in self.dependencies.iter().filter(|each| each.dependency == dependency) {
            change(&mut health.contact.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl DependencyHealth {
    fn check(&self, now: Instant) -> Check {
        let name = self.dependency.as_str();
        match &*self.contact.lock().unwrap_or_else(PoisonError::into_inner) {
            Contact::Unknown => Check { name, ok: false, detail: "has not answered yet".to_owned() },
            Contact::Up => Check { name, ok: true, detail: "answers".to_owned() },
            Contact::Down { since, error } => {
                let seconds = now.saturating_duration_since(*since).as_secs();
                Check { name, ok: false, detail: format!("down for {seconds} s: {error}") }
            }
        }
    }
}

fn started_check(phase: Phase) -> Check {
    let ok = phase != Phase::Starting;
    Check { name: "started", ok, detail: if ok { "started" } else { "starting" }.to_owned() }
}

fn accepts_work_check(phase: Phase) -> Check {
    let (ok, detail) = match phase {
        Phase::Starting => (false, "starting"),
        Phase::Running => (true, "claims orders"),
        Phase::Draining => (false, "draining: finishes what is in hand and claims nothing more"),
        Phase::Drained => (false, "drained: about to exit"),
    };
    Check { name: "accepts_work", ok, detail: detail.to_owned() }
}

/// What is wrong, in one line.
fn failures(checks: &[Check]) -> String {
    let failed: Vec<String> =
        checks.iter().filter(|check| !check.ok).map(|check| format!("{}: {}", check.name, check.detail)).collect();
    failed.join("; ")
}

impl Observer for Health {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::Started { .. } => {
                // Each loop has its full time from here on to go round first.
                Loop::ALL.into_iter().for_each(|each| self.beat(each, Instant::now()));
                self.enter(Phase::Running);
            }
            Event::Beat(of) => self.beat(of, Instant::now()),
            Event::DependencyUp(dependency) => self.dependency(dependency, |contact| *contact = Contact::Up),
            Event::DependencyDown { dependency, error, .. } => self.dependency(dependency, |contact| {
                let since = match contact {
                    Contact::Down { since, .. } => *since,
                    Contact::Unknown | Contact::Up => Instant::now(),
                };
                *contact = Contact::Down { since, error: error.chars().take(MAX_ERROR).collect() };
            }),
            Event::Draining { .. } => self.enter(Phase::Draining),
            Event::Drained { .. } => self.enter(Phase::Drained),
            Event::StageDone { .. }
            | Event::InFlight(_)
            | Event::AttemptStarted { .. }
            | Event::CallEnded { .. }
            | Event::RequestEnded { .. }
            | Event::BreakerMoved(_)
            | Event::LimiterWaited { .. }
            | Event::RepeatPutOff { .. }
            | Event::Fulfilled { .. }
            | Event::AttemptFailed { .. }
            | Event::Retried { .. }
            | Event::DeadLettered { .. }
            | Event::AlreadyFinal { .. }
            | Event::Skipped { .. }
            | Event::Superseded { .. }
            | Event::RowsLocked { .. }
            | Event::LeaseLost { .. }
            | Event::ReconcilerLeads(_)
            | Event::DriftFound { .. }
            | Event::LeftAlone { .. }
            | Event::DepthRead(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
