//! `FileStore`: a folder with a transcript file for each conversation.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;

use super::kept::{Kept, Stamp};
use super::{BoxFuture, Change, Recent, Revision, Store, check_id, conflict, not_found};
use crate::error::{Error, ErrorKind, Result};
use crate::transcript::{Known, Replaces, Transcript, TranscriptFile};

/// Keeps each conversation in a file of its own, as [`Transcript::save`] writes it: a new one as a
/// [journal](crate::transcript#the-journal), to which [`append`](Store::append) adds what is new. A
/// clone is another handle, and so is any other program that works in the folder.
///
/// The name of a file is its conversation's id and `.jsonl`; whatever is not a lower-case letter, a
/// digit, `-` or `_` is written as `%` and two hexadecimal digits for each byte, so that ids differ
/// on every system when they differ. A file that is there already with `.json` is used as it is, a
/// document that each write replaces. One that is empty is listed and cannot be read: no save
/// leaves it so. A new conversation may be begun there. Other files of the folder are left alone.
/// The disk is waited for on threads of their own. The conversations that were used last are kept
/// in memory (50, and 24 MB of files), so that a file that has not changed since is not
/// parsed again.
///
/// **Provisional**: it may change before 1.0.
///
/// A server opens the conversations of a folder with [`Sessions`](crate::Sessions), a program that
/// has one of them with [`Builder::open_in`](crate::Builder::open_in).
///
/// # Examples
/// A conversation that a manager has saved:
/// ```
/// # use turnwise::{ConversationManager, backend::Scripted};
/// use turnwise::store::{FileStore, Store};
///
/// # let folder = tempfile::TempDir::new()?;
/// # let folder = folder.path().join("chats");
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::new(["Hello!"]);
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).open_in(&folder, "ann")?;
/// chat.send("Hi").await?;
///
/// let store = FileStore::open(folder)?;
/// assert_eq!(store.list(None, 10).await?, ["ann"]);
/// let (ann, _) = store.load("ann").await?;
/// assert_eq!(ann.conversation.path().len(), 2);
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: Arc<Path>,
    recent: Arc<Recent<PathBuf, Kept>>,
}

impl FileStore {
    /// The store of a folder, which is made where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        // Where the program goes later must not change where its conversations are.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        fs::create_dir_all(&folder).map_err(|e| Error::io(format_args!("making {}", folder.display()), e))?;
        Ok(Self { folder: folder.into(), recent: Arc::default() })
    }

    /// The store of another folder, such as that of another owner. Both keep conversations in one
    /// memory, which has the size of one store's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_memory_of(other: &Self, folder: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { recent: Arc::clone(&other.recent), ..Self::open(folder)? })
    }

    /// The file of a conversation, whether or not there is one.
    ///
    /// # Errors
    /// As [`check_id`].
    pub fn path(&self, id: &str) -> Result<PathBuf> {
        check_id(id)?;
        let stem = stem_of(id);
        let [journal, document] = EXTENSIONS.map(|extension| self.folder.join(format!("{stem}{extension}")));
        // What older versions have begun goes on as it is.
        let is_document = !journal.exists() && document.exists();
        Ok(if is_document { document } else { journal })
    }

    fn file(&self, id: &str) -> Result<OneFile> {
        Ok(OneFile { id: id.to_owned(), path: self.path(id)?, recent: Arc::clone(&self.recent) })
    }

    /// Does something with the file of a conversation, on a thread of its own.
    fn with_file<T: Send + 'static>(
        &self,
        id: &str,
        act: impl FnOnce(&OneFile) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let file = self.file(id);
        Box::pin(async move {
            let file = file?;
            on_thread(move || act(&file)).await
        })
    }
}

