//! The places of connections: how many there are, what each is doing, and who makes room where there are no more.
//!
//! A new connection always gets a place. Where none is free, or where its peer has had its share, another one is closed:
//! whoever shows least that it wants an answer. So many clients that are slow, on purpose or not, never keep out a probe.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::limits::ConnectionLimits;
use super::peer::Peer;
use crate::observe::metrics::{Closed, Counted, Metrics};

#[cfg(test)]
mod tests;

/// Who shares the places of one peer. Whoever has one address of IPv6 usually has 2^64 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    V4(Ipv4Addr),
    V6([u16; 4]),
    Socket,
    AdminSocket,
}

impl From<Peer> for Group {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Network(address) => match address.ip().to_canonical() {
                IpAddr::V4(ip) => Self::V4(ip),
                IpAddr::V6(ip) => {
                    let [a, b, c, d, ..] = ip.segments();
                    Self::V6([a, b, c, d])
                }
            },
            Peer::Socket => Self::Socket,
            Peer::AdminSocket => Self::AdminSocket,
        }
    }
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is new: handshake and head aren't whole.
    Waiting,
    /// It has had its answers, and may ask again.
    Idle,
    /// Its request is being answered; or it has been, and the client hasn't taken the whole answer.
    Busy { answered: bool },
}

struct Entry {
    id: u64,
    group: Group,
    stage: Stage,
    since: Instant,
    /// Since when the client takes nothing of what is to be sent.
    unread: Option<Instant>,
    /// Ends the connection.
    close: CancellationToken,
    _open: Counted,
}

impl Entry {
    /// Who is closed first: the smallest, and among equals the longest in this stage.
    fn rank(&self, now: Instant, fresh: Duration) -> (u8, Instant) {
        match (self.stage, self.unread) {
            (Stage::Waiting, _) if now.saturating_duration_since(self.since) >= fresh => (0, self.since),
            (Stage::Idle, _) => (1, self.since),
            (Stage::Waiting, _) => (2, self.since),
            (Stage::Busy { .. }, Some(unread)) => (3, unread),
            (Stage::Busy { .. }, None) => (4, self.since),
        }
    }

    fn is_staying(&self) -> bool {
        !self.close.is_cancelled()
    }

    fn is_busy(&self) -> bool {
        matches!(self.stage, Stage::Busy { .. })
    }
}

/// All places.
pub(super) struct Places {
    limits: ConnectionLimits,
    metrics: Arc<Metrics>,
    entries: Mutex<Entries>,
    /// A place became free.
    freed: Notify,
}

#[derive(Default)]
struct Entries {
    next: u64,
    of: BTreeMap<u64, Entry>,
}

