//! Reading and writing RFC 3339 times.

use core::fmt;

/// 9999-12-31T23:59:59Z in Unix seconds: the last time that RFC 3339 can write. A number above is most likely in
/// milliseconds.
pub(crate) const MAX_UNIX_SECONDS: u64 = 253_402_300_799;

/// Unix seconds of an RFC 3339 time such as `2026-11-23T20:15:00Z` or `2026-11-23T21:15:00.5+01:00`, from 1970 on.
/// A fraction is dropped; a leap second counts as the second after it.
pub(crate) fn parse_rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|c| c.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let separators = bytes.get(4) == Some(&b'-')
        && bytes.get(7) == Some(&b'-')
        && matches!(bytes.get(10), Some(b'T' | b't' | b' '))
        && bytes.get(13) == Some(&b':')
        && bytes.get(16) == Some(&b':');
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !separators
        || year < 1970
        || !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut zone = text.get(19..)?;
    if let Some(fraction) = zone.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        zone = fraction.get(digits..)?;
    }
    let local = u64::from(days_since_1970(year, month, day)) * 86_400
        + u64::from(hour * 3_600 + minute * 60 + second);
    match zone.as_bytes() {
        b"Z" | b"z" => Some(local),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = text.len() - 5;
            let (hours, minutes) = (number(at, at + 2)?, number(at + 3, at + 5)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = u64::from(hours * 3_600 + minutes * 60);
            if *sign == b'+' { local.checked_sub(offset) } else { Some(local + offset) }
        }
        _ => None,
    }
}

/// Unix seconds, printed as an RFC 3339 time in UTC.
pub(crate) struct Rfc3339(pub(crate) u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.min(MAX_UNIX_SECONDS);
        // Both fit: the year is at most 9999.
        let (mut days, second_of_day) = ((seconds / 86_400) as u32, (seconds % 86_400) as u32);
        // A year has at most 366 days, so this guess is never too late; at most a few steps correct it.
        let mut year = 1970 + days / 366;
        while days_since_1970(year + 1, 1, 1) <= days {
            year += 1;
        }
        days -= days_since_1970(year, 1, 1);
        let mut month = 1;
        while days >= days_in_month(year, month) {
            days -= days_in_month(year, month);
            month += 1;
        }
        let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: u32, month: u32, day: u32) -> u32 {
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let months: u32 = (1..month).map(|m| days_in_month(year, m)).sum();
    (year - 1970) * 365 + leap_days + months + day - 1
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{MAX_UNIX_SECONDS, Rfc3339, parse_rfc3339};
    use std::string::ToString;

    #[test]
    fn a_time_that_was_written_is_read_again() {
        assert_eq!(Rfc3339(1_795_464_900).to_string(), "2026-11-23T20:15:00Z");
        // Miri takes its time.
        const STEPS: u64 = if cfg!(miri) { 40 } else { 40_000 };
        for step in 0..STEPS {
            let seconds = step * (MAX_UNIX_SECONDS / (STEPS - 1));
            assert_eq!(parse_rfc3339(&Rfc3339(seconds).to_string()), Some(seconds));
        }
        for year_end in [951_868_799, 951_868_800, 4_107_542_399, 4_107_542_400, MAX_UNIX_SECONDS] {
            assert_eq!(parse_rfc3339(&Rfc3339(year_end).to_string()), Some(year_end));
        }
    }

    #[test]
    fn known_times_are_read() {
        // Figures from GNU date -u -d … +%s.
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-23T20:15:00Z", 1_795_464_900),
            ("2026-11-23t21:15:00.75+01:00", 1_795_464_900),
            ("2026-11-23 14:45:00-05:30", 1_795_464_900),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("9999-12-31T23:59:59Z", MAX_UNIX_SECONDS),
        ] {
            assert_eq!(parse_rfc3339(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T20:15:00",
            "2026-11-23T20:15Z",
            "2026-11-23T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2026-11-23T20:15:00.Z",
            "2026-11-23T20:15:00+0100",
            "2026-11-23T20:15:00+01:0é",
            "+026-11-23T20:15:00Z",
            "2026-11-23T20:15:00ZZ",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
