//! Printing of replies as they arrive, and of remarks on the standard error.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout as standard_output};

#[cfg(not(feature = "chat"))]
use clap::builder::styling::Style;
use turnwise::backend::ChatEvent;
use turnwise::manager::SummaryCall;
use turnwise::{Plan, Reply};

#[cfg(feature = "chat")]
use super::markdown::Markdown;
use super::wrap;
#[cfg(not(feature = "chat"))]
use super::wrap::Wrap;
use crate::args::Chat;
use crate::failure::Result;
use crate::output::{DIM, is_dumb, stdout, terminal_width};
use crate::sanitize::clean_lines;
use crate::text::{counted, thousands};

/// Writes to the standard error.
pub(super) fn say(text: &str) {
    // If the standard error is closed, there is no other place to report it.
    let _ = write!(anstream::stderr(), "{text}").and_then(|()| stderr().flush());
}

/// Writes one line in parentheses to the standard error.
pub(super) fn note(text: impl Display) {
    let text = wrap::for_stderr(&format!("({})", clean_lines(&text.to_string())));
    say(&format!("{DIM}{text}{DIM:#}\n"));
}

/// Prints a reply while it arrives: its text to the standard output, everything else to the
/// standard error. Characters are cleaned one by one, so a part may end anywhere, even inside a
/// control sequence.
pub(super) struct Live {
    out: Box<dyn Write>,
    layout: Layout,
    shows_reasoning: bool,
    /// Whether a sign is shown while nothing can be.
    waits: bool,
    last: Shown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Waiting,
    Reasoning,
    Text,
}

/// How the text of a reply is laid out.
enum Layout {
    /// As it is.
    Raw,
    /// Broken between words, at a terminal.
    #[cfg(not(feature = "chat"))]
    Wrapped(Wrap),
    #[cfg(feature = "chat")]
    Markdown(Markdown),
}

impl Layout {
    fn of(args: &Chat) -> Self {
        if args.plain || !standard_output().is_terminal() || is_dumb() {
            return Self::Raw;
        }
        let width = terminal_width();
        #[cfg(feature = "chat")]
        return Self::Markdown(Markdown::new(width));
        #[cfg(not(feature = "chat"))]
        Self::Wrapped(Wrap::new(width))
    }

    /// What can be shown now.
    fn push(&mut self, text: &str) -> String {
        match self {
            Self::Raw => text.to_owned(),
            #[cfg(not(feature = "chat"))]
            Self::Wrapped(wrap) => {
                let mut out = String::new();
                wrap.text(text, Style::new(), &mut out);
                out
            }
            #[cfg(feature = "chat")]
            Self::Markdown(markdown) => markdown.push(text),
        }
    }

    /// What is left, with the end of the line.
    fn end(&mut self) -> String {
        match self {
            Self::Raw => "\n".to_owned(),
            #[cfg(not(feature = "chat"))]
            Self::Wrapped(wrap) => {
                let mut out = String::new();
                wrap.end_line(&mut out);
                out
            }
            #[cfg(feature = "chat")]
            Self::Markdown(markdown) => markdown.end(),
        }
    }

    /// Whether the cursor is at the start of a line, and text has arrived that is not shown yet.
    fn is_gathering(&self) -> bool {
        match self {
            #[cfg(feature = "chat")]
            Self::Markdown(markdown) => markdown.is_gathering(),
            _ => false,
        }
    }
}

impl Live {
    /// Starts with a sign of waiting if a person is at a terminal.
    pub(super) fn start(is_person: bool, args: &Chat) -> Self {
        let waits = is_person && stderr().is_terminal();
        let mut live = Self {
            out: stdout(false),
            layout: Layout::of(args),
            shows_reasoning: args.show_reasoning,
            waits,
            last: Shown::Nothing,
        };
        live.wait();
        live
    }

    pub(super) fn show(&mut self, event: &ChatEvent) -> Result<()> {
        match event {
            ChatEvent::Text(text) => self.text(text)?,
            ChatEvent::Reasoning(text) if self.shows_reasoning => {
                self.turn_to(Shown::Reasoning);
                say(&format!("{DIM}{}{DIM:#}", clean_lines(text)));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        let shown = self.layout.push(&clean_lines(text));
        if !shown.is_empty() {
            self.turn_to(Shown::Text);
            self.out.write_all(shown.as_bytes())?;
            self.out.flush()?;
        }
        if self.layout.is_gathering() {
            self.wait();
        }
        Ok(())
    }

    /// Shows the sign of waiting.
    fn wait(&mut self) {
        if self.waits && self.last != Shown::Waiting {
            self.turn_to(Shown::Waiting);
            say("…");
        }
    }

    fn turn_to(&mut self, next: Shown) {
        match std::mem::replace(&mut self.last, next) {
            Shown::Waiting => say("\r \r"),
            Shown::Reasoning if next != Shown::Reasoning => say("\n"),
            _ => {}
        }
    }

    /// Ends the line after a whole reply, or after the part that arrived.
    pub(super) fn end(mut self, is_whole: bool) -> Result<()> {
        let has_text = self.last == Shown::Text || self.layout.is_gathering();
        self.turn_to(Shown::Nothing);
        if is_whole || has_text {
            self.out.write_all(self.layout.end().as_bytes())?;
            self.out.flush()?;
        }
        Ok(())
    }
}

/// Prints what is worth knowing about a reply: summaries, refusals, cut-offs.
pub(super) fn remarks(reply: &Reply) {
    summaries(&reply.report.summaries);
    if let Some(why) = reply.refusal() {
        note(format_args!("the model refused: {why}"));
    }
    if reply.is_cut_off() {
        note("the reply was cut off");
    }
    if reply.report.half_characters > 0 {
        let halves = counted(reply.report.half_characters, "half character");
        note(format_args!("{halves} in the reply, replaced by U+FFFD"));
    }
}

fn summaries(calls: &[SummaryCall]) {
    let billed = |call: &SummaryCall| {
        call.usage.as_ref().map_or(call.tokens, |usage| usage.prompt_tokens + usage.completion_tokens)
    };
    let of = |calls: &[&SummaryCall]| {
        let tokens = thousands(calls.iter().map(|call| billed(call)).sum());
        format!("{}, {tokens} tokens", counted(calls.len(), "call"))
    };
    let (taken, refused): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.refused.is_none());
    if !taken.is_empty() {
        note(format_args!("older messages were summarized: {}", of(&taken)));
    }
    if let Some(why) = refused.last().and_then(|call| call.refused.as_ref()) {
        note(format_args!("a summary was requested and not used, because {why}: {}", of(&refused)));
    }
}

/// A number of tokens, with `~` if the plan's counts are estimates.
pub(super) fn figure(plan: &Plan, tokens: u64) -> String {
    crate::text::tokens(tokens, plan.tokens().estimated)
}
