//! Tells systemd how the service is, where a unit of `Type=notify` started it: `READY=1`, `STATUS=`, `RELOADING=1`, `STOPPING=1`
//! and, while the worker makes progress, `WATCHDOG=1`. docs/SYSTEMD.md says what each means here.
//!
//! All of it is sent by a task on the runtime that claims and concludes: a runtime that runs no tasks is not live either,
//! and sends nothing.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;

use self::socket::Socket;
use super::reload::Reload;
use crate::config::environment::Environment;
use crate::event::{Dependency, DependencyEvent, Event, LifecycleEvent, Observer};
use crate::observe::health::Health;

mod socket;
mod status;

/// How patient one is.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The state is looked at, and told if it has changed, this often.
    look_every: Duration,
    /// A start that neither succeeds nor fails in this time has succeeded for systemd: tables that take long to change are no
    /// reason to kill the worker that changes them.
    longest_start: Duration,
}

const PACE: Pace = Pace { look_every: Duration::from_secs(1), longest_start: Duration::from_secs(10) };
/// How long a reload may wait for its files to be read.
const LONGEST_RELOAD: Duration = Duration::from_secs(2);
/// What a drain takes besides its timeout, until the process has ended.
const AFTER_THE_DRAIN: Duration = Duration::from_secs(5);

/// What systemd asks for, if it started this process.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<Socket>,
    watchdog: Option<Duration>,
    pace: Pace,
    seen: Arc<Seen>,
}

/// What events have shown.
#[derive(Debug, Default)]
struct Seen {
    /// The worker claims orders, or it knows of a server that it has to wait for.
    is_up: AtomicBool,
    up: Notify,
    reloaded: Notify,
}

/// What a worker tells of, and how long its drain may take.
pub(super) struct Subject {
    pub(super) health: Arc<Health>,
    pub(super) reload: Reload,
    pub(super) drain: CancellationToken,
    pub(super) drain_timeout: Duration,
}

impl Manager {
    /// The one that `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` name. What is wrong there is logged, and left alone.
    pub(super) fn of(environment: &Environment) -> Self {
        let variable = |name: &str| environment.variable(name).ok().flatten();
        let socket = variable("NOTIFY_SOCKET").and_then(|name| match Socket::named(name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "systemd is told nothing: NOTIFY_SOCKET can't be used");
                None
            }
        });
        let is_ours = variable("WATCHDOG_PID").is_none_or(|id| id == process::id().to_string());
        let micros = variable("WATCHDOG_USEC").and_then(|micros| micros.parse().ok()).filter(|micros| *micros > 0);
        let watchdog = micros.filter(|_| is_ours).map(Duration::from_micros);
        Self { socket, watchdog, pace: PACE, seen: Arc::default() }
    }

    /// Nobody.
    pub(super) fn none() -> Self {
        Self { socket: None, watchdog: None, pace: PACE, seen: Arc::default() }
    }

    /// Learns of the start and of reloads.
    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.seen) as Arc<dyn Observer>
    }

    /// Tells of the worker until the task is ended. `None` if nobody is to be told.
    pub(super) fn start(self, of: Subject) -> Option<JoinHandle<()>> {
        let Self { socket, watchdog, pace, seen } = self;
        let asked = of.reload.asked();
        let teller = Teller { socket: socket?, seen, of, status: String::new(), owed: String::new(), is_silent: false };
        Some(tokio::spawn(teller.run(pace, watchdog, asked)))
    }
}

impl Observer for Seen {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Lifecycle(LifecycleEvent::Started { .. })
            | Event::Dependency(DependencyEvent::Down { dependency: Dependency::Queue | Dependency::Store, .. }) => {
                self.is_up.store(true, Ordering::Relaxed);
                self.up.notify_one();
            }
            Event::Lifecycle(LifecycleEvent::Reloaded { .. }) => self.reloaded.notify_one(),
            _ => {}
        }
    }
}

struct Teller {
    socket: Socket,
    seen: Arc<Seen>,
    of: Subject,
    /// What was told last.
    status: String,
    /// What could not be told yet, and must be.
    owed: String,
    /// What could not be told is in the log.
    is_silent: bool,
}

impl Teller {
    async fn run(mut self, pace: Pace, watchdog: Option<Duration>, mut asked: watch::Receiver<()>) {
        let mut look = interval(pace.look_every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pets = watchdog.map(|limit| interval(limit / 2));
        if let Some(pets) = &mut pets {
            pets.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let give_up = Instant::now() + pace.longest_start;
        let (mut is_ready, mut is_stopping) = (false, false);
        let drain = self.of.drain.clone();
        loop {
            let mut is_asked = false;
            tokio::select! {
                () = drain.cancelled(), if !is_stopping => {}
                () = self.seen.up.notified(), if !is_ready => {}
                // The worker keeps the sender.
                Ok(()) = asked.changed() => is_asked = true,
                () = tick(&mut pets) => self.pet().await,
                _ = look.tick() => {}
            }
            if drain.is_cancelled() && !is_stopping {
                is_stopping = true;
                let limit = (self.of.drain_timeout + AFTER_THE_DRAIN).as_micros();
                self.owe(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={limit}\n"));
            }
            if !is_ready && !is_stopping && (self.seen.is_up.load(Ordering::Relaxed) || Instant::now() >= give_up) {
                is_ready = true;
                self.owe("READY=1\n");
            }
            if is_asked && is_ready && !is_stopping {
                self.reload().await;
            }
            self.tell().await;
        }
    }

    fn owe(&mut self, message: &str) {
        self.owed.push_str(message);
    }

    /// Sends what is owed, with the status if it has changed.
    async fn tell(&mut self) {
        let status = status::sentence(&self.of.health);
        if self.owed.is_empty() && status == self.status {
            return;
        }
        let message = format!("{}STATUS={status}\n", self.owed);
        if self.send(&message).await {
            self.owed.clear();
            self.status = status;
        }
    }

    /// Shows that the worker makes progress, if it does. By what /livez says, so that both judge alike.
    async fn pet(&mut self) {
        if self.of.health.live().is_ok() {
            self.send("WATCHDOG=1\n").await;
        }
    }

    /// Files are read again by whoever watches some. If nobody does, there is nothing to wait for.
    async fn reload(&mut self) {
        self.owe(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic_micros()));
        self.tell().await;
        if self.of.reload.is_watched() {
            let limit = Instant::now() + LONGEST_RELOAD;
            let _ = timeout_at(limit, self.seen.reloaded.notified()).await;
        }
        self.owe("READY=1\n");
    }

    async fn send(&mut self, message: &str) -> bool {
        let sent: io::Result<()> = self.socket.send(message).await;
        match sent {
            Ok(()) => self.is_silent = false,
            Err(error) if !self.is_silent => {
                self.is_silent = true;
                tracing::warn!(%error, "systemd could not be told how the worker is; it is tried again");
            }
            Err(_) => {}
        }
        !self.is_silent
    }
}

/// The next of these, if there are any.
async fn tick(pets: &mut Option<tokio::time::Interval>) {
    match pets {
        Some(pets) => drop(pets.tick().await),
        None => std::future::pending().await,
    }
}

/// By the clock that systemd compares with: microseconds since the machine started.
fn monotonic_micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[cfg(test)]
mod tests;
