//! The queue in Redis: the producers' list, and three keys beside it for what is claimed or waits for a retry.
//!
//! Each method is one script at the server (`redis/*.lua`, each says what it guarantees), so that a message is at any
//! time either in the list or in the in-flight hash, whatever happens to the worker, the connection or the reply.
//! All times are the server's. Nothing is left of messages that were acknowledged, and an empty queue has no keys.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ::redis::{Cmd, Script, ToRedisArgs, Value};
use async_trait::async_trait;
use parking_lot::Mutex;

use crate::config::redis_url::RedisServers;
use crate::config::{QueueTls, SecretUrl};
use crate::domain::worker_id::WorkerId;
use crate::event::Observers;
use crate::port::queue::{
    Claimed, Depth, Disposition, Producer, Queue, QueueError, QueueReports, Receipt, ReceiptState, Settlement,
};
use crate::port::queue_maintenance::DanglingRecords;
use crate::testing::mutant::source;

mod address;
mod cluster;
mod configuration_warning;
mod connect;
mod connection;
mod diagnosis;
mod error;
mod hand_back;
mod keys;
mod lost_claims;
mod maintenance;
pub mod reply;
mod sentinel;
mod servers;
mod tls;

use connection::{BlockingConnection, ScriptCall, SharedConnection};
use keys::Keys;
use lost_claims::LostClaims;
use servers::{Servers, ServersError};

/// Most messages in one call of a script, which the scripts insist on too.
const LARGEST_BATCH: usize = 1_000;
/// Most payloads in one `LPUSH`; more go as several in one transaction.
const LARGEST_PUSH: usize = 10_000;
/// Longest wait in one go: other workers' hand-backs and retries that fall due wake nobody.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Pause after a wait that failed, so that a server that is down is not asked in a tight loop.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(250);
/// A wait that ends sooner than this has hardly begun.
const AT_ONCE: Duration = Duration::from_millis(5);
/// Most waits in a row that end at once without anything to claim.
const MOST_FRUITLESS: u64 = 5;
/// What an answer may take beyond the time that was asked for.
const ANSWER_GRACE: Duration = Duration::from_millis(500);
/// Longest time until a retry: longer ones are cut to it.
const LONGEST_RETRY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Numbers the claims of this process, over all its queues: with the worker's identity it makes tokens unique even
/// where two queues share the identity.
static NEXT_CLAIM: AtomicU64 = AtomicU64::new(0);

/// How a [`RedisQueue`] is used.
#[derive(Debug, Clone)]
pub struct RedisQueueOptions {
    /// Name of the list that producers push to. The other keys' names derive from it.
    pub key: String,
    /// How long a claim holds its message, at least 1 ms.
    pub lease: Duration,
    /// Who claims.
    pub worker: WorkerId,
}

/// A queue in Redis 6.2 or later.
pub struct RedisQueue {
    /// The URL without its password, for errors.
    server: String,
    keys: Keys,
    lease_ms: u64,
    worker: WorkerId,
    connection: Arc<SharedConnection>,
    wake_up: BlockingConnection,
    /// How many waits in a row ended at once, with nothing claimed since.
    fruitless: AtomicU64,
    /// Whether it was said that waits are denied.
    denied: AtomicBool,
    scripts: Scripts,
    /// Where the search for records without lease or retry goes on; see `recover.lua`.
    recovery_cursor: AtomicU64,
    lost_claims: LostClaims,
    /// What claims came across since the last question for it.
    repaired_by_claims: Mutex<DanglingRecords>,
}

/// Declares the scripts, each with the functions in front that several share.
macro_rules! scripts {
    ($($name:ident),*) => {
        struct Scripts {
            $($name: Script,)*
        }

        impl Scripts {
            fn new() -> Self {
                let common = include_str!("redis/common.lua");
                Self {
                    $($name: Script::new(&format!(
                        "{common}\n{}",
                        source!(concat!("redis/", stringify!($name), ".lua"))
                    )),)*
                }
            }
        }
    };
}
scripts!(claim, renew, settle, recover, hand_back, depth, requeue_lost, browse, browse_list, prune, claimed, to_list);

