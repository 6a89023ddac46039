//! A Redis Cluster of real nodes.

use std::process::Command;

use crate::redis_queue::replication::cli;
use crate::redis_queue::server::Server;
use crate::support::{LONG, eventually, expect_equal, free_port};

/// Primaries that share the slots, and at most one replica.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Server>,
}

/// Starts a node that belongs to no Cluster yet.
pub(crate) async fn node(further: &[&str]) -> Server {
    // By default the nodes talk to each other at the port plus 10,000, which need not be one.
    let bus = free_port().to_string();
    let options = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1500"];
    Server::start_with(&[&options[..], &["--repl-diskless-sync-delay", "0"], further].concat()).await
}

impl Nodes {
    /// Three primaries, made by `redis-cli --cluster create`.
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(node(&[]).await);
        }
        let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let arguments = ["--cluster", "create"].into_iter().chain(addresses.iter().map(String::as_str));
        let arguments: Vec<&str> = arguments.chain(["--cluster-replicas", "0", "--cluster-yes"]).collect();
        let created = cli(&arguments);
        assert!(created.contains("All 16384 slots covered"), "{created}");
        let cluster = Self { nodes };
        cluster.agreed().await;
        cluster
    }

    /// Adds a replica of the node at `primary`.
    pub(crate) async fn add_replica(&mut self, primary: usize) {
        let replica = node(&[]).await;
        let (new, old) = (replica.port, self.nodes[primary].port);
        let id: String = self.nodes[primary].ask("CLUSTER MYID");
        self.nodes.push(replica);
        let arguments = [
            "--cluster",
            "add-node",
            &format!("127.0.0.1:{new}"),
            &format!("127.0.0.1:{old}"),
            "--cluster-slave",
            "--cluster-master-id",
            &id,
        ];
        cli(&arguments);
        self.agreed().await;
        let replica = self.nodes.last().expect("the replica");
        eventually(LONG, "the replica follows", async || {
            let info: String = replica.ask("INFO replication");
            if info.contains("master_link_status:up") { Ok(()) } else { Err(info) }
        })
        .await;
    }

    /// Returns once every node sees all others, and all slots served.
    async fn agreed(&self) {
        let wanted = format!("cluster_known_nodes:{}", self.nodes.len());
        eventually(LONG, "the nodes agree", async || {
            for node in &self.nodes {
                let info: String = node.ask("CLUSTER INFO");
                if !info.contains("cluster_state:ok") || !info.contains(&wanted) {
                    return Err(info);
                }
            }
            let mut views = self.nodes.iter().map(|node| node.ask::<String>("CLUSTER NODES").lines().count());
            views.try_for_each(|known| expect_equal(known, self.nodes.len()))
        })
        .await;
    }

    /// The node that holds the slot of a key, by its place.
    pub(crate) fn owner(&self, key: &str) -> usize {
        let holds = |node: &Server| {
            let mut connection = node.connect().expect("a connection to a node");
            let answer: redis::RedisResult<String> = redis::cmd("TYPE").arg(key).query(&mut connection);
            answer.is_ok()
        };
        let owners: Vec<usize> = (0..self.nodes.len()).filter(|place| holds(&self.nodes[*place])).collect();
        assert_eq!(owners.len(), 1, "nodes that hold `{key}`: {owners:?}");
        owners[0]
    }

    /// A URL that names these nodes.
    pub(crate) fn url(&self, places: &[usize]) -> String {
        let hosts: Vec<String> = places.iter().map(|place| format!("127.0.0.1:{}", self.nodes[*place].port)).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }
}

/// A slot on its way from one node to another, as `redis-cli --cluster reshard` moves it.
pub(crate) struct Migration<'a> {
    from: &'a Server,
    to: &'a Server,
    others: Vec<&'a Server>,
    slot: u16,
}

impl<'a> Migration<'a> {
    /// Tells both nodes that the slot of `key` is about to move. Its owner sends on whoever asks for keys that it lacks.
    pub(crate) fn begin(cluster: &'a Nodes, key: &str, from: usize, to: usize) -> Self {
        let slot = cluster.nodes[from].ask_with(["CLUSTER", "KEYSLOT", key]);
        let others = (0..cluster.nodes.len()).filter(|place| ![from, to].contains(place));
        let others = others.map(|place| &cluster.nodes[place]).collect();
        let migration = Self { from: &cluster.nodes[from], to: &cluster.nodes[to], others, slot };
        let [source, target] = [migration.from, migration.to].map(|node| node.ask::<String>("CLUSTER MYID"));
        migration.to.ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
        migration.from.ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
        migration
    }

    /// Moves one key that is there; `false` if there is none.
    pub(crate) fn move_a_key(&self) -> bool {
        let keys: Vec<String> = self.from.ask(&format!("CLUSTER GETKEYSINSLOT {} 1", self.slot));
        let Some(key) = keys.first() else { return false };
        let port = self.to.port.to_string();
        // NOKEY is an answer, too: workers go on meanwhile.
        self.from.ask_with::<String>(["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
        true
    }

    /// Moves what is left, and makes the target the owner.
    pub(crate) fn finish(self) {
        while self.move_a_key() {}
        let target: String = self.to.ask("CLUSTER MYID");
        for node in [self.to, self.from].into_iter().chain(self.others) {
            node.ask::<()>(&format!("CLUSTER SETSLOT {} NODE {target}", self.slot));
        }
    }
}

/// Pushes a message as a producer does that follows redirections, with `redis-cli -c`.
pub(crate) fn cluster_push(node: &Server, key: &str, message: &str) {
    let port = node.port.to_string();
    let output =
        Command::new("redis-cli").args(["-c", "-p", &port, "LPUSH", key, message]).output().expect("redis-cli");
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(answer.parse::<u64>().is_ok(), "LPUSH answered {answer:?}");
}
