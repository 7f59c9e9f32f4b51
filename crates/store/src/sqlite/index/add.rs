//! Adds what was written to the index, in the transaction that writes it.

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;
use turnwise::conversation::Metadata;
use turnwise::store::Change;

use super::{OF_TENANT, forget_other_format, row_of_texts};
use crate::rows::{At, Key};
use crate::search::index::{Times, joined};
use crate::search::{has_parts, searched, words};
use crate::sqlite::{failed, tables};

/// Adds all that the triggers have noted. Without an index that is nothing.
pub(in crate::sqlite) fn catch_up(db: &Connection) -> Result<()> {
    // Another program may have made one since.
    if forget_other_format(db)? {
        return Ok(());
    }
    let doing = failed(DOING);
    let is_new = "SELECT EXISTS (SELECT 1 FROM search_new) OR EXISTS (SELECT 1 FROM search_new_changes)";
    let mut is_new = db.prepare_cached(is_new).map_err(&doing)?;
    if !is_new.query_row([], |row| row.get(0)).map_err(&doing)? {
        return Ok(());
    }
    add_changes(db)?;
    add_conversations(db)
}

const DOING: &str = "adding to the index for search, which `turnwise conversations index --off` removes";

/// A tenant whose items are being added.
struct Tenant {
    name: String,
    number: i64,
    items: i64,
    words: i64,
    /// The rows of new items and their words.
    texts: Vec<(i64, String)>,
    times: Times,
}

fn add_changes(db: &Connection) -> Result<()> {
    let doing = failed(DOING);
    // An item that was removed again in the same transaction is not there. In the order of tenants the rows grow,
    // which is what the index is fast at.
    let new = "SELECT n.tenant, n.log, n.position, c.change FROM search_new_changes n \
               JOIN changes c ON c.tenant = n.tenant AND c.log = n.log AND c.position = n.position \
               ORDER BY n.tenant, n.number";
    let mut new = db.prepare_cached(new).map_err(&doing)?;
    let mut rows = new.query([]).map_err(&doing)?;
    let mut tenant: Option<Tenant> = None;
    while let Some(row) = rows.next().map_err(&doing)? {
        let read = || Ok((row.get_ref(0)?.as_str()?, row.get(1)?, row.get(2)?, row.get_ref(3)?.as_str()?));
        let (name, log, position, line): (&str, i64, i64, &str) = read().map_err(|e: rusqlite::Error| doing(e))?;
        if tenant.as_ref().is_none_or(|tenant| tenant.name != name) {
            if let Some(done) = tenant.take() {
                done.put(db)?;
            }
            tenant = Some(Tenant::of(db, name)?);
        }
        let Some(tenant) = &mut tenant else { continue };
        match serde_json::from_str(line) {
            Ok(Change::Item { message, created_at, .. }) => {
                tenant.add(db, [log, position, created_at.as_millis()], &searched(&message))?;
            }
            Ok(Change::Metadata(_)) => {
                let state = "INSERT OR IGNORE INTO search_states (log, position, tenant) VALUES (?1, ?2, ?3)";
                let mut state = db.prepare_cached(state).map_err(&doing)?;
                state.execute(params![log, position, name]).map_err(&doing)?;
            }
            // Whoever opens the conversation is told.
            _ => {}
        }
    }
    drop(rows);
    if let Some(done) = tenant {
        done.put(db)?;
    }
    db.execute("DELETE FROM search_new_changes", []).map(drop).map_err(&doing)
}

impl Tenant {
    fn of(db: &Connection, name: &str) -> Result<Self> {
        let doing = failed(DOING);
        let insert = "INSERT INTO search_tenants (tenant, items, words) VALUES (?1, 0, 0) ON CONFLICT DO NOTHING";
        db.prepare_cached(insert).and_then(|mut insert| insert.execute([name])).map_err(&doing)?;
        let read = "SELECT number, items, words FROM search_tenants WHERE tenant = ?1";
        let mut read = db.prepare_cached(read).map_err(&doing)?;
        let read = read.query_row([name], |row| {
            let (number, items, words) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Self { name: name.to_owned(), number, items, words, texts: Vec::new(), times: Times::default() })
        });
        read.map_err(&doing)
    }

    /// Adds the words of the new items, and writes down how many items there are and of which times.
    fn put(self, db: &Connection) -> Result<()> {
        let doing = failed(DOING);
        let text = "INSERT INTO search_texts (rowid, words) VALUES (?1, ?2)";
        let mut text = db.prepare_cached(text).map_err(&doing)?;
        // FTS5 takes rows in their order, and begins anew at each that comes before another.
        for (row, words) in self.texts.iter().rev() {
            text.execute(params![row_of_texts(*row), words]).map_err(&doing)?;
        }
        let times = "INSERT INTO search_times (tenant, block, oldest, newest) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT DO UPDATE SET oldest = min(oldest, ?3), newest = max(newest, ?4)";
        let mut times = db.prepare_cached(times).map_err(&doing)?;
        for (block, oldest, newest) in self.times.blocks() {
            times.execute([self.number, block, oldest, newest]).map_err(&doing)?;
        }
        let update = "UPDATE search_tenants SET items = ?2, words = ?3 WHERE number = ?1";
        let mut update = db.prepare_cached(update).map_err(&doing)?;
        update.execute([self.number, self.items, self.words]).map(drop).map_err(&doing)
    }

    fn add(&mut self, db: &Connection, [log, position, at]: [i64; 3], text: &str) -> Result<()> {
        let doing = failed(DOING);
        // While the index is made, one that was written since may be there.
        let there = "SELECT EXISTS (SELECT 1 FROM search_items WHERE log = ?1 AND position = ?2)";
        let mut there = db.prepare_cached(there).map_err(&doing)?;
        if there.query_row([log, position], |row| row.get(0)).map_err(&doing)? {
            return Ok(());
        }
        self.items += 1;
        let row = (self.number << OF_TENANT) + self.items;
        let item = "INSERT INTO search_items (row, log, position, at) VALUES (?1, ?2, ?3, ?4)";
        db.prepare_cached(item).and_then(|mut item| item.execute([row, log, position, at])).map_err(&doing)?;
        self.times.add(self.items, at);
        let words = words(text);
        for word in words.iter().filter(|word| has_parts(word)) {
            self.add_word(db, word)?;
        }
        self.texts.push((row, joined(&words)));
        Ok(())
    }

    fn add_word(&mut self, db: &Connection, word: &str) -> Result<()> {
        let doing = failed(DOING);
        let row = (self.number << OF_TENANT) + self.words + 1;
        let insert = "INSERT INTO search_words (row, tenant, word) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        let mut insert = db.prepare_cached(insert).map_err(&doing)?;
        if insert.execute(params![row, self.number, word]).map_err(&doing)? > 0 {
            self.words += 1;
            let part = "INSERT INTO search_parts (rowid, word) VALUES (?1, ?2)";
            db.prepare_cached(part).and_then(|mut part| part.execute(params![row, word])).map_err(&doing)?;
        }
        Ok(())
    }
}

