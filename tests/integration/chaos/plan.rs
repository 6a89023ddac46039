//! What goes wrong when: drawn from the seed alone, before anything starts.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::chaos::world::{LEASE, WORKERS};

const KILLS_LAST: Duration = Duration::from_secs(8);
const MIXTURE_LASTS: Duration = Duration::from_secs(30);
/// How long an idle transaction pins the horizon in a plan that has the time for it, and how long such a plan is.
const PINNED_LASTS: Duration = Duration::from_secs(120);
const PINNED_FROM: Duration = Duration::from_secs(180);
const KILL_EVERY: Duration = Duration::from_secs(1);
const GAP_MS: Range<u64> = 150..850;

/// A connection between the workers and what they depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    Redis,
    Postgres,
    Warehouse,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// SIGKILL, and another one is started.
    WorkerKilled,
    /// SIGSTOP for longer than a lease, then SIGCONT.
    WorkerStopped,
    /// SIGTERM, and another one is started.
    WorkerTerminated,
    /// SIGTERM, and another one is started whose clock is an hour off.
    WorkerClockOff,
    /// SIGTERM, and one of the other version is started: the release before, or this one.
    WorkerChangesVersion,
    /// SIGKILL, and it is started again with its file.
    RedisKilled,
    /// FLUSHALL.
    RedisFlushed,
    /// SIGKILL, and it is started again without its file.
    RedisEmptied,
    /// SIGKILL, and it is started again with its file as it was some time ago.
    RedisSetBack,
    /// SCRIPT FLUSH.
    ScriptsFlushed,
    /// No byte is free on its disk.
    RedisDiskFull,
    /// Immediate shutdown, and it is started again.
    PostgresCrashed,
    /// No byte is free on its disk.
    PostgresDiskFull,
    /// `pg_terminate_backend` for each of the workers' connections, again and again.
    BackendsTerminated,
    /// Somebody takes every connection that is left, after the workers' were terminated.
    SlotsExhausted,
    /// An idle transaction holds the lock of an order's row.
    RowLocked,
    /// An idle transaction keeps a snapshot.
    HorizonPinned,
    /// Every connection is closed.
    Cut(Link),
    /// Connections are cut after the request and before the reply.
    RepliesLost(Link),
    /// Bytes vanish, and nobody closes.
    HalfOpen(Link),
    /// Every piece is 100 ms late.
    Slow(Link),
    /// Every second order is taken, and its connection cut instead of an answer.
    AnswersCut,
    /// Every third order is taken, and nothing said.
    WarehouseHangs,
    /// 503 for everybody.
    WarehouseRefuses,
    /// SIGKILL, and it is started again with its record.
    WarehouseKilled,
    /// Messages that no one can read.
    Poison,
    /// Messages of earlier orders come again.
    Duplicates,
    /// A thousand orders at once.
    Flood,
    /// The producer dies between INSERT and LPUSH.
    ProducerDies,
}

/// What can have one fault at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Worker(usize),
    Redis,
    Postgres,
    Horizon,
    Warehouse,
    Link(Link),
    Messages,
}

use Fault::*;

/// Every fault, once; a change of version as often as there are workers.
const ALL: [Fault; 40] = [
    WorkerKilled,
    WorkerStopped,
    WorkerTerminated,
    WorkerClockOff,
    RedisKilled,
    RedisFlushed,
    RedisEmptied,
    RedisSetBack,
    ScriptsFlushed,
    RedisDiskFull,
    PostgresCrashed,
    PostgresDiskFull,
    BackendsTerminated,
    SlotsExhausted,
    RowLocked,
    HorizonPinned,
    Cut(Link::Redis),
    Cut(Link::Postgres),
    Cut(Link::Warehouse),
    RepliesLost(Link::Redis),
    RepliesLost(Link::Postgres),
    RepliesLost(Link::Warehouse),
    HalfOpen(Link::Redis),
    HalfOpen(Link::Postgres),
    HalfOpen(Link::Warehouse),
    Slow(Link::Redis),
    Slow(Link::Postgres),
    Slow(Link::Warehouse),
    AnswersCut,
    WarehouseHangs,
    WarehouseRefuses,
    WarehouseKilled,
    Poison,
    Duplicates,
    Flood,
    ProducerDies,
    WorkerChangesVersion,
    WorkerChangesVersion,
    WorkerChangesVersion,
    WorkerChangesVersion,
];

impl Fault {
    /// As the report calls it.
    pub(crate) fn name(self) -> String {
        let text = format!("{self:?}").replace('(', " ").replace(')', "");
        // `WorkerKilled` as `worker killed`.
        let mut name = String::new();
        for character in text.chars() {
            if character.is_uppercase() && !name.is_empty() && !name.ends_with(' ') {
                name.push(' ');
            }
            name.extend(character.to_lowercase());
        }
        name
    }

    /// Lies in what is sent, not in what breaks: there is nothing to recover from.
    pub(crate) fn is_input(self) -> bool {
        matches!(self, Poison | Duplicates | Flood | ProducerDies)
    }

