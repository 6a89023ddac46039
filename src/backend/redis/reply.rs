//! Reads the scripts' answers, moving payloads instead of copying them. Never panics, whatever the answer: between
//! worker and Redis there may be a proxy, or something that only resembles Redis.

use std::time::Duration;

use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, Value};

pub use super::address::Address;
use crate::domain::message::Oversized;
use crate::port::queue::{Claim, Claimed, Depth, QueueError, Receipt, ReceiptState};
use crate::port::queue_maintenance::{ClaimedMessage, ClaimedPage, HandedBack, Page};

/// An answer that no script of ours gives: a proxy or a server that only resembles Redis.
fn unexpected(script: &str) -> QueueError {
    QueueError::Refused(format!(
        "the server's answer to {script} is not what Redis would answer; is it Redis 6.2 or later?"
    ))
}

/// Records that `claim.lua` found out of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anomalies {
    /// Records that neither a lease nor a retry speaks for.
    pub unaccounted: i64,
    /// Leases and retries without a record, which it dropped.
    pub dropped: i64,
}

/// What `claim.lua` returns.
///
/// # Errors
/// [`QueueError::Refused`] for an answer that the server doesn't give.
pub fn claimed(answer: Value, token: &str) -> Result<(Claimed, Anomalies), QueueError> {
    let Value::Array(values) = answer else { return Err(unexpected("claim.lua")) };
    let at_most = values.len();
    let mut values = values.into_iter();
    let (Some(Value::Int(next_due)), Some(Value::Int(unaccounted)), Some(Value::Int(dropped)), Some(Value::Int(again))) =
        (values.next(), values.next(), values.next(), values.next())
    else {
        return Err(unexpected("claim.lua"));
    };
    let prefix = text(values.next())?;
    let mut claims = Vec::with_capacity(at_most);
    let mut claim = |claim_id, attempt, payload| -> Result<(), QueueError> {
        let (payload, oversized) = payload_of(payload)?;
        let receipt = Receipt { claim_id, token: token.to_owned() };
        claims.push(Claim { receipt, payload, oversized, attempt });
        Ok(())
    };
    for _ in 0..again {
        let (id, Some(Value::Int(attempt)), Some(payload)) = (text(values.next())?, values.next(), values.next())
        else {
            return Err(unexpected("claim.lua"));
        };
        claim(id, u32::try_from(attempt).unwrap_or(u32::MAX), payload)?;
    }
    for (place, payload) in values.enumerate() {
        claim(format!("{prefix}{place:04}"), 1, payload)?;
    }
    // A negative number means that nothing is scheduled.
    let next_due = u64::try_from(next_due).ok().map(Duration::from_millis);
    Ok((Claimed { claims, next_due }, Anomalies { unaccounted, dropped }))
}

fn text(value: Option<Value>) -> Result<String, QueueError> {
    let Some(Value::BulkString(bytes)) = value else { return Err(unexpected("claim.lua")) };
    String::from_utf8(bytes).map_err(|_| unexpected("claim.lua"))
}

/// A message's bytes; of a long one an array of its beginning, its length and its SHA-1.
fn payload_of(value: Value) -> Result<(Vec<u8>, Option<Oversized>), QueueError> {
    if let Value::BulkString(payload) = value {
        return Ok((payload, None));
    }
    let (beginning, bytes, sha1): (Value, u64, String) = read(value, "claim.lua")?;
    let Value::BulkString(beginning) = beginning else { return Err(unexpected("claim.lua")) };
    Ok((beginning, Some(Oversized { bytes, sha1 })))
}

/// What `renew.lua` and `settle.lua` return: verdicts on the first ones, at least one.
///
/// # Errors
/// [`QueueError::Refused`] for an answer that the script doesn't give, without a verdict or with more than `at_most`.
pub fn verdicts(answer: Value, at_most: usize) -> Result<Vec<ReceiptState>, QueueError> {
    let answer: Vec<usize> = read(answer, "a script")?;
    let Some((&count, stale)) = answer.split_first().filter(|(count, _)| (1..=at_most).contains(count)) else {
        return Err(unexpected("a script"));
    };
    let mut verdicts = vec![ReceiptState::Valid; count];
    for position in stale {
        let verdict = position.checked_sub(1).and_then(|index| verdicts.get_mut(index));
        *verdict.ok_or_else(|| unexpected("a script"))? = ReceiptState::Stale;
    }
    Ok(verdicts)
}

/// Anything that redis-rs can read. `script` names what was asked.
///
/// # Errors
/// [`QueueError::Refused`] for an answer that the server doesn't give.
pub fn read<T: FromRedisValue>(answer: Value, script: &str) -> Result<T, QueueError> {
    T::from_redis_value(answer).map_err(|_| unexpected(script))
}