impl RedisQueue {
    /// Prepares the queue. Connects with the first call, so a server that is down is no error here. The files of `tls` hold for
    /// every server that the URL leads to, and are read again for each connection; where they can't be used by then, what they
    /// held last goes on counting. `observers` learn of each new connection.
    ///
    /// # Errors
    /// [`QueueError::Refused`] for a URL that leads to no Redis server, a key that can't be used, a lease below 1 ms, a file
    /// that can't be used, or one for a URL that asks for no TLS.
    pub fn connect(
        url: &SecretUrl,
        tls: &QueueTls,
        options: RedisQueueOptions,
        observers: Observers,
    ) -> Result<Self, QueueError> {
        let server = url.to_string();
        let found = RedisServers::of(url).map_err(|problem| QueueError::Refused(format!("{server}: {problem}")))?;
        let lease_ms = u64::try_from(options.lease.as_millis()).unwrap_or(u64::MAX);
        if lease_ms == 0 {
            return Err(QueueError::Refused("a lease must be 1 ms or longer".to_owned()));
        }
        let keys = Keys::new(&options.key)?;
        let servers = Servers::new(&found, tls, &keys.list, observers).map_err(|error| match error {
            ServersError::Url(error) => error::classify(&server, &error),
            ServersError::Tls(problem) => QueueError::Refused(problem),
        })?;
        let servers = Arc::new(servers);
        Ok(Self {
            server,
            keys,
            lease_ms: lease_ms.min(duration_ms(LONGEST_RETRY)),
            worker: options.worker,
            connection: Arc::new(SharedConnection::new(Arc::clone(&servers))),
            wake_up: BlockingConnection::new(servers, LONGEST_WAIT),
            fruitless: AtomicU64::new(0),
            denied: AtomicBool::new(false),
            scripts: Scripts::new(),
            recovery_cursor: AtomicU64::new(0),
            lost_claims: LostClaims::default(),
            repaired_by_claims: Mutex::default(),
        })
    }

    async fn query(&self, command: &Cmd) -> Result<Value, QueueError> {
        self.explained(self.connection.query(command).await).await
    }

    async fn run(&self, call: &ScriptCall<'_>) -> Result<Value, QueueError> {
        self.explained(self.connection.run(call).await).await
    }

