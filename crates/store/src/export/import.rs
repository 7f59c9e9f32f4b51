//! `import`: reads an export into stores.

use std::io::Read;
use std::sync::Arc;

use futures_util::future::join_all;
use turnwise::store::{Change, Store};
use turnwise::{Error, ErrorKind, Result, Transcript};

use super::{Lines, Mark, Named, check_format};

/// How many conversations are written at the same time, which share a commit where the store can do
/// that, and the most text that they may have together before they are written, in bytes.
const AT_ONCE: usize = 16;
const MOST: usize = 4 * 1024 * 1024;

/// What is done with a conversation whose id the store has already, with other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Existing {
    /// The import fails there.
    Refuse,
    /// The store's stays as it is.
    Keep,
    /// It is replaced by the one in the file.
    Replace,
}

/// How many conversations an [`import`] has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Those that the store did not have.
    pub added: usize,
    /// Those that it had with the same content.
    pub same: usize,
    /// Those that it had with other content, which stayed ([`Existing::Keep`]).
    pub kept: usize,
    /// Those that it had with other content, which was replaced ([`Existing::Replace`]).
    pub replaced: usize,
    /// Those of tenants that were not asked for.
    pub skipped: usize,
    /// Those that are not in the file, because they could not be read when it was written
    /// ([`Exporter::leaving_out_unread`](super::Exporter::leaving_out_unread)).
    pub left_out: usize,
}

/// Reads an export. `store_of` gives the store of a tenant, `None` being the default tenant, or no
/// store for a tenant whose conversations are not wanted.
///
/// Each conversation is written whole or not at all. One that is in the store with the same content
/// is left alone, so an import that was killed is resumed by making it again.
///
/// # Errors
/// Those of the stores, and:
/// - [`ErrorKind::ForeignFormat`] if it is no export; [`ErrorKind::NewerFormat`] if a newer version
///   has written it.
/// - [`ErrorKind::Damaged`] with the number of a line that cannot be read, or that follows the last
///   one, or if the file ends early. The conversations before it are in the store.
/// - [`ErrorKind::Conflict`] with [`Existing::Refuse`] if the store has a conversation with an id of
///   the file and other content.
pub async fn import(
    from: impl Read,
    mut store_of: impl FnMut(Option<&str>) -> Result<Option<Arc<dyn Store>>>,
    existing: Existing,
) -> Result<Imported> {
    let mut lines = Lines::of(from);
    check_format(lines.next()?.unwrap_or_default())?;
    let mut imported = Imported::default();
    let mut reads = Reads { lines, conversations: 0, left_out: 0 };
    let mut tenant: Option<Tenant> = None;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        let next = reads.next();
        let is_over = !matches!(next, Ok(Some(_)));
        if is_over || bytes > MOST || batch.len() >= AT_ONCE {
            // What comes before an error is written.
            write(std::mem::take(&mut batch), existing, &mut imported).await?;
            bytes = 0;
        }
        imported.left_out = reads.left_out;
        let Some(read) = next? else { return Ok(imported) };
        if tenant.as_ref().is_none_or(|tenant| tenant.name != read.named.tenant) {
            let store = store_of(read.named.tenant.as_deref())?;
            tenant = Some(Tenant { name: read.named.tenant.clone(), store });
        }
        match &tenant {
            Some(Tenant { store: Some(store), .. }) => {
                bytes += read.bytes;
                batch.push((Arc::clone(store), read));
            }
            _ => imported.skipped += 1,
        }
    }
}

/// A tenant of the file, with its store if it is wanted.
struct Tenant {
    name: Option<String>,
    store: Option<Arc<dyn Store>>,
}

/// A conversation of the file.
struct Conversation {
    named: Named,
    transcript: Transcript,
    bytes: usize,
}

struct Reads<R: Read> {
    lines: Lines<R>,
    conversations: usize,
    left_out: usize,
}

