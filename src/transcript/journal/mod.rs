//! The journal: a transcript file to which each save adds what is new.
//!
//! # The form
//! The first line names the form and its version: `{"turnwise_journal":1}`. After it come saves.
//! A save is one line for each [`Change`](super::Change), and a line that ends it:
//!
//! ```text
//! {"item":{"id":4,"parent":3,"created_at":1764230400000,"message":{"role":"user","content":"Hi"}}}
//! {"end":"5d41402abc4b2a76b9719d911017c592"}
//! ```
//!
//! The end holds a hash ([`Chain`]) of the lines of its save and of the hash before it. So it says
//! whether its save is whole, and, with the length of the file, which conversation was saved: two
//! journals with the same last hash hold the same saves. A writer compares these two, and never
//! reads the rest. Lines after the last end are a save that was not finished.

mod read;
mod tail;
mod versions;
mod write;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

pub(super) use read::{Journal, read};
pub(super) use tail::{TORN, Tail, append, keep_copy, set_torn_aside};
pub(super) use versions::{FORMAT, format_of};
pub(super) use write::{Waste, Writer, whole};

/// How every journal begins.
const HEADER: &str = "{\"turnwise_journal\":";
/// How much of a file tells whether it is a journal. No first line of one is longer.
pub(super) const HEAD: u64 = 64;

/// How a line that ends a save begins.
const END: &[u8] = b"{\"end\":\"";
const DIGITS: usize = 32;
/// The length of such a line.
const END_LEN: usize = END.len() + DIGITS + 2;

/// Whether a file that begins like this is a journal.
pub(super) fn is_journal(head: &[u8]) -> bool {
    head.starts_with(HEADER.as_bytes())
}

/// The hash of a save and of all saves before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain(u128);

impl Chain {
    /// The hash before the first save: of the journal's first line, with its line end.
    fn start(header: &[u8]) -> Self {
        Self(xxh3_128(header))
    }

    /// The hash of a save that follows: of its lines, without the one that ends it.
    fn then(self, lines: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&self.0.to_le_bytes());
        hash.update(lines);
        Self(hash.digest128())
    }

    /// The hash that a line states, which is given without its line end.
    fn of_line(line: &[u8]) -> Option<Self> {
        let digits = line.strip_prefix(END)?.strip_suffix(b"\"}")?;
        let is_hash = digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(digits).ok().filter(|_| is_hash)?;
        u128::from_str_radix(digits, 16).ok().map(Self)
    }

    fn to_line(self) -> String {
        format!("{{\"end\":\"{:032x}\"}}\n", self.0)
    }

    pub(super) fn hash(self) -> u128 {
        self.0
    }

    pub(super) fn of_hash(hash: u128) -> Self {
        Self(hash)
    }
}

/// A line without its line end.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

#[cfg(test)]
mod tests;
