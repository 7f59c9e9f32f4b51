//! `turnwise conversations expire`: conversations that go by rules.

use std::io::Write;

use turnwise::store::wait;
use turnwise_store::forget::Rules;

use super::Place;
use super::search::{day, span};
use crate::failure::{Failure, Result};
use crate::output::{table, write_table};
use crate::sanitize::clean;
use crate::text::counted;

impl Place {
    pub(super) fn expire(
        &self,
        out: &mut impl Write,
        unused_for: Option<&str>,
        keep_last: Option<usize>,
        for_good: bool,
        is_dry: bool,
    ) -> Result<()> {
        let Self::Sqlite(store) = self else { return Err(not_here()) };
        let mut rules = Rules::new();
        if let Some(text) = unused_for {
            let span = span(text).ok_or_else(|| {
                Failure::usage(format!("--unused-for {text}: write a number and d, h or m, such as 90d"))
            })?;
            rules = rules.unused_for(span);
        }
        if let Some(count) = keep_last {
            rules = rules.keep_last(count);
        }
        if for_good {
            rules = rules.for_good();
        }
        let gone = if is_dry { wait(store.expiring(&rules))? } else { wait(store.expire(&rules))? };
        if is_dry && !gone.is_empty() {
            let mut rows = table(&["id", "written last"], &[0, 1]);
            for one in &gone {
                rows.add_row([clean(&one.id).into_owned(), day(one.changed_at)]);
            }
            write_table(out, &rows)?;
        }
        let done = match (is_dry, for_good) {
            (true, true) => "would be purged",
            (true, false) => "would be deleted",
            (false, true) => "purged",
            (false, false) => "deleted",
        };
        writeln!(out, "{} {done}", counted(gone.len(), "conversation"))?;
        Ok(())
    }
}

fn not_here() -> Failure {
    Failure::usage("conversations expire in an SQLite database (sqlite:FILE) only; elsewhere, `delete` them one by one")
}
