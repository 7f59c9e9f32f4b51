//! Connections to a database, also to one that this user may only read.
//!
//! SQLite keeps two files beside a database while it is open, and whoever reads makes them where
//! there are none. A user who may not write the database must not: where the folder allows it, its
//! owner could not write to them. So a file that may only be read, and that nobody has open, is
//! read as it is, without locks (`immutable`). Somebody else may begin to write it then, which
//! shows in the file's time and in the files beside it.
//!
//! Where a program was killed in the middle of a transaction, the database may have half of it, and
//! a journal beside it says how to undo that. Only who may write both can do so.

use std::fs;
use std::io::Read;
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
        let is_alone = || !has_log(path) && !has_journal(path);
        if db.is_readonly(rusqlite::MAIN_DB).map_err(failed(&doing(path)))? && is_alone() {
            return Self::still(path);
        }
        // SQLite knows whether a journal is that of a program which is writing now, and undoes what
        // one has left that was killed.
        let first = db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        match first.map_err(|error| error.sqlite_error_code()) {
            Err(Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure))
                if has_journal(path) =>
            {
                Err(unfinished(path))
            }
            // The folder may not be written, so that there can be no files beside this one.
            Err(Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)) if is_alone() => Self::still(path),
            _ => Ok(Self { db, still: None }),
        }
    }

    /// Connects to a database that may be written, but not its folder, and that nobody has written
    /// since it was copied: it has no write-ahead file, and can get none. SQLite reads it with
    /// locks.
    pub(super) fn reading(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(failed(&doing(path)))?;
        Ok(Self { db, still: None })
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
        !has_log(&self.path) && !has_journal(&self.path) && Self::of(&self.path).is_ok_and(|now| now == *self)
    }
}

fn doing(path: &Path) -> String {
    format!("opening {}", path.display())
}

/// Whether there is a write-ahead file: somebody has the database open, or was killed.
fn has_log(path: &Path) -> bool {
    beside(path, "-wal").exists()
}

/// Whether there is a journal with something to undo: somebody writes a database without a
/// write-ahead file, or was killed. An empty one, or one whose beginning was overwritten, is of a
/// transaction that is done.
fn has_journal(path: &Path) -> bool {
    let journal = beside(path, "-journal");
    let mut first = [0];
    match fs::File::open(&journal).and_then(|mut file| file.read(&mut first)) {
        Ok(read) => read > 0 && first != [0],
        // What may not be read may be one.
        Err(_) => journal.exists(),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn unfinished(path: &Path) -> Error {
    let journal = beside(path, "-journal");
    let detail = format!(
        "{}: a program was ended in the middle of writing it, and {} says how to undo that, which needs the right to write \
         both and their folder; open the database once as a user who has it, such as its owner, and it can be read again",
        doing(path),
        journal.display()
    );
    Error::new(ErrorKind::Io, detail)
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
