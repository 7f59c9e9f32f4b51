//! `turnwise redact` and `turnwise compact`: commands that change a saved conversation's own file.

use std::io::Write;
use std::path::Path;

use regex::{NoExpand, Regex};
use turnwise::Transcript;

use crate::args;
use crate::failure::{Failure, Result};
use crate::input;
use crate::output::stdout;
use crate::text::counted;

pub(crate) fn redact(args: &args::Redact) -> Result<()> {
    let pattern = pattern(args)?;
    let mut file = load(&args.file)?;
    let with = args.with.as_deref().unwrap_or("[redacted]");
    let replaced = file.redact(|text| {
        let changed = if args.pattern.is_some() {
            pattern.replace_all(text, with)
        } else {
            pattern.replace_all(text, NoExpand(with))
        };
        (changed != text).then(|| changed.into_owned())
    });
    let replaced = replaced.map_err(|e| Failure::from(e).within(args.file.display()))?;
    if replaced > 0 && !args.dry_run {
        file.save(&args.file)?;
    }
    let done = if args.dry_run { "would be changed" } else { "changed" };
    say(format_args!("{}: {} {done}", args.file.display(), counted(replaced, "text")))
}

pub(crate) fn compact(args: &args::Compact) -> Result<()> {
    if args.file.extension().is_none_or(|ending| ending != "jsonl") {
        let message = "only a journal (.jsonl) grows with each save; this file is written anew each time";
        return Err(Failure::usage(format!("{}: {message}", args.file.display())));
    }
    let file = load(&args.file)?;
    let before = size(&args.file)?;
    file.compact(&args.file)?;
    let after = size(&args.file)?;
    say(format_args!("{}: {before} bytes before, {after} after", args.file.display()))
}

/// What to replace.
fn pattern(args: &args::Redact) -> Result<Regex> {
    let escaped = args.text.as_deref().map(regex::escape);
    let (option, written) = match (&args.pattern, &escaped) {
        (Some(pattern), _) => ("--pattern", pattern.as_str()),
        (None, escaped) => ("--text", escaped.as_deref().unwrap_or_default()),
    };
    let pattern = Regex::new(written).map_err(|e| Failure::usage(format!("{option}: {e}")))?;
    if pattern.is_match("") {
        let message = "it matches the empty text, and would be found everywhere";
        return Err(Failure::usage(format!("{option} `{written}`: {message}")));
    }
    Ok(pattern)
}

/// The conversation of a file that is changed.
fn load(file: &Path) -> Result<Transcript> {
    if file == Path::new("-") {
        return Err(Failure::usage("`-` is the standard input, and a file is changed here; name one"));
    }
    std::fs::metadata(file).map_err(|e| Failure::Failed(format!("{}: {e}", file.display())))?;
    input::to_change(file).map_err(|failure| failure.within(file.display()))
}

fn size(file: &Path) -> Result<u64> {
    let size = std::fs::metadata(file).map(|found| found.len());
    size.map_err(|e| Failure::Failed(format!("reading {}: {e}", file.display())))
}

fn say(done: std::fmt::Arguments<'_>) -> Result<()> {
    let mut out = stdout(false);
    writeln!(out, "{done}")?;
    out.flush()?;
    Ok(())
}
