//! Opening a database: its settings, and its migrations.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use turnwise::{Error, ErrorKind, Result};

use super::access::Opened;
use super::{failed, read_only};

/// The steps from an empty database to the newest version: that of a database is how many it has
/// taken.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001.sql"),
    include_str!("../../migrations/0002.sql"),
    include_str!("../../migrations/0003.sql"),
    include_str!("../../migrations/0004.sql"),
];

/// Marks a database as one of these: `tnws`.
const APPLICATION: i64 = 0x746e_7773;

/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS: usize = 128;

/// How often a connection waits for another process that writes: about ten seconds in all.
const WAITS: i32 = 2_000;

/// A connection that writes, to a database of the newest version, which is made where there is
/// none. To one that may only be read it is one that reads.
pub(super) fn open(path: &Path) -> Result<Connection> {
    create(path).map_err(|e| turnwise::store::failed(&format!("making {}", path.display()), e))?;
    let db = connect(path)?.db;
    migrate(&db, path, MIGRATIONS)?;
    if is_read_only(&db)? {
        return Ok(db);
    }
    match settings(&db) {
        Ok(()) => Ok(db),
        Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)) => {
            drop(db);
            Ok(connected(Opened::reading(path)?, path)?.db)
        }
        Err(error) => Err(failed("setting up the database")(error)),
    }
}

/// Whether a database may only be read.
pub(super) fn is_read_only(db: &Connection) -> Result<bool> {
    db.is_readonly(rusqlite::MAIN_DB).map_err(failed("setting up the database"))
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Opened> {
    let opened = connect(path)?;
    opened.db.pragma_update(None, "query_only", true).map_err(failed("setting up the database"))?;
    Ok(opened)
}

/// Refuses a database that another process has migrated since it was opened here.
pub(super) fn check_version(db: &Connection) -> Result<()> {
    match version(db)? {
        found if found == MIGRATIONS.len() => Ok(()),
        found => Err(newer(found, MIGRATIONS.len())),
    }
}

/// Conversations are private: a new file is for its owner only. SQLite gives the files beside it
/// the same permissions.
fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(_) if path.exists() => Ok(()),
        made => made.map(drop),
    }
}

fn connect(path: &Path) -> Result<Opened> {
    connected(Opened::at(path)?, path)
}

fn connected(opened: Opened, path: &Path) -> Result<Opened> {
    let doing = format!("opening {}", path.display());
    let db = &opened.db;
    db.busy_handler(Some(wait)).map_err(failed(&doing))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.pragma_update(None, "trusted_schema", false).map_err(failed(&doing))?;
    Ok(opened)
}

/// Waits for a moment that differs each time, so that of several writers none waits for ever. SQLite
/// itself waits longer each time, and whoever has waited long comes last.
fn wait(times: i32) -> bool {
    thread::sleep(Duration::from_micros(fastrand::u64(1_000..9_000)));
    times < WAITS
}

/// As [`wait`], for a quarter of a second.
fn wait_shortly(times: i32) -> bool {
    wait(times) && times < WAITS / 40
}

/// Writes all that was committed into the database itself, and empties the write-ahead file; whether
/// that could be done, because nobody reads what was there before.
pub(super) fn empty_log(db: &Connection, waits: bool) -> Result<bool> {
    let doing = failed("emptying the write-ahead file");
    db.busy_handler(waits.then_some(wait_shortly)).map_err(&doing)?;
    let is_busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    db.busy_handler(Some(wait)).map_err(&doing)?;
    match is_busy {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        is_busy => is_busy.map(|is_busy| !is_busy).map_err(&doing),
    }
}

fn settings(db: &Connection) -> rusqlite::Result<()> {
    // Answers with the mode that the database has then.
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    // A commit waits until the disk has it.
    db.pragma_update(None, "synchronous", "FULL")?;
    // On a Mac only this waits for the disk itself. Other systems have no such setting.
    db.pragma_update(None, "fullfsync", true)?;
    db.pragma_update(None, "checkpoint_fullfsync", true)?;
    // What is deleted is overwritten. Answers with the new value.
    db.pragma_update_and_check(None, "secure_delete", true, |row| row.get::<_, i64>(0))?;
    db.pragma_update(None, "temp_store", "MEMORY")
}

fn version(db: &Connection) -> Result<usize> {
    let version = db.prepare_cached("PRAGMA user_version").and_then(|mut read| read.query_row([], |row| row.get(0)));
    let version: i64 = version.map_err(reading)?;
    usize::try_from(version).map_err(|_| newer(usize::MAX, MIGRATIONS.len()))
}

fn reading(error: rusqlite::Error) -> Error {
    failed("reading the version of the database")(error)
}

fn newer(found: usize, known: usize) -> Error {
    let detail = format!(
        "the database has version {found}, and this version of turnwise-store knows up to {known}; update the program, \
         or open the copy that was kept beside the database when it was migrated"
    );
    Error::new(ErrorKind::NewerFormat, detail)
}

