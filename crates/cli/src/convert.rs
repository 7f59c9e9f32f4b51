//! `turnwise convert`: conversations of one format into another.

use std::path::Path;
#[cfg(feature = "openai")]
use std::path::PathBuf;

use turnwise::Transcript;
use turnwise_formats::{Exporter, Format, Report, Writer};

use crate::args;
use crate::blobs;
use crate::failure::{self, Failure, Result};
use crate::input::{self, Loaded};
use crate::progress;
use crate::stores::{self, Place};
use crate::target::Output;
use crate::text::counted;

/// How many errors of one file are reported; of the rest, only the number.
const MOST_SAID: usize = 5;

pub(crate) fn run(args: &args::Convert) -> Result<()> {
    let (to, writer) = target_format(&args.target, args.to.as_deref())?;
    let output = Output::open(&args.target, std::slice::from_ref(&args.source), args.force)?;
    if stores::is_url(&args.source) {
        return of_store(args, to, writer, &output);
    }
    let mut imports = input::imports(&args.source, input::open(&args.source)?, args.input.from.as_deref())?;
    let mut exporter = Exporter::new(output.writer()?, writer);
    if output.is_stdout() {
        progress::before_output();
    }
    let mut is_whole = true;
    let mut unread = 0;
    let mut number = 0;
    for read in imports.by_ref() {
        number += 1;
        let mut file = match read {
            Ok(import) => import.transcript,
            Err(error) => {
                unread += 1;
                if unread <= MOST_SAID {
                    Failure::from(error).within(args.source.display()).report();
                }
                continue;
            }
        };
        if is_asked_for(args.input.only.as_deref(), number, &file) {
            is_whole &= blobs::restore(&args.source, &mut file).is_some();
            let name = format!("{}, conversation {number}", args.source.display());
            let loaded = Loaded { number, name, file };
            input::warn(&loaded, true);
            exporter.add(loaded.file).map_err(|e| output.failed(&e))?;
        }
    }
    let count = exporter.finish().map_err(|e| output.failed(&e))?;
    let lost = exporter.report().clone();
    drop(exporter);
    if unread > MOST_SAID {
        let more = counted(unread - MOST_SAID, "more conversation");
        Failure::Failed(format!("{}: and {more} like these", args.source.display())).report();
    }
    input::tell(&args.source, imports.format(), imports.count_read(), imports.report());
    check(args, unread, count, [imports.report(), &lost])?;
    if args.strict && !is_whole {
        return Err(Failure::Failed("--strict: images or files are missing; the result is not kept".into()));
    }
    keep(&args.target, to, &output, count, &lost)?;
    if unread == 0 { Ok(()) } else { Err(Failure::Said(1)) }
}

/// Writes the conversations of a store.
fn of_store(args: &args::Convert, to: &dyn Format, writer: &'static dyn Writer, output: &Output) -> Result<()> {
    let place = Place::open(args.source.to_str())?;
    let mut exporter = Exporter::new(output.writer()?, writer);
    for (index, id) in place.ids().enumerate() {
        let id = id?;
        let is_asked_for = |only: &str| only == id || only == (index + 1).to_string();
        if args.input.only.as_deref().is_none_or(is_asked_for) {
            exporter.add(place.load(&id)?).map_err(|e| output.failed(&e))?;
        }
    }
    let count = exporter.finish().map_err(|e| output.failed(&e))?;
    let lost = exporter.report().clone();
    drop(exporter);
    check(args, 0, count, [&Report::default(), &lost])?;
    keep(&args.target, to, output, count, &lost)
}

/// Writes one conversation that is open, such as that of a chat, to a file that none of `sources` is.
#[cfg(feature = "openai")]
pub(crate) fn export(
    file: Transcript,
    target: &Path,
    to: Option<&str>,
    replaces: bool,
    sources: &[PathBuf],
) -> Result<()> {
    let (to, writer) = target_format(target, to)?;
    let output = Output::open(target, sources, replaces)?;
    let mut exporter = Exporter::new(output.writer()?, writer);
    exporter.add(file).map_err(|e| output.failed(&e))?;
    let count = exporter.finish().map_err(|e| output.failed(&e))?;
    let lost = exporter.report().clone();
    drop(exporter);
    keep(target, to, &output, count, &lost)
}

/// Puts the result in place, and says what it is and what it could not hold.
fn keep(target: &Path, to: &dyn Format, output: &Output, count: usize, lost: &Report) -> Result<()> {
    let target = target.display().to_string();
    output.keep()?;
    if !output.is_stdout() {
        failure::warn(&target, format_args!("{}, {}", to.title(), counted(count, "conversation")));
    }
    for line in lost.to_string().lines() {
        failure::warn(&target, line);
    }
    Ok(())
}

/// The format to write, with its writer: the one asked for, or the one of the file's ending.
fn target_format(target: &Path, asked: Option<&str>) -> Result<(&'static dyn Format, &'static dyn Writer)> {
    let by_ending = match target.extension().and_then(|ending| ending.to_str()) {
        Some("md" | "markdown") => "markdown",
        Some("html" | "htm") => "html",
        _ => "native",
    };
    let to = input::format("--to", asked.unwrap_or(by_ending))?;
    let writer = to.writer().ok_or_else(|| {
        let written: Vec<&str> =
            turnwise_formats::FORMATS.iter().filter(|format| format.writer().is_some()).map(|f| f.name()).collect();
        Failure::usage(format!("--to {}: it is read and not written; written are {}", to.name(), written.join(", ")))
    })?;
    Ok((to, writer))
}

fn is_asked_for(only: Option<&str>, number: usize, file: &Transcript) -> bool {
    only.is_none_or(|only| input::is_called(only, number, file))
}

/// Refuses a result that is empty, or that `--strict` does not allow.
fn check(args: &args::Convert, unread: usize, count: usize, reports: [&Report; 2]) -> Result<()> {
    let source = args.source.display();
    if count == 0 {
        return Err(match &args.input.only {
            Some(only) => Failure::usage(input::not_called(&source.to_string(), only)),
            None if unread > 0 => Failure::Said(1),
            None => Failure::Failed(format!("{source}: there is no conversation in it; nothing was written")),
        });
    }
    if !args.strict {
        return Ok(());
    }
    let end = if args.target.to_str() == Some("-") { "do not use what was printed" } else { "nothing was written" };
    if unread > 0 {
        let unread = counted(unread, "conversation");
        return Err(Failure::Failed(format!("--strict: {unread} could not be read; {end}")));
    }
    let entries = reports.iter().flat_map(|report| report.entries());
    let lost: Vec<String> = entries
        .filter(|entry| entry.fate != turnwise_formats::Fate::Kept)
        .map(|entry| format!("{} {} ({})", entry.count, entry.kind, entry.fate.as_str()))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let lost = lost.join(", ");
    Err(Failure::Failed(format!("--strict: not everything can be carried over: {lost}; {end}")))
}
