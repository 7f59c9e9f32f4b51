//! Files are replaced whole, or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::Builder;

use super::Transcript;
use crate::error::{Error, ErrorKind, Result};

/// A file as it was when it was last read or saved, to be known again by its time and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    file: PathBuf,
    /// `None`: nothing stood there.
    found: Option<(Option<SystemTime>, u64)>,
}

impl Saved {
    /// The file as it is now; `None` where that cannot be told.
    pub(super) fn now(file: &Path) -> Option<Self> {
        let file = target(file).ok()?;
        match fs::metadata(&file) {
            Ok(found) => Some(Self::of(&file, &found)),
            Err(error) if error.kind() == IoKind::NotFound => Some(Self { file, found: None }),
            Err(_) => None,
        }
    }

    fn of(file: &Path, found: &fs::Metadata) -> Self {
        let is_empty = found.is_file() && found.len() == 0;
        Self { file: file.to_owned(), found: (!is_empty).then(|| (found.modified().ok(), found.len())) }
    }

    /// Refuses to replace what somebody else has put there. A file that is gone takes nothing with it.
    fn check(&self) -> Result<()> {
        match Self::now(&self.file) {
            Some(now) if now.found.is_some() && now != *self => {
                let detail = format!(
                    "{} was changed by somebody else since it was read or saved here; load it again, or save under another name",
                    self.file.display()
                );
                Err(Error::new(ErrorKind::Conflict, detail))
            }
            _ => Ok(()),
        }
    }
}

/// Puts `bytes` in the place of `file`: what stood there stays until the new file is on the disk.
pub(super) fn replace(file: &Path, bytes: &[u8], last: Option<&Saved>) -> Result<Saved> {
    let file = &target(file)?;
    let failed = |e: io::Error| Error::io(format_args!("saving {}", file.display()), e);
    match last.filter(|last| last.file == *file) {
        Some(last) => last.check()?,
        None => refuse_to_lose(file)?,
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut temporary = builder().tempfile_in(folder).map_err(|e| failed(unnamed(&e)))?;
    // Before the text is in it: a private file must not be readable for a moment.
    if let Ok(old) = fs::metadata(file) {
        temporary.as_file().set_permissions(old.permissions()).map_err(failed)?;
    }
    temporary.as_file_mut().write_all(bytes).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    let kept = temporary.persist(file).map_err(|e| failed(e.error))?;
    sync_folder(folder).map_err(failed)?;
    Ok(Saved::of(file, &kept.metadata().map_err(failed)?))
}

/// Why there is no temporary file, without its name, which says nothing to anybody.
fn unnamed(error: &io::Error) -> io::Error {
    match error.kind() {
        IoKind::NotFound => io::Error::new(IoKind::NotFound, "there is no such folder"),
        kind => kind.into(),
    }
}

/// A new file gets the permissions that any other new file would.
#[cfg(unix)]
fn builder() -> Builder<'static, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = Builder::new();
    builder.prefix(".turnwise-").permissions(fs::Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn builder() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".turnwise-");
    builder
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Only Unix can flush a folder; elsewhere the rename is as durable as the system makes it.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> std::io::Result<()> {
    Ok(())
}

/// The file to replace: through links the file that they name, whether it is there yet or not.
fn target(file: &Path) -> Result<PathBuf> {
    const MOST_LINKS: usize = 40;
    let mut file = file.to_path_buf();
    for _ in 0..MOST_LINKS {
        let Ok(link) = fs::read_link(&file) else { return Ok(file) };
        file = file.parent().unwrap_or(Path::new("")).join(link);
    }
    let looped = std::io::Error::other(format!("more than {MOST_LINKS} links in a row"));
    Err(Error::io(format_args!("saving {}", file.display()), looped))
}

/// What stands in the place is replaced only when it is a file that could be loaded: anything else may be all that is
/// left of something.
fn refuse_to_lose(file: &Path) -> Result<()> {
    let reading = |e| Error::io(format_args!("reading {} before it is replaced", file.display()), e);
    match fs::metadata(file) {
        Err(e) if e.kind() == IoKind::NotFound => return Ok(()),
        Err(e) => return Err(reading(e)),
        Ok(old) if !old.is_file() => return Err(reading(std::io::Error::other("it is not a regular file"))),
        Ok(old) if old.len() == 0 => return Ok(()),
        Ok(_) => {}
    }
    let bytes = fs::read(file).map_err(reading)?;
    match Transcript::from_bytes(&bytes) {
        Ok(there) if there.is_log => Err(never_written(file)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NewerFormat => Err(error),
        Err(error) => Err(keep(file, error)),
    }
}

pub(crate) fn never_written(file: &Path) -> Error {
    let detail = format!(
        "{} is a log with a message a line, which is read and never written; save under another name, or make it an array \
         of messages first (`jq -s .`)",
        file.display()
    );
    Error::new(ErrorKind::ForeignFormat, detail)
}

fn keep(file: &Path, error: Error) -> Error {
    let detail = format!(
        "{} is not a transcript that loads and is left as it is ({}); move it away or save under another name",
        file.display(),
        error.detail()
    );
    Error::new(ErrorKind::Damaged, detail).because(error)
}
