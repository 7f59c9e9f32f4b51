//! `turnwise redact` and `turnwise compact`: commands that change a saved conversation where it is,
//! in its own file or in a store.

use std::path::Path;

use regex::{NoExpand, Regex};
use turnwise::Transcript;

use crate::args;
use crate::failure::{Failure, Result};
use crate::input;
use crate::output::print_line;
use crate::stores::{self, Place};
use crate::text::counted;

pub(crate) fn redact(args: &args::Redact) -> Result<()> {
    let args::Redact { file, only, replacing } = args;
    let replace = Replace::of(replacing)?;
    let (name, replaced) = match Target::of(file, only.as_deref())? {
        Target::File(path) => {
            let mut file = load(path)?;
            let replaced = replace.within(&mut file).map_err(|e| Failure::from(e).within(path.display()))?;
            if replaced > 0 && !replacing.dry_run {
                file.save(path)?;
            }
            (path.display().to_string(), replaced)
        }
        Target::Stored(place, id) => {
            let replaced = replace.in_store(&place, id, replacing.dry_run)?;
            (id.to_owned(), replaced)
        }
    };
    let done = if replacing.dry_run { "would be changed" } else { "changed" };
    print_line(format_args!("{name}: {} {done}", counted(replaced, "text")))
}

pub(crate) fn compact(args: &args::Compact) -> Result<()> {
    match Target::of(&args.file, args.only.as_deref())? {
        Target::File(path) => compact_file(path),
        Target::Stored(place, id) if place.has_files() => compact_file(&place.path(id)?),
        Target::Stored(place, id) => {
            place.rewrite(id, |_| Ok(true))?;
            print_line(format_args!("{id}: written anew; the database uses the room again that it took before"))
        }
    }
}

fn compact_file(path: &Path) -> Result<()> {
    if path.extension().is_none_or(|ending| ending != "jsonl") {
        let message = "only a journal (.jsonl) grows with each save; this file is written anew each time";
        return Err(Failure::usage(format!("{}: {message}", path.display())));
    }
    let file = load(path)?;
    let before = size(path)?;
    file.compact(path)?;
    let after = size(path)?;
    print_line(format_args!("{}: {before} bytes before, {after} after", path.display()))
}

/// What a command changes: a file, or one conversation of a store.
enum Target<'a> {
    File(&'a Path),
    Stored(Place, &'a str),
}

impl<'a> Target<'a> {
    fn of(file: &'a Path, only: Option<&'a str>) -> Result<Self> {
        let name = file.display();
        match (stores::is_url(file), only) {
            (true, Some(id)) => Ok(Self::Stored(Place::open(file.to_str())?, id)),
            (true, None) => Err(Failure::usage(format!(
                "{name} is a store, of which one conversation is changed at a time; name it with --only ID \
                 (`turnwise conversations list --store {name}` lists the ids)"
            ))),
            (false, None) => Ok(Self::File(file)),
            (false, Some(_)) => Err(Failure::usage(format!(
                "--only names a conversation of a store (dir:FOLDER, sqlite:FILE or postgres://…), and {name} is a file with one; \
                 leave it out"
            ))),
        }
    }
}

/// Replaces text in conversations.
pub(crate) struct Replace<'a> {
    pattern: Regex,
    /// Whether `with` has references to groups.
    has_groups: bool,
    with: &'a str,
}

impl<'a> Replace<'a> {
    pub(crate) fn of(args: &'a args::Replacing) -> Result<Self> {
        let with = args.with.as_deref().unwrap_or("[redacted]");
        Ok(Self { pattern: pattern(args)?, has_groups: args.pattern.is_some(), with })
    }

    /// Returns how many texts were replaced.
    fn within(&self, file: &mut Transcript) -> turnwise::Result<usize> {
        file.redact(|text| {
            let changed = if self.has_groups {
                self.pattern.replace_all(text, self.with)
            } else {
                self.pattern.replace_all(text, NoExpand(self.with))
            };
            (changed != text).then(|| changed.into_owned())
        })
    }

    /// Replaces text in a conversation of a store, and returns in how many texts.
    pub(crate) fn in_store(&self, place: &Place, id: &str, is_dry: bool) -> Result<usize> {
        let mut replaced = 0;
        place.rewrite(id, |file| {
            replaced = self.within(file)?;
            Ok(replaced > 0 && !is_dry)
        })?;
        Ok(replaced)
    }
}

/// What to replace.
fn pattern(args: &args::Replacing) -> Result<Regex> {
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
pub(crate) fn load(file: &Path) -> Result<Transcript> {
    if file == Path::new("-") {
        return Err(Failure::usage("`-` is the standard input, and a file is changed here; name one"));
    }
    if stores::is_url(file) {
        return Err(Failure::usage(format!(
            "{0} is a store, and this works on a file with one conversation; \
             `turnwise convert {0} ONE.json --only ID` takes one out",
            file.display()
        )));
    }
    std::fs::metadata(file).map_err(|e| Failure::Failed(format!("{}: {e}", file.display())))?;
    input::to_change(file).map_err(|failure| failure.within(file.display()))
}

fn size(file: &Path) -> Result<u64> {
    let size = std::fs::metadata(file).map(|found| found.len());
    size.map_err(|e| Failure::Failed(format!("reading {}: {e}", file.display())))
}
