//! What the fuzz targets check, without a fuzzer: for the inputs that were found and mended, and
//! for every sample in every format. How to run the fuzzer is in CONTRIBUTING.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

#[path = "../../../fuzz/checks.rs"]
mod checks;

use common::samples;
use turnwise_formats::FORMATS;

fn for_each(folder: &str, check: impl Fn(&[u8])) {
    for file in samples(folder) {
        println!("{}", file.display());
        check(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn transcripts_that_were_found_are_read_or_refused() {
    for folder in ["found/transcript", "formats", "foreign"] {
        for_each(folder, checks::transcript);
    }
}

#[test]
fn journals_that_were_found_are_read_and_added_to_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.jsonl");
    for_each("found/journal", |bytes| {
        checks::journal(bytes, false, &file);
        checks::journal(bytes, true, &file);
    });
}

#[test]
fn every_importer_reads_or_refuses_every_sample() {
    for folder in ["found/import", "formats", "foreign"] {
        for_each(folder, |bytes| {
            checks::import(bytes, None);
            for format in FORMATS {
                checks::import(bytes, Some(*format));
            }
        });
    }
}
