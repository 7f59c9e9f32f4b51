//! `Transcript::move_blobs` and `restore_blobs`: images, sounds and files as files of their own.
//!
//! A blob is written under its hash, flushed and moved into place before the transcript refers to
//! it, so that a saved reference always has its file. A file is never changed: its name is what it
//! holds. One that does not hold it (a damaged disk) is written anew by a move, and refused by a
//! restore.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::replace::{Temporary, sync_folder};
use super::{Change, Transcript};
use crate::base64;
use crate::blob::{HASH, Reference, replaced, split_url};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::message::{Content, Message};
use crate::tokens::facts;

/// Shorter data stays in the transcript, whatever is asked for: a reference has some 150 bytes.
const LEAST: u64 = 512;
/// The ending of a file that is being written. An existing one was left by a process that was
/// killed, or is being written now.
const PART: &str = ".part";

/// What [`Transcript::move_blobs`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MovedBlobs {
    /// How many images, sounds and files were replaced by references.
    pub count: usize,
    /// Their size in bytes, each counted where it was. Equal ones share one file.
    pub bytes: u64,
}

impl Transcript {
    /// Moves images, sounds and files of at least `at_least` bytes out of the messages of all
    /// branches into a folder, which is created if it is missing. In the transcript each becomes a
    /// reference of some 150 characters, and the file has the name of its SHA-256. Counts stay as
    /// they are. [`save`](Self::save) the transcript afterwards: a journal is written anew then.
    ///
    /// What is moved is the base64 in `data:` URLs (`image_url`, `url`, `file_data`) and in the
    /// members `data` and `file_data` of content parts. Data that would not come back equal to the
    /// byte stays, such as base64 with line breaks, without padding, or with escapes in its JSON;
    /// so does data of less than 512 bytes.
    ///
    /// A plan that would send a reference fails with [`ErrorKind::MissingBlob`]: call
    /// [`restore_blobs`](Self::restore_blobs) before, or let a manager read them when it sends
    /// ([`Builder::blobs`](crate::Builder::blobs)). Nothing is deleted from the folder; see
    /// [`prune_blobs`](Self::prune_blobs).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if a file cannot be written. The transcript is not changed then.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{Conversation, Message, Transcript};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let image = format!("data:image/png;base64,iVBO{}", "Rw0K".repeat(1_000));
    /// let asked = Message::user("What is this?").image_url(&image);
    /// let mut file = Transcript::new(Conversation::from_messages([asked]));
    /// let before = file.to_json();
    /// assert_eq!(file.move_blobs(folder, 1_000)?.count, 1);
    /// assert!(file.to_json().len() < 1_000);
    ///
    /// file.restore_blobs(folder)?;
    /// assert_eq!(file.to_json(), before);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn move_blobs(&mut self, folder: impl AsRef<Path>, at_least: u64) -> Result<MovedBlobs> {
        let mut files = Mover { folder: folder.as_ref(), at_least: at_least.max(LEAST), moved: MovedBlobs::default() };
        let changes = changed(self.changes(), &mut |text| files.reference(text))?;
        let moved = files.moved;
        if moved.count > 0 {
            sync_folder(folder.as_ref()).map_err(|e| failed("writing", folder.as_ref(), e))?;
            self.rebuild(changes)?;
        }
        Ok(moved)
    }

    /// Puts back what [`move_blobs`](Self::move_blobs) moved to a folder, equal to the byte. Returns
    /// how many references were replaced. The files stay.
    ///
    /// # Errors
    /// The transcript is not changed by an error; the message names the file.
    /// - [`ErrorKind::MissingBlob`] if files are missing.
    /// - [`ErrorKind::Damaged`] if a file does not hold what its name says.
    /// - [`ErrorKind::Io`] if one cannot be read.
    pub fn restore_blobs(&mut self, folder: impl AsRef<Path>) -> Result<usize> {
        let folder = folder.as_ref();
        self.check_blobs(folder)?;
        let mut count = 0;
        let changes = changed(self.changes(), &mut |text| {
            let Some(reference) = Reference::parse(text) else { return Ok(None) };
            count += 1;
            Ok(Some(reference.original(&base64::encode(&read(folder, &reference.hash)?))))
        })?;
        if count > 0 {
            self.rebuild(changes)?;
        }
        Ok(count)
    }

    /// Checks that the blobs that the transcript refers to are in a folder, without reading them.
    ///
    /// # Errors
    /// [`ErrorKind::MissingBlob`] if files are missing; the message names the first.
    pub fn check_blobs(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let missing: Vec<String> =
            self.blobs()?.into_keys().filter(|hash| !folder.join(hash).try_exists().unwrap_or(true)).collect();
        match missing.split_first() {
            Some((first, others)) => Err(missing_blob(&folder.join(first), others.len())),
            None => Ok(()),
        }
    }

    /// Copies the blobs that the transcript refers to from one folder to another, which is created
    /// if it is missing, so that a copy of the transcript has its own. Returns how many there are.
    ///
    /// # Errors
    /// Those of [`restore_blobs`](Self::restore_blobs), and [`ErrorKind::Io`] if one cannot be
    /// written.
    pub fn copy_blobs(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<usize> {
        let blobs = self.blobs()?;
        let to = to.as_ref();
        for name in blobs.keys() {
            let copy = to.join(name);
            write(&copy, &read(from.as_ref(), name)?).map_err(|e| failed("writing", &copy, e))?;
        }
        if !blobs.is_empty() {
            sync_folder(to).map_err(|e| failed("writing", to, e))?;
        }
        Ok(blobs.len())
    }

    /// The blobs that the transcript refers to: the names of their files, with their sizes in
    /// bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] if a message cannot be written as JSON.
    pub fn blobs(&self) -> Result<BTreeMap<String, u64>> {
        let mut blobs = BTreeMap::new();
        changed(self.changes(), &mut |text| {
            if let Some(reference) = Reference::parse(text) {
                blobs.insert(reference.hash.into_owned(), reference.facts.bytes);
            }
            Ok(None)
        })?;
        Ok(blobs)
    }

    /// Deletes the blobs of a folder that the transcript in `file` does not refer to, as after a
    /// purge, and what killed processes have left. Returns how many files were deleted. Other files
    /// of the folder stay.
    ///
    /// The folder must belong to this file alone: blobs that only other transcripts refer to are
    /// deleted. Call it while no other program moves blobs into the folder.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and [`ErrorKind::Io`] if a file cannot be deleted. Nothing is
    /// deleted if the transcript cannot be read.
    pub fn prune_blobs(file: impl AsRef<Path>, folder: impl AsRef<Path>) -> Result<usize> {
        let folder = folder.as_ref();
        let used: BTreeSet<String> = Self::load(file)?.blobs()?.into_keys().collect();
        let mut deleted = 0;
        for found in fs::read_dir(folder).map_err(|e| failed("reading", folder, e))? {
            let path = found.map_err(|e| failed("reading", folder, e))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_left_over(&name) || (is_hash(&name) && !used.contains(&*name)) {
                fs::remove_file(&path).map_err(|e| failed("deleting", &path, e))?;
                deleted += 1;
            }
        }
        sync_folder(folder).map_err(|e| failed("deleting from", folder, e))?;
        Ok(deleted)
    }
}

