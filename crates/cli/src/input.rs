//! Reading conversations from files, and the planner that their options ask for.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};

use turnwise::conversation::Summary;
use turnwise::plan::Extras;
use turnwise::{ChatCost, Conversation, Dialect, Models, Planner, TokenBudget, Transcript, transcript};
use turnwise_formats::{Format, Imports, Report};

use crate::args;
use crate::blobs;
use crate::dialects::dialect_of;
use crate::failure::{self, Failure, Result};
use crate::output::preview;
use crate::progress::{self, Progress};
use crate::sanitize::clean;
use crate::stores::{self, Place};
use crate::text::counted;

/// A conversation of a file, with a name to print.
pub(crate) struct Loaded {
    /// Its place in the file, from 1.
    pub(crate) number: usize,
    /// Its id, or else the file and the number.
    pub(crate) name: String,
    pub(crate) file: Transcript,
}

/// The conversations of the files in order, each with the index of its file, limited to those that
/// `--only` names. Warnings go to the standard error.
pub(crate) fn chosen<'a>(
    files: &'a [PathBuf],
    input: &args::InputArgs,
) -> impl Iterator<Item = (usize, Result<Loaded>)> + use<'a> {
    read(files, input, true)
}

/// As [`chosen`], for files that were read before: nothing is told of them again.
pub(crate) fn chosen_again<'a>(
    files: &'a [PathBuf],
    input: &args::InputArgs,
) -> impl Iterator<Item = (usize, Result<Loaded>)> + use<'a> {
    read(files, input, false)
}

fn read<'a>(
    files: &'a [PathBuf],
    input: &args::InputArgs,
    is_told: bool,
) -> impl Iterator<Item = (usize, Result<Loaded>)> + use<'a> {
    let only = input.only.clone();
    let mut is_missing = only.is_some();
    let mut last = 0;
    let mut warned = 0;
    let mut newest = 0;
    let from = input.from.clone();
    let mut all = files
        .iter()
        .enumerate()
        .flat_map(move |(index, file)| of_file(file, from.as_deref(), is_told).map(move |read| (index, read)));
    std::iter::from_fn(move || {
        let next = match &only {
            None => all.next(),
            Some(only) => all.find(|(_, (number, loaded))| {
                last = last.max(*number);
                match loaded {
                    Ok(loaded) => loaded.name == *only || is_called(only, *number, &loaded.file),
                    // Skip unreadable lines, unless one was asked for.
                    Err(_) => *only == number.to_string() || *number == 0,
                }
            }),
        };
        match (next, &only) {
            (Some((index, (_, loaded))), _) => {
                is_missing = false;
                if let Ok(loaded) = &loaded {
                    warned += usize::from(is_told && warn(loaded, warned < MOST_SAID));
                    newest = index;
                }
                Some((index, loaded))
            }
            (None, Some(only)) if std::mem::take(&mut is_missing) => {
                let wanted: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
                let wanted = wanted.join(", ");
                let message = format!(
                    "{}; the numbers are 1 to {last}, and `show --list` prints them",
                    not_called(&wanted, only)
                );
                Some((0, Err(Failure::usage(message))))
            }
            (None, _) => {
                if let Some(more) = warned.checked_sub(MOST_SAID).filter(|more| *more > 0) {
                    let file = files[newest].display().to_string();
                    failure::warn(&file, format_args!("and {} like these", counted(more, "more conversation")));
                }
                warned = 0;
                None
            }
        }
    })
}

/// Whether a conversation of a file is the one that `--only` names.
pub(crate) fn is_called(only: &str, number: usize, file: &Transcript) -> bool {
    let is_number = only.parse::<usize>().is_ok();
    let is_titled = || title(&file.conversation).is_some_and(|title| title.to_lowercase() == only.to_lowercase());
    only == number.to_string() || id(file).as_deref() == Some(only) || !is_number && is_titled()
}

/// The error where none is.
pub(crate) fn not_called(source: &str, only: &str) -> String {
    format!("{source}: no conversation has the number, id or title `{only}`")
}

/// The title that a person or a program gave a conversation.
pub(crate) fn title(talk: &Conversation) -> Option<&str> {
    talk.metadata().get("title").filter(|title| !title.trim().is_empty())
}

/// What a person knows a conversation by, in a sentence: its title if it has one.
pub(crate) fn known_as(name: &str, talk: &Conversation) -> String {
    title(talk).map_or_else(|| preview(name, 40), |title| format!("\"{}\"", preview(title, 40)))
}

