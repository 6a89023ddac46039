//! Time zones that change when a test wants them to.

/// The end or the beginning of summer time, some seconds from now, in a zone that is an hour or two ahead of UTC.
pub(crate) struct Change {
    at: jiff::Timestamp,
    back: bool,
}

/// Hours that are added to UTC in winter; in summer it is one more.
const WINTER: i64 = 1;
const HOUR: i64 = 3_600;

impl Change {
    /// The clock is put back, so many seconds from now.
    pub(crate) fn an_hour_back(seconds: i64) -> Self {
        Self { at: now() + jiff::SignedDuration::from_secs(seconds), back: true }
    }

    /// The clock is put forward, so many seconds from now.
    pub(crate) fn an_hour_forward(seconds: i64) -> Self {
        Self { at: now() + jiff::SignedDuration::from_secs(seconds), back: false }
    }

    /// As POSIX writes it, with the change told by the clock that is left, and the other one far away. Such a zone counts
    /// days without the 29th of February, and a time may be that of another day.
    pub(crate) fn zone(&self) -> String {
        let local = jiff::tz::Offset::UTC.to_datetime(self.at).date();
        let day = i64::from(local.day_of_year()) - i64::from(local.in_leap_year() && local.day_of_year() > 59);
        let midnight = local.to_datetime(jiff::civil::Time::midnight());
        let since_midnight = self.at.as_second() - jiff::tz::Offset::UTC.to_timestamp(midnight).unwrap().as_second();
        let seconds = since_midnight + HOUR * (WINTER + i64::from(self.back));
        let time = format!("J{day}/{}:{:02}:{:02}", seconds / HOUR, seconds / 60 % 60, seconds % 60);
        let (forward, back) = match (self.back, day < 183) {
            (true, false) => ("J1/0".to_owned(), time),
            (true, true) => ("J330/0".to_owned(), time),
            (false, true) => (time, "J330/0".to_owned()),
            (false, false) => (time, "J1/0".to_owned()),
        };
        format!("AAA-{WINTER}BBB-{},{forward},{back}", WINTER + 1)
    }

    /// What the clock that is left shows so many seconds from the change.
    pub(crate) fn local_before(&self, seconds: i64) -> String {
        let offset = WINTER + i64::from(self.back);
        let local = self.at + jiff::SignedDuration::from_secs(seconds + offset * HOUR);
        jiff::tz::Offset::UTC.to_datetime(local).to_string()
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap()
}
