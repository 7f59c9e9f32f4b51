//! `turnwise blobs`: images and files of a conversation in a folder beside it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use turnwise::Transcript;

use crate::args;
use crate::failure::{self, Failure, Result};
use crate::output::stdout;
use crate::rewrite;
use crate::text::{counted, thousands};

pub(crate) fn run(args: &args::Blobs) -> Result<()> {
    let name = args.file.display();
    let mut file = rewrite::load(&args.file)?;
    let folder = folder(&args.file);
    // One run would delete blobs that the other has written and whose references it has not saved yet.
    let _lock = lock(&args.file, ".blobs.lock")?;
    let done = if args.restore {
        let count = file.restore_blobs(&folder)?;
        if count > 0 {
            file.save(&args.file)?;
        }
        format!("{} put back", counted(count, "blob"))
    } else if args.prune {
        let count = if folder.exists() { Transcript::prune_blobs(&args.file, &folder)? } else { 0 };
        format!("{} deleted from {}", counted(count, "unused file"), folder.display())
    } else {
        let moved = file.move_blobs(&folder, args.at_least)?;
        if moved.count > 0 {
            file.save(&args.file)?;
        }
        let bytes = thousands(moved.bytes);
        format!("{} moved to {} ({bytes} bytes)", counted(moved.count, "blob"), folder.display())
    };
    let mut out = stdout(false);
    writeln!(out, "{name}: {done}")?;
    out.flush()?;
    Ok(())
}

/// The folder with the blobs of a file: `chat.json.blobs`.
pub(crate) fn folder(file: &Path) -> PathBuf {
    beside(file, "", ".blobs")
}

fn beside(file: &Path, before: &str, after: &str) -> PathBuf {
    let mut name = OsString::from(before);
    name.push(file.file_name().unwrap_or_default());
    name.push(after);
    file.with_file_name(name)
}

/// Keeps two runs on one file apart, as long as the result exists. The name of the lock, which stays, ends in
/// `after`.
pub(crate) fn lock(file: &Path, after: &str) -> Result<File> {
    let path = beside(file, ".", after);
    let failed = |e| Failure::Failed(format!("locking {}: {e}", path.display()));
    let lock = fs::OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    match lock.lock() {
        Err(e) if e.kind() != ErrorKind::Unsupported => Err(failed(e)),
        _ => Ok(lock),
    }
}

/// Puts the blobs of a conversation back in memory, if the file has a folder of them. Returns how
/// many; `None` if that is not possible, which is reported.
pub(crate) fn restore(path: &Path, file: &mut Transcript) -> Option<usize> {
    let folder = folder(path);
    if !folder.is_dir() {
        return Some(0);
    }
    let restored = file.restore_blobs(&folder);
    restored.map_err(|error| failure::warn(&path.display().to_string(), error)).ok()
}

/// Gives a copy of a conversation's file its own blobs.
#[cfg(feature = "openai")]
pub(crate) fn copy(from: &Path, to: &Path, file: &Transcript) -> Result<()> {
    let from = folder(from);
    if from.is_dir() {
        file.copy_blobs(from, folder(to))?;
    }
    Ok(())
}
