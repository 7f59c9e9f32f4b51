//! A whole store out and in, as JSON Lines: [`Exporter`] writes, [`import()`] reads.
//!
//! A file begins with a line that names the format. Each conversation is a line with its tenant and
//! id, a line for each of its [changes](turnwise::store::Change), and a line that ends it with
//! their number. The last line has the number of conversations, so that a file that was cut off is
//! noticed. An export of one tenant says so in its second line: `{"only":{"tenant":"ann"}}`. In the
//! place of a conversation that could not be read and was [left out](Exporter::leaving_out_unread)
//! is `{"left_out":{"id":"bob"}}`.
//!
//! ```text
//! {"turnwise_store":1}
//! {"conversation":{"id":"ann"}}
//! {"begun":{…}}
//! {"item":{…}}
//! {"end":{"changes":2}}
//! {"complete":{"conversations":1}}
//! ```
//!
//! Any store can be written and read: both use [`Store`] only. One conversation is in memory at a
//! time (a few when reading), however many there are. Deleted conversations that can still be
//! restored are not written; a backup of a database has them. A fork is written whole, without the
//! knowledge that it shares text with its original.
//!
//! # Examples
//! ```
//! use std::sync::Arc;
//! use turnwise::store::{MemoryStore, Store};
//! use turnwise_store::export::{Existing, Exporter, import};
//!
//! # futures_lite::future::block_on(async {
//! let store = MemoryStore::new();
//! store.save("ann", &turnwise::Transcript::default(), None).await?;
//! let mut out = Exporter::new(Vec::new())?;
//! out.add(None, &store).await?;
//! let file = out.finish()?;
//!
//! let other = MemoryStore::new();
//! let read = import(&file[..], |_| Ok(Some(Arc::new(other.clone()))), Existing::Refuse).await?;
//! assert_eq!(read.added, 1);
//! assert_eq!(other.list(None, 10).await?, ["ann"]);
//! # Ok::<(), turnwise::Error>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod import;
mod resume;

use std::io::{BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};
use turnwise::store::{Change, Store, failed};
use turnwise::{Error, ErrorKind, Result};

use crate::each::{Each, Failed, read};

pub use import::{Existing, Imported, import};

/// The version of the format.
const FORMAT: u32 = 1;

/// A line that is no change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mark {
    TurnwiseStore(u32),
    Only {
        tenant: String,
    },
    Conversation(Named),
    End {
        changes: usize,
    },
    /// A conversation that could not be read.
    LeftOut(Named),
    Complete {
        conversations: usize,
    },
}

/// Which conversation it is. The default tenant has no name and comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Named {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    id: String,
}

impl Mark {
    /// The beginnings of lines that are no changes. A change's are other ones.
    const BEGINNINGS: [&str; 6] =
        ["{\"turnwise_store\":", "{\"only\":", "{\"conversation\":", "{\"end\":", "{\"left_out\":", "{\"complete\":"];

    /// `None` if the line is a change.
    fn of(line: &str) -> Option<serde_json::Result<Self>> {
        let is_mark = Self::BEGINNINGS.iter().any(|beginning| line.starts_with(beginning));
        is_mark.then(|| serde_json::from_str(line))
    }
}

/// Writes the conversations of a store, or of several tenants, as JSON Lines. The
/// [module](self) has an example.
///
/// It writes on the calling thread. If it is killed, [`resume`](Exporter::resume) goes on after the
/// last conversation that is whole in the file.
#[derive(Debug)]
pub struct Exporter<W: Write> {
    out: W,
    /// The only tenant that may be in the file, if it is of one.
    only: Option<String>,
    /// The tenant that was added last since this was made.
    added: Option<Added>,
    /// The last conversation that was written or left out.
    last: Option<Named>,
    conversations: usize,
    /// Whether what cannot be read is left out.
    skips: bool,
    /// All that is missing in the file.
    left_out: Vec<LeftOut>,
    is_complete: bool,
}

/// A conversation that could not be read and was left out of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its tenant; `None` is the default tenant.
    pub tenant: Option<String>,
    /// Its id, and why it could not be read. Of one that is missing since an earlier run, the file
    /// does not say why.
    pub failed: Failed,
}

