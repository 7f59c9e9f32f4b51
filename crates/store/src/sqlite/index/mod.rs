//! The index for search: turned on and off, and its state.

mod add;
mod candidates;
mod find;
mod holders;
mod list;
mod remove;
mod scope;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
#[cfg(doc)]
use turnwise::ErrorKind;
use turnwise::Result;

use super::{SqliteStore, failed};
use crate::seal::not_searchable;
use crate::search::index::{FORMAT, State};
use crate::search::{Hit, ListQuery, Listed, Page, SearchQuery};

pub(super) use add::catch_up;
pub(super) use remove::forget;

/// How many bytes of old changes one transaction adds to the index.
const BATCH: i64 = 4 * 1024 * 1024;

/// The bits of a row that count within a tenant.
const OF_TENANT: u32 = 40;

/// What notes that something is to be added to the index, while search is on.
const TRIGGERS: &str = "
    CREATE TRIGGER search_change AFTER INSERT ON changes
    WHEN NEW.change GLOB '{\"item\"*' OR NEW.change GLOB '{\"metadata\"*' BEGIN
        INSERT INTO search_new_changes (tenant, log, position) VALUES (NEW.tenant, NEW.log, NEW.position);
    END;
    CREATE TRIGGER search_begun AFTER INSERT ON conversations BEGIN
        INSERT OR IGNORE INTO search_new VALUES (NEW.tenant, NEW.id);
    END;
    CREATE TRIGGER search_written AFTER UPDATE ON conversations BEGIN
        INSERT OR IGNORE INTO search_new VALUES (NEW.tenant, NEW.id);
    END;
    CREATE TRIGGER search_gone AFTER DELETE ON conversations BEGIN
        INSERT OR IGNORE INTO search_new VALUES (OLD.tenant, OLD.id);
    END;";

const NO_TRIGGERS: &str = "
    DROP TRIGGER IF EXISTS search_change;
    DROP TRIGGER IF EXISTS search_begun;
    DROP TRIGGER IF EXISTS search_written;
    DROP TRIGGER IF EXISTS search_gone;";

const EMPTY: &str = "
    INSERT INTO search_texts (search_texts) VALUES ('delete-all');
    INSERT INTO search_parts (search_parts) VALUES ('delete-all');
    DELETE FROM search_items; DELETE FROM search_words; DELETE FROM search_states; DELETE FROM search_tenants;
    DELETE FROM search_conversations; DELETE FROM search_metadata; DELETE FROM search_times;
    DELETE FROM search_old_logs; DELETE FROM search_new_changes; DELETE FROM search_new;
    UPDATE search SET state = 0, format = 0;
    UPDATE upkeep SET removed = removed + 1;";

/// What there was is read in the order in which conversations were written last, so that what was found
/// last is about the newest.
const BEGIN: &str = "
    INSERT INTO search_old_logs (tenant, log)
    SELECT tenant, log FROM (
        SELECT l.tenant, l.log, coalesce(c.changed_at, d.changed_at, 0) AS changed_at FROM logs l
        LEFT JOIN conversations c ON c.tenant = l.tenant AND c.log = l.log
        LEFT JOIN (SELECT tenant, log, changed_at FROM deleted) d ON d.tenant = l.tenant AND d.log = l.log
    ) ORDER BY changed_at;";

impl SqliteStore {
    /// Makes the index for [`search`](Self::search), of all tenants, and keeps it up to date from now on,
    /// whichever process writes: what was written is found as soon as the write was acknowledged.
    /// Conversations that are there are added in steps, between which others write; if that is
    /// interrupted, call this again. Where there is an index, nothing is done.
    ///
    /// Conversations that are sealed (feature `encryption`) have no index, since it would hold their words in
    /// plain text.
    ///
    /// An index makes writing slower and the file larger, so there is none unless somebody calls this.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if conversations are sealed; [`ErrorKind::Io`] if the database fails.
    pub async fn enable_search(&self) -> Result<()> {
        self.shared.seal.check_searchable()?;
        self.shared.threads.write(begin).await?;
        while self.shared.threads.write(add_old).await? {}
        Ok(())
    }

