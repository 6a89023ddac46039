//! The names of a queue's keys.

use crate::port::queue::QueueError;

/// The four keys that make up a queue, all of them in one Cluster slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// The producers' list: they push at the left, the oldest is at the right.
    pub(super) list: String,
    /// Hash from claim id to envelope: every message that was claimed and not removed.
    pub(super) inflight: String,
    /// Sorted set of claim ids by the end of their lease.
    pub(super) leases: String,
    /// Sorted set of claim ids by the time of their retry.
    pub(super) retries: String,
}

impl Keys {
    /// Derives the companions' names from that of the list.
    ///
    /// A Cluster hashes the text between the first `{` and the `}` after it, or the whole key where there is no such
    /// text: hence `{list}:leases`, unless the list's name has a hash tag of its own.
    pub(super) fn new(list: &str) -> Result<Self, QueueError> {
        let has_hash_tag =
            list.split_once('{').and_then(|(_, rest)| rest.split_once('}')).is_some_and(|(tag, _)| !tag.is_empty());
        if list.is_empty() || (!has_hash_tag && list.contains('}')) {
            return Err(QueueError::Refused(format!(
                "the queue key {list:?} can't be used: it must not be empty, nor contain `}}` except to end a hash tag"
            )));
        }
        let prefix = if has_hash_tag { list.to_owned() } else { format!("{{{list}}}") };
        Ok(Self {
            list: list.to_owned(),
            inflight: format!("{prefix}:inflight"),
            leases: format!("{prefix}:leases"),
            retries: format!("{prefix}:retries"),
        })
    }

    /// The keys of what is claimed or waits for a retry, in the order in which scripts take them.
    pub(super) fn records(&self) -> [&str; 3] {
        [&self.inflight, &self.leases, &self.retries]
    }

    /// Each key with the type that it must have.
    pub(super) fn with_types(&self) -> [(&str, &'static str); 4] {
        [(&self.list, "list"), (&self.inflight, "hash"), (&self.leases, "zset"), (&self.retries, "zset")]
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn a_plain_name_becomes_the_hash_tag_of_its_companions() {
        let keys = Keys::new("fulfillment_queue").unwrap();
        assert_eq!(keys.list, "fulfillment_queue");
        assert_eq!(keys.inflight, "{fulfillment_queue}:inflight");
        assert_eq!(keys.leases, "{fulfillment_queue}:leases");
        assert_eq!(keys.retries, "{fulfillment_queue}:retries");
    }

    #[test]
    fn a_hash_tag_of_its_own_is_kept() {
        assert_eq!(Keys::new("shop:{eu}:orders").unwrap().leases, "shop:{eu}:orders:leases");
    }

    #[test]
    fn names_whose_slot_no_companion_can_share_are_refused() {
        for name in ["", "a}b", "a{}b", "}"] {
            assert!(Keys::new(name).is_err(), "{name}");
        }
    }
}
