//! What a failover came to, counted from outside: by the rows of both servers, the warehouse's record and the dead letters.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::support::postgres::TestDatabase;

/// Rows of one server: the idempotency key of each, its id and its status.
pub(crate) struct Rows(pub(crate) HashMap<String, (i32, String)>);

impl Rows {
    pub(crate) async fn of(database: &TestDatabase) -> Self {
        let sql = "SELECT concat('order-', id, '-', (extract(epoch FROM created_at) * 1000000)::int8), id, status FROM orders";
        let rows = database.query(sql, &[]).await;
        Self(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
    }

    pub(crate) fn in_state(&self, state: &str) -> usize {
        self.0.values().filter(|(_, status)| status == state).count()
    }

    pub(crate) fn ids(&self) -> HashSet<i32> {
        self.0.values().map(|(id, _)| *id).collect()
    }
}

/// The warehouse's record.
pub(crate) struct Record(pub(crate) Vec<Value>);

impl Record {
    /// Key and reference of what was shipped from then on.
    pub(crate) fn shipped_since(&self, micros: i64) -> Vec<(&str, &str)> {
        let since = |call: &&Value| call["effect"] == true && call["at_micros"].as_i64().expect("a time") >= micros;
        self.0.iter().filter(since).map(|call| (text(&call["key"]), text(&call["reference"]))).collect()
    }

    /// Keys that were shipped more than once. None, when all is well.
    pub(crate) fn shipped_twice(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        self.shipped_since(0).into_iter().map(|(key, _)| key).filter(|key| !seen.insert(*key)).collect()
    }

    pub(crate) fn repeated(&self) -> usize {
        self.0.iter().filter(|call| call["done"] == "repeated").count()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The table of docs/FAILOVER.md.
pub(crate) struct Figures {
    pub(crate) orders: usize,
    pub(crate) fulfilled_before: usize,
    pub(crate) put_back: usize,
    pub(crate) lost: usize,
    pub(crate) lost_settled: usize,
    pub(crate) row_gone: usize,
    pub(crate) unknown: usize,
    pub(crate) ids_given_again: usize,
    pub(crate) calls: usize,
    pub(crate) repeated: usize,
    pub(crate) not_ready: Duration,
    pub(crate) promoted: Duration,
    pub(crate) ready: Duration,
    pub(crate) over: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [
            ("orders placed before the primary was killed", self.orders),
            ("of these fulfilled, when it was killed", self.fulfilled_before),
            ("fulfilled rows that were open again at the standby", self.put_back),
            ("rows that the standby had never received", self.lost),
            ("of these fulfilled and acknowledged: nobody here knows of them", self.lost_settled),
            ("dead letters `row_gone`: in hand when it was killed", self.row_gone),
            ("dead letters `unknown_order`: still in the queue", self.unknown),
            ("ids handed out again", self.ids_given_again),
            ("calls to the warehouse", self.calls),
            ("of these with a key that it had shipped before", self.repeated),
        ];
        for (what, number) in lines {
            writeln!(f, "| {what} | {number} |")?;
        }
        let times = [
            ("killed until no worker was ready", self.not_ready),
            ("killed until the standby was promoted", self.promoted),
            ("promoted until each worker was ready", self.ready.saturating_sub(self.promoted)),
            ("promoted until everything was fulfilled", self.over.saturating_sub(self.promoted)),
        ];
        for (what, time) in times {
            writeln!(f, "| {what} | {:.1} s |", time.as_secs_f64())?;
        }
        Ok(())
    }
}
