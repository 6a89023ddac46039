//! What `doctor` finds out of a server: each question in a transaction of its own that only reads, with a limit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::sql::{Parameter, Sql};
use super::{PostgresStore, column, count};
use crate::backend::loopback::is_loopback;
use crate::port::diagnosis::postgres::{
    Checkpoints, Connections, Holder, HolderKind, Index, PostgresFacts, Reader, Readers, Role, Sample, Setting, Table,
    Wal, Zones,
};
use crate::port::diagnosis::{ClockOffset, Seen, StoreDiagnosis, StoreFacts, Transport};
use crate::port::store::StoreError;

/// How long one question may take at the server, and a little longer until its answer is here.
const LIMITS: &str = "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '3s'; SET LOCAL lock_timeout = '1s'";
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Statements whose round trip is measured.
const ROUNDS: usize = 5;

/// What was said of a relation before the first version with it.
const HAS_LAST_SCAN: u32 = 160_000;
const HAS_CHECKPOINTER: u32 = 170_000;

/// The settings that a finding is about.
const SETTINGS: [&str; 20] = [
    "autovacuum",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_threshold",
    "checkpoint_timeout",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "fsync",
    "full_page_writes",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "max_connections",
    "max_wal_size",
    "reserved_connections",
    "statement_timeout",
    "superuser_reserved_connections",
    "synchronous_commit",
    "synchronous_standby_names",
    "TimeZone",
    "transaction_timeout",
    "wal_compression",
];

#[async_trait]
impl StoreDiagnosis for PostgresStore {
    async fn store_facts(&self, sample: Duration) -> Result<StoreFacts, StoreError> {
        Ok(StoreFacts::Postgres(Box::new(Looking::begin(self).await?.facts(sample).await)))
    }
}

/// A store that is looked at.
struct Looking<'a> {
    store: &'a PostgresStore,
    /// The name of `orders` in full.
    orders: String,
    server: Row,
    version: u32,
    clock: ClockOffset,
}

impl<'a> Looking<'a> {
    async fn begin(store: &'a PostgresStore) -> Result<Self, StoreError> {
        let orders = store.given_tables().await?.dialect().tables.orders().to_owned();
        let asked = SystemTime::now();
        let began = Instant::now();
        let mut rows = look(store, &Sql::new(include_str!("diagnosis/server.sql")), &[(&orders, Type::TEXT)]).await?;
        let within = began.elapsed().as_secs_f64() / 2.0;
        let server = rows.pop().ok_or_else(|| Failure::Refused("the server knows nothing of our role".to_owned()))?;
        let half_way = asked.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() + within;
        let clock = ClockOffset { ahead: column::<f64>(&server, "now")? - half_way, within };
        let version = u32::try_from(column::<i32>(&server, "version")?).unwrap_or_default();
        Ok(Self { store, orders, server, version, clock })
    }

    async fn facts(self, sample: Duration) -> PostgresFacts {
        let text = |name| column::<Option<String>>(&self.server, name).ok().flatten().unwrap_or_default();
        PostgresFacts {
            version: self.version,
            version_name: text("version_name"),
            database: text("database"),
            counted_for: column(&self.server, "counted_for").unwrap_or_default(),
            role: Role {
                name: text("role"),
                inherits: column(&self.server, "inherits").unwrap_or_default(),
                excess: column(&self.server, "excess").unwrap_or_default(),
                connection_limit: column::<Option<i32>>(&self.server, "connection_limit")
                    .ok()
                    .flatten()
                    .and_then(|limit| u32::try_from(limit).ok()),
            },
            clock: self.clock,
            round_trip: self.round_trip().await,
            transport: self.transport(),
            settings: self.settings().await,
            tables: self.rows(include_str!("diagnosis/tables.sql"), table).await,
            written_indexes: self.written_indexes().await,
            readers: self.readers().await,
            holders: self.lines(&Sql::new(include_str!("diagnosis/holders.sql")), &[], holder).await,
            connections: self.connections().await,
            zones: self.zones().await,
            wal: self.wal().await,
            checkpoints: self.checkpoints().await,
            sample: self.sample(sample).await,
        }
    }

    async fn lines<T>(
        &self,
        statement: &Sql,
        parameters: &[Parameter<'_>],
        read: impl Fn(&Row) -> Result<T, Failure>,
    ) -> Seen<Vec<T>> {
        let rows = look(self.store, statement, parameters).await.map_err(why)?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(why)
    }

    /// Of a statement that asks for `orders`.
    async fn rows<T>(&self, statement: &str, read: impl Fn(&Row) -> Result<T, Failure>) -> Seen<Vec<T>> {
        self.lines(&Sql::new(statement), &[(&self.orders, Type::TEXT)], read).await
    }

    async fn one<T>(&self, statement: &str, read: impl Fn(&Row) -> Result<T, Failure>) -> Seen<T> {
        let rows = self.lines(&Sql::new(statement), &[], read).await?;
        rows.into_iter().next().ok_or_else(|| "the server has no such statistics".to_owned())
    }

    fn transport(&self) -> Transport {
        let text = |name| column::<Option<String>>(&self.server, name).ok().flatten();
        if column(&self.server, "ssl").unwrap_or_default() {
            return Transport::Tls(text("cipher"));
        }
        match (text("client"), text("server")) {
            (Some(client), server) if !is_loopback(&client) && server.as_deref() != Some(&client) => Transport::Clear,
            _ => Transport::Local,
        }
    }

    async fn round_trip(&self) -> Duration {
        let mut shortest = Duration::MAX;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            if self.store.connections.query(&Sql::bare("SELECT 1"), &[]).await.is_ok() {
                shortest = shortest.min(began.elapsed());
            }
        }
        shortest
    }