    /// Removes the index for search.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the database fails.
    pub async fn disable_search(&self) -> Result<()> {
        self.shared.threads.write(end).await
    }

    /// Whether there is an index for search.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the database fails.
    pub async fn is_searchable(&self) -> Result<bool> {
        self.shared.threads.read(|db| Ok(state(db)? == State::On)).await
    }

    /// Searches the conversations of this tenant, the item first that was written last. Deleted
    /// conversations are not searched. [`search`](crate::search) says what is found.
    ///
    /// # Errors
    /// - [`ErrorKind::NotFound`] if there is no index: call [`enable_search`](Self::enable_search), or
    ///   read everything with [`scan`](crate::search::scan).
    /// - [`ErrorKind::Busy`] while the index is being made.
    /// - [`ErrorKind::InvalidParam`] if the query has nothing to search for, or its cursor is wrong.
    ///
    /// # Examples
    /// ```
    /// use turnwise::store::Store;
    /// use turnwise::{Conversation, Message, Transcript};
    /// use turnwise_store::SqliteStore;
    /// use turnwise_store::search::SearchQuery;
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let file = folder.path().join("chats.db");
    /// # futures_lite::future::block_on(async {
    /// let store = SqliteStore::open(file)?;
    /// store.enable_search().await?;
    /// let talk = Conversation::from_messages([Message::user("Where is my parcel?")]);
    /// store.save("ann", &Transcript::new(talk), None).await?;
    ///
    /// let page = store.search(&SearchQuery::new("PARCEL")).await?;
    /// assert_eq!((page.found[0].conversation.as_str(), page.next), ("ann", None));
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn search(&self, query: &SearchQuery) -> Result<Page<Hit>> {
        self.shared.seal.check_searchable()?;
        let (tenant, query) = (self.tenant.clone(), query.clone());
        self.shared.threads.read(move |db| find::search(db, &tenant, &query)).await
    }

    /// Lists conversations of this tenant by their time, their metadata and what was said in them: the one
    /// first that was used last, or, with a text, the one with the newest item in which it is.
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    pub async fn list_by(&self, query: &ListQuery) -> Result<Page<Listed>> {
        self.shared.seal.check_searchable()?;
        let (tenant, query) = (self.tenant.clone(), query.clone());
        self.shared.threads.read(move |db| list::list(db, &tenant, &query)).await
    }
}

fn state(db: &Connection) -> Result<State> {
    let doing = failed("reading the state of the index");
    let mut state = db.prepare_cached("SELECT state, format FROM search").map_err(&doing)?;
    let (state, format): (i64, i64) = state.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&doing)?;
    Ok(State::of(state, format))
}

fn check_is_on(db: &Connection) -> Result<()> {
    state(db)?.check_is_on()
}

fn begin(db: &Connection) -> Result<()> {
    if state(db)? != State::Off {
        return Ok(());
    }
    check_unsealed(db)?;
    end(db)?;
    let doing = failed("making the index for search");
    db.execute_batch(TRIGGERS).map_err(&doing)?;
    db.execute_batch(BEGIN).map_err(&doing)?;
    db.execute("UPDATE search SET state = 1, format = ?1", [FORMAT]).map_err(&doing)?;
    Ok(())
}

/// Refuses a database of which a conversation is sealed. Its owner has the keys, and this program has not.
fn check_unsealed(db: &Connection) -> Result<()> {
    let sealed = "SELECT EXISTS (SELECT 1 FROM logs l JOIN changes c ON c.tenant = l.tenant AND c.log = l.log \
                  AND c.position = l.at + 1 WHERE c.change GLOB 'twr1.*')";
    let sealed: bool = db.query_row(sealed, [], |row| row.get(0)).map_err(failed("making the index for search"))?;
    if sealed { Err(not_searchable()) } else { Ok(()) }
}