/// Takes each step that the database has not taken yet, in a transaction of its own. Other processes
/// wait meanwhile, and find that it was taken. Before the first step a copy of the database is kept.
fn migrate(db: &Connection, path: &Path, steps: &[&str]) -> Result<()> {
    check_application(db, path)?;
    let mut is_copied = false;
    while version(db)? < steps.len() {
        let doing = format!("migrating the database from version {} to {}", version(db)?, steps.len());
        if is_read_only(db)? {
            return Err(read_only(&doing));
        }
        let doing = failed(&doing);
        let alone = rusqlite::Transaction::new_unchecked(db, TransactionBehavior::Immediate).map_err(&doing)?;
        // Another process may have been faster.
        let taken = version(db)?;
        let Some(step) = steps.get(taken) else { break };
        if taken == 0 {
            check_empty(db, path)?;
        } else if !is_copied {
            keep_copy(path, taken)?;
        }
        // Of a database that the first step has just made there is nothing to keep.
        is_copied = true;
        alone.execute_batch(step).map_err(&doing)?;
        alone.pragma_update(None, "application_id", APPLICATION).map_err(&doing)?;
        alone.pragma_update(None, "user_version", i64::try_from(taken + 1).unwrap_or(i64::MAX)).map_err(&doing)?;
        alone.commit().map_err(&doing)?;
    }
    let found = version(db)?;
    if found > steps.len() { Err(newer(found, steps.len())) } else { Ok(()) }
}

/// Refuses another program's database, whatever its version, before anything is made in it or of it. A
/// database of ours has its mark since its first step, so one without a mark has to be new.
fn check_application(db: &Connection, path: &Path) -> Result<()> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get(0)).map_err(reading);
    let (application, version): (i64, i64) = (number("application_id")?, number("user_version")?);
    let is_new = application == 0 && version == 0;
    if application == APPLICATION || is_new { Ok(()) } else { Err(foreign(path)) }
}

/// Refuses another program's database that has no mark.
fn check_empty(db: &Connection, path: &Path) -> Result<()> {
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed("reading the database"))?;
    if tables == 0 { Ok(()) } else { Err(foreign(path)) }
}

fn foreign(path: &Path) -> Error {
    let detail = format!(
        "{} is a database of another program; give the name of a new file, or of one that turnwise-store has made",
        path.display()
    );
    Error::new(ErrorKind::ForeignFormat, detail)
}

/// Keeps a copy of a database, under a name that says its version. Nobody else writes meanwhile.
fn keep_copy(path: &Path, version: usize) -> Result<()> {
    let copy = name_of_copy(path, version);
    copy_whole(path, &copy, &format!("keeping a copy of the database in {}", copy.display()))
}

/// Writes a copy of a database as it is at one moment to a new file, which only its owner may read. It gets
/// its name when the disk has all of it, and only if no other file has that name by then.
pub(super) fn copy_whole(path: &Path, copy: &Path, doing: &str) -> Result<()> {
    if copy.exists() {
        return Err(exists(doing));
    }
    // Another name each time, so that two that write one copy do not write into one file.
    let mut part = copy.as_os_str().to_owned();
    part.push(format!(".{:08x}.part", fastrand::u32(..)));
    let part = PathBuf::from(part);
    let named = copy_into(path, &part, doing).and_then(|()| match give_name(&part, copy) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(doing)),
        given => given.map_err(|error| turnwise::store::failed(doing, error)),
    });
    if named.is_err() {
        let _ = fs::remove_file(&part);
    }
    named
}

fn exists(doing: &str) -> Error {
    let detail =
        format!("{doing}: there is a file of that name, and it is not overwritten; give another name, or remove it");
    Error::new(ErrorKind::Conflict, detail)
}

/// Gives a file its name, if no other file has it.
fn give_name(part: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(part, name) {
        Ok(()) => fs::remove_file(part)?,
        // A file system without links, where this is the best that can be done.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !name.exists() => fs::rename(part, name)?,
        Err(error) => return Err(error),
    }
    if cfg!(unix) {
        let folder = name.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all())?;
    }
    Ok(())
}

/// Writes a copy to a file, and waits until the disk has it.
fn copy_into(path: &Path, copy: &Path, doing: &str) -> Result<()> {
    let io = |e| turnwise::store::failed(doing, e);
    create(copy).map_err(io)?;
    // Not one that only reads: to SQLite this is writing.
    let reader = connect(path)?;
    let name = copy.to_str().ok_or_else(|| Error::new(ErrorKind::Io, format!("{doing}: its name is not UTF-8")))?;
    reader.db.execute("VACUUM INTO ?1", [name]).map_err(failed(doing))?;
    reader.check_unchanged(doing)?;
    File::open(copy).and_then(|file| file.sync_all()).map_err(io)
}

