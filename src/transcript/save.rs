//! Files are replaced whole, or not at all.

use std::fs::{self, File};
use std::io::{ErrorKind as IoKind, Write};
use std::path::Path;

use serde::de::IgnoredAny;
use tempfile::Builder;

use super::native;
use crate::error::{Error, ErrorKind, Result};
use crate::json::described;

/// Puts `bytes` in the place of `file`: what stood there stays until the new file is on the disk.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    // Through a link, the file that it names is replaced, not the link.
    let file = &fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    let failed = |e: std::io::Error| Error::io(format_args!("saving {}", file.display()), e);
    refuse_damaged(file)?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut temporary = builder().tempfile_in(folder).map_err(failed)?;
    temporary.write_all(bytes).map_err(failed)?;
    if let Ok(old) = fs::metadata(file) {
        temporary.as_file().set_permissions(old.permissions()).map_err(failed)?;
    }
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(file).map_err(|e| failed(e.error))?;
    sync_folder(folder).map_err(failed)
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

/// What stands in the place is replaced only when it is whole: a torn file may be all that is left of something.
fn refuse_damaged(file: &Path) -> Result<()> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == IoKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(format_args!("reading {} before it is replaced", file.display()), e)),
    };
    if bytes.is_empty() {
        return Ok(());
    }
    let text = super::utf8(&bytes).map_err(|e| keep(file, &e))?;
    native::check_format(text)?;
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(e) => {
            let error = Error::new(ErrorKind::Damaged, described(&e));
            Err(keep(file, &error).because(e))
        }
    }
}

fn keep(file: &Path, error: &Error) -> Error {
    let detail = format!(
        "{} is not one whole JSON value and is left as it is ({}); move it away or save under another name",
        file.display(),
        error.detail()
    );
    Error::new(ErrorKind::Damaged, detail)
}
