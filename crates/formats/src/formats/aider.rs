//! The chat history of aider: Markdown, in which `#### ` begins what the user said and `> ` what
//! the program did.

use turnwise::message::RawJson;
use turnwise::{Error, Message};

use super::invalid;
use crate::draft::{Draft, Import};
use crate::format::{Division, Format};
use crate::head::Head;
use crate::origin::with_origin;
use crate::report::Fate;
use crate::time;

const NAME: &str = "aider";
const START: &str = "# aider chat started at ";

/// The chat history of aider.
#[derive(Debug)]
pub(crate) struct Aider;

impl Format for Aider {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "aider chat history"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["md"]
    }

    fn needs(&self) -> &'static str {
        "Markdown with `# aider chat started at`"
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["aider"]
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Whole
    }

    fn is_json(&self) -> bool {
        false
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut session: Option<Session> = None;
        for line in text.lines() {
            match line.strip_prefix(START) {
                Some(date) => {
                    out.extend(session.take().and_then(Session::finish));
                    session = Some(Session { date: date.trim().to_owned(), ..Session::default() });
                }
                None => {
                    if let Some(session) = &mut session {
                        session.line(line);
                    }
                }
            }
        }
        let found = session.is_some();
        out.extend(session.and_then(Session::finish));
        if found { Ok(()) } else { Err(invalid(format!("there is no line `{START}…`"))) }
    }
}

/// Who wrote a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Voice {
    User,
    Model,
    Program,
}

#[derive(Default)]
struct Session {
    date: String,
    blocks: Vec<(Option<Voice>, Vec<String>)>,
    /// Whether a fenced block of the model is open, in which lines may begin with anything.
    in_fence: bool,
}

impl Session {
    fn line(&mut self, line: &str) {
        let (voice, text) = match (self.in_fence, line.strip_prefix("#### "), line.strip_prefix("> ")) {
            (false, Some(text), _) => (Voice::User, text.trim_end()),
            (false, None, Some(text)) => (Voice::Program, text.trim_end()),
            (false, None, None) if line.trim_end() == "####" => (Voice::User, ""),
            (false, None, None) if line.trim_end() == ">" => (Voice::Program, ""),
            _ => (Voice::Model, line),
        };
        if voice == Voice::Model && line.starts_with("```") {
            self.in_fence = !self.in_fence;
        }
        match self.blocks.last_mut() {
            Some((last, lines)) if *last == Some(voice) || voice == Voice::Model && text.is_empty() => {
                lines.push(text.to_owned());
            }
            _ => self.blocks.push((Some(voice), vec![text.to_owned()])),
        }
    }

    /// The conversation; `None` for a session in which nothing was said.
    fn finish(self) -> Option<Import> {
        let mut draft = Draft::named(Some(&*self.date));
        let when = time::parse(&self.date);
        let mut notes: Vec<RawJson> = Vec::new();
        for (voice, lines) in self.blocks {
            let text = lines.join("\n").trim().to_owned();
            if text.is_empty() {
                continue;
            }
            let message = match voice {
                Some(Voice::User) => Message::user(text),
                Some(Voice::Program) => {
                    draft.note(Fate::Kept, "output of the program");
                    notes.push(text.into());
                    continue;
                }
                _ => Message::assistant(text),
            };
            let kept = std::mem::take(&mut notes);
            let kept = (!kept.is_empty()).then(|| ("output_before".to_owned(), kept.into()));
            draft.push([with_origin(message, NAME, kept.into_iter().collect())], when);
        }
        if draft.is_empty() {
            return None;
        }
        if !notes.is_empty() {
            draft.rest.push(("output_after".to_owned(), notes.into()));
        }
        Some(draft.finish(NAME))
    }
}
