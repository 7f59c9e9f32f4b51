//! What must hold for any bytes that are read. The fuzz targets call these functions, and an
//! ordinary test of `turnwise-formats` calls them with the inputs that were once found.
//!
//! An error is a fine answer to most inputs. Panics, hangs, and a conversation that changes when it
//! is saved and read again are not.

use std::io::Cursor;
use std::path::Path;

use turnwise::transcript::{Transcripts, decode};
use turnwise::{Message, Transcript};
use turnwise_formats::{Exporter, FORMATS, Format, Imports};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Reads bytes as a transcript, a request body, messages, or lines of these.
pub(crate) fn transcript(bytes: &[u8]) {
    if let Ok(text) = decode(bytes)
        && let Ok(file) = Transcript::from_json(&text)
    {
        assert_same_after_reading(&file);
    }
    for file in Transcripts::new(Cursor::new(bytes)).flatten() {
        assert_same_after_reading(&file);
    }
}

/// Reads bytes as the journal `file`, adds a message to it, and reads it again. With `sealed`, the
/// saves in the bytes get the hashes that make them valid.
pub(crate) fn journal(bytes: &[u8], sealed: bool, file: &Path) {
    let bytes = if sealed { seal(bytes) } else { bytes.to_vec() };
    std::fs::write(file, bytes).expect("the folder can be written");
    let Ok(mut read) = Transcript::load(file) else { return };
    assert_same_after_reading(&read);
    read.conversation.push(Message::user("one more"));
    if read.save(file).is_err() {
        return;
    }
    let again = Transcript::load(file).expect("what was saved can be read");
    assert_eq!(again.to_json(), read.to_json(), "an appended message changes nothing else");
}

/// Puts the hash of a save in the place of each empty line. A mutated journal is refused for its
/// hashes otherwise, and nothing behind that check is reached.
fn seal(bytes: &[u8]) -> Vec<u8> {
    let header = b"{\"turnwise_journal\":1}\n";
    let mut sealed = header.to_vec();
    let mut chain = xxh3_128(header);
    let mut save = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"{\"turnwise_journal\"")) {
        if !line.is_empty() && !line.starts_with(b"{\"end\"") {
            save.extend_from_slice(line);
            save.push(b'\n');
            continue;
        }
        let mut hash = Xxh3::new();
        hash.update(&chain.to_le_bytes());
        hash.update(&save);
        chain = hash.digest128();
        sealed.append(&mut save);
        sealed.extend_from_slice(format!("{{\"end\":\"{chain:032x}\"}}\n").as_bytes());
    }
    sealed.append(&mut save);
    sealed
}

/// Imports bytes in a format, or in the one that is recognised, and writes what was read in every
/// format.
pub(crate) fn import(bytes: &[u8], from: Option<&'static dyn Format>) {
    // Each conversation takes at least a byte, so this ends a reader that does not move on.
    let most = bytes.len() + 1;
    let Ok(imports) = Imports::new(Cursor::new(bytes), from) else { return };
    let mut count = 0;
    for import in imports {
        count += 1;
        assert!(count <= most, "more conversations than bytes");
        let Ok(import) = import else { continue };
        assert_same_after_reading(&import.transcript);
        for writer in FORMATS.iter().filter_map(|format| format.writer()) {
            let mut exporter = Exporter::new(std::io::sink(), writer);
            exporter.add(import.transcript.clone()).expect("nothing fails to be written");
            exporter.finish().expect("nothing fails to be written");
        }
    }
}

/// Saves a transcript in the native form and reads it again.
fn assert_same_after_reading(file: &Transcript) {
    let saved = file.to_json();
    let again = Transcript::from_json(&saved).expect("what was saved can be read");
    assert_eq!(again.to_json(), saved, "reading what was saved changes nothing");
}
