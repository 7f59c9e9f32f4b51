//! `turnwise conversations search` and `stats`.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use turnwise::ErrorKind;
use turnwise::conversation::Timestamp;
use turnwise::store::wait;
use turnwise_store::search::{Hit, Page, SearchQuery, Snippet, scan};
use turnwise_store::usage::{Totals, totals};

use super::{Place, report};
use crate::args::{Filters, Search};
use crate::failure::{Failure, Result, tell};
use crate::output::{BOLD, json_line};
use crate::sanitize::clean;
use crate::text::{counted, thousands};

impl Place {
    pub(super) fn search(&self, out: &mut impl Write, args: &Search) -> Result<()> {
        let mut query = SearchQuery::new(&args.text).limit(args.filters.limit);
        let (from, until) = args.filters.times()?;
        if let Some(from) = from {
            query = query.from(from);
        }
        if let Some(until) = until {
            query = query.until(until);
        }
        for (key, value) in args.filters.pairs()? {
            query = query.with_metadata(key, value);
        }
        if let Some(id) = &args.conversation {
            query = query.in_conversation(id);
        }
        if let Some(after) = &args.filters.after {
            query = query.after(after);
        }
        let page = self.find(&query)?;
        if args.filters.json {
            page.found.iter().try_for_each(|hit| json_line(out, hit))?;
        } else {
            for hit in &page.found {
                write_hit(out, hit)?;
            }
        }
        tell_next(&page);
        out.flush()?;
        report(page.failed, "could not be searched")
    }

    /// By the index, or, where there is none, by reading everything.
    fn find(&self, query: &SearchQuery) -> Result<Page<Hit>> {
        let found = match self {
            Self::Folder(store) => return Ok(wait(scan(store, query))?),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => wait(store.search(query)),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => wait(store.search(query)),
        };
        match found {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tell(if crate::stores::has_keys() {
                    "sealed conversations have no index, so everything was read"
                } else if self.has_index() {
                    "the index lacks what was written last, which this user may not add, so everything was read"
                } else {
                    "there is no index, so everything was read; `turnwise conversations index` makes one"
                });
                Ok(wait(scan(self.store(), query))?)
            }
            found => Ok(found?),
        }
    }

    fn has_index(&self) -> bool {
        match self {
            Self::Folder(_) => false,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => wait(store.is_searchable()).unwrap_or_default(),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => wait(store.is_searchable()).unwrap_or_default(),
        }
    }

    pub(super) fn stats(&self, out: &mut impl Write, json: bool) -> Result<()> {
        let totals = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => wait(store.totals())?,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => wait(store.totals())?,
            Self::Folder(store) => wait(totals(store))?,
        };
        if json {
            for one in &totals.models {
                json_line(out, &serde_json::json!({ "model": one.model, "tally": one.tally }))?;
            }
        } else {
            write_totals(out, &totals)?;
        }
        out.flush()?;
        report(totals.failed, "cannot be read and is not in the sums")
    }
}

fn write_totals(out: &mut impl Write, totals: &Totals) -> Result<()> {
    writeln!(out, "{}", counted(totals.conversations, "conversation"))?;
    if totals.stored > 0 {
        writeln!(out, "responses and completions that a server has stored: {}", thousands(totals.stored as u64))?;
    }
    for one in &totals.models {
        writeln!(out, "{}: {}", clean(&one.model), one.tally)?;
    }
    writeln!(out, "in all: {}", totals.total())?;
    Ok(())
}

fn write_hit(out: &mut impl Write, hit: &Hit) -> Result<()> {
    let place = format!("{} #{}", hit.conversation, hit.item.index());
    writeln!(out, "{BOLD}{}{BOLD:#}  {} {}", clean(&place), day(hit.created_at), clean(&hit.role))?;
    writeln!(out, "  {}", marked(&hit.snippet))?;
    Ok(())
}

/// A snippet on one line, with what was found in bold.
fn marked(snippet: &Snippet) -> String {
    let line = |text: &str| {
        clean(&text.split_inclusive('\n').map(|line| line.replace('\n', " ")).collect::<String>()).into_owned()
    };
    let (mut text, mut at) = (String::new(), 0);
    for place in &snippet.matches {
        text.push_str(&line(&snippet.text[at..place.start]));
        let found = line(&snippet.text[place.clone()]);
        text.extend([BOLD.render().to_string(), found, BOLD.render_reset().to_string()]);
        at = place.end;
    }
    text.push_str(&line(&snippet.text[at..]));
    text
}

pub(super) fn tell_next<T>(page: &Page<T>) {
    if let Some(next) = &page.next {
        tell(format_args!("there is more: --after {next}"));
    }
}

impl Filters {
    pub(super) fn times(&self) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
        Ok((self.since.as_deref().map(time).transpose()?, self.until.as_deref().map(time).transpose()?))
    }

    pub(super) fn pairs(&self) -> Result<Vec<(&str, &str)>> {
        let pair = |text: &String| text.split_once('=').is_none();
        if let Some(wrong) = self.metadata.iter().find(|text| pair(text)) {
            return Err(Failure::usage(format!("--metadata {wrong}: write KEY=VALUE")));
        }
        Ok(self.metadata.iter().filter_map(|text| text.split_once('=')).collect())
    }
}

/// A day, or so long ago.
fn time(text: &str) -> Result<Timestamp> {
    let ago = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let then = now.checked_sub(span(text)?)?;
        i64::try_from(then.as_millis()).ok().map(Timestamp::from_millis)
    };
    of_day(text).or_else(ago).ok_or_else(|| {
        Failure::usage(format!(
            "`{text}` is no time: write a day, such as 2026-03-31, or how long ago, such as 12h or 90d"
        ))
    })
}

/// The beginning of a day, at Greenwich.
fn of_day(text: &str) -> Option<Timestamp> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<u16>().ok());
    let (year, month, day) = (i64::from(parts.next()??), i64::from(parts.next()??), i64::from(parts.next()??));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin with March, so that the day that is added is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day;
    Some(Timestamp::from_millis((days - 719_469) * 86_400_000))
}

/// The day of a time, at Greenwich.
pub(super) fn day(time: Timestamp) -> String {
    let days = time.as_millis().div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year_of_era + next)
}

/// A span of time such as `90d`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let number = text.get(..text.len().checked_sub(1)?)?.parse::<u64>().ok()?;
    let seconds = match text.as_bytes().last()? {
        b'd' => 86_400,
        b'h' => 3_600,
        b'm' => 60,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written() {
        for (text, days) in [("1970-01-01", 0), ("2000-02-29", 11_016), ("2026-11-28", 20_785), ("1969-12-31", -1)] {
            assert_eq!(of_day(text).unwrap().as_millis(), days * 86_400_000, "{text}");
            assert_eq!(day(Timestamp::from_millis(days * 86_400_000)), text);
        }
        assert!(of_day("2026-13-01").is_none() && of_day("yesterday").is_none());
        assert_eq!(span("90d"), Some(Duration::from_secs(90 * 86_400)));
        assert!(span("90").is_none() && span("d").is_none() && span("é").is_none());
    }
}
