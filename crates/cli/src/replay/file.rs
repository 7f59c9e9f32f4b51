//! `ReplayFile`: the file of `--output`, and the note beside it from which a run goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use turnwise::store::wait;

use super::Done;
use crate::args;
use crate::failure::{Failure, Result, tell};
use crate::interrupt;
use crate::sanitize::without_passwords;
use crate::stores::{self, Place};
use crate::target;
use crate::text::{counted, thousands};

/// How often the note is written: as much of the work may be lost when the program is killed.
const EVERY: Duration = Duration::from_secs(1);

/// What is needed to go on.
#[derive(Deserialize, Serialize)]
struct Note {
    /// What the lines depend on: files and options.
    settings: Settings,
    /// How long the file was when this was written.
    bytes: u64,
    /// Whether nothing is left to do.
    #[serde(default)]
    is_complete: bool,
    done: Done,
}

/// What the lines depend on, by name: options as text, files by a digest of their content.
type Settings = Vec<(String, String)>;

/// A file of whole lines.
pub(super) struct ReplayFile {
    path: PathBuf,
    writer: BufWriter<File>,
    bytes: u64,
    settings: Settings,
    kept: Instant,
}

impl ReplayFile {
    /// Begins the file, or goes on with it; `None` if it is complete.
    pub(super) fn open(path: &Path, args: &args::Replay, models: Option<&Path>) -> Result<Option<(Self, Done)>> {
        target::check(path, &args.files)?;
        let settings = settings(args, models)?;
        if !path.exists() || args.force {
            return Self::begin(path, settings).map(Some);
        }
        if !args.resume {
            let message = "it exists; --resume goes on with it, --force replaces it";
            return Err(Failure::usage(format!("{}: {message}", path.display())));
        }
        match fs::read(note(path)) {
            Ok(bytes) => Self::go_on(path, settings, &bytes),
            Err(_) if is_complete(path) => {
                tell(format_args!(
                    "{} is complete, and nothing is done; without {} it is not known with which files and options it \
                     was made (--force makes it again)",
                    path.display(),
                    note(path).display()
                ));
                Ok(None)
            }
            Err(error) => Err(Failure::Failed(format!(
                "{} is not complete, and {} cannot be read ({error}); --force begins again",
                path.display(),
                note(path).display()
            ))),
        }
    }

    fn begin(path: &Path, settings: Settings) -> Result<(Self, Done)> {
        let file = File::create(path).map_err(|e| failed(path, &e))?;
        let mut file = Self::over(path, file, 0, settings)?;
        file.keep(&Done::default())?;
        Ok((file, Done::default()))
    }

    fn go_on(path: &Path, settings: Settings, note: &[u8]) -> Result<Option<(Self, Done)>> {
        let unusable = |why: &str| Failure::usage(format!("{}: {why}; --force begins again", path.display()));
        let note: Note = serde_json::from_slice(note).map_err(|_| unusable("the note to go on from is damaged"))?;
        let others = differing(&note.settings, &settings);
        if !others.is_empty() {
            let why = "it was begun with other files or options, or by another version";
            return Err(unusable(&format!("{why} (different: {})", others.join(", "))));
        }
        let failed = |e| failed(path, &e);
        let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() < note.bytes {
            return Err(unusable("it is shorter than when it was left"));
        }
        if note.is_complete {
            return already_complete(path, &note, file.metadata().map_err(failed)?.len());
        }
        // What was written after the note is written again.
        file.set_len(note.bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Some((Self::over(path, file, note.bytes, settings)?, note.done)))
    }

    fn over(path: &Path, file: File, bytes: u64, settings: Settings) -> Result<Self> {
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
        self.keep_note(done, false)
    }

    fn keep_note(&mut self, done: &Done, is_complete: bool) -> Result<()> {
        let write = |file: &mut Self| {
            file.writer.flush()?;
            let note = Note { settings: file.settings.clone(), bytes: file.bytes, is_complete, done: *done };
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

    /// Nothing is to be done any more. The note stays, so that a later run sees that.
    pub(super) fn complete(mut self, done: &Done) -> Result<()> {
        self.keep_note(done, true)
    }
}

/// Says that nothing is left to do in a file of this length.
fn already_complete(path: &Path, note: &Note, len: u64) -> Result<Option<(ReplayFile, Done)>> {
    if len != note.bytes {
        let why = "it was changed after it was complete; --force makes it again";
        return Err(Failure::usage(format!("{}: {why}", path.display())));
    }
    let Done { conversations, failures, totals } = note.done;
    let (conversations, requests) = (counted(conversations, "conversation"), thousands(totals.requests as u64));
    tell(format_args!("{} is complete: {conversations}, {requests} requests; nothing is done", path.display()));
    if failures > 0 {
        tell(format_args!("{} could not be replayed then", counted(failures, "conversation")));
        return Err(Failure::Said(1));
    }
    Ok(None)
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
fn settings(args: &args::Replay, models: Option<&Path>) -> Result<Settings> {
    let version = format!("turnwise {}", env!("CARGO_PKG_VERSION"));
    let options = [
        ("version", version),
        ("--strategy", args.strategy.clone()),
        ("input", format!("{:?}", args.input)),
        ("budget", format!("{:?}", args.budget)),
        ("dialect", format!("{:?}", args.dialect)),
    ];
    let mut settings: Settings = options.map(|(name, value)| (name.to_owned(), value)).into();
    if let Some(models) = models {
        settings.push(("--models".to_owned(), digest_of_file(models)?));
    }
    for file in &args.files {
        let digest = if stores::is_url(file) { digest_of_store(file)? } else { digest_of_file(file)? };
        settings.push((without_passwords(&file.to_string_lossy()).into_owned(), digest));
    }
    Ok(settings)
}

/// The names of what is not the same, each once.
fn differing(old: &Settings, new: &Settings) -> Vec<String> {
    let is_in = |all: &Settings, one| all.contains(one);
    let gone = old.iter().filter(|one| !is_in(new, one));
    let come = new.iter().filter(|one| !is_in(old, one));
    let mut names: Vec<String> = gone.chain(come).map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() && old != new {
        names.push("the order of files".to_owned());
    }
    names
}

/// A digest of a file's content. What can be read only once, such as a pipe, has none.
fn digest_of_file(file: &Path) -> Result<String> {
    if !file.is_file() {
        return Ok("not a file".to_owned());
    }
    let read = || {
        let mut file = File::open(file)?;
        let (mut digest, mut buffer) = (Sha256::new(), vec![0; 128 * 1024]);
        loop {
            match file.read(&mut buffer)? {
                0 => return std::io::Result::Ok(hex(digest)),
                len => digest.update(&buffer[..len]),
            }
        }
    };
    read().map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))
}

/// A digest of the revisions of all conversations.
fn digest_of_store(url: &Path) -> Result<String> {
    let place = Place::open(url.to_str())?;
    let mut digest = Sha256::new();
    for id in place.ids() {
        let id = id?;
        let revision = wait(place.store().revision(&id))?;
        // No byte of a text is 0xff.
        for text in [id.as_str(), revision.as_str()] {
            digest.update(text);
            digest.update([0xff]);
        }
    }
    Ok(hex(digest))
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
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
