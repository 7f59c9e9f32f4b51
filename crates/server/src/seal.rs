//! Seals: texts that a client keeps and only this server can read.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use crate::keys::{hex, private};

/// What sealed content begins with: its version.
const SEALED: &str = "tws1";
/// What content begins with that was written without a key.
const OPEN: &str = "twc1";
const NONCE: usize = 24;

/// The keys that seal what clients keep for the server: compaction and reasoning items. The first
/// one seals, all of them open. `XChaCha20-Poly1305`, with a random nonce.
///
/// # Examples
/// ```
/// use turnwise::store::MemoryStore;
/// use turnwise_server::{SealKeys, Server};
///
/// # let folder = tempfile::tempdir()?;
/// let keys = SealKeys::open(folder.path().join("seal.key"))?;
/// let server = Server::new(MemoryStore::new()).seal(keys);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SealKeys(Arc<[SealKey]>);

#[derive(Clone)]
struct SealKey {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl SealKeys {
    /// Reads the keys of a file: lines of 64 hexadecimal digits, of which the first one seals. Where
    /// there is no such file, it is made with a new key, for its owner alone.
    ///
    /// To change the key, put a new line in front; when nobody can have items any more that were
    /// sealed with an old one, remove that.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a file with another line or without a key.
    pub fn open(file: impl AsRef<Path>) -> io::Result<Self> {
        let file = file.as_ref();
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(file)?,
            read => read?,
        };
        let keys = text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate().map(|(number, line)| {
            SealKey::read(line).ok_or_else(|| {
                let message = format!("key {} of {} is not 64 hexadecimal digits", number + 1, file.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            })
        });
        let keys: Vec<SealKey> = keys.collect::<io::Result<_>>()?;
        if keys.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} has no key", file.display())));
        }
        Ok(Self(keys.into()))
    }
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

fn create(file: &Path) -> io::Result<String> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let text = hex(&key) + "\n";
    let mut written = private(OpenOptions::new().create_new(true).write(true)).open(file)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    Ok(text)
}

impl SealKey {
    fn read(digits: &str) -> Option<Self> {
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut key = [0; 32];
        for (place, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
        }
        Some(Self { id: hex(&Sha256::digest(key)[..4]), cipher: XChaCha20Poly1305::new(&key.into()) })
    }
}

/// What a sealed text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealedKind {
    Compaction,
    Reasoning,
}

/// Seals and opens for one tenant.
#[derive(Clone)]
pub(crate) struct Sealer {
    keys: Option<SealKeys>,
    tenant: String,
}

impl Sealer {
    pub(crate) fn new(keys: Option<SealKeys>, tenant: &str) -> Self {
        Self { keys, tenant: tenant.to_owned() }
    }

    /// A text as the content of a compaction item. Without a key anybody can read it; a checksum
    /// tells what this server has written from what others have.
    pub(crate) fn compaction(&self, text: &str) -> String {
        let open = || format!("{OPEN}.{:016x}.{}", xxh3_64(text.as_bytes()), URL_SAFE_NO_PAD.encode(text));
        self.seal(SealedKind::Compaction, text).unwrap_or_else(open)
    }

