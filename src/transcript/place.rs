//! `Place`, where a file is, and `FileRevision`, what it holds at some time.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The content of a file at some time, by length and hash. Neither time nor size nor inode number
/// can distinguish two quick saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileRevision {
    /// There was no file, or an empty one.
    Absent,
    /// Length and hash of the content.
    Content(u64, u128),
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
        }
    }

    pub(super) fn read_from(revision: &str) -> Option<Self> {
        let (len, hash) = revision.split_once('-')?;
        Some(Self::Content(len.parse().ok()?, u128::from_str_radix(hash, 16).ok()?))
    }

    pub(super) fn of(content: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(content);
        Self::new(content.len() as u64, &hash)
    }

    pub(super) fn read(file: &mut File) -> io::Result<Self> {
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

    pub(super) fn new(len: u64, hash: &Xxh3) -> Self {
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
