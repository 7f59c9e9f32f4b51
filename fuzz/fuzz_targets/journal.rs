//! The journal: load; and load, append and load again. Each input is read as it is, and with valid
//! hashes.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

#[allow(dead_code, reason = "each target calls one of its functions")]
#[path = "../checks.rs"]
mod checks;

/// In memory where the system has such a folder, because each input is flushed to the disk.
fn folder() -> &'static TempDir {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        folder.expect("there is a temporary folder")
    })
}

fuzz_target!(|bytes: &[u8]| {
    for sealed in [false, true] {
        checks::journal(bytes, sealed, &folder().path().join("chat.jsonl"));
    }
});
