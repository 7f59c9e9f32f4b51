//! `Lock`: held while a file is checked and replaced.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind as IoKind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::place::Place;

/// How long a save waits for another save of the same file.
const PATIENCE: Duration = Duration::from_secs(10);

/// The suffix of a lock file, beside its target.
pub(super) const LOCK: &str = ".lock";

/// An operating system's lock on a file of its own beside the target. The lock file stays there:
/// each save replaces the target, and a lock on the target would be replaced with it. A program
/// that is killed loses its locks.
pub(super) struct Lock {
    /// `None` if the file system has no locks.
    held: Option<File>,
}

impl Lock {
    /// Waits for other programs that save to the same file.
    ///
    /// # Errors
    /// The system's error if the lock file cannot be opened, or an error if it took too long.
    pub(super) fn take(place: &Place) -> io::Result<Self> {
        let path = place.beside(LOCK);
        let target = std::fs::metadata(place.path()).ok();
        let end = Instant::now() + PATIENCE;
        loop {
            let file = open(&path, target.as_ref())?;
            if !wait_until(&file, end).map_err(|e| busy(e, &path))? {
                return Ok(Self { held: None });
            }
            // A lock file that is deleted while another program waits for it must not lead to two
            // holders.
            if is_at(&file, &path) {
                return Ok(Self { held: Some(file) });
            }
        }
    }

    /// Whether it keeps other programs out.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

/// Waits for a lock on a file that is written in place. Returns whether the file system has locks.
pub(super) fn wait_for(file: &File) -> io::Result<bool> {
    wait_until(file, Instant::now() + PATIENCE)
}

/// Polls for the lock, because a blocking wait cannot be cancelled. Returns whether the file system
/// has locks.
fn wait_until(file: &File, end: Instant) -> io::Result<bool> {
    let mut pause = Duration::from_millis(1);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() >= end => return Err(IoKind::TimedOut.into()),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Err(TryLockError::Error(e)) if e.kind() == IoKind::Interrupted => {}
            Err(TryLockError::Error(e)) if is_unsupported(&e) => return Ok(false),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    // ENOLCK, from network file systems without a lock service, has no `ErrorKind` of its own.
    const NO_LOCKS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 37 } else { 77 };
    error.kind() == IoKind::Unsupported || cfg!(unix) && error.raw_os_error() == Some(NO_LOCKS)
}

fn busy(error: io::Error, lock: &Path) -> io::Error {
    if error.kind() != IoKind::TimedOut {
        return error;
    }
    let seconds = PATIENCE.as_secs();
    let detail =
        format!("another program has held {} for {seconds} seconds; try again when it has finished", lock.display());
    io::Error::new(IoKind::TimedOut, detail)
}

/// Opens the lock file, or creates it. It is always empty.
fn open(path: &Path, target: Option<&Metadata>) -> io::Result<File> {
    loop {
        // Opened and created in two steps, because in world-writable folders Linux refuses
        // `O_CREAT` on files of other users.
        match OpenOptions::new().read(true).write(true).open(path) {
            Err(e) if e.kind() == IoKind::NotFound => {}
            Err(e) if e.kind() == IoKind::PermissionDenied && path.exists() => {
                let detail = format!(
                    "no permission to open the lock file {} ({e}); give it the owner and permissions of its target",
                    path.display()
                );
                return Err(io::Error::new(e.kind(), detail));
            }
            Err(e) => return Err(e),
            Ok(file) if is_at(&file, path) => {
                share(&file, target, false);
                return Ok(file);
            }
            Ok(_) if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) => {
                return Err(io::Error::other(format!("{} is not a regular file", path.display())));
            }
            // It was deleted meanwhile.
            Ok(_) => continue,
        }
        match OpenOptions::new().read(true).write(true).create_new(true).open(path) {
            Err(e) if e.kind() == IoKind::AlreadyExists => {}
            Err(e) if matches!(e.kind(), IoKind::PermissionDenied | IoKind::ReadOnlyFilesystem) => {
                let folder = path.parent().unwrap_or(path).display();
                let detail = format!(
                    "{}: this user may not write to the folder {folder}, where each save needs a lock file; give it the \
                     right, or use a copy of the folder",
                    e.kind()
                );
                return Err(io::Error::new(e.kind(), detail));
            }
            Err(e) => return Err(e.kind().into()),
            Ok(file) => {
                share(&file, target, true);
                return Ok(file);
            }
        }
    }
}

/// Lets everyone who may write the target take the lock, and nobody else.
#[cfg(unix)]
fn share(lock: &File, target: Option<&Metadata>, is_new: bool) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let Ok(own) = lock.metadata() else { return };
    // Never change a file that is not a lock file.
    if !own.is_file() || own.len() > 0 || own.nlink() > 1 {
        return;
    }
    // A new file will get the same permissions as the new lock file.
    let writers = target.map_or(own.mode(), MetadataExt::mode) & 0o022;
    let wanted = 0o600 | writers | (writers << 1);
    let mode = if is_new { wanted } else { own.mode() & 0o777 | wanted };
    // If its permissions cannot be changed, the lock file is open all the same.
    if let Some(group) = target.map(MetadataExt::gid).filter(|group| *group != own.gid()) {
        let _ = fchown(lock, None, Some(group));
    }
    if mode != own.mode() & 0o777 {
        let _ = lock.set_permissions(PermissionsExt::from_mode(mode));
    }
}

#[cfg(not(unix))]
fn share(_lock: &File, _target: Option<&Metadata>, _is_new: bool) {}

/// Whether a path still names an open file, and is not a link.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::symlink_metadata(path)) else { return false };
    open.is_file() && (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// On other systems an open file cannot be replaced.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}
