use super::*;

fn date(year: i64, month: i64, day: i64) -> Day {
    on(year, month, day).unwrap().start
}

/// The days that a text names, written on Wednesday, 25 October 2023.
fn named(text: &str) -> Vec<Range<Day>> {
    let written = date(2023, 10, 25);
    days_named(text, written, written)
}

fn span(first: Day, end: Day) -> Vec<Range<Day>> {
    vec![Range { start: first, end }]
}

fn day(year: i64, month: i64, day: i64) -> Vec<Range<Day>> {
    vec![on(year, month, day).unwrap()]
}

#[test]
fn days_are_those_of_the_calendar() {
    assert_eq!(date(1970, 1, 1), 0);
    assert_eq!(date(2000, 2, 29), 11_016);
    assert_eq!(date(2023, 10, 25), 19_655);
    assert_eq!(on(2023, 2, 29), None);
    for day in (-200_000..200_000).step_by(13) {
        let (year, month) = month_of(day);
        assert!(in_month(year, month).contains(&day), "{day}");
    }
    assert_eq!(day_of(Timestamp::from_millis(-1)), -1);
    assert_eq!(day_of(Timestamp::from_millis(86_400_000)), 1);
}

#[test]
fn a_date_is_found_as_people_write_it() {
    for text in
        ["What was on 7 May 2023?", "on the 7th of May, 2023", "May 7, 2023", "7 may,2023", "2023-05-07", "7.5.2023"]
    {
        assert_eq!(named(text), day(2023, 5, 7), "{text}");
    }
    assert_eq!(named("on December 3rd"), day(2022, 12, 3), "the last one");
    assert_eq!(named("on 16 June"), day(2023, 6, 16));
    assert_eq!(named("between August 11 and August 15 2023"), [day(2023, 8, 11), day(2023, 8, 15)].concat());
    assert_eq!(named("in May 2023"), span(date(2023, 5, 1), date(2023, 6, 1)));
    assert_eq!(named("in November"), span(date(2022, 11, 1), date(2022, 12, 1)));
    assert_eq!(named("during 2022"), span(date(2022, 1, 1), date(2023, 1, 1)));
}

#[test]
fn a_relative_time_counts_from_the_day_of_writing() {
    assert_eq!(named("What did I say yesterday?"), day(2023, 10, 24));
    assert_eq!(named("last Tuesday"), day(2023, 10, 24));
    assert_eq!(named("last Wednesday"), day(2023, 10, 18));
    assert_eq!(named("on Friday"), day(2023, 10, 20));
    assert_eq!(named("next Wednesday"), day(2023, 11, 1));
    assert_eq!(named("next Thursday"), day(2023, 10, 26));
    assert_eq!(named("last week"), span(date(2023, 10, 16), date(2023, 10, 23)));
    assert_eq!(named("this month"), span(date(2023, 10, 1), date(2023, 11, 1)));
    assert_eq!(named("last year"), span(date(2022, 1, 1), date(2023, 1, 1)));
    assert_eq!(named("3 days ago"), day(2023, 10, 22));
    assert_eq!(named("two weeks ago"), span(date(2023, 10, 8), date(2023, 10, 15)));
}

#[test]
fn what_is_no_date_names_no_day() {
    for text in ["", "May I ask?", "They march on", "room 2023", "version 1.2.3", "7 people", "last"] {
        assert_eq!(named(text), [], "{text}");
    }
}