/// Messages with the blobs that they refer to, from a folder.
pub(crate) fn restored(messages: &[Message], folder: &Path) -> Result<Vec<Message>> {
    let mut original = |text: &str| {
        let Some(reference) = Reference::parse(text) else { return Ok(None) };
        Ok(Some(reference.original(&base64::encode(&read(folder, &reference.hash)?))))
    };
    messages.iter().map(|one| message(one, &mut original)).collect()
}

fn missing_blob(first: &Path, others: usize) -> Error {
    let (more, are) = match others {
        0 => (String::new(), "is"),
        more => (format!(" and {more} more"), "are"),
    };
    let detail = format!(
        "the transcript refers to {}{more}, which {are} not there; bring back the folder that its images and files \
         were moved to",
        first.display()
    );
    Error::new(ErrorKind::MissingBlob, detail)
}

/// Changes with other texts in the members of content parts that may hold base64; without counts
/// and vectors, which are carried over by themselves.
fn changed(changes: Vec<Change>, replace: &mut impl FnMut(&str) -> Result<Option<String>>) -> Result<Vec<Change>> {
    let mut all = |messages: Vec<Message>| messages.iter().map(|one| message(one, replace)).collect::<Result<Vec<_>>>();
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        done.push(match change {
            Change::Begun { id, created_at, head } => Change::Begun { id, created_at, head: all(head)? },
            Change::Head { at, removed, inserted } => Change::Head { at, removed, inserted: all(inserted)? },
            Change::Item { id, parent, created_at, message } => match all(vec![message])?.pop() {
                Some(message) => Change::Item { id, parent, created_at, message },
                None => continue,
            },
            Change::CallFinished { item, call, result } => match all(vec![result])?.pop() {
                Some(result) => Change::CallFinished { item, call, result },
                None => continue,
            },
            Change::Counted(_) | Change::Embedded(_) => continue,
            other => other,
        });
    }
    Ok(done)
}

