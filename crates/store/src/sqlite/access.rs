//! Connections to a database, also to one that this user may only read.
//!
//! SQLite keeps two files beside a database while it is open, and whoever reads makes them where
//! there are none. A user who may not write the database must not: where the folder allows it, its
//! owner could not write to them. So a file that may only be read, and that nobody has open, is
//! read as it is, without locks (`immutable`). Somebody else may begin to write it then, which
//! shows in the file's time and in the files beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use turnwise::{Error, ErrorKind, Result};

use super::failed;

/// A connection, and what is asked of a file that is read without locks.
pub(super) struct Opened {
    pub(super) db: Connection,
    pub(super) still: Option<Still>,
}

impl Opened {
    /// Connects to a database that is there.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(failed(&doing(path)))?;
        // Where the file may not be written, SQLite has opened it for reading. Nothing was read
        // yet, so there are no files beside it. (Only SQLite may open it: whoever closes it lets go
        // of all locks that the process has.)
        if db.is_readonly(rusqlite::MAIN_DB).map_err(failed(&doing(path)))? && !has_log(path) {
            return Self::still(path);
        }
        let first = db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        match first.map_err(|error| error.sqlite_error_code()) {
            // The folder may not be written, so that there can be no files beside this one.
            Err(Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)) if !has_log(path) => Self::still(path),
            _ => Ok(Self { db, still: None }),
        }
    }

    pub(super) fn still(path: &Path) -> Result<Self> {
        let still = Still::of(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(uri(path)?, flags).map_err(failed(&doing(path)))?;
        Ok(Self { db, still: Some(still) })
    }

    /// Whether nobody has written a file since it was opened that is read without locks.
    pub(super) fn is_unchanged(&self) -> bool {
        self.still.as_ref().is_none_or(Still::holds)
    }

    /// Refuses what was read while somebody else began to write.
    pub(super) fn check_unchanged(&self, doing: &str) -> Result<()> {
        if self.is_unchanged() {
            return Ok(());
        }
        let detail = format!("{doing}: another program began to write to the database meanwhile; try again");
        Err(Error::new(ErrorKind::Busy, detail))
    }
}

/// A file that nobody writes: what it was when it was opened.
#[derive(Debug, PartialEq)]
pub(super) struct Still {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Still {
    fn of(path: &Path) -> Result<Self> {
        let about = fs::metadata(path).map_err(|e| turnwise::store::failed(&doing(path), e))?;
        Ok(Self { path: path.to_owned(), bytes: about.len(), modified: about.modified().ok() })
    }

    fn holds(&self) -> bool {
        !has_log(&self.path) && Self::of(&self.path).is_ok_and(|now| now == *self)
    }
}

fn doing(path: &Path) -> String {
    format!("opening {}", path.display())
}

/// Whether there is a write-ahead file: somebody has the database open, or was killed.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).exists()
}

/// The name of a file that nobody changes, as SQLite reads it.
fn uri(path: &Path) -> Result<String> {
    let name = path.to_str().ok_or_else(|| {
        Error::new(ErrorKind::Io, format!("{}: a database that may only be read needs a name in UTF-8", doing(path)))
    })?;
    let name = if cfg!(windows) { name.replace('\\', "/") } else { name.to_owned() };
    // Two slashes begin the name of a host, unless another one follows.
    let begin = match (cfg!(windows), name.starts_with('/')) {
        (true, _) => "file:///",
        (false, true) => "file://",
        (false, false) => "file:",
    };
    let mut uri = begin.to_owned();
    for letter in name.chars() {
        match letter {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            letter => uri.push(letter),
        }
    }
    uri.push_str("?immutable=1");
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_database_with_any_name_is_read_without_locks_until_somebody_writes_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a b%20?x=1#é.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE a (x); INSERT INTO a VALUES (1)").unwrap();
        drop(writer);
        let opened = Opened::still(&path).unwrap();
        let sum = |db: &Connection| db.query_row("SELECT sum(x) FROM a", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(sum(&opened.db), 1);
        assert!(opened.is_unchanged() && fs::read_dir(folder.path()).unwrap().count() == 1, "nothing is beside it");
        assert!(opened.db.execute("INSERT INTO a VALUES (2)", []).is_err());
        let writer = Connection::open(&path).unwrap();
        writer.execute("INSERT INTO a VALUES (3)", []).unwrap();
        assert!(!opened.is_unchanged(), "there is a write-ahead file");
        drop(writer);
        assert!(!opened.is_unchanged(), "it was written");
        assert_eq!(opened.check_unchanged("reading").unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(sum(&Opened::still(&path).unwrap().db), 4);
        let with_two_slashes = PathBuf::from(format!("/{}", path.display()));
        assert_eq!(sum(&Opened::still(&with_two_slashes).unwrap().db), 4);
    }
}
