//! Files are replaced whole, or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::Builder;

use super::Transcript;
use crate::error::{Error, ErrorKind, Result};

/// A file as it was left by a save, to be known again by its time and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    file: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Saved {
    fn of(file: &Path, found: &fs::Metadata) -> Self {
        Self { file: file.to_owned(), modified: found.modified().ok(), bytes: found.len() }
    }

    fn is_at(&self, file: &Path) -> bool {
        self.modified.is_some() && fs::metadata(file).is_ok_and(|found| Self::of(file, &found) == *self)
    }
}

/// Puts `bytes` in the place of `file`: what stood there stays until the new file is on the disk.
pub(super) fn replace(file: &Path, bytes: &[u8], last: Option<&Saved>) -> Result<Saved> {
    let file = &target(file)?;
    let failed = |e: io::Error| Error::io(format_args!("saving {}", file.display()), e);
    if !last.is_some_and(|last| last.is_at(file)) {
        refuse_to_lose(file)?;
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
    match super::utf8(&bytes).and_then(Transcript::from_json) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NewerFormat => Err(error),
        Err(error) => Err(keep(file, error)),
    }
}

fn keep(file: &Path, error: Error) -> Error {
    let detail = format!(
        "{} is not a transcript that loads and is left as it is ({}); move it away or save under another name",
        file.display(),
        error.detail()
    );
    Error::new(ErrorKind::Damaged, detail).because(error)
}
