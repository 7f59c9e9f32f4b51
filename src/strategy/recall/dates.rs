//! `days_named`: the days that a text names (`7 May 2023`, `last Tuesday`), seen from the day on
//! which it was written.

use std::ops::Range;

use crate::conversation::Timestamp;

/// A day: the number of days since 1970-01-01 (UTC).
pub(super) type Day = i64;

/// The day of a time.
pub(super) fn day_of(time: Timestamp) -> Day {
    time.as_millis().div_euclid(86_400_000)
}

/// The ranges of days that a text names. What names no year means the last such day or month up to
/// `newest`; what is relative (`yesterday`, `two weeks ago`) counts from `written`.
pub(super) fn days_named(text: &str, written: Day, newest: Day) -> Vec<Range<Day>> {
    let text = text.to_ascii_lowercase();
    let words = words(&text);
    let mut named = Vec::new();
    let mut rest = &words[..];
    while !rest.is_empty() {
        let found = calendar(rest, newest).or_else(|| relative(rest, written));
        let used = found.as_ref().map_or(1, |(used, _)| *used);
        named.extend(found.map(|(_, days)| days));
        rest = &rest[used..];
    }
    named
}

/// The words that can be part of a date; an empty word stands for any other.
fn words(text: &str) -> Vec<&str> {
    let runs = text.split(|character: char| !character.is_alphanumeric()).filter(|run| !run.is_empty());
    let runs = runs.map(|run| if run.len() <= 9 && run.is_ascii() { run } else { "" });
    runs.filter(|&run| run != "of" && run != "the").collect()
}

/// A date or month or year at the start of some words, with the number of words that it takes.
fn calendar(words: &[&str], newest: Day) -> Option<(usize, Range<Day>)> {
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let (first, second, third) = (word(0), word(1), word(2));
    // 2023-05-07 and 7.5.2023
    if let (Some(year), Some(month), Some(day)) = (year(first), number(second, 12), number(third, 31)) {
        return Some((3, on(year, month, day)?));
    }
    if let (Some(day), Some(month), Some(year)) = (number(first, 31), number(second, 12), year(third)) {
        return Some((3, on(year, month, day)?));
    }
    // 7 May 2023
    if let (Some(day), Some(month)) = (day_number(first), month(second)) {
        return Some(match year(third) {
            Some(year) => (3, on(year, month, day)?),
            None => (2, last(newest, |year| on(year, month, day))?),
        });
    }
    if let Some(month) = month(first) {
        return match (day_number(second), year(second), year(third)) {
            (Some(day), _, Some(year)) => Some((3, on(year, month, day)?)),
            (Some(day), _, None) => Some((2, last(newest, |year| on(year, month, day))?)),
            (None, Some(year), _) => Some((2, in_month(year, month))),
            (None, None, _) => None,
        };
    }
    let is_in = matches!(first, "in" | "during" | "since" | "by" | "until" | "early" | "late" | "mid" | "year");
    let after_in = (year(second), month(second).filter(|_| day_number(third).is_none() && year(third).is_none()));
    match after_in {
        (Some(year), _) if is_in => Some((2, start_of(year, 1)..start_of(year + 1, 1))),
        (None, Some(month)) if is_in => Some((2, last(newest, |year| Some(in_month(year, month)))?)),
        _ => None,
    }
}

/// A time relative to the day on which it was written, at the start of some words.
fn relative(words: &[&str], written: Day) -> Option<(usize, Range<Day>)> {
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let day = |day: Day| day..day + 1;
    match (word(0), word(1)) {
        ("today" | "tonight", _) => return Some((1, day(written))),
        ("yesterday", _) => return Some((1, day(written - 1))),
        ("tomorrow", _) => return Some((1, day(written + 1))),
        ("last" | "previous", unit) => return Some((2, unit_from(unit, written, -1)?)),
        ("next", unit) => return Some((2, unit_from(unit, written, 1)?)),
        ("this", unit) => return Some((2, unit_from(unit, written, 0)?)),
        ("on", name) => return Some((2, day(weekday_from(weekday(name)?, written, -1)))),
        _ => {}
    }
    let count = counted(word(0))?;
    let is_past = word(2) == "ago";
    // The unit is vague by half of its length.
    let unit = match word(1) {
        "day" | "days" => 1,
        "week" | "weeks" => 7,
        "month" | "months" => 30,
        "year" | "years" => 365,
        _ => return None,
    };
    let middle = written - count * unit;
    is_past.then_some((3, middle - unit / 2..middle + unit / 2 + 1))
}

