//! Facts of a Postgres server and the tables there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{ClockOffset, Seen, Transport};

/// What was found of a server.
#[derive(Debug, Clone)]
pub struct PostgresFacts {
    /// As `server_version_num` has it: 150004 is 15.4.
    pub version: u32,
    /// For people.
    pub version_name: String,
    /// The database.
    pub database: String,
    /// Seconds since the statistics of the database began anew; `None` where they never did.
    pub counted_for: Option<f64>,
    /// Who we are there, and what that role may do.
    pub role: Role,
    /// Its clock.
    pub clock: ClockOffset,
    /// The shortest of some statements that do nothing.
    pub round_trip: Duration,
    /// The way to it, as the server sees it: a pooler in between stands for us.
    pub transport: Transport,
    /// Settings by name.
    pub settings: Seen<BTreeMap<String, Setting>>,
    /// The order API's table `orders`, and the worker's own; of a partitioned one the partitions.
    pub tables: Seen<Vec<Table>>,
    /// The indexes of `orders` that hold a column which every transition writes.
    pub written_indexes: Seen<Vec<Index>>,
    /// Statements of others that look for a status.
    pub readers: Seen<Readers>,
    /// What happened while it was looked on.
    pub sample: Seen<Sample>,
    /// WAL since the statistics began.
    pub wal: Seen<Wal>,
    /// Checkpoints since then.
    pub checkpoints: Seen<Checkpoints>,
    /// What keeps dead rows from being removed, the oldest first.
    pub holders: Seen<Vec<Holder>>,
    /// Connections to the server, and those of workers.
    pub connections: Seen<Connections>,
    /// In which zones workers wrote times without one.
    pub zones: Seen<Zones>,
}

impl PostgresFacts {
    /// The number that a setting is.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.setting(name)?.raw.parse().ok()
    }

    /// A setting.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.as_ref().ok()?.get(name)
    }
}

/// A role, and what it may do beyond a worker's work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Whether it has the rights of roles that it is a member of.
    pub inherits: bool,
    /// What it may do although no worker needs it, in words.
    pub excess: Vec<String>,
    /// Connections that it may have, where that is limited.
    pub connection_limit: Option<u32>,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// In the server's own unit.
    pub raw: String,
    /// With its unit, as it is set.
    pub shown: String,
}

/// A table, and what the server has counted of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Quoted, with its schema.
    pub name: String,
    /// Whether it is `orders`, or a part of it.
    pub is_orders: bool,
    /// Storage parameters of its own, such as `fillfactor`.
    pub options: BTreeMap<String, String>,
    /// Rows, as last estimated.
    pub live: u64,
    /// Rows that nobody sees any more and that still take place.
    pub dead: u64,
    /// Updates since the statistics began.
    pub updates: u64,
    /// Those of them that touched no index.
    pub hot_updates: u64,
    /// Seconds since the last vacuum; `None` without one.
    pub vacuumed: Option<f64>,
    /// Bytes.
    pub bytes: u64,
}

/// An index that holds a column which every transition writes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Index {
    /// Quoted, with its schema.
    pub name: String,
    /// The index of a partitioned table that it is a part of.
    pub part_of: Option<String>,
    /// `btree` and so on.
    pub method: String,
    /// The columns: `status`, `updated_at` or both.
    pub columns: Vec<String>,
    /// The constraint that it serves.
    pub constraint: Option<String>,
    /// Scans since the statistics began.
    pub scans: u64,
    /// Seconds since the last one; `None` where there was none, or the server doesn't tell.
    pub last_scan: Option<f64>,
    /// Bytes.
    pub bytes: u64,
}

/// Statements of others that look for a status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readers {
    /// The most frequent ones.
    pub statements: Vec<Reader>,
    /// Statements whose text this role may not see.
    pub hidden: u64,
}

/// Such a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Who runs it.
    pub role: String,
    /// Its beginning, without values.
    pub statement: String,
    /// How often it ran.
    pub calls: u64,
}

/// What happened while it was looked on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// How long, in seconds.
    pub seconds: f64,
    /// Bytes of WAL, whoever wrote them.
    pub wal_bytes: u64,
    /// Updates of `orders`.
    pub updates: u64,
    /// Those that touched no index.
    pub hot_updates: u64,
}

/// WAL since the statistics began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wal {
    /// Bytes.
    pub bytes: f64,
    /// Whole pages in it, each written at its first change after a checkpoint.
    pub page_images: f64,
    /// Seconds since.
    pub since: Option<f64>,
}

/// Checkpoints since the statistics began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checkpoints {
    /// Because it was time.
    pub timed: u64,
    /// Because the WAL had grown too large, or somebody asked.
    pub requested: u64,
    /// Seconds since.
    pub since: Option<f64>,
}

/// What keeps dead rows from being removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// What it is.
    pub kind: HolderKind,
    /// A process id, a slot's name or a transaction's identifier.
    pub name: String,
    /// Whose it is.
    pub role: Option<String>,
    /// What its program calls itself.
    pub application: Option<String>,
    /// Of a session `idle in transaction` and so on; of a slot `active` or `inactive`. `None` where this role may not see it.
    pub state: Option<String>,
    /// Seconds since its transaction began, likewise.
    pub since: Option<f64>,
    /// How many transactions have begun since the oldest that it holds; `None` where it holds none.
    pub behind: Option<u64>,
    /// Bytes of WAL that are kept for it; of slots alone.
    pub wal_bytes: Option<f64>,
}

/// The kinds of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderKind {
    /// A connection with a transaction.
    Session,
    /// A replication slot.
    Slot,
    /// A transaction that was prepared and neither committed nor rolled back.
    Prepared,
}

/// Connections to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connections {
    /// All of them.
    pub used: u64,
    /// Those of workers in this database, this command left out.
    pub of_workers: u64,
    /// How many workers have them.
    pub workers: u64,
    /// The most that this worker's options let it open.
    pub limit: u64,
}

/// In which zones workers wrote times without one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zones {
    /// Of this role's sessions.
    pub own: String,
    /// Those that were noted within two days.
    pub noted: Vec<String>,
    /// Whether fences came back behind the clock within these.
    pub behind: bool,
}
