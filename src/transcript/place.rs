//! `Place`, where a file is, and `FileRevision`, what it holds at some time.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind as IoKind, Read, Seek};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::journal::{Chain, Tail};

/// The content of a file at some time, by length and hash. Neither time nor size nor inode number
/// can distinguish two quick saves. A journal has the hash of all its saves on its last line, so
/// that the rest need not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileRevision {
    /// There was no file, or an empty one.
    Absent,
    /// Length and hash of the content.
    Content(u64, u128),
    /// Length and last hash of a journal.
    Journal(u64, Chain),
}

/// The place of a file: all links in its path are resolved, and its folder exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    name: OsString,
}

impl Place {
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The file beside it whose name is longer by a suffix.
    pub(super) fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = self.name.clone();
        name.push(suffix);
        self.folder.join(name)
    }

    /// A hidden file beside it, under the same name for every program that saves here.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        // File systems allow names of up to 255 bytes.
        const LONGEST: usize = 220;
        let bytes = self.name.as_encoded_bytes();
        let hashed = OsString::from(format!("turnwise-{:016x}", xxh3_64(bytes)));
        let stem: &OsStr = if bytes.len() > LONGEST { &hashed } else { &self.name };
        let mut name = OsString::from(".");
        name.push(stem);
        name.push(suffix);
        self.folder.join(name)
    }
}

impl FileRevision {
    pub(super) fn written(self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Content(len, hash) => Some(format!("{len}-{hash:032x}")),
            Self::Journal(len, chain) => Some(format!("journal-{len}-{:032x}", chain.hash())),
        }
    }

    pub(super) fn read_from(revision: &str) -> Option<Self> {
        let journal = revision.strip_prefix("journal-");
        let (len, hash) = journal.unwrap_or(revision).split_once('-')?;
        let (len, hash) = (len.parse().ok()?, u128::from_str_radix(hash, 16).ok()?);
        Some(match journal {
            Some(_) => Self::Journal(len, Chain::of_hash(hash)),
            None => Self::Content(len, hash),
        })
    }

    pub(super) fn of(content: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(content);
        // Reading from memory cannot fail.
        let tail = Tail::read(&mut Cursor::new(content)).ok().flatten();
        Self::of_journal(tail).unwrap_or_else(|| Self::new(content.len() as u64, &hash))
    }

    pub(super) fn read(file: &mut File) -> io::Result<Self> {
        if let Some(journal) = Self::of_journal(Tail::read(file)?) {
            return Ok(journal);
        }
        file.rewind()?;
        let mut hash = Xxh3::new();
        let mut len = 0;
        let mut block = vec![0; 1 << 16];
        loop {
            match file.read(&mut block) {
                Ok(0) => return Ok(Self::new(len, &hash)),
                Ok(read) => {
                    hash.update(&block[..read]);
                    len += read as u64;
                }
                Err(e) if e.kind() == IoKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// A journal that ends in a whole save.
    fn of_journal(tail: Option<Tail>) -> Option<Self> {
        tail.filter(|tail| tail.torn == 0).map(|tail| Self::Journal(tail.end, tail.chain))
    }

    fn new(len: u64, hash: &Xxh3) -> Self {
        if len == 0 { Self::Absent } else { Self::Content(len, hash.digest128()) }
    }
}

/// Resolves links to the file that they name, whether it exists or not, and finds its folder.
pub(super) fn place(file: &Path) -> io::Result<Place> {
    const MOST_LINKS: usize = 40;
    let mut file = file.to_path_buf();
    let mut links = 0;
    while let Ok(link) = fs::read_link(&file) {
        links += 1;
        if links > MOST_LINKS {
            return Err(io::Error::other(format!("more than {MOST_LINKS} links in a row")));
        }
        file = file.parent().unwrap_or(Path::new("")).join(link);
    }
    let name = file.file_name().ok_or_else(|| io::Error::other("it does not name a file"))?.to_owned();
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|e| match e.kind() {
        IoKind::NotFound | IoKind::NotADirectory => io::Error::new(e.kind(), "its folder does not exist"),
        _ => e,
    })?;
    Ok(Place { folder, name })
}
