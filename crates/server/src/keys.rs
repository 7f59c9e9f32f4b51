//! `Keys`: a file of bearer keys, of which it knows only the hashes.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use turnwise::conversation::Timestamp;

/// The tenant whose conversations are those of the store itself.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// How long the file is not looked at again. A key that is removed works for at most so long.
const FRESH: Duration = Duration::from_secs(1);

/// What a secret begins with, so that scanners for leaked keys can find it.
const PREFIX: &str = "tw-";

/// The keys of a server: a JSON file that the server reads again when it changes.
///
/// A key is 32 random bytes, so the file keeps its SHA-256: who reads the file cannot use the keys.
///
/// # Examples
/// ```
/// use turnwise_server::Keys;
///
/// # let folder = tempfile::TempDir::new()?;
/// # let file = folder.path().join("keys.json");
/// let keys = Keys::at(file);
/// let secret = keys.add("ann's laptop", "ann")?;
/// assert!(secret.starts_with("tw-"));
/// assert_eq!(keys.list()?[0].tenant, "ann");
/// keys.remove("ann's laptop")?;
/// assert!(keys.list()?.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Keys {
    file: PathBuf,
    known: Mutex<Option<Known>>,
}

/// What the file said when it was read last.
#[derive(Clone)]
struct Known {
    looked: Instant,
    stamp: Option<(SystemTime, u64)>,
    keys: Arc<[Key]>,
}

/// A key as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Key {
    /// The name that an operator gave it. It is in the log.
    pub name: String,
    /// Whose conversations it opens.
    pub tenant: String,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
    /// The SHA-256 of the secret, as hexadecimal digits.
    sha256: String,
}

/// The file.
#[derive(Default, Serialize, Deserialize)]
struct Listed {
    keys: Vec<Key>,
}

impl Keys {
    /// The keys of a file. It need not exist.
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), known: Mutex::new(None) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Whether there ever were keys here: the file is there, or, if it is gone, the lock that was made
    /// beside it with the first key. A server for which that is so must not serve without keys.
    pub fn were_made(&self) -> bool {
        self.file.exists() || self.lock_file().exists()
    }

    /// The file that programs lock which change the keys.
    pub fn lock_file(&self) -> PathBuf {
        self.beside(".lock")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    }

    /// All keys, in the order in which they were added.
    ///
    /// # Errors
    /// If the file cannot be read or holds something else. A file that does not exist has no keys.
    pub fn list(&self) -> io::Result<Vec<Key>> {
        Ok(self.read()?.keys)
    }

    /// Makes a key, and returns its secret, which is kept nowhere.
    ///
    /// # Errors
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput) for a name or tenant that is not allowed: a
    ///   name is 1 to 64 characters without control characters, a tenant 1 to 64 of the characters
    ///   `a-z`, `0-9`, `-` and `_`.
    /// - [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is a key with this name.
    /// - If the file cannot be written.
    pub fn add(&self, name: &str, tenant: &str) -> io::Result<String> {
        check(name, tenant)?;
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let secret = format!("{PREFIX}{}", hex(&random));
        self.change(|keys| {
            if keys.iter().any(|key| key.name == name) {
                let message = format!("there is a key `{name}`; remove it first, or choose another name");
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
            let created_at = Timestamp::now().as_millis() / 1_000;
            let sha256 = hex(&hash(&secret));
            keys.push(Key { name: name.to_owned(), tenant: tenant.to_owned(), created_at, sha256 });
            Ok(())
        })?;
        Ok(secret)
    }

    /// Removes a key. A running server refuses it a second later.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no key with this name, or if the file
    /// cannot be written.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("there is no key `{name}`"));
        if !self.were_made() {
            return Err(unknown());
        }
        self.change(|keys| {
            let before = keys.len();
            keys.retain(|key| key.name != name);
            if keys.len() == before { Err(unknown()) } else { Ok(()) }
        })
    }

    /// The key that has this secret.
    pub(crate) fn find(&self, secret: &str) -> Option<Key> {
        let wanted = hex(&hash(secret));
        let mut found = None;
        for key in self.known().iter() {
            // All of them are compared, and each whole, so that the time says nothing.
            if is_equal(key.sha256.as_bytes(), wanted.as_bytes()) {
                found = Some(key.clone());
            }
        }
        found
    }

    /// Whether a key that was found before is still there.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.known().contains(key)
    }

    /// The keys of the file, which is read again if it has changed.
    fn known(&self) -> Arc<[Key]> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.looked.elapsed() < FRESH) {
            return Arc::clone(&known.keys);
        }
        let stamp = fs::metadata(&self.file).ok().and_then(|found| Some((found.modified().ok()?, found.len())));
        let old = known.take();
        let keys = match &old {
            Some(old) if old.stamp == stamp && stamp.is_some() => Arc::clone(&old.keys),
            _ => self.read_or_none(),
        };
        *known = Some(Known { looked: Instant::now(), stamp, keys: Arc::clone(&keys) });
        keys
    }

    /// A file that cannot be read lets nobody in.
    fn read_or_none(&self) -> Arc<[Key]> {
        match self.read() {
            Ok(listed) => listed.keys.into(),
            Err(error) => {
                tracing::error!(target: "turnwise_server", %error, "the keys cannot be read, so no key is accepted");
                Arc::new([])
            }
        }
    }

    fn read(&self) -> io::Result<Listed> {
        match fs::read(&self.file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let message = format!("{} is no file of keys: {error}", self.file.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Listed::default()),
            Err(error) => Err(io::Error::new(error.kind(), format!("reading {}: {error}", self.file.display()))),
        }
    }

    /// Changes the file in one step. Programs that change it at the same time wait for each other.
    fn change(&self, act: impl FnOnce(&mut Vec<Key>) -> io::Result<()>) -> io::Result<()> {
        if let Some(folder) = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let lock = private(OpenOptions::new().create(true).append(true)).open(self.lock_file())?;
        lock.lock()?;
        let mut listed = self.read()?;
        act(&mut listed.keys)?;
        let new = self.beside(".new");
        let mut file: File = private(OpenOptions::new().create(true).write(true).truncate(true)).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(&listed)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.file)?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("file", &self.file).finish_non_exhaustive()
    }
}

