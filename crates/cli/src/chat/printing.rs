//! Printing of replies as they arrive, and of remarks on the standard error.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};

use turnwise::backend::ChatEvent;
use turnwise::manager::SummaryCall;
use turnwise::{Fate, Plan, Reply};

use crate::failure::Result;
use crate::output::{DIM, stdout};
use crate::sanitize::clean_lines;
use crate::text::{counted, thousands};

/// Writes to the standard error.
pub(super) fn say(text: &str) {
    // If the standard error is closed, there is no other place to report it.
    let _ = write!(anstream::stderr(), "{text}").and_then(|()| stderr().flush());
}

/// Writes one line in parentheses to the standard error.
pub(super) fn note(text: impl Display) {
    say(&format!("{DIM}({}){DIM:#}\n", clean_lines(&text.to_string())));
}

/// Prints a reply while it arrives: its text to the standard output, everything else to the
/// standard error. Characters are cleaned one by one, so a part may end anywhere, even inside a
/// control sequence.
pub(super) struct Live {
    out: Box<dyn Write>,
    shows_reasoning: bool,
    last: Shown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Waiting,
    Reasoning,
    Text,
}

impl Live {
    /// Starts with a sign of waiting if a person is at a terminal.
    pub(super) fn start(is_person: bool, shows_reasoning: bool) -> Self {
        let waits = is_person && stderr().is_terminal();
        if waits {
            say("…");
        }
        let last = if waits { Shown::Waiting } else { Shown::Nothing };
        Self { out: stdout(false), shows_reasoning, last }
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
        self.turn_to(Shown::Text);
        self.out.write_all(clean_lines(text).as_bytes())?;
        self.out.flush()?;
        Ok(())
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
        let last = self.last;
        self.turn_to(Shown::Nothing);
        if is_whole || last == Shown::Text {
            writeln!(self.out)?;
            self.out.flush()?;
        }
        Ok(())
    }
}

/// Prints what is worth knowing about a reply: trimming, summaries, refusals, cut-offs.
pub(super) fn remarks(reply: &Reply) {
    summaries(&reply.report.summaries);
    trimmed(&reply.report.plan);
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
    format!("{}{}", if plan.tokens().estimated { "~" } else { "" }, thousands(tokens))
}

fn trimmed(plan: &Plan) {
    let runs = plan.runs();
    let count =
        |fate: Fate| runs.iter().filter(|run| run.fate == fate).map(turnwise::plan::Run::messages).sum::<usize>();
    let left_out = plan.evicted();
    let shorter = count(Fate::Shrunk);
    if left_out + shorter == 0 {
        return;
    }
    let all = runs.iter().map(turnwise::plan::Run::messages).sum::<usize>();
    let sent = thousands((all - left_out) as u64);
    let summary = if plan.summary().is_some() { " and a summary" } else { "" };
    let shortened = match shorter {
        0 => String::new(),
        shorter => format!(", {} of them shortened", thousands(shorter as u64)),
    };
    let tokens = figure(plan, plan.tokens().total());
    let limit = thousands(plan.budget().limit);
    note(format_args!("{sent} of {} sent{summary}{shortened}, {tokens} of {limit} tokens", counted(all, "message")));
}
