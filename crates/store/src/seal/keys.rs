//! `Keys`: what conversations are sealed with.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use turnwise::{Error, ErrorKind, Result};

use super::{Place, SEALED};

const NONCE: usize = 24;

/// Base64 as people's tools write it.
const STANDARD: GeneralPurpose = engine(&alphabet::STANDARD);
const URL_SAFE: GeneralPurpose = engine(&alphabet::URL_SAFE);

const fn engine(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

/// The keys of a store: 32 bytes each, as 64 hexadecimal digits or as base64, divided by spaces, lines
/// or commas. The first one seals what is written, all of them open what is read.
///
/// To change the key, first give every program the new one as the second, then as the first, and call
/// `rekey`; then leave the old one out. Make one with `openssl rand -hex 32`. What is sealed with a key that
/// is lost cannot be read by anybody.
///
/// # Examples
/// ```
/// use turnwise_store::encryption::Keys;
///
/// # fn main() -> turnwise::Result<()> {
/// let keys: Keys = "8f0a44d25d2b0b3e33d32f5df1dbe9a4e7d2e6a6a1c6c1a2a5b6d2a3c4e5f601".parse()?;
/// assert_eq!(keys.newest().len(), 8); // an id, which tells nothing of the key
/// assert!("too short".parse::<Keys>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Keys(Arc<[Key]>);

struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl Keys {
    /// Reads the keys of a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read; [`ErrorKind::InvalidParam`] for what is no key, or if there is
    /// none.
    pub fn read(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let doing = format!("reading the keys in {}", file.display());
        let text = fs::read_to_string(file).map_err(|error| turnwise::store::failed(&doing, error))?;
        text.parse().map_err(|error: Error| Error::new(error.kind(), format!("{doing}: {}", error.detail())))
    }

    /// The id of the key that seals: 8 hexadecimal digits of its hash. It is in each row.
    pub fn newest(&self) -> &str {
        &self.0[0].id
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id == id)
    }

    pub(super) fn ids(&self) -> String {
        self.0.iter().map(|key| key.id.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn close(&self, place: Place<'_>, kind: &str, change: &str) -> Result<String> {
        let failed = || Error::new(ErrorKind::Io, "a change could not be sealed; nothing was written");
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| failed())?;
        let aad = bound_to(place, kind);
        let key = &self.0[0];
        let payload = Payload { msg: change.as_bytes(), aad: aad.as_bytes() };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| failed())?;
        let mut row = format!("{SEALED}{}.{kind}.", key.id);
        URL_SAFE_NO_PAD.encode_string([&nonce[..], &sealed].concat(), &mut row);
        Ok(row)
    }

    pub(super) fn open(&self, place: Place<'_>, id: &str, kind: &str, sealed: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
        let aad = bound_to(place, kind);
        let payload = || Payload { msg: sealed, aad: aad.as_bytes() };
        let mut keys = self.0.iter().filter(|key| key.id == id);
        let change = keys.find_map(|key| key.cipher.decrypt(&XNonce::from(*nonce), payload()).ok())?;
        String::from_utf8(change).ok()
    }
}

/// What is sealed with a change: its place and its kind, which is legible in the row. Only the tenant, which comes
/// last, may have any characters.
fn bound_to(place: Place<'_>, kind: &str) -> String {
    let Place { tenant, log, position } = place;
    format!("{SEALED}{kind}.{log}.{position}.{tenant}")
}

impl FromStr for Keys {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let words = text.split(|letter: char| letter.is_whitespace() || letter == ',').filter(|word| !word.is_empty());
        let keys = words.enumerate().map(|(number, word)| {
            Key::read(word).ok_or_else(|| {
                let found = format!("key {} is neither 64 hexadecimal digits nor 32 bytes as base64", number + 1);
                Error::new(ErrorKind::InvalidParam, found)
            })
        });
        let keys: Vec<Key> = keys.collect::<Result<_>>()?;
        if keys.is_empty() {
            return Err(Error::new(ErrorKind::InvalidParam, "there is no key; `openssl rand -hex 32` makes one"));
        }
        Ok(Self(keys.into()))
    }
}

