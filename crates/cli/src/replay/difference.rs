//! `Difference`: the comparison of a replay with a saved one, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use crate::failure::{Failure, Result};

/// A saved replay, as far as it was compared.
pub(super) struct Difference {
    name: String,
    old: BufReader<File>,
    /// The line that was compared last.
    line: Vec<u8>,
    number: usize,
}

impl Difference {
    pub(super) fn from(file: &Path) -> Result<Self> {
        let name = file.to_string_lossy().into_owned();
        let old = File::open(file).map_err(|e| failed(&name, &e))?;
        Ok(Self { name, old: BufReader::new(old), line: Vec::new(), number: 0 })
    }

    /// Compares the next lines.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn check(&mut self, lines: &[u8]) -> Result<()> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.trim_ascii_end();
            let is_there = self.next()?;
            self.number += 1;
            if !is_there || self.line.trim_ascii_end() != line {
                let old = is_there.then_some(self.line.as_slice());
                return Err(Failure::Failed(difference(self.number, line, old, &self.name)));
            }
        }
        Ok(())
    }

    /// Fails if the saved replay goes on.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.next()? {
            return Err(Failure::Failed(format!("{} continues after the last line of this replay", self.name)));
        }
        Ok(())
    }

    /// Reads the next line. Returns whether there is one.
    fn next(&mut self) -> Result<bool> {
        self.line.clear();
        let read = self.old.read_until(b'\n', &mut self.line).map_err(|e| failed(&self.name, &e))?;
        Ok(read > 0)
    }
}

fn failed(name: &str, error: &io::Error) -> Failure {
    Failure::Failed(format!("{name}: {error}"))
}

fn difference(number: usize, new: &[u8], old: Option<&[u8]>, other: &str) -> String {
    let value = |line: &[u8]| serde_json::from_slice::<Value>(line).unwrap_or_default();
    let (new, old) = (value(new), old.map(value));
    let what = match (new["request"].as_u64(), new["conversation"].as_str()) {
        (Some(request), Some(conversation)) => format!("request {request} of {conversation} differs"),
        _ => "the summary differs".to_owned(),
    };
    let Some(old) = old else { return format!("{what}: {other} ends before it") };
    let empty = Map::new();
    let (new, old) = (new.as_object().unwrap_or(&empty), old.as_object().unwrap_or(&empty));
    let only_old = old.keys().filter(|key| !new.contains_key(*key));
    let keys = new.keys().chain(only_old).filter(|key| new.get(*key) != old.get(*key));
    let keys: Vec<&str> = keys.map(String::as_str).collect();
    let tokens = |line: &Map<String, Value>| line.get("tokens").map_or("none".to_owned(), Value::to_string);
    format!("{what} in {} ({} tokens, {} in line {number} of {other})", keys.join(", "), tokens(new), tokens(old))
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_member_of_one_line_alone_is_named() {
        let (more, less) = (br#"{"conversation":"a","request":1,"cut":2}"#, br#"{"conversation":"a","request":1}"#);
        for (new, old) in [(&more[..], &less[..]), (&less[..], &more[..])] {
            let told = difference(1, new, Some(old), "old.jsonl");
            assert!(told.starts_with("request 1 of a differs in cut ("), "{told}");
        }
    }
}
