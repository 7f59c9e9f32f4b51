//! `turnwise conversations`: the conversations of a store.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod forget;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod lists;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod search;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod transfer;

use std::io::Write;
#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
use std::path::Path;

use serde::Serialize;
use turnwise::store::wait;
use turnwise::{Conversation, Role, Transcript};

use crate::args::{Action, Conversations, Replacing, Search};
#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
use crate::args::{Filters, OnExisting};
use crate::failure::{Failure, Result, tell};
use crate::input;
use crate::output::{json_line, preview, stdout, table, write_table};
use crate::rewrite::Replace;
use crate::sanitize::clean;
use crate::show;
#[cfg(all(feature = "encryption", any(feature = "sqlite", feature = "postgres")))]
use crate::stores::keys;
use crate::stores::{Place, last_used};
use crate::text::counted;

/// The longest part of a title or question in a list, in characters.
pub(crate) const TITLE: usize = 40;

#[derive(Serialize)]
struct Row {
    id: String,
    messages: usize,
    title: String,
    created_at: i64,
    last_used_at: i64,
}

/// A conversation of the list that cannot be read. Why was reported.
#[derive(Serialize)]
struct Unreadable {
    id: String,
    error: &'static str,
}

const UNREADABLE: &str = "it cannot be read";

pub(crate) fn run(args: &Conversations) -> Result<()> {
    let place = Place::open(args.store.as_deref())?;
    let tenant = args.tenant.as_deref();
    let place = tenant.map_or_else(|| Ok(None), |name| place.in_tenant(name).map(Some))?.unwrap_or(place);
    let mut out = stdout(is_json(&args.action));
    match &args.action {
        Action::List { deleted, recent, text, filters } if *recent || text.is_some() || filters.are_set() => {
            debug_assert!(!deleted, "the options conflict");
            place.list_by(&mut out, filters, text.as_deref())?;
        }
        Action::List { deleted, filters, .. } => list(&mut out, &place, filters.limit, filters.json, *deleted)?,
        Action::Search(search) => place.search(&mut out, search)?,
        Action::Index { off } => place.index(*off)?,
        Action::Stats { json } => place.stats(&mut out, *json)?,
        Action::Redact { id, replacing } => redact(&mut out, &place, id.as_deref(), replacing)?,
        Action::Expire { unused_for, keep_last, for_good, dry_run } => {
            place.expire(&mut out, unused_for.as_deref(), *keep_last, *for_good, *dry_run)?;
        }
        Action::Show { id, full } => show::one(&mut out, id, &place.load(id)?, *full)?,
        Action::Fork { id, fork } => {
            let fork = fork.clone().unwrap_or_else(|| turnwise::Conversation::new().id().to_owned());
            wait(place.store().fork(id, &fork))?;
            writeln!(out, "{}", clean(&fork))?;
        }
        Action::Rename { id, title } => place.rename(id, title)?,
        Action::Delete { id } => {
            wait(place.store().delete(id))?;
            writeln!(out, "{}", place.after_delete(id))?;
        }
        Action::Restore { id } => place.restore(id)?,
        Action::Purge { id, expired, scrub } => purge(&mut out, &place, id.as_deref(), *expired, *scrub)?,
        Action::Rekey => {
            let count = place.rekey()?;
            writeln!(out, "{} sealed with the first key", counted(count, "row"))?;
        }
        Action::Export { file, resume, skip_unreadable } => place.export(file, tenant, *resume, *skip_unreadable)?,
        Action::Import { file, existing } => place.import(file, tenant, *existing)?,
        Action::Backup { file } => place.backup(file)?,
        Action::Path { id } => writeln!(out, "{}", place.path(id)?.display())?,
    }
    out.flush()?;
    Ok(())
}

fn is_json(action: &Action) -> bool {
    match action {
        Action::List { filters, .. } | Action::Search(Search { filters, .. }) => filters.json,
        Action::Stats { json } => *json,
        _ => false,
    }
}

fn purge(out: &mut impl Write, place: &Place, id: Option<&str>, expired: bool, scrub: bool) -> Result<()> {
    let mut purged = Ok(());
    if let Some(id) = id {
        place.purge(id)?;
    }
    if expired {
        purged = place.purge_expired(out);
    }
    if scrub {
        place.scrub()?;
    }
    purged
}

