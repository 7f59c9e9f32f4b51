//! The end of a journal: which save is the last whole one, found without reading the rest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as IoKind, Read, Seek, SeekFrom, Write};

use super::{Chain, END_LEN, HEAD, is_journal, trimmed};
use crate::transcript::lock::wait_for;
use crate::transcript::place::Place;
use crate::transcript::replace::for_owner;

/// The suffix of the file that takes what a killed writer left of a save.
pub(in crate::transcript) const TORN: &str = ".torn";

/// How much of a journal's end is read at first.
const WINDOW: u64 = 8 * 1024;

/// The last whole save of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transcript) struct Tail {
    /// Where it ends.
    pub(in crate::transcript) end: u64,
    pub(in crate::transcript) chain: Chain,
    /// The bytes after it, of a save that was not finished.
    pub(in crate::transcript) torn: u64,
}

impl Tail {
    /// Reads the end of a file; `None` if it is not a journal, or a damaged one. Only the last save
    /// is compared with its hash.
    pub(in crate::transcript) fn read<F: Read + Seek>(file: &mut F) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        file.rewind()?;
        file.by_ref().take(HEAD).read_to_end(&mut head)?;
        let Some(first) = head.iter().position(|&byte| byte == b'\n').filter(|_| is_journal(&head)) else {
            return Ok(None);
        };
        let len = file.seek(SeekFrom::End(0))?;
        let mut window = WINDOW;
        loop {
            let from = len.saturating_sub(window).max(first as u64 + 1);
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            file.by_ref().take(len - from).read_to_end(&mut bytes)?;
            let start = (from == first as u64 + 1).then(|| Chain::start(&head[..=first]));
            match last_save(&bytes, start) {
                Last::Whole { end, chain } => {
                    return Ok(Some(Self { end: from + end as u64, chain, torn: (bytes.len() - end) as u64 }));
                }
                Last::Damaged => return Ok(None),
                Last::Longer => {}
            }
            window *= 8;
        }
    }
}

/// The last save in some bytes.
enum Last {
    /// It is whole up to `end`.
    Whole { end: usize, chain: Chain },
    /// There is none, or it is not what its end states.
    Damaged,
    /// It begins before these bytes.
    Longer,
}

/// The last whole save in the bytes at the end of a journal. `start` is the hash before the first
/// of them if they are all of its saves.
fn last_save(bytes: &[u8], start: Option<Chain>) -> Last {
    let too_short = if start.is_some() { Last::Damaged } else { Last::Longer };
    let Some(last) = last_end(bytes) else { return too_short };
    let (from, before) = match (last_end(&bytes[..last.line]), start) {
        (Some(before), _) => (before.next, before.chain),
        (None, Some(start)) => (0, start),
        (None, None) => return too_short,
    };
    let save = &bytes[from..last.line];
    if before.then(save) == last.chain {
        return Last::Whole { end: last.next, chain: last.chain };
    }
    // What a crash leaves of a save that was not acknowledged. There was one before it.
    if save.contains(&0) && from > 0 { Last::Whole { end: from, chain: before } } else { Last::Damaged }
}

/// A line that ends a save.
struct End {
    /// Where the line begins, and where the next one does.
    line: usize,
    next: usize,
    chain: Chain,
}

/// The last line that ends a save, in bytes that may begin in the middle of a line.
fn last_end(bytes: &[u8]) -> Option<End> {
    let mut end = bytes.len();
    while end > 0 {
        let line = bytes[..end - 1].iter().rposition(|&byte| byte == b'\n').map_or(0, |before| before + 1);
        // Of a line that begins before these bytes this is no whole line.
        let is_short = (END_LEN..=END_LEN + 1).contains(&(end - line));
        if is_short && let Some(chain) = Chain::of_line(trimmed(&bytes[line..end])) {
            return Some(End { line, next: end, chain });
        }
        end = line;
    }
    None
}

/// Moves what a killed writer left after the last whole save to a file beside the journal. The
/// caller holds the lock, so nobody is writing it.
pub(in crate::transcript) fn set_torn_aside(place: &Place) -> io::Result<()> {
    let path = place.path();
    // Whatever is wrong with the file is found when it is compared with what is known.
    let Ok(mut file) = File::open(&path) else { return Ok(()) };
    let Some(tail) = Tail::read(&mut file)?.filter(|tail| tail.torn > 0) else { return Ok(()) };
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    wait_for(&file)?;
    let mut torn = Vec::new();
    file.seek(SeekFrom::Start(tail.end))?;
    file.read_to_end(&mut torn)?;
    torn.push(b'\n');
    let aside = place.with_suffix(TORN);
    let mut aside = match OpenOptions::new().append(true).open(&aside) {
        Err(e) if e.kind() == IoKind::NotFound => for_owner().open(&aside)?,
        opened => opened?,
    };
    aside.write_all(&torn)?;
    aside.sync_all()?;
    file.set_len(tail.end)?;
    file.sync_all()
}

/// Adds lines to a journal whose last whole save ends at `end`, all of them or none. Returns its
/// length then.
pub(in crate::transcript) fn append(place: &Place, end: u64, mut lines: Vec<u8>) -> io::Result<u64> {
    let mut file = OpenOptions::new().read(true).append(true).open(place.path())?;
    // The locks of a file's other names and mounts are other files.
    wait_for(&file)?;
    if file.metadata()?.len() != end {
        return Err(io::Error::other("another program is writing it without taking the lock"));
    }
    // An editor may have taken the last line end off.
    let mut last = [0];
    file.seek(SeekFrom::Start(end - 1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        lines.insert(0, b'\n');
    }
    let written = file.write_all(&lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // What cannot be removed now is set aside by the next save.
        let _ = file.set_len(end).and_then(|()| file.sync_all());
    }
    written.map(|()| end + lines.len() as u64)
}

/// Keeps a copy of a file, under a name that says its version.
pub(in crate::transcript) fn keep_copy(place: &Place, format: u64) -> io::Result<()> {
    let names = (1..).map(|nth| match nth {
        1 => place.with_suffix(&format!(".format-{format}")),
        nth => place.with_suffix(&format!(".format-{format}.{nth}")),
    });
    let Some(copy) = names.into_iter().find(|name| !name.exists()) else { return Ok(()) };
    fs::copy(place.path(), &copy)?;
    File::open(&copy)?.sync_all()
}
