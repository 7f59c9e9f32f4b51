//! Writes a file completely or not at all: the text is written beside it first, then moved into
//! place.
//!
//! A file that must stay the same file (a hard link, a mount point, a file whose owner cannot be
//! given to a new one) is written in place, as editors do. The whole text stays beside it until the
//! file is on the disk, so that after a kill the next load or save completes the work.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind as IoKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::lock::wait_for;
use super::place::{FileRevision, Place};
use crate::error::{Error, Result};

/// The file being written, under the lock. An existing one was left by a writer that was killed.
pub(super) const TEMPORARY: &str = ".turnwise-tmp";
/// The whole text of a file that is being written in place.
pub(super) const WHOLE: &str = ".turnwise-new";

/// Why a file was not replaced.
pub(super) enum Failed {
    /// Its content must not be replaced.
    Refused(Error),
    Io(io::Error),
}

impl Failed {
    /// The error, with the operation that failed.
    pub(super) fn at(self, doing: impl FnOnce(io::Error) -> Error) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Io(error) => doing(error),
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The new text of a file, on the disk but not in place yet. Dropping it removes it.
pub(super) struct Replacement<'a> {
    place: &'a Place,
    text: &'a [u8],
    temporary: Temporary,
    /// Whether the file must be written in place.
    stays: bool,
}

impl<'a> Replacement<'a> {
    pub(super) fn new(place: &'a Place, text: &'a [u8], is_locked: bool) -> Result<Self, Failed> {
        let path = if is_locked {
            let path = place.beside(TEMPORARY);
            remove(&path)?;
            path
        } else {
            // Without locks, another writer may be active.
            place.beside(&format!(".turnwise-{:016x}", fastrand::u64(..)))
        };
        let old = fs::metadata(place.path()).ok();
        let permissions = Permissions::of(&path, old.as_ref())?;
        let mut temporary = Temporary::create(path)?;
        temporary.file.write_all(text)?;
        let stays = !permissions.give_to(&temporary.file)?;
        temporary.file.sync_all()?;
        Ok(Self { place, text, temporary, stays })
    }

    /// Moves it into place. `check` decides whether the file's content may still be replaced.
    pub(super) fn put(mut self, check: impl Fn() -> Result<()>) -> Result<(), Failed> {
        let path = self.place.path();
        let opened = self.stays.then(|| open_to_write(&path)).and_then(io::Result::ok);
        let file = match opened {
            Some(file) => file,
            None => match self.temporary.move_to(&path) {
                Ok(()) => return Ok(sync_folder(&self.place.folder)?),
                // A mount point cannot be replaced.
                Err(e) if e.kind() == IoKind::ResourceBusy && cfg!(unix) => open_to_write(&path)?,
                Err(e) => return Err(e.into()),
            },
        };
        self.write_in_place(file, check)
    }

    fn write_in_place(mut self, mut file: File, check: impl Fn() -> Result<()>) -> Result<(), Failed> {
        // The file has other names or mounts, and the lock beside this one does not cover them.
        wait_for(&file)?;
        check().map_err(Failed::Refused)?;
        let whole = self.place.beside(WHOLE);
        self.temporary.move_to(&whole)?;
        sync_folder(&self.place.folder)?;
        overwrite(&mut file, self.text)?;
        remove(&whole)?;
        Ok(())
    }
}