impl Store for FileStore {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        self.with_file(id, |file| file.read()?.ok_or_else(|| file.missing()))
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>> {
        let (transcript, expected) = (transcript.clone(), expected.cloned());
        self.with_file(id, move |file| file.write(&transcript, file.known(expected.as_ref())?))
    }

    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, Result<Revision>> {
        let (changes, expected) = (changes.to_vec(), expected.clone());
        self.with_file(id, move |file| {
            let (mut transcript, revision) = file.read()?.ok_or_else(|| conflict(&file.id))?;
            if revision != expected {
                return Err(conflict(&file.id));
            }
            // What was read is known, so that a journal gets what is new.
            let known = transcript.take_known();
            transcript.apply(changes)?;
            file.write(&transcript, known)
        })
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        let (folder, after) = (Arc::clone(&self.folder), after.map(str::to_owned));
        Box::pin(on_thread(move || {
            let mut ids = ids_in(&folder).map_err(|e| Error::io(format_args!("reading {}", folder.display()), e))?;
            ids.retain(|id| after.as_ref().is_none_or(|after| id > after));
            ids.sort_unstable();
            ids.dedup();
            ids.truncate(limit);
            Ok(ids)
        }))
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        self.with_file(id, OneFile::remove)
    }
}

/// The file of one conversation.
struct OneFile {
    id: String,
    path: PathBuf,
    recent: Arc<Recent<PathBuf, Kept>>,
}

impl OneFile {
    /// The conversation and its revision. The file is only parsed if it has changed since it was
    /// last used here.
    fn read(&self) -> Result<Option<(Transcript, Revision)>> {
        // Taken first: what changes while the file is read is then seen the next time.
        let stamp = Stamp::of(&self.path);
        if let Some(kept) = stamp.as_ref().and_then(|stamp| self.kept(stamp)) {
            return Ok(Some(kept));
        }
        let Some(transcript) = TranscriptFile::load(&self.path)? else { return Ok(None) };
        let revision = self.revision(&transcript)?;
        self.keep(stamp, &revision, &transcript, transcript.known());
        Ok(Some((transcript, revision)))
    }

    /// What is kept of the file as it is now. What fails here fails again where the file is read.
    fn kept(&self, stamp: &Stamp) -> Option<(Transcript, Revision)> {
        let file = TranscriptFile::at(&self.path).ok()?;
        let now = Revision::new(file.finished_revision().ok().flatten()?);
        let kept = self.recent.at(&file, &self.path, stamp, &now)?;
        Some((kept, now))
    }

    fn keep(&self, stamp: Option<Stamp>, revision: &Revision, transcript: &Transcript, known: Known) {
        if let Some(stamp) = stamp {
            self.recent.keep(&self.path, stamp, revision.clone(), transcript, known);
        }
    }

    /// Why there is nothing to read: no file, or an empty one. A save puts the whole text in place
    /// at once, so it was not a save that left that.
    fn missing(&self) -> Error {
        // One with content was put there just now.
        if !fs::metadata(&self.path).is_ok_and(|found| found.is_file() && found.len() == 0) {
            return not_found(&self.id);
        }
        let detail = format!(
            "the file {} is empty: its text was lost outside of this program, or never written; put a copy of it back, or \
             delete the conversation",
            self.path.display()
        );
        Error::new(ErrorKind::Damaged, detail)
    }

    /// The revision at which a transcript was read.
    fn revision(&self, read: &Transcript) -> Result<Revision> {
        let file = TranscriptFile::at(&self.path)?;
        // Only a log is read and not remembered.
        read.known().revision(&file).map(Revision::new).ok_or_else(|| file.is_never_written())
    }

    fn remove(&self) -> Result<()> {
        self.recent.remove(self.path.as_path());
        if TranscriptFile::at(&self.path)?.delete()? { Ok(()) } else { Err(not_found(&self.id)) }
    }

    /// That the file is at a revision, or not there.
    fn known(&self, expected: Option<&Revision>) -> Result<Known> {
        let file = TranscriptFile::at(&self.path)?;
        match expected {
            Some(revision) => Known::at(&file, revision.as_str()).ok_or_else(|| conflict(&self.id)),
            None => Ok(Known::default()),
        }
    }