/// The week, month, year, weekend or day of the week that is `by` of them away from a day.
fn unit_from(unit: &str, day: Day, by: i64) -> Option<Range<Day>> {
    let (year, month) = month_of(day);
    Some(match unit {
        "week" => {
            let monday = day - weekday_of(day) + 7 * by;
            monday..monday + 7
        }
        "weekend" => {
            let saturday = day - weekday_of(day) + 5 + 7 * by;
            saturday..saturday + 2
        }
        "month" => {
            let months = year * 12 + (month - 1) + by;
            in_month(months.div_euclid(12), months.rem_euclid(12) + 1)
        }
        "year" => start_of(year + by, 1)..start_of(year + by + 1, 1),
        name => {
            let day = weekday_from(weekday(name)?, day, by);
            day..day + 1
        }
    })
}

/// The last day with this place in the week before a day, or the next one after it.
fn weekday_from(weekday: i64, day: Day, by: i64) -> Day {
    let back = (weekday_of(day) - weekday - 1).rem_euclid(7) + 1;
    if by > 0 { day + 7 - back % 7 } else { day - back }
}

/// The place of a day in its week; Monday is 0.
fn weekday_of(day: Day) -> i64 {
    // 1970-01-01 was a Thursday.
    (day + 3).rem_euclid(7)
}

fn weekday(name: &str) -> Option<i64> {
    let names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    (0..7).zip(names).find(|(_, known)| *known == name).map(|(place, _)| place)
}

fn month(name: &str) -> Option<i64> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let is_month = |known: &str| known == name || (name.len() == 3 && known.starts_with(name)) || name == "sept";
    (1..13).zip(NAMES).find(|(number, known)| is_month(known) && (name != "sept" || *number == 9)).map(|(one, _)| one)
}

fn number(word: &str, most: i64) -> Option<i64> {
    let number = word.parse().ok().filter(|_| word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit()))?;
    (1..=most).contains(&number).then_some(number)
}

/// The day of a month: `7`, `7th`.
fn day_number(word: &str) -> Option<i64> {
    let ends = ["st", "nd", "rd", "th"];
    number(ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word), 31)
}

fn year(word: &str) -> Option<i64> {
    let year = word.parse().ok().filter(|_| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit()))?;
    (1900..2100).contains(&year).then_some(year)
}

/// A small number in words or digits.
fn counted(word: &str) -> Option<i64> {
    let words = ["a", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    let in_words = (0..).zip(words).find(|(_, known)| *known == word).map(|(place, _)| i64::max(place, 1));
    in_words.or_else(|| if word == "an" { Some(1) } else { number(word, 99) })
}

/// The last year's date that begins no later than `newest`.
fn last(newest: Day, date: impl Fn(i64) -> Option<Range<Day>>) -> Option<Range<Day>> {
    let (year, _) = month_of(newest);
    (year - 4..=year).rev().filter_map(date).find(|days| days.start <= newest)
}

fn on(year: i64, month: i64, day: i64) -> Option<Range<Day>> {
    let days = in_month(year, month);
    let day = days.start + day - 1;
    days.contains(&day).then_some(day..day + 1)
}

fn in_month(year: i64, month: i64) -> Range<Day> {
    let next = if month == 12 { start_of(year + 1, 1) } else { start_of(year, month + 1) };
    start_of(year, month)..next
}

/// The first day of a month. Years are counted from March, so that the leap day is the last one.
fn start_of(year: i64, month: i64) -> Day {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * from_march + 2) / 5 - 719_468
}

/// The year and month of a day, by the method of [`start_of`] backwards; a day counts in its era of
/// 400 years.
fn month_of(day: Day) -> (i64, i64) {
    let (era, day) = ((day + 719_468).div_euclid(146_097), (day + 719_468).rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + i64::from(month <= 2), month)
}

#[cfg(test)]
#[path = "dates_tests.rs"]
mod tests;