/// The heading of a conversation: its title, and its name.
pub(crate) fn heading(name: &str, talk: &Conversation) -> String {
    match title(talk) {
        Some(title) => format!("{} ({})", preview(title, 80), clean(name)),
        None => clean(name).into_owned(),
    }
}

/// The conversation of a transcript that a command continues or changes, with its warnings
/// reported. Files of other programs, and logs, are only read.
pub(crate) fn to_change(name: &Path) -> Result<Transcript> {
    let file = Transcript::load(name)?;
    if file.is_log() {
        let why = "a log with one message per line is never written to; convert it with \
                   `jq -s . FILE > OTHER.json` and use OTHER.json";
        return Err(Failure::Failed(why.into()));
    }
    let loaded = Loaded { number: 1, name: name.display().to_string(), file };
    warn(&loaded, true);
    Ok(loaded.file)
}

/// Reports the warnings of a conversation if `is_said`. Returns whether there are any.
pub(crate) fn warn(loaded: &Loaded, is_said: bool) -> bool {
    for warning in loaded.file.warnings().iter().filter(|_| is_said) {
        failure::warn(&loaded.name, warning);
    }
    !loaded.file.warnings().is_empty()
}

/// The conversations of a file, numbered from 1; 0 is a file that cannot be opened. What the file
/// is, and what was not carried over, is reported at its end if `is_told`.
fn of_file<'a>(
    path: &'a Path,
    from: Option<&str>,
    is_told: bool,
) -> Box<dyn Iterator<Item = (usize, Result<Loaded>)> + 'a> {
    let once = |number, failure| Box::new(std::iter::once((number, Err(failure))));
    if stores::is_url(path) {
        return match Place::open(path.to_str()) {
            Ok(place) => Box::new(of_store(place)),
            Err(failure) => once(0, failure),
        };
    }
    let imports = match open(path) {
        Ok(reader) => imports(path, reader, from),
        Err(failure) => return once(0, failure),
    };
    let mut imports = match imports {
        Ok(imports) => imports,
        Err(failure) => return once(1, failure),
    };
    let mut number = 0;
    let mut is_to_tell = is_told;
    Box::new(std::iter::from_fn(move || {
        let next = imports.next();
        progress::before_output();
        let Some(read) = next else {
            if std::mem::take(&mut is_to_tell) {
                tell(path, imports.format(), imports.count_read(), imports.report());
            }
            return None;
        };
        number += 1;
        let named = |mut file| {
            blobs::restore(path, &mut file);
            let name = id(&file).unwrap_or_else(|| format!("{}, conversation {number}", path.display()));
            Loaded { number, name, file }
        };
        let read = read.map(|import| named(import.transcript));
        Some((number, read.map_err(|error| Failure::from(error).within(path.display()))))
    }))
}

/// The conversations of a store, numbered from 1, each with its id as its name.
fn of_store(place: Place) -> impl Iterator<Item = (usize, Result<Loaded>)> {
    let ids: Vec<Result<String>> = place.ids().collect();
    ids.into_iter().enumerate().map(move |(index, id)| {
        let number = index + 1;
        let loaded = id.and_then(|name| match place.load(&name) {
            Ok(file) => Ok(Loaded { number, name, file }),
            Err(failure) => Err(failure.within(&name)),
        });
        (number, loaded)
    })
}

/// Fails for the first of these files that is not there, before a long run begins.
pub(crate) fn check(files: &[PathBuf]) -> Result<()> {
    let named = files.iter().filter(|file| file.to_str() != Some("-") && !stores::is_url(file));
    for file in named {
        std::fs::metadata(file).map_err(|e| Failure::Failed(format!("{}: {e}", file.display())))?;
    }
    Ok(())
}

/// A file, or the standard input for `-`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    match path.to_str() {
        Some("-") => Ok(Box::new(stdin().lock())),
        _ if path.is_dir() => Err(Failure::Failed(format!(
            "{0}: it is a folder; name a file in it (an export of ChatGPT or Claude has `conversations.json`), or pass \
             dir:{0} if it is a store",
            path.display()
        ))),
        _ => match File::open(path) {
            Ok(file) => Ok(Box::new(BufReader::with_capacity(128 * 1024, Progress::of(file)))),
            Err(e) => Err(Failure::Failed(format!("{}: {e}", path.display()))),
        },
    }
}