/// The first name that is free.
fn name_of_copy(path: &Path, version: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".version-{version}"));
    let mut copy = PathBuf::from(&name);
    let mut number = 2;
    while copy.exists() {
        let mut next = name.clone();
        next.push(format!(".{number}"));
        copy = PathBuf::from(next);
        number += 1;
    }
    copy
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const FIRST: &str = "CREATE TABLE a (x TEXT); INSERT INTO a VALUES ('old')";
    const SECOND: &str = "ALTER TABLE a ADD COLUMN y TEXT NOT NULL DEFAULT 'new'";

    fn database() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("chats.db");
        create(&path).unwrap();
        (folder, path)
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_old_database_is_migrated_and_a_copy_of_it_is_kept() {
        let (folder, path) = database();
        migrate(&connect(&path).unwrap().db, &path, &[FIRST]).unwrap();
        assert_eq!(names(&folder), ["chats.db"], "there was nothing to copy");
        let (new, path_of_new) = database();
        migrate(&connect(&path_of_new).unwrap().db, &path_of_new, &[FIRST, SECOND]).unwrap();
        assert_eq!(names(&new), ["chats.db"], "nor is there in a new one that takes all steps");

        let db = connect(&path).unwrap().db;
        migrate(&db, &path, &[FIRST, SECOND]).unwrap();
        let row = |db: &Connection| db.query_row("SELECT x || y FROM a", [], |row| row.get::<_, String>(0));
        assert_eq!(row(&db).unwrap(), "oldnew");
        assert_eq!(version(&db).unwrap(), 2);

        let copy = folder.path().join("chats.db.version-1");
        let copy = connect(&copy).unwrap().db;
        assert_eq!(version(&copy).unwrap(), 1);
        check_application(&copy, &path).unwrap();
        assert_eq!(copy.query_row("SELECT x FROM a", [], |row| row.get::<_, String>(0)).unwrap(), "old");

        // Opening it again changes nothing, and an older program is told.
        migrate(&db, &path, &[FIRST, SECOND]).unwrap();
        assert_eq!(names(&folder), ["chats.db", "chats.db.version-1"]);
        let refused = migrate(&db, &path, &[FIRST]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NewerFormat);
        assert!(refused.detail().contains("version 2"), "{refused}");
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        let (_folder, path) = database();
        let db = connect(&path).unwrap().db;
        migrate(&db, &path, &[FIRST]).unwrap();
        let broken = "DROP TABLE a; nonsense";
        migrate(&db, &path, &[FIRST, broken]).unwrap_err();
        assert_eq!(version(&db).unwrap(), 1);
        assert_eq!(db.query_row("SELECT x FROM a", [], |row| row.get::<_, String>(0)).unwrap(), "old");
    }

    #[test]
    fn of_processes_that_open_a_database_at_once_one_migrates_it() {
        let (folder, path) = database();
        migrate(&connect(&path).unwrap().db, &path, &[FIRST]).unwrap();
        thread::scope(|scope| {
            let opens = || migrate(&connect(&path).unwrap().db, &path, &[FIRST, SECOND]);
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(opens)).collect();
            for one in opened {
                one.join().unwrap().unwrap();
            }
        });
        assert_eq!(names(&folder), ["chats.db", "chats.db.version-1"]);
    }

    #[test]
    fn a_database_of_another_program_is_refused_and_left_alone() {
        for (version, application) in [(0, 0), (1, 0), (1, 77), (0, 77), (1_000, 0), (-1, 0)] {
            let (folder, path) = database();
            let db = connect(&path).unwrap().db;
            db.pragma_update(None, "user_version", version).unwrap();
            db.pragma_update(None, "application_id", application).unwrap();
            // Also one that is empty but marked.
            if application == 0 {
                db.execute_batch("CREATE TABLE theirs (x)").unwrap();
            }
            drop(db);
            let before = fs::read(&path).unwrap();
            let refused = open(&path).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ForeignFormat, "{version} {application}");
            assert!(fs::read(&path).unwrap() == before);
            assert_eq!(names(&folder), ["chats.db"], "{version} {application}");
        }
    }

    #[test]
    fn of_copies_to_one_name_one_is_made_and_none_is_overwritten() {
        let (folder, path) = database();
        migrate(&connect(&path).unwrap().db, &path, &[FIRST]).unwrap();
        let copy = folder.path().join("copy.db");
        let made: Vec<Result<()>> = thread::scope(|scope| {
            let copies: Vec<_> = (0..4).map(|_| scope.spawn(|| copy_whole(&path, &copy, "copying"))).collect();
            copies.into_iter().map(|copy| copy.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
        assert!(made.iter().filter_map(|made| made.as_ref().err()).all(|error| error.kind() == ErrorKind::Conflict));
        assert_eq!(version(&connect(&copy).unwrap().db).unwrap(), 1);
        assert_eq!(names(&folder), ["chats.db", "copy.db"], "no part is left");

        fs::write(&copy, "of somebody").unwrap();
        // It came after the copy was begun.
        let part = folder.path().join("part");
        fs::write(&part, "a copy").unwrap();
        assert_eq!(give_name(&part, &copy).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(copy_whole(&path, &copy, "copying").unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(fs::read_to_string(&copy).unwrap(), "of somebody");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_database_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let (folder, path) = database();
        let db = open(&path).unwrap();
        db.execute_batch("UPDATE upkeep SET cleared = 0").unwrap();
        assert!(names(&folder).len() > 1);
        for name in names(&folder) {
            let mode = fs::metadata(folder.path().join(&name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
