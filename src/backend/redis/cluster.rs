//! Finds the node of a Cluster that holds the slot of the queue's keys, by asking nodes for one of them.
//!
//! All keys share a slot, so one node is all that is needed, and the slot's number is not: `MOVED` names its owner. Why
//! redis-rs's client for Clusters isn't used is in docs/adr/0011.

use std::collections::HashSet;

use futures::StreamExt;
use parking_lot::Mutex;
use rand::seq::SliceRandom;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, RedisError, RedisResult, Value};

use super::address::Address;
use super::connect::{Dialing, at, follow};
use super::error::{is_transient, said_by_node};
use super::reply;

/// Nodes that are asked at once, so that one that doesn't answer holds nothing up.
const AT_ONCE: usize = 4;

/// A Cluster, as far as we know it.
pub(super) struct Cluster {
    /// What the URL names, at least one.
    pub(super) named: Vec<ConnectionInfo>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Who held the slot when a connection was last made.
    owner: Option<Address>,
    /// Who else was a node then: when those that the URL names are gone, these lead on.
    nodes: Vec<Address>,
}

impl Cluster {
    pub(super) fn new(named: Vec<ConnectionInfo>) -> Self {
        Self { named, known: Mutex::default() }
    }

    /// A connection to the node that holds `key`.
    pub(super) async fn connect(&self, key: &str, dialing: &Dialing) -> RedisResult<MultiplexedConnection> {
        let (owner, mut connection) = self.find(key, dialing).await?;
        let answer: RedisResult<Value> = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await;
        let here = owner.as_ref().map(|owner| owner.host.as_str()).unwrap_or_default();
        let nodes = answer.and_then(|answer| reply::nodes(answer, here));
        let nodes = nodes.map_err(|error| said_by_node(owner.as_ref(), error))?;
        *self.known.lock() = Known { owner, nodes };
        Ok(connection)
    }

    async fn find(&self, key: &str, dialing: &Dialing) -> RedisResult<(Option<Address>, MultiplexedConnection)> {
        let attempts: Vec<_> = self
            .candidates()
            .into_iter()
            .map(|node| async move {
                let found = follow(&node, key, dialing).await;
                found.map_err(|error| said_by_node(Address::of(&node).as_ref(), error))
            })
            .collect();
        let mut attempts = futures::stream::iter(attempts).buffer_unordered(AT_ONCE);
        let mut failure: Option<RedisError> = None;
        while let Some(attempt) = attempts.next().await {
            match attempt {
                Ok(found) => return Ok(found),
                // A refusal needs somebody to act, and is what to say when others are merely down.
                Err(error) if failure.as_ref().is_none_or(is_transient) => failure = Some(error),
                Err(_) => {}
            }
        }
        Err(failure.unwrap_or_else(|| std::io::Error::other("no node of the Cluster is known").into()))
    }

    /// The last owner first; the others in any order, so that the same dead ones aren't asked first each time.
    fn candidates(&self) -> Vec<ConnectionInfo> {
        let Some(template) = self.named.first() else { return Vec::new() };
        let known = self.known.lock();
        let mut addresses: Vec<Address> = self.named.iter().filter_map(Address::of).collect();
        addresses.extend(known.nodes.iter().cloned());
        addresses.shuffle(&mut rand::rng());
        let mut seen = HashSet::new();
        let in_order = known.owner.iter().chain(&addresses).filter(|address| seen.insert(*address));
        in_order.map(|address| at(template, address)).collect()
    }
}