impl LeftOut {
    /// What a file that is resumed says of a conversation.
    fn earlier(named: Named) -> Self {
        let detail = "an earlier run could not read it and left it out, and a resumed export does not go back; mend it if \
                      need be, and export anew";
        let error = Error::new(ErrorKind::Damaged, detail);
        Self { tenant: named.tenant, failed: Failed::new(named.id, error) }
    }
}

/// A tenant that was added, or whose adding failed.
#[derive(Debug)]
struct Added {
    tenant: Option<String>,
    is_whole: bool,
}

impl<W: Write> Exporter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written.
    pub fn new(out: W) -> Result<Self> {
        Self::begin(out, None)
    }

    /// Begins a file that says that it has one tenant only, so that no other one can be added to it
    /// when it is resumed.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written.
    pub fn of_tenant(out: W, tenant: &str) -> Result<Self> {
        Self::begin(out, Some(tenant))
    }

    fn begin(out: W, only: Option<&str>) -> Result<Self> {
        let only = only.map(str::to_owned);
        let mut exporter = Self {
            out,
            only,
            added: None,
            last: None,
            conversations: 0,
            skips: false,
            left_out: Vec::new(),
            is_complete: false,
        };
        exporter.line(&Mark::TurnwiseStore(FORMAT))?;
        if let Some(tenant) = exporter.only.clone() {
            exporter.line(&Mark::Only { tenant })?;
        }
        Ok(exporter)
    }

    /// Leaves out what cannot be read, instead of ending there. A line of the file says that the
    /// conversation is missing, [`import()`] counts it, and [`left_out`](Self::left_out) says why.
    #[must_use]
    pub fn leaving_out_unread(mut self) -> Self {
        self.skips = true;
        self
    }

    /// All that was [left out](Self::leaving_out_unread) of the file, also before it was
    /// [resumed](Exporter::resume).
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Writes the conversations of a tenant's store; `None` is the default tenant. Several are added
    /// in the order of their names, the default tenant first, so that a file that was cut off can be
    /// resumed. A tenant that is whole in a file that was [resumed](Exporter::resume) is passed over.
    ///
    /// Conversations that are begun or deleted meanwhile may be in the file or not. Each that is in it
    /// is as it was at one moment.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidParam`] for a tenant that does not come after the one that was added
    ///   before, or that is not the only one of the file. Nothing is written.
    /// - Those of the store, and [`ErrorKind::Io`] if the file cannot be written. An error of a
    ///   conversation that cannot be read names it. The same tenant may be added again, which goes
    ///   on after its last conversation in the file.
    pub async fn add(&mut self, tenant: Option<&str>, store: &dyn Store) -> Result<()> {
        if self.is_complete {
            return Ok(());
        }
        self.check_order(tenant)?;
        self.added = Some(Added { tenant: tenant.map(str::to_owned), is_whole: false });
        self.add_rest(tenant, store).await?;
        self.added = Some(Added { tenant: tenant.map(str::to_owned), is_whole: true });
        Ok(())
    }

    fn check_order(&self, tenant: Option<&str>) -> Result<()> {
        if let Some(only) = &self.only
            && tenant != Some(only)
        {
            let detail =
                format!("{} cannot be added to an export of the tenant `{}` only", shown(tenant), only.escape_debug());
            return Err(Error::new(ErrorKind::InvalidParam, detail));
        }
        let Some(added) = &self.added else { return Ok(()) };
        let before = added.tenant.as_deref();
        if before < tenant || (before == tenant && !added.is_whole) {
            return Ok(());
        }
        let detail = format!(
            "{} cannot be added to the export after {}: add each tenant once, the default one first and then the others in \
             the order of their names' bytes",
            shown(tenant),
            shown(before)
        );
        Err(Error::new(ErrorKind::InvalidParam, detail))
    }

    async fn add_rest(&mut self, tenant: Option<&str>, store: &dyn Store) -> Result<()> {
        let last = self.last.as_ref().map(|last| (last.tenant.as_deref(), last.id.as_str()));
        let after = match last {
            // Whoever has added others before has added them in their order, so the file was resumed.
            Some((before, _)) if before > tenant => return Ok(()),
            Some((same, id)) if same == tenant => Some(id.to_owned()),
            _ => None,
        };
        let mut each = Each::after(store, after);
        while let Some(id) = each.next_id().await? {
            match read(store, &id).await? {
                Some(Ok(transcript)) => self.conversation(tenant, id, &transcript.changes())?,
                Some(Err(failed)) if self.skips => self.leave_out(tenant, failed)?,
                Some(Err(failed)) => return Err(not_whole(tenant, &failed)),
                None => {}
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, tenant: Option<&str>, failed: Failed) -> Result<()> {
        let named = Named { tenant: tenant.map(str::to_owned), id: failed.id.clone() };
        self.line(&Mark::LeftOut(named.clone()))?;
        self.left_out.push(LeftOut { tenant: named.tenant.clone(), failed });
        self.last = Some(named);
        Ok(())
    }

    /// How many conversations are in the file by now.
    pub fn conversations(&self) -> usize {
        self.conversations
    }

    /// Whether the file was complete when it was resumed. Nothing is added to it then.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written.
    pub fn finish(mut self) -> Result<W> {
        if !self.is_complete {
            self.line(&Mark::Complete { conversations: self.conversations })?;
        }
        self.out.flush().map_err(not_written)?;
        Ok(self.out)
    }

    fn conversation(&mut self, tenant: Option<&str>, id: String, changes: &[Change]) -> Result<()> {
        let named = Named { tenant: tenant.map(str::to_owned), id };
        self.line(&Mark::Conversation(named.clone()))?;
        for change in changes {
            self.line(change)?;
        }
        self.line(&Mark::End { changes: changes.len() })?;
        self.last = Some(named);
        self.conversations += 1;
        Ok(())
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.out, line).map_err(not_written)?;
        self.out.write_all(b"\n").map_err(not_written)
    }
}