fn redact(out: &mut impl Write, place: &Place, id: Option<&str>, args: &Replacing) -> Result<()> {
    let replace = Replace::of(args)?;
    let ids: Box<dyn Iterator<Item = Result<String>>> = match id {
        Some(id) => Box::new(std::iter::once(Ok(id.to_owned()))),
        None => Box::new(place.all_ids()),
    };
    let (mut texts, mut conversations, mut failures) = (0, 0, 0);
    for one in ids {
        let one = one?;
        match replace.in_store(place, &one, args.dry_run) {
            Ok(replaced) => {
                texts += replaced;
                conversations += usize::from(replaced > 0);
            }
            Err(failure) if id.is_some() => return Err(failure),
            Err(failure) => {
                failure.within(&one).report();
                failures += 1;
            }
        }
    }
    let done = if args.dry_run { "would be changed" } else { "changed" };
    writeln!(out, "{} in {} {done}", counted(texts, "text"), counted(conversations, "conversation"))?;
    if failures == 0 {
        return Ok(());
    }
    out.flush()?;
    Err(Failure::Failed(format!(
        "{} could not be changed and may still have the text",
        counted(failures, "conversation")
    )))
}

fn list(out: &mut impl Write, place: &Place, limit: usize, json: bool, deleted: bool) -> Result<()> {
    if deleted {
        let ids = place.deleted(limit.saturating_add(1))?;
        for id in ids.iter().take(limit) {
            writeln!(out, "{}", clean(id))?;
        }
        tell_of_more(out, limit, ids.len() > limit)?;
        return Ok(());
    }
    let mut rows = Vec::new();
    let mut ids = place.ids();
    for id in ids.by_ref().take(limit) {
        let id = id?;
        rows.push(match place.load(&id) {
            Ok(file) => Ok(row(&file, id)),
            Err(failure) => {
                failure.within(&id).report();
                Err(Unreadable { id, error: UNREADABLE })
            }
        });
    }
    let is_cut = ids.next().is_some();
    if json {
        for row in &rows {
            match row {
                Ok(row) => json_line(out, row)?,
                Err(unreadable) => json_line(out, unreadable)?,
            }
        }
    } else {
        let mut table = table(&["id", "messages", "title or first question"], &[0, 2]);
        for row in &rows {
            table.add_row(match row {
                Ok(row) => [clean(&row.id).into_owned(), row.messages.to_string(), preview(&row.title, TITLE)],
                Err(Unreadable { id, error }) => [clean(id).into_owned(), "-".to_owned(), format!("({error})")],
            });
        }
        write_table(out, &table)?;
    }
    tell_of_more(out, limit, is_cut)?;
    if rows.iter().any(std::result::Result::is_err) { Err(Failure::Said(1)) } else { Ok(()) }
}

/// Says, after the list, that it is not all.
fn tell_of_more(out: &mut impl Write, limit: usize, is_cut: bool) -> Result<()> {
    out.flush()?;
    if is_cut {
        tell(format_args!("there are more than these {limit}; --limit N lists as many as N"));
    }
    Ok(())
}

fn row(file: &Transcript, id: String) -> Row {
    let path = file.conversation.path();
    Row {
        id,
        messages: path.len(),
        title: title_or_question(&file.conversation),
        created_at: file.conversation.created_at().as_millis(),
        last_used_at: last_used(file),
    }
}

/// The title of a conversation, or else its first question.
pub(crate) fn title_or_question(talk: &Conversation) -> String {
    let question = || {
        let asked = talk.path().messages().find(|message| *message.role() == Role::User)?;
        Some(asked.text().into_owned())
    };
    input::title(talk).map(str::to_owned).or_else(question).unwrap_or_default()
}

