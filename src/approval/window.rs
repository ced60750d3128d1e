//! Time windows of a policy: days of the week and hours in a named time zone. The time zone database is the bundled one, so a
//! window means the same on every machine and nothing is read.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A day of the week.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    fn of(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// Hours of some days, by the clock on the wall of a time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// The days on which it opens; all when not written.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub days: BTreeSet<Day>,
    /// When it opens, `HH:MM`.
    pub from: String,
    /// When it closes, `HH:MM`, `24:00` for the end of the day. Not later than `from`: on the following day.
    pub to: String,
    /// The time zone's name, such as `Europe/Berlin` or `UTC`. Has to be written: a window in the wrong zone is worse than none.
    pub time_zone: String,
}

/// Minutes since midnight.
fn minutes(text: &str) -> Option<i16> {
    if text == "24:00" {
        return Some(24 * 60);
    }
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (i16, i16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

impl Window {
    fn zone(&self) -> Option<TimeZone> {
        ZONES.get(&self.time_zone).ok()
    }

    /// What is wrong with the window: the field and what to do about it.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        for (field, text) in [("from", &self.from), ("to", &self.to)] {
            if minutes(text).is_none() || (field == "from" && text == "24:00") {
                mistakes.push((
                    field,
                    format!("`{text}` is not a time of day, expected `HH:MM`, such as `08:00`"),
                ));
            }
        }
        if self.from == self.to {
            mistakes.push((
                "to",
                "the window closes when it opens: for whole days write from `00:00` to `24:00`"
                    .to_owned(),
            ));
        }
        if self.zone().is_none() {
            mistakes.push((
                "timeZone",
                format!("`{}` is not a known time zone, expected a name such as `Europe/Berlin` or `UTC`", self.time_zone),
            ));
        }
        mistakes
    }

    /// Whether the window is open at a time; `None` if the window is not a valid one.
    pub fn contains(&self, at: Timestamp) -> Option<bool> {
        let (from, to) = (minutes(&self.from)?, minutes(&self.to)?);
        let local = at.to_zoned(self.zone()?);
        let time: Time = local.time();
        let now = i16::from(time.hour()) * 60 + i16::from(time.minute());
        let opens_on = |day: Weekday| self.days.is_empty() || self.days.contains(&Day::of(day));
        let today = local.weekday();
        Some(if from < to {
            opens_on(today) && from <= now && now < to
        } else {
            (opens_on(today) && now >= from) || (opens_on(today.previous()) && now < to)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn window(days: &[Day], from: &str, to: &str, zone: &str) -> Window {
        Window {
            days: days.iter().copied().collect(),
            from: from.into(),
            to: to.into(),
            time_zone: zone.into(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        let office = window(&[Day::Mon], "08:00", "18:00", "Europe/Berlin");
        // 2026-06-01 and 2026-11-23 are Mondays; Berlin is two hours ahead in summer and one in winter.
        assert_eq!(office.contains(at("2026-06-01T06:00:00Z")), Some(true));
        assert_eq!(office.contains(at("2026-06-01T05:59:59Z")), Some(false));
        assert_eq!(office.contains(at("2026-11-23T06:30:00Z")), Some(false));
        assert_eq!(office.contains(at("2026-11-23T17:00:00Z")), Some(false));
        assert_eq!(office.contains(at("2026-11-24T09:00:00Z")), Some(false));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_opens_on() {
        let night = window(&[Day::Sat], "22:00", "04:00", "UTC");
        assert_eq!(night.contains(at("2026-11-21T23:00:00Z")), Some(true));
        assert_eq!(night.contains(at("2026-11-22T03:59:00Z")), Some(true));
        assert_eq!(night.contains(at("2026-11-22T04:00:00Z")), Some(false));
        assert_eq!(night.contains(at("2026-11-21T03:00:00Z")), Some(false));
        assert_eq!(night.contains(at("2026-11-22T23:00:00Z")), Some(false));
    }

    #[test]
    fn a_whole_day_ends_at_midnight() {
        let sunday = window(&[Day::Sun], "00:00", "24:00", "UTC");
        assert_eq!(sunday.contains(at("2026-11-22T23:59:59Z")), Some(true));
        assert_eq!(sunday.contains(at("2026-11-23T00:00:00Z")), Some(false));
        assert!(sunday.mistakes().is_empty());
    }

    #[test]
    fn nonsense_is_named_and_never_open() {
        let bad = window(&[], "8:00", "25:00", "Europe/Berlln");
        let fields: Vec<_> = bad.mistakes().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["from", "to", "timeZone"]);
        assert_eq!(bad.contains(at("2026-11-22T12:00:00Z")), None);
    }
}
