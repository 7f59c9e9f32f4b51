//! `turnwise convert`: conversations of one format into another.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use turnwise::Transcript;
use turnwise_formats::{Exporter, Format, Report};

use crate::args;
use crate::failure::{self, Failure, Result};
use crate::input::{self, Loaded};
use crate::text::counted;

/// How many errors of one file are reported; of the rest, only the number.
const MOST_SAID: usize = 5;

pub(crate) fn run(args: &args::Convert) -> Result<()> {
    let to = target_format(args)?;
    let writer = to.writer().ok_or_else(|| {
        let written: Vec<&str> =
            turnwise_formats::FORMATS.iter().filter(|format| format.writer().is_some()).map(|f| f.name()).collect();
        Failure::usage(format!("--to {}: it is read and not written; written are {}", to.name(), written.join(", ")))
    })?;
    let output = Output::open(args)?;
    let mut imports = input::imports(&args.source, input::open(&args.source)?, args.input.from.as_deref())?;
    let mut exporter = Exporter::new(output.writer()?, writer);
    let mut unread = 0;
    let mut number = 0;
    for read in imports.by_ref() {
        number += 1;
        let file = match read {
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
            let name = format!("{}, conversation {number}", args.source.display());
            let loaded = Loaded { name, file };
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
    output.keep()?;
    let written = format_args!("{}, {}", to.title(), counted(count, "conversation")).to_string();
    if !output.is_stdout() {
        failure::warn(&args.target.display().to_string(), written);
    }
    for line in lost.to_string().lines() {
        failure::warn(&args.target.display().to_string(), line);
    }
    if unread == 0 { Ok(()) } else { Err(Failure::Said(1)) }
}

/// The format to write: the one asked for, or the one of the file's ending.
fn target_format(args: &args::Convert) -> Result<&'static dyn Format> {
    let by_ending = match args.target.extension().and_then(|ending| ending.to_str()) {
        Some("md" | "markdown") => "markdown",
        Some("html" | "htm") => "html",
        _ => "native",
    };
    input::format("--to", args.to.as_deref().unwrap_or(by_ending))
}

fn is_asked_for(only: Option<&str>, number: usize, file: &Transcript) -> bool {
    only.is_none_or(|only| only == number.to_string() || input::id(file).as_deref() == Some(only))
}

/// Refuses a result that is empty, or that `--strict` does not allow.
fn check(args: &args::Convert, unread: usize, count: usize, reports: [&Report; 2]) -> Result<()> {
    let source = args.source.display();
    if count == 0 {
        return Err(match &args.input.only {
            Some(only) => Failure::usage(format!("{source}: no conversation has the number or id `{only}`")),
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

/// Where the result goes: the standard output, or a file that is put in place when it is complete.
struct Output {
    target: Option<PathBuf>,
    /// The file beside it that is written.
    part: PathBuf,
}

impl Output {
    fn open(args: &args::Convert) -> Result<Self> {
        let target = &args.target;
        if target.to_str() == Some("-") {
            return Ok(Self { target: None, part: PathBuf::new() });
        }
        let is_same = || Some(fs::canonicalize(target).ok()? == fs::canonicalize(&args.source).ok()?);
        if is_same() == Some(true) {
            let message = "it is the file that is read, and is not overwritten; name another one";
            return Err(Failure::usage(format!("{}: {message}", target.display())));
        }
        if target.exists() && !args.force {
            let message = "it exists; --force replaces it";
            return Err(Failure::usage(format!("{}: {message}", target.display())));
        }
        if target.is_dir() {
            return Err(Failure::usage(format!("{}: it is a folder; name a file", target.display())));
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let part = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        Ok(Self { target: Some(target.clone()), part })
    }

    fn is_stdout(&self) -> bool {
        self.target.is_none()
    }

    fn writer(&self) -> Result<Box<dyn Write>> {
        if self.is_stdout() {
            return Ok(Box::new(BufWriter::with_capacity(128 * 1024, std::io::stdout().lock())));
        }
        let file = File::create_new(&self.part).map_err(|e| self.failed(&e))?;
        Ok(Box::new(BufWriter::with_capacity(128 * 1024, file)))
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        match &self.target {
            Some(target) => Failure::Failed(format!("writing {}: {error}", target.display())),
            None => Failure::from(std::io::Error::from(error.kind())),
        }
    }

    /// Puts the complete file in its place.
    fn keep(&self) -> Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        let put = || {
            File::open(&self.part)?.sync_all()?;
            fs::rename(&self.part, target)
        };
        put().map_err(|e| self.failed(&e))
    }
}

impl Drop for Output {
    /// Removes what was not completed.
    fn drop(&mut self) {
        if self.target.is_some() && Path::exists(&self.part) {
            // If it cannot be removed, its name shows what it is.
            let _ = fs::remove_file(&self.part);
        }
    }
}