    fn write(&self, transcript: &Transcript, mut known: Known) -> Result<Revision> {
        let file = TranscriptFile::at(&self.path)?;
        let saved = transcript.save_to(&file, &mut known, Replaces::Exactly);
        let is_refused = |error: &Error| error.kind() == ErrorKind::Conflict;
        saved.map_err(|error| if is_refused(&error) { conflict(&self.id) } else { error })?;
        let revision = known.revision(&file).map(Revision::new).ok_or_else(|| conflict(&self.id))?;
        self.keep(Stamp::of(&self.path), &revision, transcript, known);
        Ok(revision)
    }
}

/// Does what waits for a disk on a thread of its own, so that no executor waits.
pub(crate) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (done, wait) = oneshot::channel();
    let work = move || drop(done.send(work()));
    let spawned = thread::Builder::new().name("turnwise-store".to_owned()).spawn(work);
    spawned.map_err(|e| Error::io("starting a thread for a file", e))?;
    let ended = |_| Err(Error::new(ErrorKind::Io, "the thread that works on a file ended early"));
    wait.await.unwrap_or_else(ended)
}

/// Of a journal and of a document.
const EXTENSIONS: [&str; 2] = [".jsonl", ".json"];

/// Names that Windows keeps for devices, whatever the extension.
fn is_device(stem: &str) -> bool {
    let is_numbered = |name: &str| stem.strip_prefix(name).is_some_and(|n| n.len() == 1 && n != "0");
    matches!(stem, "con" | "prn" | "aux" | "nul") || is_numbered("com") || is_numbered("lpt")
}

/// The name of an id's file without its extension.
fn stem_of(id: &str) -> String {
    let is_device = is_device(id);
    let mut name = String::with_capacity(id.len());
    for (place, byte) in id.bytes().enumerate() {
        let is_plain = matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') && !(is_device && place == 0);
        if is_plain {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02x}");
        }
    }
    name
}

/// The id whose file has a name; `None` for a file of somebody else.
fn id_of(name: &str) -> Option<String> {
    let stem = EXTENSIONS.iter().find_map(|extension| name.strip_suffix(extension))?;
    let mut rest = stem;
    let mut id = Vec::new();
    while let Some(&byte) = rest.as_bytes().first() {
        let (byte, taken) = if byte == b'%' { (u8::from_str_radix(rest.get(1..3)?, 16).ok()?, 3) } else { (byte, 1) };
        id.push(byte);
        rest = rest.get(taken..)?;
    }
    String::from_utf8(id).ok().filter(|id| check_id(id).is_ok() && stem_of(id) == stem)
}

fn ids_in(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A link is followed, as `load` does it, which says what is wrong with a file.
        let is_other = || fs::metadata(entry.path()).is_ok_and(|found| !found.is_file());
        ids.extend(entry.file_name().to_str().and_then(id_of).filter(|_| !is_other()));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_that_differ_have_names_that_differ_on_every_system() {
        let long = "ü".repeat(crate::store::MAX_ID / 2);
        let ids = [
            "a", "A", "con", "CON", "com1", "com0", "com1x", "../a", "a/b", "a\\b", "a.", "a.json", " ", "ü", "%41",
            &long,
        ];
        let names: BTreeSet<String> = ids.iter().map(|id| stem_of(id)).collect();
        let folded: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!((names.len(), folded.len()), (ids.len(), ids.len()));
        for id in ids {
            let stem = stem_of(id);
            for extension in EXTENSIONS {
                assert_eq!(id_of(&format!("{stem}{extension}")).as_deref(), Some(id));
            }
            assert!(stem.len() <= 200 && stem.is_ascii() && !is_device(&stem), "{stem}");
        }
        assert_eq!(
            (stem_of("conv_1a"), stem_of("con"), stem_of("a.B")),
            ("conv_1a".into(), "%63on".into(), "a%2e%42".into())
        );
    }

    #[test]
    fn names_of_other_files_are_no_ids() {
        for name in [
            "A.json",
            "a",
            ".json",
            ".a.json.lock",
            "a.jsonl.torn",
            "A.jsonl",
            "%61.json",
            "%4.json",
            "%zz.json",
            "%ff.json",
            "a.b.json",
            "con.json",
            "%ü.json",
        ] {
            assert_eq!(id_of(name), None, "{name}");
        }
    }
}
