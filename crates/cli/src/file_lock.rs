//! A lock that keeps two runs on one file apart.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use crate::failure::{Failure, Result};

/// Waits for other runs on a file, and keeps them waiting as long as the result exists. What such a
/// run reads must be read after this. The file of the lock stays, hidden beside the other; its name
/// ends in `after`.
pub(crate) fn lock(file: &Path, after: &str) -> Result<File> {
    let mut name = OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(after);
    let path = file.with_file_name(name);
    let failed = |e| Failure::Failed(format!("locking {}: {e}", path.display()));
    let lock = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    match lock.lock() {
        Err(e) if e.kind() != ErrorKind::Unsupported => Err(failed(e)),
        _ => Ok(lock),
    }
}
