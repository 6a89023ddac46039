//! Connections to Redis that are made when they are needed, and made anew when they are of no more use. Where to,
//! [`Servers`] finds out each time.
//!
//! Not redis-rs's `ConnectionManager`: it hands a connection attempt that the server answered (`LOADING`, a wrong
//! password) to every later caller without ever trying again, keeps a connection to a primary that became a replica,
//! and retries by itself where the engine does so already, with jitter and in sight of readiness.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex as BlockingMutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisError, RedisResult, Script, ToRedisArgs, Value};
use tokio::sync::Mutex;

use super::connect::config;
use super::error::{self, needs_new_connection};
use super::servers::Servers;

/// Longest time that the server may take for an ordinary answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How old a connection may get whose server may be replaced without a word; see [`Servers::may_change_unnoticed`].
const RENEW_AFTER: Duration = Duration::from_secs(10);

/// The connection for ordinary calls, shared by all of them.
pub(super) struct SharedConnection {
    servers: Arc<Servers>,
    config: AsyncConnectionConfig,
    state: Mutex<State>,
}

enum State {
    /// Nobody has asked yet, or the last connection was dropped.
    Idle,
    /// Usable, as far as we know.
    Up(Up),
    /// The last attempt ended at this time with this error.
    Failed(Instant, RedisError),
}

#[derive(Clone)]
struct Up {
    /// Tells one connection from the next.
    number: u64,
    connection: MultiplexedConnection,
    /// When it was made, or a newer one last tried for.
    since: Instant,
}

impl Up {
    fn now(connection: MultiplexedConnection) -> Self {
        Self { number: rand::random(), connection, since: Instant::now() }
    }
}

/// A script with its keys and arguments. Packed at once: the library's own call keeps every argument in an allocation of
/// its own, and a batch has thousands.
pub(super) struct ScriptCall<'a> {
    script: &'a Script,
    evalsha: Cmd,
}

impl<'a> ScriptCall<'a> {
    pub(super) fn new(script: &'a Script, keys: &[&str]) -> Self {
        let mut evalsha = redis::cmd("EVALSHA");
        evalsha.arg(script.get_hash()).arg(keys.len()).arg(keys);
        Self { script, evalsha }
    }

    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.evalsha.arg(argument);
        self
    }
}

impl SharedConnection {
    pub(super) fn new(servers: Arc<Servers>) -> Self {
        Self { servers, config: config(RESPONSE_TIMEOUT), state: Mutex::new(State::Idle) }
    }

    /// Sends a command.
    pub(super) async fn query(self: &Arc<Self>, command: &Cmd) -> RedisResult<Value> {
        self.call(|mut connection| async move { command.query_async(&mut connection).await }).await
    }

    /// Sends commands as one transaction.
    pub(super) async fn transaction(self: &Arc<Self>, commands: &redis::Pipeline) -> RedisResult<()> {
        self.call(|mut connection| async move { commands.exec_async(&mut connection).await }).await
    }

    /// Calls a script, and loads it first where the server doesn't know it: after its restart, a failover or `SCRIPT
    /// FLUSH`.
    pub(super) async fn run(self: &Arc<Self>, ScriptCall { script, evalsha }: &ScriptCall<'_>) -> RedisResult<Value> {
        self.call(|mut connection| async move {
            let answer = evalsha.query_async(&mut connection).await;
            if !matches!(&answer, Err(error) if error.code() == Some("NOSCRIPT")) {
                return answer;
            }
            script.load_async(&mut connection).await?;
            evalsha.query_async(&mut connection).await
        })
        .await
    }

    /// Makes a call. Drops the connection after an error that it won't recover from.
    async fn call<T, F: Future<Output = RedisResult<T>>>(
        self: &Arc<Self>,
        send: impl FnOnce(MultiplexedConnection) -> F,
    ) -> RedisResult<T> {
        let Up { number, connection, .. } = self.get().await?;
        let answer = send(connection).await;
        if matches!(&answer, Err(error) if needs_new_connection(error)) {
            self.replace(number, State::Idle).await;
        }
        answer
    }

    /// The connection, made now if there is none. Callers who waited for an attempt that failed share its error, so
    /// that none waits longer than for one attempt.
    async fn get(self: &Arc<Self>) -> RedisResult<Up> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        match &mut *state {
            State::Up(up) => {
                if self.servers.may_change_unnoticed() && up.since.elapsed() >= RENEW_AFTER {
                    up.since = Instant::now();
                    // Ends with its one attempt, which has a limit.
                    tokio::spawn(Arc::clone(self).renew(up.number));
                }
                return Ok(up.clone());
            }
            State::Failed(at, error) if *at >= asked => return Err(error.clone()),
            State::Idle | State::Failed(..) => {}
        }
        let found = self.servers.connect(&self.config).await.map(Up::now);
        *state = match &found {
            Ok(up) => State::Up(up.clone()),
            Err(error) => State::Failed(Instant::now(), error.clone()),
        };
        found
    }

    /// Leaves the connection of this number, unless it was replaced meanwhile.
    async fn replace(&self, number: u64, with: State) {
        let mut state = self.state.lock().await;
        if matches!(&*state, State::Up(up) if up.number == number) {
            *state = with;
        }
    }

    /// Makes a connection to whatever is the server now, and puts it in the place of the old one: calls go on
    /// meanwhile. Where that fails, the old one is as good as it was.
    async fn renew(self: Arc<Self>, number: u64) {
        match self.servers.connect(&self.config).await {
            Ok(connection) => self.replace(number, State::Up(Up::now(connection))).await,
            Err(error) => {
                let error = error::text(&error);
                tracing::warn!(error, "nobody says who is the Redis master; keeping to the last one");
            }
        }
    }
}

/// The connection for calls that block at the server, which would hold up all others on a shared one.
pub(super) struct BlockingConnection {
    servers: Arc<Servers>,
    config: AsyncConnectionConfig,
    idle: BlockingMutex<Option<Up>>,
}

impl BlockingConnection {
    /// `longest` is how long a call may block.
    pub(super) fn new(servers: Arc<Servers>, longest: Duration) -> Self {
        Self { servers, config: config(longest + RESPONSE_TIMEOUT), idle: BlockingMutex::new(None) }
    }

    /// Sends a command that may block, and returns when it has ended: the server is told to keep its answer, which may be
    /// a message of any size, or an error, to itself.
    ///
    /// The connection is taken out for the call and put back after an answer: when this future is dropped, it goes
    /// with it, and with it the command at the server. A second caller at the same time gets a connection of its own.
    pub(super) async fn await_end(&self, command: Cmd) -> RedisResult<()> {
        let reply = |mode: &str| redis::cmd("CLIENT").arg("REPLY").arg(mode).clone();
        let mut commands = redis::pipe();
        commands.add_command(reply("OFF")).add_command(command).add_command(reply("ON"));
        let idle = self.idle.lock().take();
        let mut up = match idle {
            Some(up) if !(self.servers.may_change_unnoticed() && up.since.elapsed() >= RENEW_AFTER) => up,
            _ => Up::now(self.servers.connect(&self.config).await?),
        };
        // The last of the three has the only answer. After an error more of them may be on their way.
        up.connection.send_packed_commands(&commands, 0, 1).await?;
        *self.idle.lock() = Some(up);
        Ok(())
    }

    /// Has the next call make a connection anew.
    pub(super) fn disconnect(&self) {
        *self.idle.lock() = None;
    }
}
