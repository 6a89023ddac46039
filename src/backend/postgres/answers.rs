//! What the statement of a transition, or of an operator's decision, says of its orders.
//!
//! Its columns are read by their places, as a name is searched for anew in each row. Tests hold the places against the SQL.

use tokio_postgres::Row;

use super::column;
use super::errors::Failure;

const ORDER_ID: usize = 0;
const PRESENCE: usize = 1;
/// The fence that was written, if the order was.
pub(super) const FENCE: usize = 2;
/// Whether that is no later than the one before.
pub(super) const STUCK: usize = 3;
/// Whether it came back behind the clock. `conclude.sql` doesn't say so.
pub(super) const BEHIND: usize = 4;

/// The orders that have a row.
pub(super) struct Answers {
    /// By id.
    sorted: Vec<Answer>,
}

/// What is said of one of them.
pub(super) struct Answer {
    pub(super) order_id: i64,
    /// Its row was passed over, as another transaction has locked it.
    pub(super) is_locked: bool,
    pub(super) row: Row,
}

impl Answers {
    pub(super) fn of(rows: Vec<Row>) -> Result<Self, Failure> {
        let mut sorted = Vec::with_capacity(rows.len());
        for row in rows {
            let is_locked = match column(&row, PRESENCE)? {
                "missing" => continue,
                presence => presence == "locked",
            };
            sorted.push(Answer { order_id: column(&row, ORDER_ID)?, is_locked, row });
        }
        sorted.sort_by_key(|answer| answer.order_id);
        Ok(Self { sorted })
    }

    pub(super) fn all(&self) -> &[Answer] {
        &self.sorted
    }

    pub(super) fn of_order(&self, order_id: i64) -> Option<&Answer> {
        let at = self.sorted.binary_search_by_key(&order_id, |answer| answer.order_id).ok()?;
        self.sorted.get(at)
    }
}

/// The names of the columns that a file's statement returns, in their order.
#[cfg(test)]
pub(super) fn columns(sql: &'static str) -> Vec<&'static str> {
    let (_, selected) = sql.rsplit_once("\nSELECT ").unwrap();
    selected.lines().filter_map(|line| line.rsplit_once(" AS ")).map(|(_, name)| name.trim_end_matches(',')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_transition_says_stands_in_the_same_places() {
        let texts = [
            include_str!("begin.sql"),
            include_str!("take_over.sql"),
            include_str!("renew.sql"),
            include_str!("conclude.sql"),
        ];
        for (text, says_behind) in texts.into_iter().zip([true, true, true, false]) {
            let columns = columns(text);
            let named = [ORDER_ID, PRESENCE, FENCE, STUCK].map(|place| columns[place]);
            assert_eq!(named, ["order_id", "presence", "fence", "stuck"]);
            assert_eq!(columns[BEHIND] == "behind", says_behind);
        }
        for text in [include_str!("cancel.sql"), include_str!("hold.sql"), include_str!("release.sql")] {
            let columns = columns(text);
            assert_eq!([ORDER_ID, PRESENCE].map(|place| columns[place]), ["order_id", "presence"]);
        }
    }
}