impl Places {
    pub(super) fn new(limits: ConnectionLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limits, metrics, entries: Mutex::default(), freed: Notify::new() })
    }

    /// A place for a new connection of `peer`. Where there is none, closes another connection and waits until that has
    /// left its place, which needs nothing of its client.
    pub(super) async fn take(self: &Arc<Self>, peer: Peer) -> Place {
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before the look at the places, as one may become free between look and wait.
            freed.as_mut().enable();
            if let Some(place) = self.try_take(peer.into()) {
                return place;
            }
            freed.await;
        }
    }

    fn try_take(self: &Arc<Self>, group: Group) -> Option<Place> {
        let mut entries = self.entries.lock();
        let of_peer = |entry: &Entry| entry.group == group;
        if entries.count(of_peer) >= self.limits.one_peer {
            self.make_room(&entries, self.limits.one_peer, of_peer);
            return None;
        }
        if entries.of.len() >= self.limits.connections {
            self.make_room(&entries, self.limits.connections, |_| true);
            return None;
        }
        let close = CancellationToken::new();
        let id = entries.next;
        let entry = Entry {
            id,
            group,
            stage: Stage::Waiting,
            since: Instant::now(),
            unread: None,
            close: close.clone(),
            _open: self.metrics.open_connection(),
        };
        entries.next += 1;
        entries.of.insert(id, entry);
        Some(Place { places: Arc::clone(self), id, close })
    }

    /// Closes one of these unless so many have been closed that fewer than `most` stay.
    fn make_room(&self, entries: &Entries, most: usize, of: impl Fn(&Entry) -> bool) {
        if entries.count(|entry| of(entry) && entry.is_staying()) >= most {
            self.close_one(entries, of);
        }
    }

    fn close_one(&self, entries: &Entries, of: impl Fn(&Entry) -> bool) -> bool {
        let now = Instant::now();
        let candidates = entries.of.values().filter(|entry| entry.is_staying() && of(entry));
        let Some(first) = candidates.min_by_key(|entry| entry.rank(now, self.limits.fresh)) else { return false };
        let reason = match first.stage {
            Stage::Waiting => Closed::MadeRoomWaiting,
            Stage::Idle => Closed::MadeRoomIdle,
            Stage::Busy { .. } => Closed::MadeRoomBusy,
        };
        self.metrics.endpoint().closed(reason);
        first.close.cancel();
        true
    }

    /// Closes one connection, where the system has no resources for another, and waits until it is closed; false if there
    /// is none to close.
    pub(super) async fn give_one_up(&self) -> bool {
        let mut freed = pin!(self.freed.notified());
        freed.as_mut().enable();
        let closing = self.close_one(&self.entries.lock(), |_| true);
        if closing {
            freed.await;
        }
        closing
    }

    /// Waits until every place is free.
    pub(super) async fn all_free(&self) {
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.entries.lock().of.is_empty() {
                return;
            }
            freed.await;
        }
    }
}

impl Entries {
    fn count(&self, of: impl Fn(&Entry) -> bool) -> usize {
        self.of.values().filter(|entry| of(entry)).count()
    }
}

/// The place of one connection, free again when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    close: CancellationToken,
}

impl Place {
    /// Waits until this connection has to make room.
    pub(super) async fn closing(&self) {
        self.close.cancelled().await;
    }

    /// The connection ended by itself.
    pub(super) fn ended(&self, why: Closed) {
        self.places.metrics.endpoint().closed(why);
    }

    /// A whole head has come. Returns false if too many requests are under way for another: unless a client that doesn't
    /// take its answer can be closed instead. `always`: it is let through.
    pub(super) fn begin(&self, always: bool) -> bool {
        let mut entries = self.places.entries.lock();
        let others = |entry: &Entry| entry.id != self.id && entry.is_busy() && entry.is_staying();
        let room = entries.count(others) < self.places.limits.requests
            || self.places.close_one(&entries, |entry| others(entry) && entry.unread.is_some());
        if let Some(own) = entries.of.get_mut(&self.id) {
            own.stage = Stage::Busy { answered: false };
            own.since = Instant::now();
        }
        room || always
    }

    /// The answer is there, and is going to be sent.
    pub(super) fn answered(&self) {
        self.change(|own| {
            if own.is_busy() {
                own.stage = Stage::Busy { answered: true };
            }
        });
    }

    /// The client takes nothing at the moment.
    pub(super) fn blocked(&self) {
        self.change(|own| {
            own.unread.get_or_insert_with(Instant::now);
            // What was flushed was only the beginning of an answer.
            if own.stage == Stage::Idle {
                own.stage = Stage::Busy { answered: true };
            }
        });
    }

    /// Everything that was to be sent is sent.
    pub(super) fn flushed(&self) {
        self.change(|own| {
            own.unread = None;
            if own.stage == (Stage::Busy { answered: true }) {
                own.stage = Stage::Idle;
                own.since = Instant::now();
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(own) = self.places.entries.lock().of.get_mut(&self.id) {
            change(own);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.entries.lock().of.remove(&self.id);
        self.places.freed.notify_waiters();
    }
}
