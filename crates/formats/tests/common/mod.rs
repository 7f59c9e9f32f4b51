//! What the tests share: the samples, and JSON as it is compared.

#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use turnwise::Transcript;
use turnwise_formats::{Exporter, Import, Imports, Report, format};

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// All samples of a folder, in the order of their names.
pub(crate) fn samples(folder: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(fixtures().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files
}

/// The conversations of a text.
pub(crate) fn read(text: &str) -> Vec<Import> {
    Imports::new(text.as_bytes(), None).unwrap().map(|read| read.unwrap()).collect()
}

/// Saved in the native form and loaded again.
pub(crate) fn reloaded(transcript: &Transcript) -> Transcript {
    Transcript::from_json(&transcript.to_json()).unwrap()
}

/// Conversations written in a format.
pub(crate) fn written(all: impl IntoIterator<Item = Transcript>, to: &str) -> (String, Report) {
    let mut out = Vec::new();
    let mut exporter = Exporter::new(&mut out, format(to).unwrap().writer().unwrap());
    all.into_iter().for_each(|transcript| exporter.add(transcript).unwrap());
    exporter.finish().unwrap();
    let report = exporter.report().clone();
    (String::from_utf8(out).unwrap(), report)
}

/// The JSON values of a text; the elements, if it is one array of conversations.
pub(crate) fn values(text: &str, opens_array: bool) -> Vec<Value> {
    let all: Vec<Value> = serde_json::Deserializer::from_str(text).into_iter().map(|value| value.unwrap()).collect();
    match &*all {
        [Value::Array(elements)] if opens_array => elements.clone(),
        _ => all,
    }
}