/// A tenant in an error.
fn shown(tenant: Option<&str>) -> String {
    tenant.map_or_else(|| "the default tenant".to_owned(), |name| format!("the tenant `{}`", name.escape_debug()))
}

/// The error of a conversation that cannot be read, at which an export ends.
fn not_whole(tenant: Option<&str>, failed: &Failed) -> Error {
    let (kind, id) = (failed.error.kind(), failed.id.escape_debug());
    let of = tenant.map_or_else(String::new, |name| format!(" of the tenant `{}`", name.escape_debug()));
    let place = failed.error.position().map_or_else(String::new, |position| format!(" ({position})"));
    let detail = format!(
        "the export ends before the conversation `{id}`{of}, which cannot be read: {}{place}. Mend it and resume the \
         export (`--resume`), or leave out what cannot be read (`--skip-unreadable`)",
        failed.error.detail()
    );
    Error::new(kind, detail)
}

/// Checks the first line.
fn check_format(line: &str) -> Result<()> {
    match Mark::of(line) {
        Some(Ok(Mark::TurnwiseStore(FORMAT))) => Ok(()),
        Some(Ok(Mark::TurnwiseStore(version))) => {
            let detail = format!(
                "the export has version {version} of the format, and this program reads version {FORMAT}; update the program"
            );
            Err(Error::new(ErrorKind::NewerFormat, detail))
        }
        _ => Err(foreign()),
    }
}

fn foreign() -> Error {
    let detail = "this is no export of a store: its first line is not {\"turnwise_store\":1}; single conversations are \
                  read by other commands, and `turnwise convert` reads those of other programs";
    Error::new(ErrorKind::ForeignFormat, detail)
}

fn not_written(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    failed("writing the export", source)
}

fn not_read(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    failed("reading the export", source)
}

/// The lines of a file, with their numbers.
struct Lines<R: Read> {
    from: BufReader<R>,
    line: String,
    number: usize,
}

impl<R: Read> Lines<R> {
    fn of(from: R) -> Self {
        Self { from: BufReader::with_capacity(1 << 20, from), line: String::new(), number: 0 }
    }

    /// The next line; `None` at the end, also of a file that was cut off within a line.
    fn next(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        self.from.read_line(&mut self.line).map_err(not_read)?;
        self.number += 1;
        Ok(self.line.strip_suffix('\n'))
    }

    /// Whether nothing comes any more. The number is that of what comes.
    fn is_over(&mut self) -> Result<bool> {
        self.number += 1;
        Ok(self.from.fill_buf().map_err(not_read)?.is_empty())
    }
}