/// The conversations of a file in the format `from`, or in the one that is recognised.
pub(crate) fn imports<R: BufRead>(path: &Path, reader: R, from: Option<&str>) -> Result<Imports<R>> {
    let from = from.map(|name| format("--from", name)).transpose()?;
    Imports::new(reader, from).map_err(|error| Failure::from(error).within(path.display()))
}

/// The format that an option names.
pub(crate) fn format(option: &str, name: &str) -> Result<&'static dyn Format> {
    turnwise_formats::format(name).map_err(|error| Failure::usage(format!("{option}: {}", error.detail())))
}

/// Reports what a file is that another program has written, and what was not carried over.
pub(crate) fn tell(path: &Path, format: &dyn Format, count: usize, report: &Report) {
    let path = path.display().to_string();
    if !is_own(format) && count > 0 {
        failure::warn(&path, format_args!("{}, {}", format.title(), counted(count, "conversation")));
    }
    for line in report.to_string().lines() {
        failure::warn(&path, line);
    }
}

/// Whether the library itself reads a format: nothing is to be told of it.
pub(crate) fn is_own(format: &dyn Format) -> bool {
    turnwise_formats::OWN.iter().any(|own| *own == format.name())
}

/// A file as text; `-` is the standard input.
pub(crate) fn text(path: &Path) -> Result<String> {
    let failed = |e| Failure::Failed(format!("{}: {e}", path.display()));
    let mut bytes = Vec::new();
    let read = match path.to_str() {
        Some("-") => stdin().lock().read_to_end(&mut bytes),
        _ => File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.map_err(failed)?;
    let text = transcript::decode(&bytes).map_err(|e| Failure::from(e).within(path.display()))?;
    Ok(text.into_owned())
}

/// How many errors of one file are reported; of the rest, only the number.
const MOST_SAID: usize = 5;

/// The lines of a file that could not be read.
#[derive(Default)]
struct Unread {
    file: usize,
    lines: usize,
}

impl Unread {
    /// Counts one more, and reports it if it is among the first, or a conversation of a store: each
    /// is named there.
    fn add(&mut self, files: &[PathBuf], file: usize, failure: &Failure) {
        if file != self.file {
            self.end(files);
            self.file = file;
        }
        if files.get(file).is_some_and(|file| stores::is_url(file)) {
            failure.report();
            return;
        }
        self.lines += 1;
        if self.lines <= MOST_SAID {
            failure.report();
        }
    }

    /// Reports how many more there were in the file.
    fn end(&mut self, files: &[PathBuf]) {
        let more = std::mem::take(&mut self.lines).saturating_sub(MOST_SAID);
        if let Some(file) = files.get(self.file).filter(|_| more > 0) {
            let more = counted(more, "more line");
            Failure::Failed(format!("{}: and {more} like these", file.display())).report();
        }
    }
}

/// Does something with each conversation of the files. A failure is reported, and the rest
/// continue. Of the unreadable lines of a file only the first few are reported, and then how many
/// more there are.
pub(crate) fn for_each(
    files: &[PathBuf],
    input: &args::InputArgs,
    mut act: impl FnMut(Loaded) -> Result<()>,
) -> Result<()> {
    let mut outcome = Outcome::new(files);
    for (file, loaded) in chosen(files, input) {
        let done = loaded.map(&mut act);
        outcome.add(file, done)?;
    }
    outcome.end()
}

/// What becomes of the conversations of some files. A failure is reported when it is added, and the
/// rest continue.
pub(crate) struct Outcome<'a> {
    files: &'a [PathBuf],
    unread: Unread,
    code: Option<u8>,
    is_any_done: bool,
}

impl<'a> Outcome<'a> {
    pub(crate) fn new(files: &'a [PathBuf]) -> Self {
        Self { files, unread: Unread::default(), code: None, is_any_done: false }
    }

    /// Adds a conversation: the failure to read it, or else what its command has returned.
    ///
    /// # Errors
    /// A failure after which nothing more is to be tried.
    pub(crate) fn add(&mut self, file: usize, done: Result<Result<()>>) -> Result<()> {
        let failure = match done {
            Ok(Ok(())) => {
                self.is_any_done = true;
                return Ok(());
            }
            Ok(Err(failure)) => {
                if matches!(failure, Failure::Failed(_) | Failure::Usage(_)) {
                    failure.report();
                }
                failure
            }
            Err(failure) => {
                self.unread.add(self.files, file, &failure);
                failure
            }
        };
        match failure {
            Failure::Failed(_) => self.code = Some(1),
            Failure::Usage(_) => self.code = self.code.or(Some(2)),
            other => return Err(other),
        }
        Ok(())
    }

