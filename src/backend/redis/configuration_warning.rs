//! Warns about settings of the server that may cost messages.

/// Reads the answer to `INFO memory`. Names the setting that loses messages, if there is one, and how to change it.
///
/// Policies that begin with `volatile-` delete only keys that expire, and the queue's keys never do.
pub(super) fn eviction(server: &str, memory: &str) -> Option<String> {
    let policy = memory.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"))?.trim();
    policy.starts_with("allkeys-").then(|| {
        format!(
            "{server}: maxmemory-policy is {policy}, so Redis deletes messages when its memory runs out; set it to \
             noeviction (docs/REDIS.md)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_delete_any_key_are_warned_of() {
        for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            let memory = format!("# Memory\r\nmaxmemory:100\r\nmaxmemory_policy:{policy}\r\n");
            assert!(eviction("redis://host", &memory).is_some_and(|warning| warning.contains(policy)));
        }
        for policy in ["noeviction", "volatile-lru", "volatile-ttl"] {
            assert_eq!(eviction("redis://host", &format!("maxmemory_policy:{policy}\r\n")), None);
        }
        assert_eq!(eviction("redis://host", ""), None);
    }
}