/// Completes what a killed writer began to write in place. Returns the old and the new content if
/// the file was incomplete.
pub(super) fn finish_interrupted(place: &Place) -> io::Result<Option<(FileRevision, FileRevision)>> {
    let whole = place.beside(WHOLE);
    let text = match fs::read(&whole) {
        Ok(text) => text,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut mended = None;
    match open_to_write(&place.path()) {
        Ok(mut file) => {
            wait_for(&file)?;
            let mut found = Vec::new();
            file.read_to_end(&mut found)?;
            if is_torn(&found, &text) {
                overwrite(&mut file, &text)?;
                mended = Some((FileRevision::of(&found), FileRevision::of(&text)));
            }
        }
        Err(e) if e.kind() == IoKind::NotFound => {}
        Err(e) => return Err(e),
    }
    remove(&whole)?;
    Ok(mended)
}

/// Whether a file holds the beginning of a text, perhaps followed by zeros, as after a crash.
fn is_torn(found: &[u8], text: &[u8]) -> bool {
    let end = found.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    found != text && text.starts_with(&found[..end])
}

fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn overwrite(file: &mut File, text: &[u8]) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text)?;
    file.sync_all()
}

/// Removes a file; whether there was one.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == IoKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// A file that is removed if it is dropped before it was moved into place.
pub(super) struct Temporary {
    path: PathBuf,
    pub(super) file: File,
    is_moved: bool,
}

impl Temporary {
    /// Readable by the owner only, because the text may be private.
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        // Without the name of the temporary file, which means nothing to a user.
        let file = for_owner().open(&path).map_err(|e| io::Error::from(e.kind()))?;
        Ok(Self { path, file, is_moved: false })
    }

    pub(super) fn move_to(&mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.is_moved = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_moved {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    options
}

/// A new file that only its owner can read.
#[cfg(unix)]
pub(super) fn for_owner() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = new_file();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
pub(super) fn for_owner() -> OpenOptions {
    new_file()
}

/// The owner and permissions for a file: those of the file that is replaced, or of a new file.
#[cfg(unix)]
struct Permissions {
    mode: u32,
    /// User, group, and number of hard links.
    old: Option<(u32, u32, u64)>,
}

#[cfg(unix)]
impl Permissions {
    fn of(temporary: &Path, old: Option<&Metadata>) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        if let Some(old) = old {
            return Ok(Self { mode: old.mode() & 0o7777, old: Some((old.uid(), old.gid(), old.nlink())) });
        }
        // The permissions of a new file are only known from creating one.
        let probe = new_file().open(temporary).map_err(|e| io::Error::from(e.kind()))?;
        let probe = Temporary { path: temporary.to_owned(), file: probe, is_moved: false };
        Ok(Self { mode: probe.file.metadata()?.mode() & 0o7777, old: None })
    }

    /// Applies them to the new file. Returns whether it is equivalent to the old one.
    fn give_to(&self, file: &File) -> io::Result<bool> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        let own = file.metadata()?;
        let (mut mode, mut is_same) = (self.mode, true);
        if let Some((user, group, names)) = self.old {
            let has_user = own.uid() == user || fchown(file, Some(user), None).is_ok();
            let has_group = own.gid() == group || fchown(file, None, Some(group)).is_ok();
            if !has_group {
                // The permissions of the old group do not apply to another group.
                mode = mode & !0o070 | (mode & 0o007) << 3;
            }
            if !(has_user && has_group) {
                mode &= 0o777;
            }
            is_same = has_user && has_group && names == 1;
        }
        file.set_permissions(PermissionsExt::from_mode(mode))?;
        Ok(is_same)
    }
}

#[cfg(not(unix))]
struct Permissions(Option<fs::Permissions>);

#[cfg(not(unix))]
impl Permissions {
    fn of(_temporary: &Path, old: Option<&Metadata>) -> io::Result<Self> {
        Ok(Self(old.map(Metadata::permissions)))
    }

    fn give_to(&self, file: &File) -> io::Result<bool> {
        if let Some(old) = &self.0 {
            file.set_permissions(old.clone())?;
        }
        Ok(true)
    }
}

/// Makes a rename durable. Not every folder can be flushed; then durability depends on the system.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let is_refused =
        |e: &io::Error| matches!(e.kind(), IoKind::PermissionDenied | IoKind::InvalidInput | IoKind::Unsupported);
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(e) if !is_refused(&e) => Err(e),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
