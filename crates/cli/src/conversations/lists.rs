//! `turnwise conversations index`, and `list` by time, metadata or text.

use std::io::Write;

use turnwise::store::wait;
use turnwise_store::search::{ListQuery, Listed, Page};

use super::search::{day, tell_next};
use super::{Place, TITLE};
use crate::args::Filters;
use crate::failure::{Failure, Result, tell};
use crate::output::{json_line, preview, table, write_table};
use crate::sanitize::clean;

impl Place {
    pub(super) fn list_by(&self, out: &mut impl Write, filters: &Filters, text: Option<&str>) -> Result<()> {
        let mut query = ListQuery::new().limit(filters.limit);
        let (from, until) = filters.times()?;
        if let Some(from) = from {
            query = query.from(from);
        }
        if let Some(until) = until {
            query = query.until(until);
        }
        for (key, value) in filters.pairs()? {
            query = query.with_metadata(key, value);
        }
        if let Some(text) = text {
            query = query.with_text(text);
        }
        if let Some(after) = &filters.after {
            query = query.after(after);
        }
        let page = self.page_of_list(&query)?;
        if filters.json {
            page.found.iter().try_for_each(|listed| json_line(out, listed))?;
        } else {
            let mut rows = table(&["id", "used", "title, or what was found"], &[0, 1, 2]);
            for listed in &page.found {
                let found = listed.hit.as_ref().map(|hit| hit.snippet.text.as_str());
                let about = listed.title.as_deref().or(found).unwrap_or_default();
                rows.add_row([clean(&listed.id).into_owned(), day(listed.used_at), preview(about, TITLE)]);
            }
            write_table(out, &rows)?;
        }
        tell_next(&page);
        Ok(())
    }

    pub(super) fn index(&self, is_off: bool) -> Result<()> {
        match self {
            Self::Folder(_) => return Err(no_index("searched by an index")),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) if is_off => wait(store.disable_search())?,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => wait(store.enable_search())?,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) if is_off => wait(store.disable_search())?,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => wait(store.enable_search())?,
        }
        tell(if is_off { "the index is removed" } else { "there is an index, and it is kept up to date" });
        Ok(())
    }

    fn page_of_list(&self, query: &ListQuery) -> Result<Page<Listed>> {
        match self {
            Self::Folder(_) => Err(no_index("listed by time, metadata and text")),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Ok(wait(store.list_by(query))?),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Ok(wait(store.list_by(query))?),
        }
    }
}

fn no_index(doing: &str) -> Failure {
    Failure::usage(format!(
        "only a database (sqlite:FILE, postgres://…) can be {doing}; `search` reads all of a folder"
    ))
}