    /// Seals a text; `None` without a key.
    pub(crate) fn seal(&self, kind: SealedKind, text: &str) -> Option<String> {
        let key = self.keys.as_ref()?.0.first()?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let aad = self.bound_to(kind);
        let sealed =
            key.cipher.encrypt(&XNonce::from(nonce), Payload { msg: text.as_bytes(), aad: aad.as_bytes() }).ok()?;
        let coded = URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat());
        Some(format!("{SEALED}.{}.{coded}", key.id))
    }

    /// The text of content; `None` if this server has not written it for this tenant and kind.
    pub(crate) fn open(&self, kind: SealedKind, content: &str) -> Option<String> {
        let (version, rest) = content.split_once('.')?;
        let (head, coded) = rest.split_once('.')?;
        let bytes = URL_SAFE_NO_PAD.decode(coded).ok()?;
        match version {
            OPEN if kind == SealedKind::Compaction => {
                (u64::from_str_radix(head, 16).ok()? == xxh3_64(&bytes)).then_some(())?;
                String::from_utf8(bytes).ok()
            }
            SEALED => {
                let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
                let aad = self.bound_to(kind);
                let mut keys = self.keys.iter().flat_map(|keys| keys.0.iter()).filter(|key| key.id == head);
                let payload = || Payload { msg: sealed, aad: aad.as_bytes() };
                let text = keys.find_map(|key| key.cipher.decrypt(&XNonce::from(*nonce), payload()).ok())?;
                String::from_utf8(text).ok()
            }
            _ => None,
        }
    }

    /// Whether content was written without a key, although there are keys: its checksum can be made by
    /// anybody. What was recorded before there were keys can still be opened.
    pub(crate) fn is_unsealed(&self, content: &str) -> bool {
        self.keys.is_some() && content.split_once('.').is_some_and(|(version, _)| version == OPEN)
    }

    fn bound_to(&self, kind: SealedKind) -> String {
        format!("{kind:?}:{}", self.tenant)
    }
}

/// Whether content says that this program has sealed it.
pub(crate) fn is_ours(content: &str) -> bool {
    content.split_once('.').is_some_and(|(version, _)| version == SEALED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (tempfile::TempDir, SealKeys) {
        let folder = tempfile::TempDir::new().unwrap();
        let keys = SealKeys::open(folder.path().join("seal")).unwrap();
        (folder, keys)
    }

    #[test]
    fn an_item_opens_to_its_text_and_a_changed_or_foreign_one_does_not() {
        let text = "Ann likes the Elbe. 🦊";
        for sealer in [Sealer::new(None, "a"), Sealer::new(Some(keys().1), "a")] {
            let content = sealer.compaction(text);
            assert_eq!(sealer.open(SealedKind::Compaction, &content).as_deref(), Some(text));
            let cut = &content[..content.len() - 3];
            for other in ["", "gAAAAAB", "twc1", "twc1.0.", "tws1.00000000.AAAA", cut, &content.replace('1', "2")] {
                assert_eq!(sealer.open(SealedKind::Compaction, other), None, "{other}");
            }
        }
    }

    #[test]
    fn what_is_sealed_shows_nothing_and_opens_for_its_tenant_and_kind_only() {
        let (_folder, keys) = keys();
        let sealer = Sealer::new(Some(keys.clone()), "a");
        let content = sealer.seal(SealedKind::Reasoning, "secret").unwrap();
        assert!(!content.contains("secret") && !content.contains(&URL_SAFE_NO_PAD.encode("secret")));
        assert_ne!(sealer.seal(SealedKind::Reasoning, "secret").unwrap(), content);
        assert_eq!(sealer.open(SealedKind::Compaction, &content), None);
        assert_eq!(Sealer::new(Some(keys), "b").open(SealedKind::Reasoning, &content), None);
        assert_eq!(Sealer::new(None, "a").open(SealedKind::Reasoning, &content), None);
        assert_eq!(sealer.open(SealedKind::Reasoning, &content).as_deref(), Some("secret"));
    }

    #[test]
    fn an_older_key_of_the_file_still_opens() {
        let (folder, old) = keys();
        let old = Sealer::new(Some(old), "a").compaction("text");
        let file = folder.path().join("seal");
        let text = format!("{}\n{}", "ab".repeat(32), fs::read_to_string(&file).unwrap());
        fs::write(&file, text).unwrap();
        let sealer = Sealer::new(Some(SealKeys::open(&file).unwrap()), "a");
        assert_eq!(sealer.open(SealedKind::Compaction, &old).as_deref(), Some("text"));
        assert_ne!(sealer.compaction("text")[..14], old[..14]);
        for wrong in ["", "abc", &"xy".repeat(32)] {
            fs::write(&file, wrong).unwrap();
            assert_eq!(SealKeys::open(&file).unwrap_err().kind(), io::ErrorKind::InvalidData, "{wrong}");
        }
    }
}
