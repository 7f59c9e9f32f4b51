//! `Fingerprint`: recognises an unchanged message by the hash and the length of its JSON.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// The fingerprint of a message, or of head and tools: hash (XXH3 of the JSON) and length in bytes.
/// A file's ledger uses it to recognise unchanged messages.
///
/// In a file: `hash:length`, the hash in hexadecimal, because JSON readers keep only 53 bits of a
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Fingerprint {
    hash: u64,
    bytes: u64,
}

impl From<Fingerprint> for String {
    fn from(print: Fingerprint) -> Self {
        format!("{:016x}:{}", print.hash, print.bytes)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once(':');
        let print = parts.and_then(|(hash, bytes)| {
            Some(Self { hash: u64::from_str_radix(hash, 16).ok()?, bytes: bytes.parse().ok()? })
        });
        print.ok_or_else(|| format!("`{}` is not `hash:length`", text.escape_debug()))
    }
}

impl Fingerprint {
    pub(crate) fn of(message: &impl Serialize) -> Self {
        let mut writer = Hashing { hash: Xxh3::new(), bytes: 0 };
        // Writing to a hash cannot fail, and a message can always be serialized.
        let _ = serde_json::to_writer(&mut writer, message);
        Self { hash: writer.hash.digest(), bytes: writer.bytes }
    }

    /// The lower half of the hash.
    #[allow(clippy::cast_possible_truncation, reason = "half is wanted")]
    pub(crate) fn short(self) -> u32 {
        self.hash as u32
    }
}

struct Hashing {
    hash: Xxh3,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
