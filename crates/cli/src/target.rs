//! `Output`: a file that a command writes, which is put in its place when it is complete.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// Where the result goes: the standard output, or a file that is put in place when it is complete.
pub(crate) struct Output {
    target: Option<PathBuf>,
    /// Whether a file that is there is replaced.
    replaces: bool,
    /// The file beside it that is written.
    part: PathBuf,
    /// The same, locked: what a program that was killed has left is not locked any more.
    locked: OnceCell<File>,
}

impl Output {
    /// A file that none of `sources` is, and that does not exist unless it is to be replaced.
    pub(crate) fn open(target: &Path, sources: &[PathBuf], replaces: bool) -> Result<Self> {
        if target.to_str() == Some("-") {
            return Ok(Self { target: None, replaces, part: PathBuf::new(), locked: OnceCell::new() });
        }
        check(target, sources)?;
        if target.exists() && !replaces {
            return Err(exists(target));
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        remove_left(target, &name);
        let part = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        Ok(Self { target: Some(target.to_owned()), replaces, part, locked: OnceCell::new() })
    }

    pub(crate) fn is_stdout(&self) -> bool {
        self.target.is_none()
    }

    pub(crate) fn writer(&self) -> Result<Box<dyn Write>> {
        if self.is_stdout() {
            return Ok(Box::new(BufWriter::with_capacity(128 * 1024, std::io::stdout().lock())));
        }
        let create = || {
            let file = create_locked(&self.part)?;
            let _ = self.locked.set(file.try_clone()?);
            Ok(file)
        };
        let file = create().map_err(|e| self.failed(&e))?;
        Ok(Box::new(BufWriter::with_capacity(128 * 1024, file)))
    }

    pub(crate) fn failed(&self, error: &std::io::Error) -> Failure {
        match &self.target {
            Some(target) => Failure::Failed(format!("writing {}: {error}", target.display())),
            None => Failure::from(std::io::Error::from(error.kind())),
        }
    }

    /// Puts the complete file in its place. One that was put there meanwhile is replaced only if one
    /// that was there before would be.
    pub(crate) fn keep(&self) -> Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        let put = || {
            File::open(&self.part)?.sync_all()?;
            if self.replaces {
                return fs::rename(&self.part, target);
            }
            // The part's own name goes when this is dropped.
            match fs::hard_link(&self.part, target) {
                // Some file systems give a file one name only.
                Err(e) if e.kind() != ErrorKind::AlreadyExists => fs::rename(&self.part, target),
                linked => linked,
            }
        };
        put().map_err(|e| if e.kind() == ErrorKind::AlreadyExists { exists(target) } else { self.failed(&e) })
    }
}

fn exists(target: &Path) -> Failure {
    Failure::usage(format!("{}: it exists; --force replaces it", target.display()))
}

/// Creates a file that only this program makes. Until it is locked, another program may take it for
/// one that was left, and remove it.
fn create_locked(part: &Path) -> std::io::Result<File> {
    loop {
        let file = File::create_new(part)?;
        // Where files cannot be locked, nothing is removed either.
        let _ = file.lock();
        if is_at(&file, part) {
            return Ok(file);
        }
    }
}

/// Whether an open file still has this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// As far as it can be told on other systems.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Removes what programs that were killed while they wrote this file have left: it may hold
/// conversations. If it cannot be removed, its name shows what it is.
fn remove_left(target: &Path, name: &str) {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let before = format!(".{name}.");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let left = entry.file_name();
        let process = left.to_str().and_then(|left| left.strip_prefix(&before)?.strip_suffix(".part"));
        let is_part = process.is_some_and(|process| process.bytes().all(|digit| digit.is_ascii_digit()));
        // It is removed while it is locked: who has just made it waits for the lock, and makes it
        // again. What was opened may have been removed since, and another file have its name.
        if is_part
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
            && is_at(&file, &entry.path())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Refuses a file to write that one of `sources` is, or that is a folder.
pub(crate) fn check(target: &Path, sources: &[PathBuf]) -> Result<()> {
    let is_same = |source| Some(fs::canonicalize(target).ok()? == fs::canonicalize(source).ok()?);
    if sources.iter().any(|source| is_same(source) == Some(true)) {
        let message = "it is the file that is read, and is not overwritten; name another one";
        return Err(Failure::usage(format!("{}: {message}", target.display())));
    }
    if target.is_dir() {
        return Err(Failure::usage(format!("{}: it is a folder; name a file", target.display())));
    }
    Ok(())
}

impl Drop for Output {
    /// Removes what was not completed, if this has begun it: a program on another machine may have the
    /// same number, and be writing a file of this name.
    fn drop(&mut self) {
        if self.locked.get().is_some() && Path::exists(&self.part) {
            // If it cannot be removed, its name shows what it is.
            let _ = fs::remove_file(&self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_file_that_came_meanwhile_is_replaced_only_if_that_is_asked_for() {
        let folder = tempfile::TempDir::new().unwrap();
        let target = folder.path().join("out.json");
        for replaces in [false, true] {
            let _ = fs::remove_file(&target);
            let output = Output::open(&target, &[], replaces).ok().unwrap();
            output.writer().ok().unwrap().write_all(b"new").unwrap();
            fs::write(&target, "meanwhile").unwrap();
            assert_eq!(output.keep().is_ok(), replaces);
            drop(output);
            assert_eq!(fs::read_to_string(&target).unwrap(), if replaces { "new" } else { "meanwhile" });
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");
        }
    }

    #[test]
    fn who_has_begun_nothing_removes_no_part() {
        let folder = tempfile::TempDir::new().unwrap();
        let output = Output::open(&folder.path().join("out.json"), &[], false).ok().unwrap();
        let part = output.part.clone();
        let other = create_locked(&part).unwrap();
        drop(output);
        assert!(part.exists());
        drop(other);
    }

    #[test]
    fn a_file_that_is_being_written_is_not_taken_for_one_that_was_left() {
        let folder = tempfile::TempDir::new().unwrap();
        let (target, part) = (folder.path().join("out.json"), folder.path().join(".out.json.1.part"));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    remove_left(&target, "out.json");
                }
            });
            for turn in 0..300 {
                let file = create_locked(&part);
                std::thread::yield_now();
                let is_there = file.as_ref().is_ok_and(|file| is_at(file, &part));
                // While it is locked, as an `Output` does it.
                let _ = fs::remove_file(&part);
                drop(file);
                if !is_there {
                    is_over.store(true, Ordering::SeqCst);
                }
                assert!(is_there, "in turn {turn}");
            }
            is_over.store(true, Ordering::SeqCst);
        });
    }
}
