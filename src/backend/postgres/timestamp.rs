//! A `timestamp` without time zone, as a number: no zone and no calendar of ours comes in between.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// How long `earlier` was before `later`; nothing if it wasn't.
pub(super) fn elapsed(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
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
    fn a_time_that_is_yet_to_come_is_no_time_ago() {
        assert_eq!(elapsed(timestamp(2), timestamp(1)), Duration::ZERO);
        assert_eq!(elapsed(timestamp(1), timestamp(2)), Duration::from_micros(1));
    }
}