/// Adds some of the old logs; whether there may be more.
fn add_old(db: &Connection) -> Result<bool> {
    let doing = failed("making the index for search");
    if state(db)? != State::BeingMade {
        return Ok(false);
    }
    let next = "SELECT number, tenant, log FROM search_old_logs ORDER BY number LIMIT 1";
    let mut next = db.prepare_cached(next).map_err(&doing)?;
    let mut bytes = 0;
    while bytes < BATCH {
        let mut rows = next.query([]).map_err(&doing)?;
        let Some(row) = rows.next().map_err(&doing)? else {
            db.execute("UPDATE search SET state = 2", []).map_err(&doing)?;
            return Ok(false);
        };
        let old: (i64, String, i64) = (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))().map_err(&doing)?;
        drop(rows);
        let (number, tenant, log) = old;
        bytes += note_log(db, &tenant, log)?;
        db.execute("DELETE FROM search_old_logs WHERE number = ?1", [number]).map_err(&doing)?;
    }
    Ok(true)
}

/// Notes that a log is to be added, and the conversations that need it. Returns its bytes.
fn note_log(db: &Connection, tenant: &str, log: i64) -> Result<i64> {
    let doing = failed("making the index for search");
    let note = "INSERT INTO search_new_changes (tenant, log, position) \
                SELECT tenant, log, position FROM changes WHERE tenant = ?1 AND log = ?2 \
                AND (change GLOB '{\"item\"*' OR change GLOB '{\"metadata\"*') ORDER BY position";
    db.prepare_cached(note).and_then(|mut note| note.execute(params![tenant, log])).map_err(&doing)?;
    let bytes = "SELECT coalesce(sum(length(change)), 0) + 1 FROM changes WHERE tenant = ?1 AND log = ?2";
    let bytes = db.prepare_cached(bytes).and_then(|mut bytes| bytes.query_row(params![tenant, log], |row| row.get(0)));
    for id in holders::of(db, tenant, log, 0)? {
        let note = "INSERT OR IGNORE INTO search_new VALUES (?1, ?2)";
        db.prepare_cached(note).and_then(|mut note| note.execute(params![tenant, id])).map_err(&doing)?;
    }
    bytes.map_err(&doing)
}

fn end(db: &Connection) -> Result<()> {
    let doing = failed("removing the index for search");
    db.execute_batch(NO_TRIGGERS).map_err(&doing)?;
    db.execute_batch(EMPTY).map_err(&doing)
}

/// Removes an index of another version when the database is opened.
pub(super) fn check_at_open(db: &Connection) -> Result<()> {
    if !is_other_format(db)? {
        return Ok(());
    }
    let doing = failed("removing an index of another version");
    let alone = Transaction::new_unchecked(db, TransactionBehavior::Immediate).map_err(&doing)?;
    forget_other_format(&alone)?;
    alone.commit().map_err(&doing)
}

/// Removes an index of another version, if there is one; whether there was. Its words are other ones, so those of
/// a text that is removed from the database could not be found in it to be removed.
fn forget_other_format(db: &Connection) -> Result<bool> {
    let is_other = is_other_format(db)?;
    if is_other {
        end(db)?;
    }
    Ok(is_other)
}

fn is_other_format(db: &Connection) -> Result<bool> {
    let doing = failed("reading the state of the index");
    let is_other = "SELECT format NOT IN (0, ?1) FROM search";
    let mut is_other = db.prepare_cached(is_other).map_err(&doing)?;
    is_other.query_row([FORMAT], |row| row.get(0)).map_err(&doing)
}

/// Removes the index, if there is one.
#[cfg(feature = "encryption")]
pub(super) fn end_if_on(db: &Connection) -> Result<()> {
    if state(db)? == State::Off { Ok(()) } else { end(db) }
}

/// The row of an item in `search_texts`. There the newest item of a tenant is the first one, because FTS5 finds the
/// first rows of a word at once, and has to read much more to find the last ones.
fn row_of_texts(row: i64) -> i64 {
    row ^ ((1 << OF_TENANT) - 1)
}

/// The first and the last row that a tenant's items or words may have.
fn rows_of(number: i64) -> (i64, i64) {
    (number << OF_TENANT, ((number + 1) << OF_TENANT) - 1)
}