impl Key {
    fn read(word: &str) -> Option<Self> {
        let bytes = hex(word).or_else(|| STANDARD.decode(word).ok()).or_else(|| URL_SAFE.decode(word).ok())?;
        let key: [u8; 32] = bytes.try_into().ok()?;
        let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(key).into();
        let id = format!("{:08x}", u32::from_be_bytes([a, b, c, d]));
        Some(Self { id, cipher: XChaCha20Poly1305::new(&key.into()) })
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..32).map(|place| u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()).collect()
}

/// The ids of the keys only.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Seal, kind};
    use super::*;

    const PLACE: Place<'_> = Place { tenant: "ann", log: 7, position: 3 };
    const CHANGE: &str = r#"{"item":{"message":"secret"}}"#;

    fn keys(text: &str) -> Keys {
        text.parse().unwrap()
    }

    #[test]
    fn a_row_opens_in_its_place_only_and_shows_its_key_and_kind() {
        let seal = Seal::with(keys(&"ab".repeat(32)));
        let row = seal.close(PLACE, CHANGE).unwrap();
        assert!(row.starts_with(&format!("twr1.{}.item.", keys(&"ab".repeat(32)).newest())));
        assert_eq!(kind(&row), "item");
        assert_eq!(seal.open(PLACE, &row).unwrap(), CHANGE);
        assert_ne!(seal.close(PLACE, CHANGE).unwrap(), row);
        let others = [Place { tenant: "bob", ..PLACE }, Place { log: 8, ..PLACE }, Place { position: 4, ..PLACE }];
        for place in others {
            assert_eq!(seal.open(place, &row).unwrap_err().kind(), ErrorKind::Damaged);
        }
        let cut = &row[..row.len() - 2];
        for changed in [row.replace(".item.", ".head."), cut.to_owned(), "twr1.".to_owned()] {
            let error = seal.open(PLACE, &changed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{changed}");
            assert!(error.detail().starts_with("row 3 "), "{error}");
        }
        assert_eq!(kind("\"heads_forgotten\""), "heads_forgotten");
        assert_eq!(kind(CHANGE), "item");
    }

    #[test]
    fn a_key_that_is_missing_is_named_and_what_is_not_sealed_is_refused() {
        let (old, new) = ("ab".repeat(32), "cd".repeat(32));
        let row = Seal::with(keys(&old)).close(PLACE, CHANGE).unwrap().into_owned();
        for seal in [Seal::with(keys(&new)), Seal::default()] {
            let error = seal.open(PLACE, &row).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Auth);
            assert!(error.detail().contains(keys(&old).newest()), "{error}");
        }
        let both = Seal::with(keys(&format!("{new}\n{old}\n")));
        assert_eq!(both.open(PLACE, &row).unwrap(), CHANGE);
        let renewed = both.renewed(PLACE, &row).unwrap().unwrap();
        assert_eq!(Seal::with(keys(&new)).open(PLACE, &renewed).unwrap(), CHANGE);
        assert_eq!(both.renewed(PLACE, &renewed).unwrap(), None);
        assert!(both.open(PLACE, CHANGE).unwrap_err().detail().contains("rekey"));
        assert!(both.renewed(PLACE, CHANGE).unwrap().is_some());
    }

    #[test]
    fn keys_are_hexadecimal_or_base64_and_their_errors_and_debug_show_none() {
        let hex = "fb".repeat(32);
        let (standard, url) = (STANDARD.encode([0xfb; 32]), URL_SAFE_NO_PAD.encode([0xfb; 32]));
        assert_ne!(standard, url);
        for text in [&hex, &standard, &url, &hex.to_uppercase(), &format!(" {standard},\n{}", "00".repeat(32))] {
            assert_eq!(keys(text).newest(), keys(&hex).newest(), "{text}");
        }
        assert!(!format!("{:?}", keys(&hex)).contains("fbfb"));
        for wrong in ["", " \n", "abc", &"xy".repeat(32), &"ab".repeat(31), &format!("{hex} secret")] {
            let error = wrong.parse::<Keys>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidParam, "{wrong}");
            assert!(!error.detail().contains("secret"));
        }
    }
}
