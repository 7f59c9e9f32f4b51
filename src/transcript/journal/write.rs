//! Writes the lines of a journal, and counts how much of it is out of date.

use std::collections::BTreeMap;

use super::versions::header;
use super::{Chain, END_LEN};
use crate::error::{Error, ErrorKind, Result};
use crate::transcript::{Change, Transcript};

/// A journal that is written at once ends a save after this many bytes, so that the last save,
/// which every writer checks, is short.
const SHARE: usize = 64 * 1024;

/// The lines of saves, as they are added to a journal or make a new one.
pub(in crate::transcript) struct Writer {
    text: Vec<u8>,
    /// Where the lines begin that are not ended yet.
    begun: usize,
    chain: Chain,
    waste: Waste,
}

impl Writer {
    /// For a journal whose last save has this hash.
    pub(in crate::transcript) fn after(chain: Chain, waste: Waste) -> Self {
        Self { text: Vec::new(), begun: 0, chain, waste }
    }

    fn fresh() -> Self {
        let text = header().into_bytes();
        Self { begun: text.len(), chain: Chain::start(&text), text, waste: Waste::default() }
    }

    /// Adds changes as one save.
    pub(in crate::transcript) fn save<'a>(&mut self, changes: impl IntoIterator<Item = &'a Change>) -> Result<()> {
        for change in changes {
            self.add(change)?;
        }
        self.end();
        Ok(())
    }

    fn add(&mut self, change: &Change) -> Result<()> {
        let start = self.text.len();
        serde_json::to_writer(&mut self.text, change).map_err(|e| {
            let detail = format!("the change `{}` cannot be written as JSON: {e}", change.kind());
            Error::new(ErrorKind::InvalidMessage, detail)
        })?;
        self.text.push(b'\n');
        self.waste.add(change, self.text.len() - start);
        Ok(())
    }

    fn end(&mut self) {
        self.chain = self.chain.then(&self.text[self.begun..]);
        self.text.extend(self.chain.to_line().into_bytes());
        self.begun = self.text.len();
        self.waste.end();
    }

    /// The text, the hash of its last save, and what of the journal is out of date.
    pub(in crate::transcript) fn finish(self) -> (Vec<u8>, Chain, Waste) {
        (self.text, self.chain, self.waste)
    }
}

/// The text of a new journal that holds a transcript, with the hash of its last save.
pub(in crate::transcript) fn whole(transcript: &Transcript) -> Result<(Vec<u8>, Chain, Waste)> {
    let mut writer = Writer::fresh();
    for change in transcript.changes() {
        writer.add(&change)?;
        if writer.text.len() - writer.begun >= SHARE {
            writer.end();
        }
    }
    if writer.text.len() > writer.begun {
        writer.end();
    }
    Ok(writer.finish())
}

/// How many bytes of a journal are out of date: figures that a later line states anew, and what
/// divides the saves.
#[derive(Clone, Debug, Default)]
pub(in crate::transcript) struct Waste {
    bytes: usize,
    /// By kind: the bytes of the last line, which holds the current state.
    current: BTreeMap<&'static str, usize>,
}

impl Waste {
    /// A journal below this length is never written anew on its own.
    const WORTH_IT: u64 = 1024 * 1024;

    pub(super) fn add(&mut self, change: &Change, bytes: usize) {
        match change {
            Change::Begun { .. } => *self = Self::default(),
            // Short next to the items that they belong to, and one line when written anew.
            Change::Counted(_) | Change::Leaf { .. } | Change::Marked(_) => self.bytes += bytes,
            _ if change.is_state() => self.bytes += self.current.insert(change.kind(), bytes).unwrap_or_default(),
            _ => {}
        }
    }

    pub(super) fn end(&mut self) {
        self.bytes += END_LEN + 1;
    }

    /// Whether more than half of a journal of this length is out of date, and it is long enough
    /// that writing it anew is worth it.
    pub(in crate::transcript) fn is_much_of(&self, len: u64) -> bool {
        len > Self::WORTH_IT && self.bytes as u64 > len / 2
    }
}
