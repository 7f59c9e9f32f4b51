//! `turnwise replay`: one line of JSON for each request, and the comparison with a saved replay.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use turnwise::Models;
use turnwise::replay::{Totals, replay_with};
use turnwise::strategy::parse;

use crate::args;
use crate::failure::{Failure, Result};
use crate::input::{self, Loaded};
use crate::output::{Named, json_line, stdout};

/// The last line of the output.
#[derive(Serialize)]
struct Last<'a> {
    summary: Summary<'a>,
}

#[derive(Serialize)]
struct Summary<'a> {
    strategy: &'a str,
    #[serde(flatten)]
    totals: Totals,
    prefix_share: Option<f64>,
}

pub(crate) fn run(args: &args::Replay, models: &Models) -> Result<()> {
    #[cfg(feature = "openai")]
    if args.live {
        return crate::live::run(args, models);
    }
    match &args.diff {
        None => {
            let mut out = stdout(true);
            write(args, models, &mut out)?;
            out.flush()?;
            Ok(())
        }
        Some(other) => {
            let mut lines = Vec::new();
            write(args, models, &mut lines)?;
            compare(&lines, other)
        }
    }
}

fn write(args: &args::Replay, models: &Models, out: &mut impl Write) -> Result<()> {
    let strategy = parse(&args.strategy)?;
    let mut totals = Totals::default();
    for loaded in input::conversations(&args.files, &args.input) {
        let Loaded { name, mut file } = loaded?;
        let planner =
            input::planner(models, &args.budget, &args.dialect, &file).map_err(|failure| failure.within(&name))?;
        let extras = input::extras(&file);
        let replay = replay_with(&file.conversation, &mut file.ledger, &planner, &*strategy, &extras)
            .map_err(|e| Failure::from(e).within(&name))?;
        for request in &replay.requests {
            json_line(out, &Named { conversation: &name, value: request })?;
        }
        totals.add(&replay.totals);
    }
    let summary = Summary { strategy: &strategy.spec(), totals, prefix_share: totals.prefix_share() };
    json_line(out, &Last { summary })
}

/// Fails with the first difference from an earlier replay in a file.
fn compare(new: &[u8], file: &Path) -> Result<()> {
    let other = &*file.to_string_lossy();
    let failed = |e: std::io::Error| Failure::Failed(format!("{other}: {e}"));
    let mut old = BufReader::new(File::open(file).map_err(failed)?).lines();
    for (index, line) in String::from_utf8_lossy(new).lines().enumerate() {
        let old = old.next().transpose().map_err(failed)?;
        if old.as_deref() != Some(line) {
            return Err(Failure::Failed(difference(index + 1, line, old.as_deref(), other)));
        }
    }
    match old.next() {
        None => Ok(()),
        Some(_) => Err(Failure::Failed(format!("{other} continues after the last line of this replay"))),
    }
}

fn difference(number: usize, new: &str, old: Option<&str>, other: &str) -> String {
    let value = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_default();
    let (new, old) = (value(new), old.map(value));
    let what = match (new["request"].as_u64(), new["conversation"].as_str()) {
        (Some(request), Some(conversation)) => format!("request {request} of {conversation} differs"),
        _ => "the summary differs".to_owned(),
    };
    let Some(old) = old else { return format!("{what}: {other} ends before it") };
    let empty = serde_json::Map::new();
    let (new, old) = (new.as_object().unwrap_or(&empty), old.as_object().unwrap_or(&empty));
    let keys: Vec<&str> = new.keys().filter(|key| new.get(*key) != old.get(*key)).map(String::as_str).collect();
    let tokens = |line: &serde_json::Map<String, Value>| line.get("tokens").map_or("none".to_owned(), Value::to_string);
    format!("{what} in {} ({} tokens, {} in line {number} of {other})", keys.join(", "), tokens(new), tokens(old))
}