    async fn settings(&self) -> Seen<BTreeMap<String, Setting>> {
        let statement = "SELECT s.name AS name, s.reset_val AS raw, current_setting(s.name) AS shown
                         FROM pg_catalog.pg_settings s WHERE s.name {=} ANY ($1)";
        let read =
            |row: &Row| Ok((column(row, "name")?, Setting { raw: column(row, "raw")?, shown: column(row, "shown")? }));
        let wanted = SETTINGS.map(str::to_owned).to_vec();
        let settings = self.lines(&Sql::new(statement), &[(&wanted, Type::TEXT_ARRAY)], read).await?;
        Ok(settings.into_iter().collect())
    }

    async fn written_indexes(&self) -> Seen<Vec<Index>> {
        let last_scan = match self.version {
            HAS_LAST_SCAN.. => "extract(epoch FROM clock_timestamp() - pg_stat_get_lastscan(c.oid))::float8",
            _ => "NULL::float8",
        };
        self.rows(&with_wanted(include_str!("diagnosis/indexes.sql")).replace("{last_scan}", last_scan), index).await
    }

    /// Their text is in a view of an extension, which is wherever somebody has put it.
    async fn readers(&self) -> Seen<Readers> {
        let place = "SELECT format('%I.pg_stat_statements', n.nspname) AS place
                     FROM pg_catalog.pg_extension e
                     JOIN pg_catalog.pg_namespace n ON n.oid {=} e.extnamespace
                     WHERE e.extname {=} 'pg_stat_statements'";
        let places = self.lines(&Sql::new(place), &[], |row| column::<String>(row, "place")).await?;
        let Some(place) = places.first() else {
            return Err("extension pg_stat_statements is not installed in this database".to_owned());
        };
        let statement = Sql::new(include_str!("diagnosis/readers.sql")).with("{statements}", place);
        let read = |row: &Row| {
            let reader = match column::<Option<String>>(row, "statement")? {
                None => None,
                Some(statement) => Some(Reader {
                    role: column::<Option<String>>(row, "role")?.unwrap_or_default(),
                    statement,
                    calls: count(column(row, "calls")?),
                }),
            };
            Ok((reader, count(column(row, "hidden")?)))
        };
        let rows = self.lines(&statement, &[], read).await?;
        let hidden = rows.first().map_or(0, |(_, hidden)| *hidden);
        Ok(Readers { statements: rows.into_iter().filter_map(|(reader, _)| reader).collect(), hidden })
    }

    async fn connections(&self) -> Seen<Connections> {
        let limit = self.store.connections.in_use().limit;
        self.one(include_str!("diagnosis/connections.sql"), |row| {
            Ok(Connections {
                used: count(column(row, "used")?),
                of_workers: count(column(row, "of_workers")?),
                workers: count(column(row, "workers")?),
                limit,
            })
        })
        .await
    }

    async fn zones(&self) -> Seen<Zones> {
        let statement = "SELECT c.zone AS zone,
                                coalesce(c.behind_at > clock_timestamp() - interval '2 days', false) AS behind
                         FROM fulfillment.clocks c WHERE c.noted_at > clock_timestamp() - interval '2 days'
                         ORDER BY c.zone LIMIT 10";
        let read = |row: &Row| Ok((column::<String>(row, "zone")?, column::<bool>(row, "behind")?));
        // Somebody's view in the table's place would run with the worker's rights.
        self.store.refuse_strangers().await.map_err(why)?;
        let noted = self.lines(&Sql::new(statement), &[], read).await?;
        let own = self.one("SELECT current_setting('TimeZone') AS zone", |row| column(row, "zone")).await?;
        let behind = noted.iter().any(|(_, behind)| *behind);
        Ok(Zones { own, behind, noted: noted.into_iter().map(|(zone, _)| zone).collect() })
    }

    async fn wal(&self) -> Seen<Wal> {
        let statement = "SELECT w.wal_bytes::float8 AS bytes, w.wal_fpi::float8 AS page_images,
                                extract(epoch FROM clock_timestamp() - w.stats_reset)::float8 AS since
                         FROM pg_catalog.pg_stat_wal w";
        self.one(statement, |row| {
            Ok(Wal {
                bytes: column(row, "bytes")?,
                page_images: column(row, "page_images")?,
                since: column(row, "since")?,
            })
        })
        .await
    }

