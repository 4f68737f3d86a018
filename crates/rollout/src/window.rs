//! Maintenance windows: when nodes may be triggered, by the clock on the mesh's wall.

use crate::Moment;
use jiff::Timestamp;
use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A time of day on some days of the week. One that ends before it begins goes past midnight and belongs to the day on
/// which it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// `mon`, `tue`, … `sun`; empty = every day.
    #[serde(default)]
    pub days: Vec<String>,
    /// From, as `HH:MM`.
    pub from: String,
    /// To, as `HH:MM`; `24:00` is midnight at the end of the day.
    pub to: String,
}

/// Why a window makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not a time of day.
    #[error("{0:?} is not a time of day: write HH:MM")]
    Time(String),
    /// Not a day.
    #[error("{0:?} is not a day: write mon, tue, wed, thu, fri, sat or sun")]
    Day(String),
    /// No time at all.
    #[error("the window begins and ends at the same time")]
    Empty,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_A_DAY: u16 = 24 * 60;

impl Window {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), WindowError> {
        if let Some(day) = self.days.iter().find(|day| !DAYS.contains(&day.as_str())) {
            return Err(WindowError::Day(day.clone()));
        }
        let minute = |text: &String| minute(text).ok_or_else(|| WindowError::Time(text.clone()));
        if minute(&self.from)? == minute(&self.to)? { Err(WindowError::Empty) } else { Ok(()) }
    }

    fn is_open(&self, local: DateTime) -> bool {
        let (Some(from), Some(to)) = (minute(&self.from), minute(&self.to)) else { return false };
        let now = minute_of(local.time());
        let on = |day: Weekday| {
            let index = usize::try_from(day.to_monday_zero_offset()).unwrap_or(0);
            self.days.is_empty() || DAYS.get(index).is_some_and(|name| self.days.iter().any(|d| d == name))
        };
        let today = local.weekday();
        if from < to {
            on(today) && (from..to).contains(&now)
        } else {
            (on(today) && now >= from) || (on(today.previous()) && now < to)
        }
    }
}

fn minute_of(time: Time) -> u16 {
    u16::try_from(time.hour()).unwrap_or(0) * 60 + u16::try_from(time.minute()).unwrap_or(0)
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| -> Option<u16> {
        (text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= MINUTES_OF_A_DAY).then_some(total)
}

/// The time zone of this name; `None` if there is none.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// Whether nodes may be triggered at this moment in a mesh with this time zone: always, if there are no windows. A zone
/// of unknown name counts as UTC.
pub fn is_open(windows: &[Window], zone_name: Option<&str>, now: Moment) -> bool {
    if windows.is_empty() {
        return true;
    }
    let zone = zone_name.and_then(zone).unwrap_or(TimeZone::UTC);
    let timestamp = i64::try_from(now.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let Some(timestamp) = timestamp else { return false };
    let local = zone.to_datetime(timestamp);
    windows.iter().any(|window| window.is_open(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        Moment(text.parse::<Timestamp>().unwrap().as_millisecond().unsigned_abs())
    }

    fn window(days: &[&str], from: &str, to: &str) -> Window {
        Window { days: days.iter().map(ToString::to_string).collect(), from: from.into(), to: to.into() }
    }

    #[test]
    fn a_window_is_meant_in_the_meshs_time_zone() {
        let windows = [window(&[], "02:00", "04:00")];
        // Warsaw is one hour ahead in winter and two in summer.
        for (moment, open) in [
            ("2026-01-15T00:59:00Z", false),
            ("2026-01-15T01:00:00Z", true),
            ("2026-01-15T03:00:00Z", false),
            ("2026-07-15T00:00:00Z", true),
            ("2026-07-15T02:00:00Z", false),
        ] {
            assert_eq!(is_open(&windows, Some("Europe/Warsaw"), at(moment)), open, "{moment}");
        }
        assert!(is_open(&windows, None, at("2026-01-15T02:30:00Z")), "without a zone it is UTC");
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_on_which_it_begins() {
        // 2026-11-23 is a Monday.
        let windows = [window(&["mon"], "22:00", "02:00")];
        for (moment, open) in [
            ("2026-11-23T21:59:00Z", false),
            ("2026-11-23T22:00:00Z", true),
            ("2026-11-24T01:59:00Z", true),
            ("2026-11-24T02:00:00Z", false),
            ("2026-11-24T23:00:00Z", false),
            ("2026-11-23T01:00:00Z", false),
        ] {
            assert_eq!(is_open(&windows, None, at(moment)), open, "{moment}");
        }
    }

    #[test]
    fn no_windows_means_always_and_nonsense_is_refused() {
        assert!(is_open(&[], None, Moment(0)));
        assert_eq!(window(&[], "25:00", "01:00").check(), Err(WindowError::Time("25:00".into())));
        assert_eq!(window(&[], "1:00", "02:00").check(), Err(WindowError::Time("1:00".into())));
        assert_eq!(window(&["monday"], "01:00", "02:00").check(), Err(WindowError::Day("monday".into())));
        assert_eq!(window(&[], "01:00", "01:00").check(), Err(WindowError::Empty));
        assert_eq!(window(&["sun"], "00:00", "24:00").check(), Ok(()));
    }
}
