//! `turnwise conversations expire`: conversations that go by rules.

use std::io::Write;

use turnwise::store::wait;
use turnwise_store::forget::{Forgotten, Rules};

use super::search::{day, span};
use super::{Place, report};
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
        let Forgotten { gone, failed, .. } = self.gone(&rules, is_dry)?;
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
        out.flush()?;
        report(failed, "could not be removed")
    }

    fn gone(&self, rules: &Rules, is_dry: bool) -> Result<Forgotten> {
        let would_go = |gone| {
            let mut forgotten = Forgotten::default();
            forgotten.gone = gone;
            forgotten
        };
        Ok(match self {
            Self::Folder(_) => {
                return Err(Failure::usage(
                    "conversations expire in a database (sqlite:FILE, postgres://…) only; in a folder, `delete` them \
                     one by one",
                ));
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) if is_dry => would_go(wait(store.expiring(rules))?),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => wait(store.expire(rules))?,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) if is_dry => would_go(wait(store.expiring(rules))?),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => wait(store.expire(rules))?,
        })
    }
}
