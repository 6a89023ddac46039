//! Puts claimed messages back on the producers' list, in steps that block Redis no longer than a claim does.

use async_trait::async_trait;

use super::connection::ScriptCall;
use super::{LARGEST_BATCH, RedisQueue, reply};
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::{ClaimedPage, HandBack, HandedBack, LiveLeases};

#[async_trait]
impl HandBack for RedisQueue {
    async fn claimed(&self, cursor: u64) -> Result<ClaimedPage, QueueError> {
        let mut call = ScriptCall::new(&self.scripts.claimed, &self.keys.records());
        reply::claimed_page(self.run(call.arg(cursor)).await?)
    }

    async fn hand_back(&self, claim_ids: &[String], live: LiveLeases) -> Result<HandedBack, QueueError> {
        let mut newest_first: Vec<&String> = claim_ids.iter().collect();
        newest_first.sort_by_cached_key(|claim_id| std::cmp::Reverse(age(claim_id)));
        let [inflight, leases, retries] = self.keys.records();
        let (mut total, mut left) = (HandedBack::default(), newest_first.as_slice());
        while !left.is_empty() {
            let batch = left.get(..LARGEST_BATCH).unwrap_or(left);
            let mut call = ScriptCall::new(&self.scripts.to_list, &[&self.keys.list, inflight, leases, retries]);
            call.arg(u8::from(live == LiveLeases::Take));
            for claim_id in batch {
                call.arg(claim_id.as_str());
            }
            let (dealt_with, step) = reply::handed_back(self.run(&call).await?, batch.len())?;
            left = left.get(dealt_with..).unwrap_or_default();
            total += step;
        }
        Ok(total)
    }
}

/// Orders messages by age, the oldest first: by the time of the first claim and the place in it, which end the ids that
/// `claim.lua` gives. Of a message that a reconciler put in, or an earlier version claimed, neither is known; its order
/// has waited for long.
fn age(claim_id: &str) -> (u64, u64, &str) {
    let mut parts = claim_id.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (index, micros) = (number(), number());
    match (micros, index, parts.next()) {
        (Some(micros), Some(index), Some(_)) => (micros, index, claim_id),
        _ => (0, 0, claim_id),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn ids_are_ordered_by_their_first_claim_and_those_that_do_not_tell_it_come_first() {
        let mut ids = ["b-1:1700:0002", "a-7:1701:0000", "b-1:1700:0010", "adopted-7-9", "z-3:0001", "c-1:900:10000"];
        ids.sort_by_key(|id| age(id));
        assert_eq!(
            ids,
            ["adopted-7-9", "z-3:0001", "c-1:900:10000", "b-1:1700:0002", "b-1:1700:0010", "a-7:1701:0000"]
        );
    }
}