    /// Translates an error, and finds out which key is of a wrong type.
    async fn explained<T>(&self, answer: ::redis::RedisResult<T>) -> Result<T, QueueError> {
        let error = match answer {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let types = error::has_code(&error, "WRONGTYPE").then(|| self.keys.with_types());
        for (key, wanted) in types.into_iter().flatten() {
            match self.connection.query(::redis::cmd("TYPE").arg(key)).await {
                Ok(Value::SimpleString(found)) if found != wanted && found != "none" => {
                    return Err(QueueError::Refused(format!(
                        "{}: key `{key}` holds a {found}, and the queue needs a {wanted} there; choose another queue key, or \
                         remove that one if nobody needs it",
                        self.server
                    )));
                }
                Ok(_) => {}
                Err(error) => return Err(error::classify(&self.server, &error)),
            }
        }
        Err(error::classify(&self.server, &error))
    }

    /// Runs a script on the page of records at `cursor`. Returns the next page's cursor, which is 0 after the last page,
    /// and how many records the script found.
    async fn page(
        &self,
        script: &Script,
        keys: &[&str],
        cursor: u64,
        argument: impl ToRedisArgs,
    ) -> Result<(u64, u64), QueueError> {
        let answer = self.run(ScriptCall::new(script, keys).arg(cursor).arg(argument)).await?;
        reply::read(answer, "a script")
    }

    /// Runs a script on every page of records. Returns how many records it found.
    async fn every_page(
        &self,
        script: &Script,
        keys: &[&str],
        argument: impl ToRedisArgs + Sync,
    ) -> Result<u64, QueueError> {
        let (mut cursor, mut total) = (0, 0);
        loop {
            let found;
            (cursor, found) = self.page(script, keys, cursor, &argument).await?;
            total += found;
            // The server's cursor comes back to 0 once it has been through the records, whatever is added meanwhile.
            if cursor == 0 {
                return Ok(total);
            }
        }
    }

    /// Looks at a page of the in-flight hash for records that nothing would ever deliver again. One page a claim, so
    /// that no claim waits for a whole hash.
    async fn recover(&self) -> Result<(), QueueError> {
        let cursor = self.recovery_cursor.load(Ordering::Relaxed);
        let (cursor, found) = self.page(&self.scripts.recover, &self.keys.records(), cursor, self.lease_ms).await?;
        self.recovery_cursor.store(cursor, Ordering::Relaxed);
        self.repaired_by_claims.lock().messages += found;
        Ok(())
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn claim(&self, limit: usize) -> Result<Claimed, QueueError> {
        if limit == 0 {
            return Ok(Claimed::default());
        }
        self.release_unanswered().await?;
        let token = format!("{}-{}", self.worker, NEXT_CLAIM.fetch_add(1, Ordering::Relaxed));
        let [inflight, leases, retries] = self.keys.records();
        let mut call = ScriptCall::new(&self.scripts.claim, &[&self.keys.list, inflight, leases, retries]);
        call.arg(&token).arg(limit.min(LARGEST_BATCH)).arg(self.lease_ms);
        let answer = self.run(&call).await.inspect_err(|error| {
            if error.is_transient() {
                self.lost_claims.remember(token.clone());
            }
        })?;
        let (claimed, anomalies) = reply::claimed(answer, &token)?;
        if !claimed.claims.is_empty() {
            self.fruitless.store(0, Ordering::Relaxed);
        }
        self.repaired_by_claims.lock().schedules += anomalies.dropped.unsigned_abs();
        if anomalies.unaccounted > 0 {
            // What was claimed counts more than what may be found; the next claim looks again.
            if let Err(error) = self.recover().await {
                tracing::warn!(%error, "messages without a lease could not be recovered yet");
            }
        }
        Ok(claimed)
    }

    async fn wait(&self, at_most: Duration) {
        let block = at_most.min(LONGEST_WAIT);
        if block < Duration::from_millis(1) {
            // Redis takes a timeout of zero for "without end".
            return;
        }
        let mut command = ::redis::cmd("BLMOVE");
        command.arg(&self.keys.list).arg(&self.keys.list).arg("RIGHT").arg("RIGHT").arg(block.as_secs_f64());
        let started = tokio::time::Instant::now();
        let ended = tokio::time::timeout(block + ANSWER_GRACE, self.wake_up.await_end(command)).await;
        if let Ok(Err(error)) = &ended
            && error::has_code(error, "NOPERM")
            && !self.denied.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                error = error::text(error),
                "waits for messages end late; docs/REDIS.md has the user's rights"
            );
        }
        if matches!(ended, Ok(Ok(()))) {
            // Other workers may have been faster. Or the server refuses BLMOVE, say as a replica, which it doesn't tell.
            if started.elapsed() >= AT_ONCE {
                self.fruitless.store(0, Ordering::Relaxed);
                return;
            }
            if self.fruitless.fetch_add(1, Ordering::Relaxed) < MOST_FRUITLESS {
                return;
            }
            self.wake_up.disconnect();
        }
        tokio::time::sleep_until(started + block.min(PAUSE_AFTER_ERROR)).await;
    }

