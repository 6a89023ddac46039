//! Where a feed of transitions was read up to, as a cursor.

use std::collections::VecDeque;

use super::cursor::{CursorError, List};
use crate::port::search::Position;

const EVENTS: List<'static, ()> = List("events", &());

/// Floors that a cursor keeps, so that it is short enough for an address.
const MOST_FLOORS: usize = 16;

/// The years 1 to 9999, which every database can say, in microseconds.
const TIMES: [i64; 2] = [-62_135_596_800_000_000, 253_402_300_799_000_000];

type Kept = (Option<String>, Option<String>, Option<(i64, i64)>, VecDeque<(i64, i64)>);

/// The cursor that goes on there.
pub fn cursor(position: Position) -> String {
    let Position { read, reading, after, floors } = position.with_few_floors(MOST_FLOORS);
    let kept: Kept = (read, reading, after, floors);
    // Numbers and texts: there is nothing here that JSON can't say.
    EVENTS.cursor(&serde_json::to_string(&kept).unwrap_or_default())
}

/// Where a cursor goes on.
///
/// # Errors
/// It is none of [`cursor`]'s.
pub fn position(cursor: &str) -> Result<Position, CursorError> {
    let kept = EVENTS.position(cursor)?;
    let (read, reading, after, floors): Kept = serde_json::from_str(&kept).map_err(|_| CursorError::Unreadable)?;
    if ![&read, &reading].into_iter().flatten().all(|text| is_snapshot(text)) || floors.len() > MOST_FLOORS {
        return Err(CursorError::Unreadable);
    }
    let [first, last] = TIMES;
    let after = after.map(|(at, order_id)| (at.clamp(first, last), order_id));
    Ok(Position { read, reading, after, floors })
}

/// Whether Postgres reads it as a snapshot: the lowest number, the one beyond the highest, and those between that were open.
fn is_snapshot(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number > 0);
    let [lowest, beyond, open] = parts[..] else { return false };
    let (Some(lowest), Some(beyond)) = (number(lowest), number(beyond)) else { return false };
    let open: Option<Vec<i64>> = open.split(',').filter(|_| !open.is_empty()).map(number).collect();
    open.is_some_and(|open| {
        lowest <= beyond && open.is_sorted() && open.iter().all(|open| (lowest..beyond).contains(open))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_postgres() -> Position {
        Position {
            read: Some("10:20:12,15".to_owned()),
            reading: Some("10:10:".to_owned()),
            after: Some((1_700_000_000_000_000, 7)),
            floors: (0..10).map(|number| (number, 1_700_000_000_000_000 + number)).collect(),
        }
    }

    #[test]
    fn a_feed_goes_on_where_its_cursor_was_made() {
        assert_eq!(position(&cursor(of_postgres())), Ok(of_postgres()));
        assert_eq!(position(&cursor(Position::default())), Ok(Position::default()));
    }

    #[test]
    fn a_cursor_has_a_length_that_an_address_may_have_and_leaves_out_floors_for_it() {
        let many = Position { floors: (1..=1_000).map(|number| (number, number)).collect(), ..of_postgres() };
        let cursor = cursor(many);
        assert!(cursor.len() < 2_000, "{}", cursor.len());
        let mut kept = position(&cursor).unwrap();
        assert_eq!(kept.floors.front(), Some(&(1, 1)));
        assert!(kept.floor(900) <= 900);
    }

    #[test]
    fn what_no_database_reads_as_a_snapshot_is_no_cursor() {
        for snapshot in
            ["", "1", "1:2", "0:2:", "3:2:", "1:5:7", "1:5:4,2", "1:5:x", "1:5:1,", "1:99999999999999999999:"]
        {
            let odd = Position { read: Some(snapshot.to_owned()), ..of_postgres() };
            assert_eq!(position(&cursor(odd)), Err(CursorError::Unreadable), "{snapshot}");
        }
        assert!(position("x").is_err());
    }
}
