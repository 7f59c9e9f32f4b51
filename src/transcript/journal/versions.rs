//! The versions of the journal's form, each with how its lines are read.
//!
//! A journal of an older version is read as it is. The first save to it keeps a copy of the file,
//! and writes it anew in the current version.

use std::io::{self, Read};

use super::{HEAD, HEADER, is_journal};
use crate::error::{Error, ErrorKind, Position, Result};
use crate::transcript::Change;

/// The version that is written, and the newest that is read.
pub(in crate::transcript) const FORMAT: u64 = 1;

/// Reads the change of one line.
pub(super) type ReadLine = fn(&[u8]) -> serde_json::Result<Change>;

/// Each version that is read, with its lines.
const VERSIONS: &[(u64, ReadLine)] = &[
    #[cfg(test)]
    (0, super::tests::read_version_0),
    (FORMAT, |line| serde_json::from_slice(line)),
];

/// The first line of a journal of the current version.
pub(super) fn header() -> String {
    format!("{HEADER}{FORMAT}}}\n")
}

/// How the lines of a journal are read, by its first line; and its version.
pub(super) fn reader_of(header: &[u8]) -> Result<(u64, ReadLine)> {
    let start = Position::new(1, 1, 0);
    let format = number_in(header).ok_or_else(|| {
        let detail = format!("the first line of a journal is {HEADER}N}} with the number of its format");
        Error::new(ErrorKind::Damaged, detail).at(start)
    })?;
    if let Some((_, read)) = VERSIONS.iter().find(|(known, _)| *known == format) {
        return Ok((format, *read));
    }
    if format < FORMAT {
        let detail = format!("the journal has format {format}, which never was");
        return Err(Error::new(ErrorKind::Damaged, detail).at(start));
    }
    let detail = format!("the journal has format {format}, and this version reads up to {FORMAT}; update turnwise");
    Err(Error::new(ErrorKind::NewerFormat, detail))
}

fn number_in(header: &[u8]) -> Option<u64> {
    let number = super::trimmed(header).strip_prefix(HEADER.as_bytes())?.strip_suffix(b"}")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// The version of the journal in a file; `None` if it holds none.
pub(in crate::transcript) fn format_of(file: &mut impl Read) -> io::Result<Option<u64>> {
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    let end = head.iter().position(|&byte| byte == b'\n').filter(|_| is_journal(&head));
    Ok(end.and_then(|end| number_in(&head[..end])))
}
