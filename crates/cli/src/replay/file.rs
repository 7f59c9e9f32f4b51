//! `ReplayFile`: the file of `--output`, and the note beside it from which a run goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Done;
use crate::args;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::sanitize::without_passwords;
use crate::target;
use crate::text::{counted, thousands};

/// How often the note is written: as much of the work may be lost when the program is killed.
const EVERY: Duration = Duration::from_secs(1);

/// What is needed to go on.
#[derive(Deserialize, Serialize)]
struct Note {
    /// What the lines depend on: files and options.
    settings: String,
    /// How long the file was when this was written.
    bytes: u64,
    done: Done,
}

/// A file of whole lines.
pub(super) struct ReplayFile {
    path: PathBuf,
    writer: BufWriter<File>,
    bytes: u64,
    settings: String,
    kept: Instant,
}

impl ReplayFile {
    /// Begins the file, or goes on with it; `None` if it is complete.
    pub(super) fn open(path: &Path, args: &args::Replay) -> Result<Option<(Self, Done)>> {
        target::check(path, &args.files)?;
        let settings = settings(args);
        if !path.exists() || args.force {
            return Self::begin(path, settings).map(Some);
        }
        if !args.resume {
            let message = "it exists; --resume goes on with it, --force replaces it";
            return Err(Failure::usage(format!("{}: {message}", path.display())));
        }
        match fs::read(note(path)) {
            Ok(bytes) => Self::go_on(path, settings, &bytes).map(Some),
            Err(_) if is_complete(path) => Ok(None),
            Err(error) => Err(Failure::Failed(format!(
                "{} is not complete, and {} cannot be read ({error}); --force begins again",
                path.display(),
                note(path).display()
            ))),
        }
    }

    fn begin(path: &Path, settings: String) -> Result<(Self, Done)> {
        let file = File::create(path).map_err(|e| failed(path, &e))?;
        let mut file = Self::over(path, file, 0, settings)?;
        file.keep(&Done::default())?;
        Ok((file, Done::default()))
    }

    fn go_on(path: &Path, settings: String, note: &[u8]) -> Result<(Self, Done)> {
        let unusable = |why: &str| Failure::usage(format!("{}: {why}; --force begins again", path.display()));
        let note: Note = serde_json::from_slice(note).map_err(|_| unusable("the note to go on from is damaged"))?;
        if note.settings != settings {
            return Err(unusable("it was begun with other files or options, or by another version"));
        }
        let failed = |e| failed(path, &e);
        let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() < note.bytes {
            return Err(unusable("it is shorter than when it was left"));
        }
        // What was written after the note is written again.
        file.set_len(note.bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok((Self::over(path, file, note.bytes, settings)?, note.done))
    }

    fn over(path: &Path, file: File, bytes: u64, settings: String) -> Result<Self> {
        interrupt::watch()?;
        let writer = BufWriter::with_capacity(128 * 1024, file);
        Ok(Self { path: path.to_owned(), writer, bytes, settings, kept: Instant::now() })
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> Result<()> {
        self.writer.write_all(lines).map_err(|e| failed(&self.path, &e))?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    pub(super) fn keep_now_and_then(&mut self, done: &Done) -> Result<()> {
        if self.kept.elapsed() < EVERY { Ok(()) } else { self.keep(done) }
    }

    /// Writes the note, after what it speaks of.
    pub(super) fn keep(&mut self, done: &Done) -> Result<()> {
        let write = |file: &mut Self| {
            file.writer.flush()?;
            let note = Note { settings: file.settings.clone(), bytes: file.bytes, done: *done };
            let part = extended(&self::note(&file.path), ".part");
            fs::write(&part, serde_json::to_vec(&note)?)?;
            fs::rename(&part, self::note(&file.path))
        };
        write(self).map_err(|e| failed(&self.path, &e))?;
        self.kept = Instant::now();
        Ok(())
    }

    /// What is reported when the run is stopped.
    pub(super) fn stopped(&self, done: &Done) -> String {
        format!(
            "stopped after {} and {} requests, which are in {}; the same command with --resume goes on",
            counted(done.conversations, "conversation"),
            thousands(done.totals.requests as u64),
            self.path.display()
        )
    }

    /// Nothing is to be done any more.
    pub(super) fn complete(mut self) -> Result<()> {
        self.writer.flush().map_err(|e| failed(&self.path, &e))?;
        match fs::remove_file(note(&self.path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&note(&self.path), &error)),
            _ => Ok(()),
        }
    }
}

/// The file beside a replay that says how to go on.
fn note(path: &Path) -> PathBuf {
    extended(path, ".resume")
}

fn extended(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What the lines depend on.
fn settings(args: &args::Replay) -> String {
    let files = args.files.iter().map(|file| (file, file.metadata().map_or(0, |found| found.len())));
    let files = files.collect::<Vec<_>>();
    let version = env!("CARGO_PKG_VERSION");
    let settings =
        format!("turnwise {version} {} {:?} {:?} {:?} {files:?}", args.strategy, args.input, args.budget, args.dialect);
    without_passwords(&settings).into_owned()
}

/// Whether the last line of a file is the summary.
fn is_complete(path: &Path) -> bool {
    // A summary is shorter than that.
    const MOST: u64 = 64 * 1024;
    let read = || {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(MOST)))?;
        let mut end = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut end)?;
        std::io::Result::Ok(end)
    };
    let end = read().unwrap_or_default();
    let last = end.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    end.ends_with(b"\n") && last.is_some_and(|line| line.starts_with(b"{\"summary\":"))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("writing {}: {error}", path.display()))
}
