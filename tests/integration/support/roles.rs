//! A Redis and a Postgres with the users of `deploy/`, each with a password of its own, as `scripts/compose-secrets.sh` makes them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::postgres::PostgresServer;
use super::redis::{RedisServer, server_command};

/// The servers. Redis has an `admin` with that password besides, who may do anything.
pub(crate) struct ServersWithRoles {
    pub(crate) redis: RedisServer,
    pub(crate) postgres: PostgresServer,
    folder: tempfile::TempDir,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn knows_client_setinfo() -> bool {
    let output = server_command().arg("--version").output().expect("redis-server");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version =
        text.split_once("v=").and_then(|(_, rest)| rest.split('.').take(2).map(|part| part.parse().ok()).collect());
    version.is_some_and(|version: Vec<u32>| version >= vec![7, 2])
}

impl ServersWithRoles {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Command::new(repository().join("scripts/compose-secrets.sh")).arg(folder.path()).output();
        let made = made.expect("the script");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let shipped = std::fs::read_to_string(folder.path().join("redis-users.acl")).expect("users");
        // Which Redis has since 7.2, and nothing needs.
        let shipped = if knows_client_setinfo() { shipped } else { shipped.replace(" +client|setinfo", "") };
        let users = folder.path().join("users.acl");
        std::fs::write(&users, format!("{shipped}user admin on >admin ~* &* +@all\n")).expect("a file of users");
        let redis = RedisServer::start_with(&["--aclfile", users.to_str().expect("a path")]).await;
        let postgres = PostgresServer::start().await;
        let servers = Self { redis, postgres, folder };
        // The first of the files, the given schema, is in it already.
        let database = servers.postgres.database().await;
        for file in ["roles.sql", "logins.sql"] {
            let mut psql = Command::new("psql");
            psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file"]);
            psql.arg(repository().join("deploy/postgres").join(file)).arg(database.url());
            let output = psql.env("SECRETS", servers.secrets()).output().expect("psql");
            assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        }
        servers
    }

    /// The folder with the secrets.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn secret(&self, name: &str) -> String {
        std::fs::read_to_string(self.secrets().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Where Redis is, HOST:PORT.
    pub(crate) fn redis_address(&self) -> String {
        self.redis.url().trim_start_matches("redis://").trim_end_matches('/').to_owned()
    }

    pub(crate) fn postgres_port(&self) -> u16 {
        url::Url::parse(&self.postgres.url()).ok().and_then(|url| url.port()).expect("a port")
    }

    /// The database as this role.
    pub(crate) fn database_url(&self, role: &str) -> String {
        let password = self.secret(&format!("{role}-password"));
        format!("postgres://fulfillment_{role}:{password}@127.0.0.1:{}/orders", self.postgres_port())
    }

    /// The database as its owner.
    pub(crate) fn owners_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/orders", self.postgres_port())
    }

    /// Asks Redis as whoever may ask anything.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let url = self.redis.url().replace("redis://", "redis://admin:admin@");
        let mut admin = redis::Client::open(url).and_then(|client| client.get_connection()).expect("the admin");
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        words.fold(&mut command, |command, word| command.arg(word)).query(&mut admin).expect("an answer")
    }
}
