//! Points in time as other programs write them.

use serde_json::value::RawValue;
use turnwise::conversation::Timestamp;

use crate::members::string;

/// A time: seconds or milliseconds since 1970, or an ISO 8601 text.
pub(crate) fn time(value: &RawValue) -> Option<Timestamp> {
    match string(value) {
        Some(text) => parse(&text),
        None => serde_json::from_str::<f64>(value.get()).ok().and_then(from_number),
    }
}

/// From a number: one above the year 5000 in seconds is meant in milliseconds.
#[allow(clippy::cast_possible_truncation, reason = "a float that is too large becomes the largest integer")]
fn from_number(number: f64) -> Option<Timestamp> {
    const LAST_IN_SECONDS: f64 = 1e11;
    let millis = if number.abs() < LAST_IN_SECONDS { number * 1000.0 } else { number };
    millis.is_finite().then(|| Timestamp::from_millis(millis.round() as i64))
}

/// From `2025-01-31T12:30:00.125Z`, with an offset, a blank instead of the `T`, or no zone (UTC).
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || date.next().is_some() {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let Some(clock) = rest.strip_prefix(['T', 't', ' ']).map(str::trim_start) else {
        return rest.is_empty().then(|| Timestamp::from_millis(days * 86_400_000));
    };
    let zone_at = clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(zone_at);
    let mut clock = clock.trim_end().split(':');
    let hour: i64 = clock.next()?.parse().ok()?;
    let minute: i64 = clock.next()?.parse().ok()?;
    let second: f64 = clock.next().map_or(Some(0.0), |second| second.parse().ok())?;
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..61.0).contains(&second) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "below 61,000")]
    let millis = (second * 1000.0).round() as i64;
    Some(Timestamp::from_millis((days * 1_440 + hour * 60 + minute - offset(zone)?) * 60_000 + millis))
}

/// The minutes of a zone east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next() {
        Some('+') => 1,
        Some('-') => -1,
        _ => return Some(0),
    };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).map_or(Some(0), |minutes| minutes.parse().ok())?;
    Some(sign * (hours * 60 + minutes))
}

/// Days from 1970-01-01 to the first of a month in the Gregorian calendar.
fn days_before(year: i64, month: i64) -> i64 {
    const LEAPS_BEFORE_1970: i64 = 477;
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let past = year - 1;
    let leaps = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let month_at = usize::try_from(month - 1).unwrap_or(0).min(11);
    (year - 1970) * 365 + leaps - LEAPS_BEFORE_1970 + BEFORE[month_at] + i64::from(is_leap && month > 2)
}

/// As `2025-01-31 12:30` in UTC.
pub(crate) fn shown(time: Timestamp) -> String {
    let minutes = time.as_millis().div_euclid(60_000);
    let (days, minute) = (minutes.div_euclid(1_440), minutes.rem_euclid(1_440));
    let mut year = 1970 + days.div_euclid(366).clamp(-10_000, 100_000);
    while days_before(year + 1, 1) <= days && year < 100_000 {
        year += 1;
    }
    let month = (2..=12).rev().find(|month| days_before(year, *month) <= days).unwrap_or(1);
    let day = days - days_before(year, month) + 1;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_kinds_are_read() {
        let millis = |text: &str| parse(text).map(Timestamp::as_millis);
        assert_eq!(millis("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(millis("2025-03-01T12:30:00.125Z"), Some(1_740_832_200_125));
        assert_eq!(millis("2025-03-01T13:30:00+01:00"), Some(1_740_832_200_000));
        assert_eq!(millis("2024-02-29 00:00:00"), Some(1_709_164_800_000));
        assert_eq!(millis("2024-02-29"), Some(1_709_164_800_000));
        assert_eq!((millis("May 1"), millis("2024-13-01"), millis("2024-01-01Tx")), (None, None, None));
        let number = |text: &str| time(serde_json::from_str(text).unwrap()).map(Timestamp::as_millis);
        assert_eq!(number("1740832200.125"), Some(1_740_832_200_125));
        assert_eq!((number("1740832200125"), number("null"), number("[]")), (Some(1_740_832_200_125), None, None));
    }

    #[test]
    fn a_time_is_shown_as_it_was_read() {
        for text in ["1970-01-01 00:00", "2024-02-29 23:59", "1969-12-31 12:00", "2100-03-01 01:02", "2000-12-31 00:00"]
        {
            assert_eq!(shown(parse(text).unwrap()), text);
        }
        assert!(
            !shown(Timestamp::from_millis(i64::MAX)).is_empty() && !shown(Timestamp::from_millis(i64::MIN)).is_empty()
        );
    }
}