    async fn renew(&self, receipts: &[Receipt]) -> Result<Vec<ReceiptState>, QueueError> {
        let mut verdicts = Vec::with_capacity(receipts.len());
        while let Some(left) = receipts.get(verdicts.len()..).filter(|left| !left.is_empty()) {
            let batch = left.get(..LARGEST_BATCH).unwrap_or(left);
            let mut call = ScriptCall::new(&self.scripts.renew, &[&self.keys.inflight, &self.keys.leases]);
            call.arg(self.lease_ms);
            for receipt in batch {
                call.arg(&receipt.claim_id).arg(&receipt.token);
            }
            verdicts.extend(reply::verdicts(self.run(&call).await?, batch.len())?);
        }
        Ok(verdicts)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<ReceiptState>, QueueError> {
        let mut verdicts = Vec::with_capacity(settlements.len());
        while let Some(left) = settlements.get(verdicts.len()..).filter(|left| !left.is_empty()) {
            let batch = left.get(..LARGEST_BATCH).unwrap_or(left);
            let mut call = ScriptCall::new(&self.scripts.settle, &self.keys.records());
            for run in batch.chunk_by(of_one_run) {
                if let Some(Settlement { receipt, disposition }) = run.first() {
                    call.arg(&receipt.token).arg(outcome(disposition)).arg(run.len());
                }
                for Settlement { receipt, .. } in run {
                    call.arg(&receipt.claim_id);
                }
            }
            verdicts.extend(reply::verdicts(self.run(&call).await?, batch.len())?);
        }
        Ok(verdicts)
    }

    /// Without this an outage would cost those messages a lease and an attempt. A claim that the server carries out
    /// even later is left to its lease.
    async fn release_unanswered(&self) -> Result<(), QueueError> {
        let tokens = self.lost_claims.all();
        if tokens.is_empty() {
            return Ok(());
        }
        self.every_page(&self.scripts.hand_back, &self.keys.records(), &tokens).await?;
        self.lost_claims.forget(&tokens);
        Ok(())
    }
}

#[async_trait]
impl Producer for RedisQueue {
    async fn push(&self, payloads: &[Vec<u8>]) -> Result<(), QueueError> {
        if payloads.is_empty() {
            return Ok(());
        }
        let lpush = |batch: &[Vec<u8>]| {
            let mut command = ::redis::cmd("LPUSH");
            command.arg(&self.keys.list).arg(batch);
            command
        };
        let answer = if payloads.len() <= LARGEST_PUSH {
            self.connection.query(&lpush(payloads)).await.map(drop)
        } else {
            let mut transaction = ::redis::pipe();
            transaction.atomic();
            for batch in payloads.chunks(LARGEST_PUSH) {
                transaction.add_command(lpush(batch)).ignore();
            }
            self.connection.transaction(&transaction).await
        };
        self.explained(answer).await
    }
}

#[async_trait]
impl QueueReports for RedisQueue {
    async fn depth(&self) -> Result<Depth, QueueError> {
        let call = ScriptCall::new(&self.scripts.depth, &[&self.keys.list, &self.keys.leases, &self.keys.retries]);
        reply::depth(self.run(&call).await?)
    }

    async fn configuration_warning(&self) -> Result<Option<String>, QueueError> {
        let memory: String = reply::read(self.query(::redis::cmd("INFO").arg("memory")).await?, "INFO")?;
        Ok(configuration_warning::eviction(&self.server, &memory))
    }
}

/// Whether two messages came with one claim and end alike: `settle.lua` is told so once for all of them.
fn of_one_run(one: &Settlement, next: &Settlement) -> bool {
    one.disposition == next.disposition && one.receipt.token == next.receipt.token
}

/// What becomes of a message, as `settle.lua` has it.
fn outcome(disposition: &Disposition) -> Cow<'static, str> {
    match disposition {
        Disposition::Ack => "ack".into(),
        Disposition::Retry { after, spent } => {
            let word = if *spent { "spent" } else { "unspent" };
            format!("{word} {}", duration_ms((*after).min(LONGEST_RETRY))).into()
        }
    }
}

/// Whole milliseconds, rounded up so that a retry never comes early.
fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