    async fn checkpoints(&self) -> Seen<Checkpoints> {
        let statement = match self.version {
            HAS_CHECKPOINTER.. => {
                "SELECT c.num_timed AS timed, c.num_requested AS requested,
                        extract(epoch FROM clock_timestamp() - c.stats_reset)::float8 AS since
                 FROM pg_catalog.pg_stat_checkpointer c"
            }
            _ => {
                "SELECT c.checkpoints_timed AS timed, c.checkpoints_req AS requested,
                        extract(epoch FROM clock_timestamp() - c.stats_reset)::float8 AS since
                 FROM pg_catalog.pg_stat_bgwriter c"
            }
        };
        self.one(statement, |row| {
            Ok(Checkpoints {
                timed: count(column(row, "timed")?),
                requested: count(column(row, "requested")?),
                since: column(row, "since")?,
            })
        })
        .await
    }

    async fn sample(&self, length: Duration) -> Seen<Sample> {
        if length.is_zero() {
            return Err("nothing was counted, as --sample is 0s".to_owned());
        }
        let statement = with_wanted(include_str!("diagnosis/counters.sql"));
        let counters = async || {
            let counted = self.rows(&statement, |row| {
                let updates = (count(column(row, "updates")?), count(column(row, "hot_updates")?));
                Ok((column::<f64>(row, "wal_bytes")?, updates))
            });
            let counted = counted.await?.pop();
            counted.ok_or_else(|| "the server counts nothing".to_owned())
        };
        let began = Instant::now();
        let (wal_before, before) = counters().await?;
        tokio::time::sleep(length).await;
        let (wal, after) = counters().await?;
        Ok(Sample {
            seconds: began.elapsed().as_secs_f64(),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bytes")]
            wal_bytes: (wal - wal_before).max(0.0) as u64,
            updates: after.0.saturating_sub(before.0),
            hot_updates: after.1.saturating_sub(before.1),
        })
    }
}

/// Asks one question, in a transaction that can't change anything: also behind a pooler, which may give the next one another
/// connection.
async fn look(store: &PostgresStore, statement: &Sql, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Failure> {
    let mut session = store.connections.session().await?;
    session.begin().await?;
    session.run(LIMITS).await?;
    let rows = session.query_within(ANSWER_LIMIT, statement, parameters).await?;
    session.commit().await?;
    Ok(rows)
}

/// In words, for a gap.
fn why(failure: Failure) -> String {
    match failure {
        Failure::Refused(text) if text.contains("SQLSTATE 42501") && text.contains("schema fulfillment") => {
            "not visible to this role; `fulfillment-worker migrate --grant-to ROLE` gives it its rights".to_owned()
        }
        Failure::Refused(text) if text.contains("SQLSTATE 42501") => {
            "not visible to this role; pg_read_all_stats or pg_monitor would let it look".to_owned()
        }
        Failure::Unavailable(text)
        | Failure::Conflict(text)
        | Failure::LockTimeout(text)
        | Failure::Taken(text)
        | Failure::Data(text)
        | Failure::Missing(text)
        | Failure::Refused(text) => text,
    }
}

fn table(row: &Row) -> Result<Table, Failure> {
    let options: Vec<String> = column(row, "options")?;
    let options = options.iter().filter_map(|option| option.split_once('='));
    Ok(Table {
        name: column(row, "name")?,
        is_orders: column(row, "is_orders")?,
        options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        live: count(column(row, "live")?),
        dead: count(column(row, "dead")?),
        updates: count(column(row, "updates")?),
        hot_updates: count(column(row, "hot_updates")?),
        vacuumed: column(row, "vacuumed")?,
        bytes: count(column(row, "bytes")?),
    })
}

/// Writes what statements about `orders` and its partitions begin with.
fn with_wanted(text: &str) -> String {
    text.replace("{wanted}", include_str!("diagnosis/wanted.sql").trim_end())
}

fn index(row: &Row) -> Result<Index, Failure> {
    Ok(Index {
        name: column(row, "name")?,
        part_of: column(row, "part_of")?,
        method: column(row, "method")?,
        columns: column(row, "columns")?,
        constraint: column(row, "constraint_name")?,
        scans: count(column(row, "scans")?),
        last_scan: column(row, "last_scan")?,
        bytes: count(column(row, "bytes")?),
    })
}

fn holder(row: &Row) -> Result<Holder, Failure> {
    Ok(Holder {
        kind: match column::<&str>(row, "kind")? {
            "slot" => HolderKind::Slot,
            "prepared" => HolderKind::Prepared,
            _ => HolderKind::Session,
        },
        name: column(row, "name")?,
        role: column(row, "role")?,
        application: column(row, "application")?,
        state: column(row, "state")?,
        since: column(row, "since")?,
        behind: column::<Option<i64>>(row, "behind")?.map(count),
        wal_bytes: column(row, "wal_bytes")?,
    })
}
