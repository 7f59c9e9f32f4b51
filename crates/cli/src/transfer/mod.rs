//! `turnwise push` and `turnwise pull`: conversations between this machine and a server of the
//! Conversations API.

mod api;
mod items;
mod pull;
mod push;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) use pull::run as pull;
pub(crate) use push::run as push;

use crate::failure::{Failure, Result};
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

/// A name for a file that an id gives.
fn name_of(id: &str) -> String {
    id.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_".contains(letter) { letter } else { '_' })
        .collect()
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