/// A file that only its owner can read.
#[cfg(unix)]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

fn check(name: &str, tenant: &str) -> io::Result<()> {
    let invalid = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    if !(1..=64).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return invalid(format!("the name `{}` is not one of 1 to 64 printable characters", name.escape_debug()));
    }
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if !(1..=64).contains(&tenant.len()) || !tenant.bytes().all(is_allowed) {
        let found = tenant.escape_debug();
        return invalid(format!("the tenant `{found}` is not one of 1 to 64 of the characters a-z, 0-9, `-` and `_`"));
    }
    Ok(())
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}

/// Compares without stopping at the first difference.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_secret_and_the_file_does_not_hold_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let keys = Keys::at(folder.path().join("new/keys.json"));
        let ann = keys.add("ann", "blue").unwrap();
        let bob = keys.add("bob", DEFAULT_TENANT).unwrap();
        assert_eq!(keys.find(&ann).map(|key| key.tenant), Some("blue".to_owned()));
        assert_eq!(keys.find(&bob).map(|key| key.name), Some("bob".to_owned()));
        assert_eq!(keys.find(&ann[..ann.len() - 1]), None);
        assert_eq!(keys.find(""), None);
        let text = fs::read_to_string(keys.path()).unwrap();
        assert!(!text.contains(&ann) && !text.contains(&ann[PREFIX.len()..]), "{text}");
    }

    #[test]
    fn a_key_that_is_removed_or_added_by_another_program_is_noticed() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("keys.json");
        let (server, other) = (Keys::at(&file), Keys::at(&file));
        let ann = other.add("ann", "blue").unwrap();
        assert!(server.find(&ann).is_some());
        other.remove("ann").unwrap();
        std::thread::sleep(FRESH);
        assert!(server.find(&ann).is_none());
        assert_eq!(other.remove("ann").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_damaged_file_lets_nobody_in_and_is_not_overwritten() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("keys.json");
        let ann = Keys::at(&file).add("ann", "blue").unwrap();
        fs::write(&file, "{").unwrap();
        let keys = Keys::at(&file);
        assert!(keys.find(&ann).is_none());
        assert_eq!(keys.add("bob", "blue").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::read_to_string(&file).unwrap(), "{");
    }

    #[test]
    fn names_and_tenants_that_could_be_paths_or_fake_a_log_are_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let keys = Keys::at(folder.path().join("keys.json"));
        for (name, tenant) in [("", "a"), ("a\nb", "a"), ("a", ""), ("a", "../b"), ("a", "A"), ("a", "a/b")] {
            assert_eq!(keys.add(name, tenant).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name:?} {tenant:?}");
        }
        keys.add("ann", "a").unwrap();
        assert_eq!(keys.add("ann", "b").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
