//! `turnwise push` and `turnwise pull`: conversations between this machine and a server of the
//! Conversations API.

mod api;
mod items;
mod pull;
mod push;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) use pull::run as pull;
pub(crate) use push::run as push;

use sha2::{Digest, Sha256};

use crate::failure::{Failure, Result};
use crate::file_lock;
use crate::stores::Place;

/// Writes a small file so that it is there as a whole or not at all. Only its owner can read it: it may
/// hold a conversation.
fn replace(file: &Path, text: &str) -> Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // What was left of an earlier run may be readable by others.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut written = options.open(&new)?;
        written.write_all(text.as_bytes())?;
        written.sync_all()?;
        fs::rename(&new, file)
    };
    write().map_err(|error: io::Error| Failure::Failed(format!("writing {}: {error}", file.display())))
}

/// The file beside a store, or beside a file, that remembers how far a transfer has come.
fn beside(place: &Path, suffix: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The most letters of an id in the name of a file.
const LONGEST: usize = 100;

/// A name for a file that an id gives. Ids that differ have names that differ.
fn name_of(id: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if id.len() <= LONGEST && id.chars().all(is_plain) {
        return id.to_owned();
    }
    let name: String = id.chars().take(LONGEST).map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(id).into();
    // No plain id has the dot.
    format!("{name}.{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// Keeps another transfer that writes this file waiting: two that begin at once would make two
/// conversations of one, or mix the pages that they read. What is sent, and whether something is
/// overwritten, is looked at after this.
fn alone(file: &Path) -> Result<File> {
    file_lock::lock(file, ".lock")
}

/// The store that an option names; its folder is made where there is none.
fn store(url: Option<&str>) -> Result<Place> {
    Place::open(url)
}

/// Runs what asks a server.
fn block_on<T>(asking: impl Future<Output = Result<T>>) -> Result<T> {
    // A missing `.env` is fine.
    let _ = dotenvy::dotenv();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asking)
}