fn message(message: &Message, replace: &mut impl FnMut(&str) -> Result<Option<String>>) -> Result<Message> {
    let parts = message.content().map_or(&[][..], Content::parts);
    if parts.iter().all(|part| part.text().is_some()) {
        return Ok(message.clone());
    }
    let json = RawJson::from_serde(&parts)?;
    let Some(json) = replaced(json.as_str(), replace)? else { return Ok(message.clone()) };
    let content: Content = RawJson::new(&json)?
        .parse()
        .map_err(|e| Error::new(ErrorKind::InvalidMessage, format!("the message with its blobs replaced: {e}")))?;
    Ok(message.clone().with_content(content))
}

/// Moves blobs to files.
struct Mover<'a> {
    folder: &'a Path,
    at_least: u64,
    moved: MovedBlobs,
}

impl Mover<'_> {
    /// The reference for a text that is base64 or a `data:` URL, with its data in a file.
    fn reference(&mut self, text: &str) -> Result<Option<String>> {
        let (kind, data) = match split_url(text) {
            Some((kind, data)) => (Some(kind), data),
            None => (None, text),
        };
        if (data.len() as u64) < self.at_least {
            return Ok(None);
        }
        let Some(bytes) = base64::decode(data).filter(|bytes| bytes.len() as u64 >= self.at_least) else {
            return Ok(None);
        };
        let len = bytes.len() as u64;
        let Some(facts) = facts(text, len) else { return Ok(None) };
        let reference = Reference { hash: hash(&bytes).into(), facts, kind };
        let written = reference.to_string();
        let comes_back = Reference::parse(&written).is_some_and(|read| read.original(&base64::encode(&bytes)) == *text);
        if !comes_back {
            return Ok(None);
        }
        let file = self.folder.join(&*reference.hash);
        write(&file, &bytes).map_err(|e| failed("writing", &file, e))?;
        self.moved.count += 1;
        self.moved.bytes += len;
        Ok(Some(written))
    }
}

/// Writes a blob completely or not at all. One that is there already stays.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(file).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        create_folder(folder)?;
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let part = file.with_file_name(format!(".{name}.{:016x}{PART}", fastrand::u64(..)));
    let mut temporary = Temporary::create(part)?;
    temporary.file.write_all(bytes)?;
    temporary.file.sync_all()?;
    temporary.move_to(file)
}

/// Creates a folder for its owner only, because conversations are private.
fn create_folder(folder: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), allow(unused_mut, reason = "only changed on Unix"))]
    let mut new = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut new, 0o700);
    match new.create(folder) {
        Ok(()) => match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
            _ => sync_folder(Path::new(".")),
        },
        Err(e) if e.kind() == IoKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

/// The content of a blob, which must be what its name says.
fn read(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let file: PathBuf = folder.join(name);
    let mut bytes = Vec::new();
    File::open(&file).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(|e| match e.kind() {
        IoKind::NotFound => missing_blob(&file, 0),
        _ => failed("reading", &file, e),
    })?;
    let found = hash(&bytes);
    if found == name {
        return Ok(bytes);
    }
    let detail = format!(
        "{} holds {} bytes with the SHA-256 {found}, which is not its name; bring back the file from a copy",
        file.display(),
        bytes.len()
    );
    Err(Error::new(ErrorKind::Damaged, detail))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(HASH), |hash, byte| hash + &format!("{byte:02x}"))
}

fn is_hash(name: &str) -> bool {
    name.len() == HASH && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a file was left by a process that was killed while it wrote a blob.
fn is_left_over(name: &str) -> bool {
    let hash = name.strip_prefix('.').and_then(|name| name.strip_suffix(PART)).and_then(|name| name.get(..HASH));
    hash.is_some_and(is_hash)
}

fn failed(doing: &str, file: &Path, error: io::Error) -> Error {
    Error::io(format_args!("{doing} {}", file.display()), error)
}

#[cfg(test)]
#[path = "blobs_tests.rs"]
mod tests;
