//! `turnwise blobs`: images and files of a conversation in a folder beside it.

use std::io::Write;
use std::path::{Path, PathBuf};

use turnwise::Transcript;

use crate::args;
use crate::failure::{self, Result};
use crate::file_lock;
use crate::output::stdout;
use crate::rewrite;
use crate::text::{counted, thousands};

pub(crate) fn run(args: &args::Blobs) -> Result<()> {
    let name = args.file.display();
    // Another run would delete blobs whose references this one has not saved yet. A file that is
    // not there gets no lock beside it.
    let _lock = args.file.is_file().then(|| file_lock::lock(&args.file, ".blobs.lock")).transpose()?;
    let mut file = rewrite::load(&args.file)?;
    let folder = folder(&args.file);
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
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".blobs");
    file.with_file_name(name)
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
