//! A reply as it comes, and what is said beside it.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};

use turnwise::backend::ChatEvent;
use turnwise::manager::SummaryCall;
use turnwise::{Fate, Plan, Reply};

use crate::failure::Result;
use crate::output::{DIM, stdout};
use crate::sanitize::clean_lines;
use crate::text::{counted, thousands};

/// Says something beside the conversation.
pub(super) fn say(text: &str) {
    // There is nobody left to tell when the standard error is closed.
    let _ = write!(anstream::stderr(), "{text}").and_then(|()| stderr().flush());
}

/// A remark of a line.
pub(super) fn note(text: impl Display) {
    say(&format!("{DIM}({}){DIM:#}\n", clean_lines(&text.to_string())));
}

/// Prints a reply while it comes: its text to the standard output, each part as it is there, all else beside it.
/// Characters are cleaned one by one, so that a part may end anywhere, in the middle of a control sequence too.
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
    /// With `is_person`, a sign of waiting until something comes.
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

    /// Ends the line: of a whole reply, or of as much as came.
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

/// What is worth knowing about a reply.
pub(super) fn remarks(reply: &Reply) {
    summaries(&reply.report.summaries);
    trimmed(&reply.report.plan);
    if let Some(why) = reply.refusal() {
        note(format_args!("the model refuses: {why}"));
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
        note(format_args!("a summary was asked for and not taken, as {why}: {}", of(&refused)));
    }
}

/// Tokens as a plan counts them, with `~` where they are an estimate.
pub(super) fn figure(plan: &Plan, tokens: u64) -> String {
    format!("{}{}", if plan.tokens().estimated { "~" } else { "" }, thousands(tokens))
}

fn trimmed(plan: &Plan) {
    let runs = plan.runs();
    let count = |fate: Fate| runs.iter().filter(|run| run.fate == fate).map(turnwise::Run::messages).sum::<usize>();
    let left_out = plan.evicted();
    let shorter = count(Fate::Shrunk);
    if left_out + shorter == 0 {
        return;
    }
    let all = plan.head_len() + runs.iter().map(turnwise::Run::messages).sum::<usize>();
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