/// What `browse.lua` and `browse_list.lua` return.
///
/// # Errors
/// [`QueueError::Refused`] for an answer that the server doesn't give.
pub fn browsed(answer: Value) -> Result<Page, QueueError> {
    const LOOK: &str = "a look at the queue";
    let Value::Array(values) = answer else { return Err(unexpected(LOOK)) };
    let mut values = values.into_iter();
    let (Some(cursor), Some(Value::Int(oversized))) = (values.next(), values.next()) else {
        return Err(unexpected(LOOK));
    };
    let cursor: u64 = read(cursor, LOOK)?;
    let bytes = |value| match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(unexpected(LOOK)),
    };
    let payloads = values.map(bytes).collect::<Result<_, _>>()?;
    Ok(Page { payloads, oversized: oversized.unsigned_abs(), next: (cursor != 0).then_some(cursor) })
}

/// What `claimed.lua` returns.
///
/// # Errors
/// [`QueueError::Refused`] for an answer that the script doesn't give.
pub fn claimed_page(answer: Value) -> Result<ClaimedPage, QueueError> {
    const SCRIPT: &str = "claimed.lua";
    let Value::Array(values) = answer else { return Err(unexpected(SCRIPT)) };
    let mut values = values.into_iter();
    let cursor: u64 = read(values.next().unwrap_or(Value::Nil), SCRIPT)?;
    let mut messages = Vec::with_capacity(values.len() / 5);
    while let Some(claim_id) = values.next() {
        let mut value = || values.next().unwrap_or(Value::Nil);
        messages.push(ClaimedMessage {
            claim_id: read(claim_id, SCRIPT)?,
            attempts: read(value(), SCRIPT)?,
            leased: read(value(), SCRIPT)?,
            due_in_ms: read(value(), SCRIPT)?,
            oversized: read(value(), SCRIPT)?,
        });
    }
    Ok(ClaimedPage { messages, next: (cursor != 0).then_some(cursor) })
}

/// What `to_list.lua` returns: how many messages it has dealt with, at least one, and what became of them.
///
/// # Errors
/// [`QueueError::Refused`] for an answer that the script doesn't give.
pub fn handed_back(answer: Value, at_most: usize) -> Result<(usize, HandedBack), QueueError> {
    let (dealt_with, returned, leased, oversized) = read(answer, "to_list.lua")?;
    if !(1..=at_most).contains(&dealt_with) {
        return Err(unexpected("to_list.lua"));
    }
    Ok((dealt_with, HandedBack { returned, leased, oversized }))
}

/// What `depth.lua` returns.
///
/// # Errors
/// [`QueueError::Refused`] for an answer that the script doesn't give.
pub fn depth(answer: Value) -> Result<Depth, QueueError> {
    let (waiting, in_flight, due, retrying) = read(answer, "depth.lua")?;
    Ok(Depth { waiting, in_flight, due, retrying })
}

/// What `SENTINEL GET-MASTER-ADDR-BY-NAME` returns: the master's address, or nothing for a name that is unknown.
///
/// # Errors
/// For an answer that no sentinel gives.
pub fn master(answer: Value) -> RedisResult<Option<Address>> {
    if answer == Value::Nil {
        return Ok(None);
    }
    let (host, port): (String, u16) = FromRedisValue::from_redis_value(answer)?;
    match Address::known(&host, port, "") {
        Some(address) => Ok(Some(address)),
        None => Err(RedisError::from((ErrorKind::UnexpectedReturnType, "a master without an address"))),
    }
}

/// Most nodes of a Cluster that are remembered.
pub const MOST_NODES: usize = 200;

/// What `CLUSTER SLOTS` returns: the addresses of nodes that hold slots or replicate them, each once. One without a
/// host of its own is at `here`, where the answer came from.
///
/// # Errors
/// For an answer that isn't a list.
pub fn nodes(answer: Value, here: &str) -> RedisResult<Vec<Address>> {
    let ranges: Vec<Value> = FromRedisValue::from_redis_value(answer)?;
    let mut found = Vec::new();
    // A range is its first slot, its last one, and nodes: host, port, and more that doesn't matter here.
    for range in ranges {
        let Value::Array(range) = range else { continue };
        for node in range.into_iter().skip(2) {
            let Value::Array(node) = node else { continue };
            let host = match node.first() {
                Some(Value::BulkString(host)) => String::from_utf8_lossy(host).into_owned(),
                Some(Value::Nil) => String::new(),
                _ => continue,
            };
            let Some(Value::Int(port)) = node.get(1) else { continue };
            let address = u16::try_from(*port).ok().and_then(|port| Address::known(&host, port, here));
            if let Some(address) = address.filter(|address| !found.contains(address)) {
                found.push(address);
            }
            if found.len() >= MOST_NODES {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
