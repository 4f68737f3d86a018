//! The time of day that decisions are made by. It runs on the machine's monotonic clock, so that setting the wall clock in
//! the middle of a rollout neither ends a soak time nor a deadline.

use rootcast_rollout::Moment;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A clock that was set once, when the process began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_at: Moment,
}

impl Clock {
    /// A clock set by the wall clock.
    pub fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: Moment(u64::try_from(since.as_millis()).unwrap_or(0)) }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.at(Instant::now())
    }

    /// The time of day of a moment that was noted down; of one before the process began, when it began.
    pub fn at(&self, instant: Instant) -> Moment {
        self.started_at.after(instant.saturating_duration_since(self.started))
    }
}

/// A moment as the store keeps it.
pub fn to_db(moment: Moment) -> i64 {
    i64::try_from(moment.0).unwrap_or(i64::MAX)
}

/// A moment from the store.
pub fn from_db(ms: i64) -> Moment {
    Moment(u64::try_from(ms).unwrap_or(0))
}

/// Milliseconds since 1970 as RFC 3339.
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}