/// What only a database can do.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Place {
    fn after_delete(&self, id: &str) -> String {
        if self.has_files() {
            format!("deleted {}", clean(id))
        } else {
            format!("deleted {0}; `restore {0}` brings it back, `purge {0}` removes its text", clean(id))
        }
    }

    fn restore(&self, id: &str) -> Result<()> {
        let restored = match self {
            Self::Folder(_) => return Err(not_in_a_folder("restored")),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => wait(store.restore(id)),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => wait(store.restore(id)),
        };
        Ok(restored.map(drop)?)
    }

    fn purge(&self, id: &str) -> Result<()> {
        match self {
            Self::Folder(_) => Err(not_in_a_folder("purged")),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Ok(wait(store.purge(id))?),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Ok(wait(store.purge(id))?),
        }
    }

    fn purge_expired(&self, out: &mut impl Write) -> Result<()> {
        let purged = match self {
            Self::Folder(_) => return Err(not_in_a_folder("purged")),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => wait(store.purge_expired())?,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => wait(store.purge_expired())?,
        };
        writeln!(out, "{} purged", counted(purged.count, "conversation"))?;
        out.flush()?;
        report(purged.failed, "could not be purged")
    }

    fn scrub(&self) -> Result<()> {
        match self {
            Self::Folder(_) => Err(not_in_a_folder("left of it in a file")),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Ok(wait(store.scrub())?),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Err(Failure::usage(
                "--scrub writes an SQLite database anew; in PostgreSQL, run VACUUM FULL turnwise.changes",
            )),
        }
    }

    #[cfg(feature = "encryption")]
    fn rekey(&self) -> Result<usize> {
        if keys()?.is_none() {
            return Err(Failure::usage("rekey seals with keys: set TURNWISE_STORE_KEYS to them, or to file:FILE"));
        }
        match self {
            Self::Folder(_) => {
                Err(Failure::usage("a folder is not sealed; use a database (sqlite:FILE, postgres://…)"))
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Ok(wait(store.rekey())?),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Ok(wait(store.rekey())?),
        }
    }

    fn deleted(&self, limit: usize) -> Result<Vec<String>> {
        let deleted = match self {
            Self::Folder(_) => return Err(not_in_a_folder("listed as deleted")),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => wait(store.deleted(None, limit)),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => wait(store.deleted(None, limit)),
        };
        Ok(deleted?.into_iter().map(|one| one.id).collect())
    }
}

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
#[expect(clippy::unused_self, reason = "as with a database")]
impl Place {
    fn after_delete(&self, id: &str) -> String {
        format!("deleted {}", clean(id))
    }

    fn restore(&self, _: &str) -> Result<()> {
        Err(not_in_a_folder("restored"))
    }

    fn purge(&self, _: &str) -> Result<()> {
        Err(not_in_a_folder("purged"))
    }

    fn purge_expired(&self, _: &mut impl Write) -> Result<()> {
        Err(not_in_a_folder("purged"))
    }

    fn scrub(&self) -> Result<()> {
        Err(not_in_a_folder("left of it in a file"))
    }

    fn deleted(&self, _: usize) -> Result<Vec<String>> {
        Err(not_in_a_folder("listed as deleted"))
    }

    fn export(&self, _: &Path, _: Option<&str>, _: bool, _: bool) -> Result<()> {
        Err(not_built("export"))
    }

    fn import(&self, _: &Path, _: Option<&str>, _: OnExisting) -> Result<()> {
        Err(not_built("import"))
    }

    fn backup(&self, _: &Path) -> Result<()> {
        Err(not_built("backup"))
    }

    fn search(&self, _: &mut impl Write, _: &Search) -> Result<()> {
        Err(not_built("search"))
    }

    fn stats(&self, _: &mut impl Write, _: bool) -> Result<()> {
        Err(not_built("stats"))
    }

    fn list_by(&self, _: &mut impl Write, _: &Filters, _: Option<&str>) -> Result<()> {
        Err(not_built("list by time, metadata and text"))
    }

    fn index(&self, _: bool) -> Result<()> {
        Err(not_built("index"))
    }

    fn expire(&self, _: &mut impl Write, _: Option<&str>, _: Option<usize>, _: bool, _: bool) -> Result<()> {
        Err(not_built("expire"))
    }
}

#[cfg(not(all(feature = "encryption", any(feature = "sqlite", feature = "postgres"))))]
#[expect(clippy::unused_self, reason = "as with encryption")]
impl Place {
    fn rekey(&self) -> Result<usize> {
        Err(crate::stores::not_sealing("rekey"))
    }
}

/// Reports the conversations with which something could not be done, after what was done with the
/// others.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn report(failed: Vec<turnwise_store::Failed>, what: &str) -> Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    for one in failed {
        Failure::from(one.error).within(format!("{}: it {what}", one.id)).report();
    }
    Err(Failure::Said(1))
}

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
fn not_built(command: &str) -> Failure {
    Failure::usage(format!(
        "{command}: this program was built without databases; in a checkout, install one that has all with `cargo install --path crates/cli --features full`"
    ))
}

fn not_in_a_folder(doing: &str) -> Failure {
    Failure::usage(format!(
        "in a folder, `delete` removes the file at once, so nothing can be {doing}; a database (sqlite:FILE, postgres://…) keeps it"
    ))
}
