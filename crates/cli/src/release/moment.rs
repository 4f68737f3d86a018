//! Times, as people write them: RFC 3339 in UTC, or from now on.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

/// A moment: `2027-01-31`, `2027-01-31T12:00:00Z`, or `30d` from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Seconds since 1970.
    At(u64),
    /// Seconds from now.
    In(u64),
}

impl Moment {
    /// Seconds since 1970.
    pub const fn resolve(self, now: u64) -> u64 {
        match self {
            Self::At(moment) => moment,
            Self::In(seconds) => now.saturating_add(seconds),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("m", 60), ("h", 3_600), ("d", 86_400), ("w", 7 * 86_400)];
        let span = units.into_iter().find_map(|(unit, seconds)| {
            let digits =
                text.strip_suffix(unit).filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
            digits.parse::<u64>().ok()?.checked_mul(seconds).filter(|span| *span > 0)
        });
        if let Some(span) = span {
            return Ok(Self::In(span));
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| midnight(text));
        at.and_then(|at| u64::try_from(at.unix_timestamp()).ok())
            .map(Self::At)
            .ok_or_else(|| format!("\"{text}\" is not a time: write 30d, 2027-01-31 or 2027-01-31T12:00:00Z"))
    }
}

/// The beginning of a day in UTC.
fn midnight(text: &str) -> Option<OffsetDateTime> {
    let mut parts = text.split('-');
    let mut number = || parts.next().filter(|part| part.bytes().all(|c| c.is_ascii_digit()));
    let (year, month, day) =
        (number()?.parse().ok()?, number()?.parse::<u8>().ok()?, number()?.parse().ok()?);
    if parts.next().is_some() {
        return None;
    }
    let date = Date::from_calendar_date(year, month.try_into().ok()?, day).ok()?;
    Some(date.midnight().assume_utc())
}

/// The time by this machine's clock, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A moment in seconds since 1970 as RFC 3339 in UTC.
pub fn rfc3339(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
    moment.and_then(|it| it.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{seconds} s after 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        assert_eq!("30d".parse(), Ok(Moment::In(30 * 86_400)));
        assert_eq!("90m".parse(), Ok(Moment::In(5_400)));
        assert_eq!("2027-01-31".parse(), Ok(Moment::At(1_801_353_600)));
        assert_eq!("2027-01-31T01:00:00+01:00".parse(), Ok(Moment::At(1_801_353_600)));
        assert_eq!(Moment::In(5).resolve(10), 15);
        for wrong in
            ["", "d", "0d", "-1d", "tomorrow", "2027-13-01", "2027-02-30", "1969-12-31", "2027-01-31-1"]
        {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(rfc3339(1_801_353_600), "2027-01-31T00:00:00Z");
        assert_eq!(rfc3339(u64::MAX), "18446744073709551615 s after 1970");
    }
}
