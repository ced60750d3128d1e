//! Calendar events of job schedules (`sat 03:00`, `mon..fri *:0/30`, `*-*-01 04:00`, `daily`): check, and the next one.
//!
//! Times are UTC, which the simulated nodes keep.

/// A parsed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Monday is 0; empty for every day.
    weekdays: Vec<i64>,
    years: Field,
    months: Field,
    days: Field,
    hours: Field,
    minutes: Field,
}

/// Values that match; empty for all.
type Field = Vec<Span>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    from: i64,
    to: i64,
    step: i64,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Reads an event.
///
/// # Errors
/// In Proxmox VE's words.
pub fn parse(text: &str) -> Result<Event, String> {
    let fail = |context: &str| {
        format!(
            "invalid calendar event '{text}' - unable to parse calendar event at '{text}' - Context(\"{context}\")\n"
        )
    };
    let lowered = text.trim().to_lowercase();
    let expanded = match lowered.as_str() {
        "minutely" => "*:*",
        "hourly" => "*:00",
        "daily" => "00:00",
        "weekly" => "mon 00:00",
        "monthly" => "*-*-01 00:00",
        "yearly" | "annually" => "*-01-01 00:00",
        "quarterly" => "*-01,04,07,10-01 00:00",
        "semiannually" | "semi-annually" => "*-01,07-01 00:00",
        other => other,
    };
    let mut event = Event {
        weekdays: vec![],
        years: vec![],
        months: vec![],
        days: vec![],
        hours: zero(),
        minutes: zero(),
    };
    let mut timed = false;
    let words: Vec<&str> = expanded.split_whitespace().collect();
    if words.is_empty() {
        return Err(fail("weekday"));
    }
    for word in words {
        let first = word.chars().next().unwrap_or(' ');
        if first.is_ascii_alphabetic() {
            event.weekdays = weekdays(word).ok_or_else(|| fail("weekday"))?;
        } else if word.contains('-') && !timed {
            date(word, &mut event).ok_or_else(|| fail("date"))?;
        } else {
            time(word, &mut event).ok_or_else(|| fail("time"))?;
            timed = true;
        }
    }
    Ok(event)
}

fn zero() -> Field {
    vec![Span {
        from: 0,
        to: 0,
        step: 0,
    }]
}

fn weekday(name: &str) -> Option<i64> {
    let short = name.get(..3)?;
    let full = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let at = DAYS.iter().position(|day| *day == short)?;
    (name.len() == 3 || full.get(at) == Some(&name)).then_some(i64::try_from(at).unwrap_or(0))
}

fn weekdays(word: &str) -> Option<Vec<i64>> {
    let mut days = vec![];
    for part in word.split(',') {
        match part.split_once("..") {
            None => days.push(weekday(part)?),
            Some((from, to)) => {
                let (from, to) = (weekday(from)?, weekday(to)?);
                if from > to {
                    return None;
                }
                days.extend(from..=to);
            }
        }
    }
    Some(days)
}

fn date(word: &str, event: &mut Event) -> Option<()> {
    let parts: Vec<&str> = word.split('-').collect();
    let (years, months, days) = match parts.as_slice() {
        [years, months, days] => (*years, *months, *days),
        [months, days] => ("*", *months, *days),
        _ => return None,
    };
    event.years = field(years, 1970, 2200)?;
    event.months = field(months, 1, 12)?;
    event.days = field(days, 1, 31)?;
    Some(())
}

/// `hour:minute`, with seconds that are ignored; a lone field is minutes of every hour, and so is one with an hour beyond 23.
fn time(word: &str, event: &mut Event) -> Option<()> {
    let parts: Vec<&str> = word.split(':').collect();
    match parts.as_slice() {
        [minutes] => {
            event.hours = vec![];
            event.minutes = field(minutes, 0, 59)?;
        }
        [hours, minutes] | [hours, minutes, _] => match field(hours, 0, 23) {
            Some(hours) => {
                event.hours = hours;
                event.minutes = field(minutes, 0, 59)?;
            }
            None => {
                event.hours = vec![];
                event.minutes = field(hours, 0, 59)?;
            }
        },
        _ => return None,
    }
    Some(())
}

fn field(text: &str, least: i64, most: i64) -> Option<Field> {
    let number = |text: &str| {
        text.parse::<i64>()
            .ok()
            .filter(|number| (least..=most).contains(number))
    };
    let mut spans = vec![];
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 0),
        };
        let span = match (range, range.split_once("..")) {
            ("*", _) if step == 0 => return Some(vec![]),
            ("*", _) => Span {
                from: least,
                to: most,
                step,
            },
            (_, Some((from, to))) => Span {
                from: number(from)?,
                to: number(to)?,
                step: step.max(1),
            },
            (_, None) => {
                let from = number(range)?;
                Span {
                    from,
                    to: if step > 0 { most } else { from },
                    step,
                }
            }
        };
        spans.push(span);
    }
    Some(spans)
}

fn matches(field: &Field, value: i64) -> bool {
    let within = |span: &Span| {
        value >= span.from
            && value <= span.to
            && (span.step == 0 || (value - span.from) % span.step == 0)
    };
    field.is_empty() || field.iter().any(within)
}

impl Event {
    /// The first time after this UNIX time, within four years; `None` if there is none (`2026-02-30`).
    #[must_use]
    pub fn next(&self, after: i64) -> Option<i64> {
        let first = after.div_euclid(86_400);
        for day in first..first + 4 * 366 {
            let (year, month, date) = civil(day);
            let weekday = (day + 3).rem_euclid(7);
            let today = (self.weekdays.is_empty() || self.weekdays.contains(&weekday))
                && matches(&self.years, year)
                && matches(&self.months, month)
                && matches(&self.days, date);
            if !today {
                continue;
            }
            for hour in (0..24).filter(|hour| matches(&self.hours, *hour)) {
                for minute in (0..60).filter(|minute| matches(&self.minutes, *minute)) {
                    let at = day * 86_400 + hour * 3600 + minute * 60;
                    if at > after {
                        return Some(at);
                    }
                }
            }
        }
        None
    }
}

/// Year, month and day of a number of days since 1970-01-01 (Gregorian, by eras of 400 years counted from March).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn next_times_are_those_proxmox_answers() {
        // 1795357027 is Sunday 2026-11-22 14:17:07 UTC.
        let next = |text: &str| parse(text).unwrap().next(1_795_357_027);
        assert_eq!(next("mon..fri 08:30"), Some(1_795_422_600));
        assert_eq!(next("21:00"), Some(1_795_381_200));
        assert_eq!(next("sat 03:00"), Some(1_795_834_800));
        assert_eq!(next("mon..fri *:0/30"), Some(1_795_392_000));
        assert_eq!(next("*-*-01 04:00"), Some(1_796_097_600));
        assert_eq!(next("daily"), Some(1_795_392_000));
        assert_eq!(next("2026-02-30"), None);
        assert!(parse("25:00").is_ok(), "minute 25 of every hour");
        assert!(
            parse("whenever")
                .unwrap_err()
                .contains("Context(\"weekday\")")
        );
    }
}