    fn part(self, worker: usize) -> Part {
        match self {
            WorkerKilled | WorkerStopped | WorkerTerminated | WorkerClockOff | WorkerChangesVersion => {
                Part::Worker(worker)
            }
            RedisKilled | RedisFlushed | RedisEmptied | RedisSetBack | ScriptsFlushed | RedisDiskFull => Part::Redis,
            PostgresCrashed | PostgresDiskFull | BackendsTerminated | SlotsExhausted | RowLocked => Part::Postgres,
            HorizonPinned => Part::Horizon,
            Cut(link) | RepliesLost(link) | HalfOpen(link) | Slow(link) => Part::Link(link),
            AnswersCut | WarehouseHangs | WarehouseRefuses | WarehouseKilled => Part::Warehouse,
            Poison | Duplicates | Flood | ProducerDies => Part::Messages,
        }
    }

    /// How long it lasts, in milliseconds, not counting what its repair takes.
    fn lasts_ms(self) -> Range<u64> {
        let lease = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        match self {
            WorkerStopped => lease + 500..lease + 2_500,
            RedisKilled | RedisEmptied | PostgresCrashed | WarehouseKilled => 100..2_000,
            BackendsTerminated | SlotsExhausted | HalfOpen(_) | WarehouseRefuses => 500..3_000,
            RedisSetBack | RedisDiskFull | PostgresDiskFull | RowLocked | Slow(_) | AnswersCut | WarehouseHangs => {
                1_000..4_000
            }
            RepliesLost(_) => 200..1_500,
            HorizonPinned => 10_000..25_000,
            WorkerKilled | WorkerTerminated | WorkerClockOff | WorkerChangesVersion | RedisFlushed | ScriptsFlushed
            | Cut(_) | Poison | Duplicates | Flood | ProducerDies => 0..1,
        }
    }
}

/// A fault with its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) fault: Fault,
    /// Counted from the beginning of the phase.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    /// Which worker, if the fault is one.
    pub(crate) worker: usize,
}

/// Faults that may overlap. After each phase there are none until every order that was accepted before is final.
#[derive(Debug)]
pub(crate) struct Phase {
    /// Workers are killed, and nothing else happens: what it takes to take their orders over can be told.
    pub(crate) only_kills: bool,
    pub(crate) faults: Vec<Planned>,
}

/// Phases that last so long together, not counting the rests between them. A short plan is one of kills and one mixture;
/// a long one begins with minutes in which Postgres never crashes, as that would end a transaction that is to stay idle.
/// `left_out` are faults that can't be brought about here.
pub(crate) fn draw(seed: u64, length: Duration, left_out: &[Fault]) -> Vec<Phase> {
    let kinds: Vec<Fault> = ALL.into_iter().filter(|fault| !left_out.contains(fault)).collect();
    let mut random = StdRng::seed_from_u64(seed);
    let mut bag = Vec::new();
    let mut phases = Vec::new();
    let mut left = length;
    if length >= PINNED_FROM {
        phases.push(pinned(&mut random, &kinds));
        left -= PINNED_LASTS;
    }
    while !left.is_zero() {
        let kills = KILLS_LAST.min(left / 3).max(Duration::from_secs(3)).min(left);
        phases.push(self::kills(&mut random, kills));
        left -= kills;
        let mixture = MIXTURE_LASTS.min(left);
        phases.push(self::mixture(&mut random, &kinds, &mut bag, mixture));
        left -= mixture;
    }
    phases
}

fn kills(random: &mut StdRng, length: Duration) -> Phase {
    let mut faults = Vec::new();
    let mut at = Duration::ZERO;
    while at < length {
        let worker = random.random_range(0..WORKERS);
        faults.push(Planned { fault: WorkerKilled, at, lasts: Duration::ZERO, worker });
        at += KILL_EVERY;
    }
    Phase { only_kills: true, faults }
}

/// A mixture without what ends an idle transaction, and such a transaction all the while.
fn pinned(random: &mut StdRng, kinds: &[Fault]) -> Phase {
    let ends_it = |fault: &Fault| matches!(fault, HorizonPinned | PostgresCrashed | PostgresDiskFull);
    let kinds: Vec<Fault> = kinds.iter().copied().filter(|fault| !ends_it(fault)).collect();
    let mut phase = mixture(random, &kinds, &mut Vec::new(), PINNED_LASTS);
    phase.faults.push(Planned { fault: HorizonPinned, at: Duration::ZERO, lasts: PINNED_LASTS, worker: 0 });
    phase
}

/// Takes each fault as often as any other, in an order of its own each time.
fn mixture(random: &mut StdRng, kinds: &[Fault], bag: &mut Vec<Fault>, length: Duration) -> Phase {
    let mut faults = Vec::new();
    let mut busy: HashMap<Part, Duration> = HashMap::new();
    let mut at = Duration::ZERO;
    while at < length {
        let worker = random.random_range(0..WORKERS);
        let is_free = |fault: &Fault| busy.get(&fault.part(worker)).is_none_or(|until| *until <= at);
        if !bag.iter().any(is_free) {
            bag.extend(kinds);
        }
        let free: Vec<usize> = (0..bag.len()).filter(|&index| is_free(&bag[index])).collect();
        if let Some(&index) = free.get(random.random_range(0..free.len().max(1))) {
            let fault = bag.swap_remove(index);
            // Nothing lasts much longer than its phase.
            let most = length - at + Duration::from_secs(3);
            let lasts = Duration::from_millis(random.random_range(fault.lasts_ms())).min(most);
            faults.push(Planned { fault, at, lasts, worker });
            // A server needs some time to be itself again.
            busy.insert(fault.part(worker), at + lasts + Duration::from_millis(500));
        }
        at += Duration::from_millis(random.random_range(GAP_MS));
    }
    Phase { only_kills: false, faults }
}