    /// Whether there were failures, and nothing else.
    pub(crate) fn is_nothing_done(&self) -> bool {
        self.code.is_some() && !self.is_any_done
    }

    /// Reports how many failures were not reported.
    ///
    /// # Errors
    /// [`Failure::Said`], if there was a failure.
    pub(crate) fn end(mut self) -> Result<()> {
        self.unread.end(self.files);
        match self.code {
            None => Ok(()),
            Some(_) if self.is_any_done => Err(Failure::Said(1)),
            Some(code) => Err(Failure::Said(code)),
        }
    }
}

/// The id that a file gives its conversation.
pub(crate) fn id(file: &Transcript) -> Option<String> {
    let stated = file.extra.iter().find(|(key, _)| key == "id").and_then(|(_, id)| id.parse().ok());
    stated.or_else(|| turnwise_formats::id(file))
}

/// Adds the constraints of the command line to a conversation.
pub(crate) fn constrain(file: &mut Transcript, constraints: &args::ConstraintArgs) -> Result<()> {
    for rule in &constraints.constrain {
        if rule.trim().is_empty() {
            return Err(Failure::usage("--constrain needs a text, such as \"Answer in French.\""));
        }
        file.conversation.constrain(rule);
    }
    Ok(())
}

/// The summary with this number, among those that stand for messages of the path.
pub(crate) fn summary(conversation: &Conversation, number: usize) -> Result<&Summary> {
    conversation.summaries().find(|summary| summary.id.index() == number).ok_or_else(|| {
        let known: Vec<String> = conversation.summaries().map(|summary| summary.id.index().to_string()).collect();
        let there = match &*known {
            [] => "it has no summaries".to_owned(),
            known => format!("they are {}", known.join(", ")),
        };
        Failure::usage(format!("this conversation has no summary {number}; {there}"))
    })
}

/// The cost rules of the model that was asked for, or else of the file's.
pub(crate) fn cost(models: &Models, asked: Option<&str>, file: &Transcript) -> ChatCost {
    ChatCost::for_model(models.find(asked.or(file.model.as_deref()).unwrap_or("")))
}

/// A planner for one conversation.
pub(crate) fn planner(
    models: &Models,
    asked: &args::BudgetArgs,
    dialect: &args::DialectArgs,
    file: &Transcript,
) -> Result<Planner> {
    let model = asked.model.as_deref().or(file.model.as_deref());
    let budget = budget(models, asked, model)?;
    let cost = cost(models, asked.model.as_deref(), file);
    let planner = Planner::new(cost, &budget)?.tools(file.tools.clone());
    let mut planner = fitted(planner.params(file.costly_params()), &dialect_of(dialect, Some(file))?);
    if asked.never_cut {
        planner = planner.never_cut();
    }
    if asked.start_on_user {
        planner = planner.start_on_user();
    }
    Ok(match model {
        Some(model) => planner.model(model),
        None => planner,
    })
}

/// The planner, with requests fitted to a server.
pub(crate) fn fitted(planner: Planner, dialect: &Dialect) -> Planner {
    // The default dialect is what a planner uses anyway.
    if *dialect == Dialect::default() { planner } else { planner.dialect(dialect.clone()) }
}

/// The budget that was asked for, or else the model's.
pub(crate) fn budget(models: &Models, asked: &args::BudgetArgs, model: Option<&str>) -> Result<TokenBudget> {
    let mut budget = match (asked.budget, model) {
        (Some(tokens), _) => TokenBudget::limit(tokens),
        (None, Some(model)) => TokenBudget::for_model(models.find(model))?,
        (None, None) => {
            let message = "no budget: the file names no model; pass --budget TOKENS or --model NAME";
            return Err(Failure::usage(message));
        }
    };
    if let Some(tokens) = asked.reserve {
        budget = budget.reply_reserve(tokens);
    }
    if let Some(part) = asked.high {
        budget = budget.high_mark(part);
    }
    if let Some(part) = asked.low {
        budget = budget.low_mark(part);
    }
    Ok(budget)
}

/// What a file's requests are planned with: the vectors of its messages, where it has any.
pub(crate) fn extras(file: &Transcript) -> Extras {
    let mut extras = Extras::default();
    extras.vectors = file.vectors.clone();
    extras
}
