//! `Editor`: lines of a person at a terminal, with editing, history and completion.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::{fs, io};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Helper};
use tokio::sync::mpsc;
use turnwise::Models;
use turnwise::strategy::STRATEGIES;

use super::commands::KNOWN;
use super::input::{Next, PROMPT, unless_interrupted};
use super::quoted::is_open;
use crate::failure::{Failure, Result};
use crate::sanitize::clean;
use crate::stores;

/// How many entries the history keeps.
const ENTRIES: usize = 1_000;

/// The editor runs on a thread of its own, and only while a line is waited for: during a reply the
/// terminal is as usual, so that Ctrl-C is a signal.
pub(super) struct Editor {
    prompts: Sender<String>,
    lines: mpsc::Receiver<rustyline::Result<String>>,
    /// Whether a prompt is shown.
    is_reading: bool,
}

impl Editor {
    pub(super) fn start(models: &Models) -> Result<Self> {
        let failed = |e: ReadlineError| Failure::Failed(format!("starting the line editor: {e}; --plain needs none"));
        let setup = || {
            let config = Config::builder().max_history_size(ENTRIES)?.history_ignore_dups(true)?;
            let config = config.history_ignore_space(true).completion_type(CompletionType::List).build();
            rustyline::Editor::<Assistant, FileHistory>::with_config(config)
        };
        let mut editor = setup().map_err(failed)?;
        editor.set_helper(Some(Assistant { models: models.iter().map(|model| model.name.clone()).collect() }));
        let history = history_file();
        if let Some(file) = &history {
            // There is none yet at the first start.
            let _ = editor.load_history(file);
        }
        let (prompts, asked) = channel::<String>();
        let (sender, lines) = mpsc::channel(1);
        let reads = move || {
            for prompt in asked {
                let read = editor.readline(&prompt);
                if let Ok(line) = &read
                    && prompt == PROMPT
                {
                    remember(&mut editor, line, history.as_deref());
                }
                if sender.blocking_send(read).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("turnwise-editor".to_owned()).spawn(reads)?;
        Ok(Self { prompts, lines, is_reading: false })
    }

    pub(super) async fn next(&mut self, prompt: &str) -> Result<Next> {
        if !self.is_reading {
            self.is_reading = self.prompts.send(prompt.to_owned()).is_ok();
        }
        // A signal does not stop the editor, which then shows its prompt still.
        let Some(read) = unless_interrupted(self.lines.recv()).await else { return Ok(Next::CtrlC) };
        self.is_reading = false;
        match read {
            Some(Ok(line)) => Ok(Next::Line(line)),
            Some(Err(ReadlineError::Eof)) | None => Ok(Next::End),
            Some(Err(ReadlineError::Interrupted)) => Ok(Next::CtrlC),
            Some(Err(ReadlineError::Io(error))) if error.kind() == io::ErrorKind::InvalidData => {
                let why = "what was typed is not UTF-8; nothing was sent. Set the terminal to UTF-8, and type it again";
                Ok(Next::Refused(Failure::Failed(why.into())))
            }
            Some(Err(e)) => Err(Failure::Failed(format!("reading the input: {e}"))),
        }
    }
}

/// The file of the history: the one that `TURNWISE_HISTORY` names, none if that is empty, or else one
/// in the folder where the system keeps data of programs.
fn history_file() -> Option<PathBuf> {
    match std::env::var_os("TURNWISE_HISTORY") {
        Some(file) => (!file.is_empty()).then(|| file.into()),
        None => stores::data_folder().map(|folder| folder.join("history.txt")),
    }
}

/// A history that cannot be saved is no failure of the chat.
fn remember(editor: &mut rustyline::Editor<Assistant, FileHistory>, line: &str, file: Option<&Path>) {
    let _ = editor.add_history_entry(line);
    if let Some(file) = file {
        if let Some(folder) = file.parent() {
            let _ = fs::create_dir_all(folder);
        }
        let _ = editor.append_history(file);
    }
}

/// Completes commands, models, strategies and files, and lets a text between `"""` have more lines.
struct Assistant {
    models: Vec<String>,
}

impl Assistant {
    /// Where the word begins that is completed, and what it may become.
    fn candidates(&self, typed: &str) -> (usize, Vec<String>) {
        let Some((command, rest)) = typed.split_once(char::is_whitespace) else {
            let matching = KNOWN.iter().map(|known| (format!("/{}", known.name), known.takes));
            let matching = matching.filter(|(name, _)| typed.starts_with('/') && name.starts_with(typed));
            let spaced = |(name, takes): (String, &str)| if takes.is_empty() { name } else { name + " " };
            return (0, matching.map(spaced).collect());
        };
        let start = typed.len() - rest.trim_start().len();
        let last = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let beginning = |start: usize, names: &mut dyn Iterator<Item = &str>| {
            let names = names.filter(|name| name.starts_with(&typed[start..]));
            (start, names.map(str::to_owned).collect())
        };
        match command {
            "/model" => beginning(start, &mut self.models.iter().map(String::as_str)),
            "/strategy" => beginning(start, &mut STRATEGIES.iter().map(|one| one.name)),
            "/compare" => beginning(last, &mut STRATEGIES.iter().map(|one| one.name)),
            "/export" if typed[..last].trim_end().ends_with("--to") => {
                let written = turnwise_formats::FORMATS.iter().filter(|format| format.writer().is_some());
                beginning(last, &mut written.map(|format| format.name()))
            }
            "/save" | "/export" => (start, files(&typed[start..])),
            "/fork" => {
                let after_id = rest.trim_start().split_once(' ').filter(|(first, _)| first.starts_with('#'));
                let start = after_id.map_or(start, |(_, file)| typed.len() - file.len());
                (start, files(&typed[start..]))
            }
            _ => (last, Vec::new()),
        }
    }
}

/// The files and folders whose path begins like this.
fn files(typed: &str) -> Vec<String> {
    let (folder, name) = typed.rfind('/').map_or(("", typed), |at| typed.split_at(at + 1));
    let place = if folder.is_empty() { "." } else { folder };
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let path = |entry: fs::DirEntry| {
        let found = entry.file_name().into_string().ok()?;
        let is_hidden = found.starts_with('.') && !name.starts_with('.');
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // A name that the terminal would take for a command is not shown.
        let is_shown = found.starts_with(name) && !is_hidden && matches!(clean(&found), Cow::Borrowed(_));
        is_shown.then(|| format!("{folder}{found}{}", if is_folder { "/" } else { "" }))
    };
    let mut files: Vec<String> = entries.filter_map(|entry| path(entry.ok()?)).collect();
    files.sort();
    files
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(&line[..pos]))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_open(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_models_strategies_formats_and_files_are_completed() {
        let folder = tempfile::TempDir::new().unwrap();
        let here = format!("{}/", folder.path().display());
        for name in ["my talk.md", "mine", ".hidden", "x\u{1b}y"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("moor")).unwrap();
        let assistant = Assistant { models: vec!["gpt-4o".into(), "gpt-4o-mini".into(), "o3".into()] };
        let of = |typed: &str| {
            let (start, found) = assistant.candidates(typed);
            found.into_iter().map(|one| format!("{}{one}", &typed[..start])).collect::<Vec<_>>()
        };
        assert_eq!(of("/bu"), ["/budget "]);
        assert_eq!(of("/re"), ["/retry", "/regenerate", "/report"]);
        assert_eq!(of("/model gpt"), ["/model gpt-4o", "/model gpt-4o-mini"]);
        assert_eq!(of("/strategy win"), ["/strategy window"]);
        assert_eq!(of("/compare recall win"), ["/compare recall window"]);
        assert_eq!(of("/export a.json --to anth"), ["/export a.json --to anthropic"]);
        assert_eq!(
            of(&format!("/save {here}m")),
            ["mine", "moor/", "my talk.md"].map(|name| format!("/save {here}{name}"))
        );
        assert_eq!(of(&format!("/fork #3 {here}mo")), [format!("/fork #3 {here}moor/")]);
        assert!(of("").is_empty() && of("hello wor").is_empty() && of("/nonsense ").is_empty());
        assert!(!of(&format!("/save {here}")).iter().any(|path| path.contains(['\u{1b}'])));
    }
}
