//! Connections to Redis that are made when they are needed, and made anew when they are of no more use.
//!
//! Not redis-rs's `ConnectionManager`: it hands a connection attempt that the server answered (`LOADING`, a wrong
//! password) to every later caller without ever trying again, keeps a connection to a primary that became a replica,
//! and retries by itself where the engine does so already, with jitter and in sight of readiness.

use std::sync::Mutex as BlockingMutex;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, RedisError, RedisResult, Script, Value};
use tokio::sync::Mutex;

use super::error::needs_new_connection;
use crate::config::SecretUrl;

/// Longest time from the first packet to the answer to the password.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time that the server may take for an ordinary answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is noticed after this much silence and three probes, 5 s apart; the same for
/// bytes that nobody acknowledges.
const SILENCE: Duration = Duration::from_secs(10);

/// Checks the URL and sets what every connection has in common. Connects to nothing.
pub(super) fn client(url: &SecretUrl) -> RedisResult<Client> {
    let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(Duration::from_secs(5)).with_retries(3);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(SILENCE);
    Client::open(url.expose().clone().into_connection_info()?.set_tcp_settings(tcp))
}

/// The connection for ordinary calls, shared by all of them.
pub(super) struct SharedConnection {
    client: Client,
    config: AsyncConnectionConfig,
    state: Mutex<State>,
}

enum State {
    /// Nobody has asked yet, or the last connection was dropped.
    Idle,
    /// Usable, as far as we know. The number tells one connection from the next.
    Up(u64, MultiplexedConnection),
    /// The last attempt ended at this time with this error.
    Failed(Instant, RedisError),
}

impl SharedConnection {
    pub(super) fn new(client: Client) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        Self { client, config, state: Mutex::new(State::Idle) }
    }

    /// Sends a command.
    pub(super) async fn query(&self, command: &Cmd) -> RedisResult<Value> {
        let (number, mut connection) = self.get().await?;
        let answer = command.query_async(&mut connection).await;
        self.note(number, &answer).await;
        answer
    }

    /// Sends commands as one transaction.
    pub(super) async fn transaction(&self, commands: &redis::Pipeline) -> RedisResult<()> {
        let (number, mut connection) = self.get().await?;
        let answer = commands.exec_async(&mut connection).await;
        self.note(number, &answer).await;
        answer
    }

    /// Sends the `EVALSHA` of a script, and loads the script first where the server doesn't know it: after its restart,
    /// a failover or `SCRIPT FLUSH`.
    pub(super) async fn run(&self, script: &Script, evalsha: &Cmd) -> RedisResult<Value> {
        let (number, mut connection) = self.get().await?;
        let mut answer = evalsha.query_async(&mut connection).await;
        if matches!(&answer, Err(error) if error.code() == Some("NOSCRIPT")) {
            answer = match script.load_async(&mut connection).await {
                Ok(_) => evalsha.query_async(&mut connection).await,
                Err(error) => Err(error),
            };
        }
        self.note(number, &answer).await;
        answer
    }

    /// The connection, made now if there is none. Callers who waited for an attempt that failed share its error, so
    /// that none waits longer than for one attempt.
    async fn get(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        match &*state {
            State::Up(number, connection) => return Ok((*number, connection.clone())),
            State::Failed(at, error) if *at >= asked => return Err(error.clone()),
            State::Idle | State::Failed(..) => {}
        }
        match self.client.get_multiplexed_async_connection_with_config(&self.config).await {
            Ok(connection) => {
                let number = rand::random();
                *state = State::Up(number, connection.clone());
                Ok((number, connection))
            }
            Err(error) => {
                *state = State::Failed(Instant::now(), error.clone());
                Err(error)
            }
        }
    }

    /// Drops the connection after an error that it won't recover from, unless it was replaced meanwhile.
    async fn note<T>(&self, number: u64, answer: &RedisResult<T>) {
        if matches!(answer, Err(error) if needs_new_connection(error)) {
            let mut state = self.state.lock().await;
            if matches!(&*state, State::Up(current, _) if *current == number) {
                *state = State::Idle;
            }
        }
    }
}

/// The connection for calls that block at the server, which would hold up all others on a shared one.
pub(super) struct BlockingConnection {
    client: Client,
    config: AsyncConnectionConfig,
    idle: BlockingMutex<Option<MultiplexedConnection>>,
}

impl BlockingConnection {
    /// `longest` is how long a call may block.
    pub(super) fn new(client: Client, longest: Duration) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(longest + RESPONSE_TIMEOUT));
        Self { client, config, idle: BlockingMutex::new(None) }
    }

    /// Sends a command that may block.
    ///
    /// The connection is taken out for the call and put back after an answer: when this future is dropped, it goes
    /// with it, and with it the command at the server. A second caller at the same time gets a connection of its own.
    pub(super) async fn query(&self, command: &Cmd) -> RedisResult<Value> {
        let idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.client.get_multiplexed_async_connection_with_config(&self.config).await?,
        };
        let answer = command.query_async(&mut connection).await;
        if !matches!(&answer, Err(error) if needs_new_connection(error)) {
            *self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(connection);
        }
        answer
    }
}