impl<R: Read> Reads<R> {
    fn next(&mut self) -> Result<Option<Conversation>> {
        let mut line = self.lines.next()?.map(Mark::of);
        // Behind the first line, of which the format was seen.
        if self.lines.number == 2 && matches!(line, Some(Some(Ok(Mark::Only { .. })))) {
            line = self.lines.next()?.map(Mark::of);
        }
        while let Some(Some(Ok(Mark::LeftOut(_)))) = line {
            self.left_out += 1;
            line = self.lines.next()?.map(Mark::of);
        }
        match line {
            Some(Some(Ok(Mark::Conversation(named)))) => {
                self.conversations += 1;
                self.conversation(named).map(Some)
            }
            Some(Some(Ok(Mark::Complete { conversations }))) if conversations == self.conversations => {
                if self.lines.is_over()? { Ok(None) } else { Err(self.more()) }
            }
            Some(Some(Ok(Mark::Complete { conversations }))) => {
                Err(self.damaged(&format!("{} of {conversations} conversations are in the file", self.conversations)))
            }
            Some(_) => Err(self.damaged("a conversation was expected to begin here")),
            None => Err(self.cut()),
        }
    }

    fn conversation(&mut self, named: Named) -> Result<Conversation> {
        let (mut changes, mut bytes) = (Vec::new(), 0);
        loop {
            let Some(line) = self.lines.next()? else { return Err(self.cut()) };
            bytes += line.len();
            match Mark::of(line) {
                None => match serde_json::from_str::<Change>(line) {
                    Ok(change) => changes.push(change),
                    Err(error) => return Err(self.unread(&error)),
                },
                Some(Ok(Mark::End { changes: count })) if count == changes.len() => break,
                Some(_) => return Err(self.damaged("the conversation before it does not end as it should")),
            }
        }
        let mut transcript = Transcript::default();
        transcript.apply(changes).map_err(|error| {
            self.damaged(&format!("the conversation `{}` that ends there: {}", named.id.escape_debug(), error.detail()))
        })?;
        Ok(Conversation { named, transcript, bytes })
    }

    fn unread(&self, error: &serde_json::Error) -> Error {
        let text = error.to_string();
        if text.starts_with("unknown variant") {
            let detail =
                format!("line {}: {text}; a newer version has written it: update the program", self.lines.number);
            return Error::new(ErrorKind::NewerFormat, detail);
        }
        self.damaged(&text)
    }

    fn cut(&self) -> Error {
        let detail = format!(
            "the export ends early, in line {}: it was cut off, or is still being written; what is whole in it was read. \
             Finish it with `turnwise conversations export --resume`, and import it again",
            self.lines.number
        );
        Error::new(ErrorKind::Damaged, detail)
    }

    fn more(&self) -> Error {
        self.damaged(
            "something follows the line `complete`, with which an export ends; import each of several exports as a file of \
             its own",
        )
    }

    fn damaged(&self, found: &str) -> Error {
        let detail = format!("line {} of the export: {found}; what is before it was read", self.lines.number);
        Error::new(ErrorKind::Damaged, detail)
    }
}

/// Writes several conversations at once.
async fn write(batch: Vec<(Arc<dyn Store>, Conversation)>, existing: Existing, imported: &mut Imported) -> Result<()> {
    let writes = batch.iter().map(|(store, read)| write_one(&**store, read, existing));
    // All of them are finished before the first error is returned.
    for written in join_all(writes).await {
        match written? {
            Written::Added => imported.added += 1,
            Written::Same => imported.same += 1,
            Written::Kept => imported.kept += 1,
            Written::Replaced => imported.replaced += 1,
        }
    }
    Ok(())
}

enum Written {
    Added,
    Same,
    Kept,
    Replaced,
}

async fn write_one(store: &dyn Store, read: &Conversation, existing: Existing) -> Result<Written> {
    let id = &read.named.id;
    match store.save(id, &read.transcript, None).await {
        Ok(_) => return Ok(Written::Added),
        Err(error) if error.kind() == ErrorKind::Conflict => {}
        Err(error) => return Err(error),
    }
    let (there, revision) = store.load(id).await?;
    if is_same(&there, &read.transcript) {
        return Ok(Written::Same);
    }
    match existing {
        Existing::Keep => Ok(Written::Kept),
        Existing::Replace => {
            store.save(id, &read.transcript, Some(&revision)).await?;
            Ok(Written::Replaced)
        }
        Existing::Refuse => {
            let detail = format!(
                "the store has a conversation `{}` with other content than the export's; keep the store's, replace it, or \
                 import into another store",
                id.escape_debug()
            );
            Err(Error::new(ErrorKind::Conflict, detail))
        }
    }
}

fn is_same(one: &Transcript, other: &Transcript) -> bool {
    let (one, other) = (one.changes(), other.changes());
    let line = |change: &Change| serde_json::to_string(change).ok();
    one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| line(one) == line(other))
}
