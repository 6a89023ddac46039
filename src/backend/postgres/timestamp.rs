//! A `timestamp` without time zone, as a number: no zone and no calendar of ours comes in between.

use std::fmt::Display;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::Row;
use tokio_postgres::row::RowIndex;

use super::column;
use super::errors::Failure;

/// Microseconds from 1970-01-01 00:00 on the database's own clock. `infinity` becomes the largest number.
pub(super) fn micros(timestamp: SystemTime) -> i64 {
    match timestamp.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}

/// The other way round.
pub(super) fn timestamp(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// Reads a column of seconds.
pub(super) fn seconds(row: &Row, at: impl RowIndex + Display) -> Result<Option<Duration>, Failure> {
    Ok(column::<Option<f64>>(row, at)?.map(duration))
}

/// As many seconds: none where it would be fewer, and the longest duration for infinitely many.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_comes_back_as_it_went_out_on_either_side_of_1970() {
        for fence in [0, 1, -1, 1_700_000_000_123_456, -1_700_000_000_123_456] {
            assert_eq!(micros(timestamp(fence)), fence);
        }
    }

    #[test]
    fn a_number_of_seconds_is_a_duration_whatever_it_is() {
        assert_eq!(duration(-1.0), Duration::ZERO);
        assert_eq!(duration(1.5), Duration::from_millis(1_500));
        assert_eq!(duration(f64::INFINITY), Duration::MAX);
    }
}
