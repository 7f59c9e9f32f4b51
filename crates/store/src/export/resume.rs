//! An export that was cut off goes on.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom};

use turnwise::{Error, ErrorKind, Result};

use super::{Exporter, FORMAT, LeftOut, Mark, Named, check_format, foreign, not_read, not_written};

impl Exporter<BufWriter<File>> {
    /// Goes on with a file that was cut off: what follows the last whole conversation is removed from
    /// it, and that conversation and those before it are not written again, nor is what was
    /// [left out](Exporter::left_out). An empty file is begun.
    /// The file must be open for reading and writing.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidParam`] if it is an export [of one tenant](Exporter::of_tenant).
    /// - [`ErrorKind::ForeignFormat`] if the file is no export; [`ErrorKind::NewerFormat`] if a newer
    ///   version has written it; [`ErrorKind::Damaged`] if something follows the end of the export.
    /// - [`ErrorKind::Io`] if it cannot be read or cut.
    ///
    /// Where one is refused, nothing was changed.
    pub fn resume(file: File) -> Result<Self> {
        Self::go_on(file, None)
    }

    /// As [`resume`](Exporter::resume), for an export [of one tenant](Exporter::of_tenant).
    ///
    /// # Errors
    /// As for [`resume`](Exporter::resume); [`ErrorKind::InvalidParam`] if it is an export of another
    /// tenant, or of all of them.
    pub fn resume_tenant(file: File, tenant: &str) -> Result<Self> {
        Self::go_on(file, Some(tenant))
    }

    fn go_on(mut file: File, only: Option<&str>) -> Result<Self> {
        file.rewind().map_err(not_read)?;
        let found = Found::of(&mut BufReader::with_capacity(1 << 20, &mut file))?;
        found.check_tenant(only)?;
        let bytes = if found.is_begun() { found.bytes } else { 0 };
        file.set_len(bytes).map_err(not_written)?;
        file.seek(SeekFrom::End(0)).map_err(not_written)?;
        let out = BufWriter::with_capacity(1 << 20, file);
        if bytes == 0 {
            return Self::begin(out, only);
        }
        let Found { only, last, conversations, left_out, is_complete, .. } = found;
        Ok(Self { out, only, added: None, last, conversations, skips: false, left_out, is_complete })
    }
}

/// What a file has.
#[derive(Default)]
struct Found {
    /// Where its last whole conversation ends.
    bytes: u64,
    only: Option<String>,
    last: Option<Named>,
    conversations: usize,
    left_out: Vec<LeftOut>,
    is_complete: bool,
}

impl Found {
    fn of(from: &mut impl BufRead) -> Result<Self> {
        let (mut found, mut read, mut begun) = (Self::default(), 0, None);
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = from.read_until(b'\n', &mut line).map_err(not_read)?;
            read += count as u64;
            // A line without an end was cut off.
            let Some(whole) = line.strip_suffix(b"\n") else {
                // So may the first one have been, but nobody else's file is emptied.
                let is_begun = found.bytes > 0 || first_line()?.as_bytes().starts_with(&line);
                return if is_begun { Ok(found) } else { Err(foreign()) };
            };
            let Ok(text) = std::str::from_utf8(whole) else { return Err(foreign()) };
            if found.bytes == 0 {
                check_format(text)?;
                found.bytes = read;
                continue;
            }
            match Mark::of(text).transpose().ok().flatten() {
                Some(Mark::Only { tenant }) if found.conversations == 0 => {
                    found.only = Some(tenant);
                    found.bytes = read;
                }
                Some(Mark::Conversation(named)) => begun = Some(named),
                Some(Mark::End { .. }) if begun.is_some() => {
                    found.last = begun.take();
                    found.bytes = read;
                    found.conversations += 1;
                }
                Some(Mark::LeftOut(named)) if begun.is_none() => {
                    found.left_out.push(LeftOut::earlier(named.clone()));
                    found.last = Some(named);
                    found.bytes = read;
                }
                Some(Mark::Complete { .. }) => {
                    found.bytes = read;
                    found.is_complete = true;
                    let is_last = from.fill_buf().map_err(not_read)?.is_empty();
                    return if is_last { Ok(found) } else { Err(more()) };
                }
                _ => {}
            }
        }
    }

    /// Whether there is more in it than its first line, which says nothing of its tenants.
    fn is_begun(&self) -> bool {
        self.only.is_some() || self.last.is_some() || self.is_complete
    }

    /// Refuses to go on with other tenants than those with which the file was begun.
    fn check_tenant(&self, only: Option<&str>) -> Result<()> {
        if self.only.as_deref() == only || !self.is_begun() {
            return Ok(());
        }
        let (of, how) = match &self.only {
            Some(tenant) => {
                let tenant = tenant.escape_debug();
                (format!("the tenant `{tenant}` only"), format!("with that tenant (`--tenant {tenant}`)"))
            }
            None => ("all tenants".to_owned(), "without naming a tenant".to_owned()),
        };
        let detail = format!("this is an export of {of}: resume it {how}, or give another file");
        Err(Error::new(ErrorKind::InvalidParam, detail))
    }
}

fn more() -> Error {
    let detail = "something follows the line `complete`, with which the export ends; nothing was changed. Remove it from the \
                  file, or give another file";
    Error::new(ErrorKind::Damaged, detail)
}

/// The first line of each export.
fn first_line() -> Result<String> {
    serde_json::to_string(&Mark::TurnwiseStore(FORMAT)).map_err(not_written)
}