fn add_conversations(db: &Connection) -> Result<()> {
    let doing = failed(DOING);
    let mut new = db.prepare_cached("SELECT tenant, id FROM search_new").map_err(&doing)?;
    let rows = new.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).map_err(&doing)?;
    let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>().map_err(&doing)?;
    for (tenant, id) in rows {
        add_conversation(db, &Key { tenant: tenant.into(), id: id.into() })?;
    }
    db.execute("DELETE FROM search_new", []).map(drop).map_err(&doing)
}

fn add_conversation(db: &Connection, key: &Key) -> Result<()> {
    let doing = failed(DOING);
    let forget = "DELETE FROM search_metadata WHERE tenant = ?1 AND id = ?2";
    let Some(row) = tables::find(db, key)? else {
        let gone = "DELETE FROM search_conversations WHERE tenant = ?1 AND id = ?2";
        for gone in [forget, gone] {
            let mut gone = db.prepare_cached(gone).map_err(&doing)?;
            gone.execute(params![key.tenant, key.id]).map_err(&doing)?;
        }
        return Ok(());
    };
    let used_at = match last(db, key, row.at, ITEMS)? {
        Some(Change::Item { created_at, .. }) => created_at.as_millis(),
        _ => row.created_at,
    };
    let metadata = match last(db, key, row.at, STATES)? {
        Some(Change::Metadata(metadata)) => metadata,
        _ => Metadata::default(),
    };
    let put = "INSERT INTO search_conversations (tenant, id, used_at) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO UPDATE SET used_at = ?3 WHERE used_at <> ?3";
    let mut put = db.prepare_cached(put).map_err(&doing)?;
    put.execute(params![key.tenant, key.id, used_at]).map_err(&doing)?;
    let mut known = db
        .prepare_cached("SELECT key, value FROM search_metadata WHERE tenant = ?1 AND id = ?2 ORDER BY key")
        .map_err(&doing)?;
    let known = known.query_map(params![key.tenant, key.id], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&doing)?;
    let known: Vec<(String, String)> = known.collect::<rusqlite::Result<_>>().map_err(&doing)?;
    let mut now: Vec<(String, String)> = metadata.iter().map(|(key, value)| (key.into(), value.into())).collect();
    now.sort();
    if known == now {
        return Ok(());
    }
    let mut forget = db.prepare_cached(forget).map_err(&doing)?;
    forget.execute(params![key.tenant, key.id]).map_err(&doing)?;
    let put = "INSERT INTO search_metadata (tenant, id, key, value) VALUES (?1, ?2, ?3, ?4)";
    let mut put = db.prepare_cached(put).map_err(&doing)?;
    for (name, value) in now {
        put.execute(params![key.tenant, key.id, name, value]).map_err(&doing)?;
    }
    Ok(())
}

/// The last position up to one, of a log's items or of its metadata.
const ITEMS: &str =
    "SELECT position FROM search_items WHERE log = ?1 AND position <= ?2 ORDER BY position DESC LIMIT 1";
const STATES: &str =
    "SELECT position FROM search_states WHERE log = ?1 AND position <= ?2 ORDER BY position DESC LIMIT 1";

/// The last change of a conversation that a statement finds.
fn last(db: &Connection, key: &Key, at: At, statement: &str) -> Result<Option<Change>> {
    let doing = failed(DOING);
    let mut find = db.prepare_cached(statement).map_err(&doing)?;
    let mut at = Some((at.log, at.last));
    while let Some((log, to)) = at {
        let position: Option<i64> = find.query_row([log, to], |row| row.get(0)).optional().map_err(&doing)?;
        if let Some(position) = position {
            return Ok(
                super::find::line(db, &key.tenant, log, position)?.and_then(|line| serde_json::from_str(&line).ok())
            );
        }
        at = tables::parent(db, &key.tenant, log)?;
    }
    Ok(None)
}
