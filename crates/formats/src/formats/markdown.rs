//! Markdown, for people. It is written and not read: nothing in it tells a heading of the page from
//! one in a message.

use std::io::{Result, Write};

use turnwise::message::Content;
use turnwise::{Error, ErrorKind, Message, Transcript};

use super::note_origin;
use crate::draft::Import;
use crate::format::{Format, Found, Writer};
use crate::head::Head;
use crate::page::{self, Beside, reasoning, speaker, title};
use crate::report::{Fate, Report};

/// Markdown.
#[derive(Debug)]
pub(crate) struct Markdown;

impl Format for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn title(&self) -> &'static str {
        "Markdown"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["md"]
    }

    fn needs(&self) -> &'static str {
        ""
    }

    fn detect(&self, _: &Head<'_>) -> Option<Found> {
        None
    }

    fn is_read(&self) -> bool {
        false
    }

    fn read(&self, _: &str, _: &mut Vec<Import>) -> std::result::Result<(), Error> {
        Err(Error::new(ErrorKind::ForeignFormat, "Markdown is written and not read"))
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Markdown)
    }
}

impl Writer for Markdown {
    fn write(&self, transcript: &Transcript, _: bool, out: &mut dyn Write, report: &mut Report) -> Result<()> {
        let conversation = &transcript.conversation;
        writeln!(out, "# {}\n", title(transcript).replace('\n', " "))?;
        if let Some(model) = &transcript.model {
            writeln!(out, "Model: {model}\n")?;
        }
        let beside = Beside::of(conversation);
        for (index, message) in conversation.messages().enumerate() {
            note_origin(message, index, "markdown", report);
            note_parts(message, index, report);
        }
        for message in conversation.head() {
            write_message(out, "##", message)?;
        }
        write_branches(out, &beside, None)?;
        for item in conversation.path().items() {
            write_message(out, "##", item.message())?;
            for summary in beside.summaries.get(&item.id()).into_iter().flatten() {
                writeln!(out, "## Summary of the messages up to here\n\n{}\n", summary.text)?;
            }
            write_branches(out, &beside, Some(item.id()))?;
        }
        Ok(())
    }

    fn is_lines(&self) -> bool {
        false
    }
}

/// Reports pictures and the like, which a page of text only names.
fn note_parts(message: &Message, index: usize, report: &mut Report) {
    for part in message.content().map_or(&[][..], Content::parts).iter().filter(|part| part.text().is_none()) {
        report.add(
            Fate::Changed,
            &format!("part of the type `{}` (it is named)", part.kind()),
            format_args!("message {index}"),
        );
    }
}

fn write_branches(out: &mut dyn Write, beside: &Beside<'_>, after: Option<turnwise::ItemId>) -> Result<()> {
    for branch in beside.branches.get(&after).into_iter().flatten() {
        writeln!(out, "## Another branch\n")?;
        for item in branch {
            write_message(out, "###", item.message())?;
        }
    }
    Ok(())
}

fn write_message(out: &mut dyn Write, level: &str, message: &Message) -> Result<()> {
    writeln!(out, "{level} {}\n", speaker(message))?;
    if let Some(thought) = reasoning(message) {
        writeln!(out, "> {}\n", thought.trim().replace('\n', "\n> "))?;
    }
    let text = page::text(message);
    if message.is_result() {
        fenced(out, "", &text)?;
    } else if !text.is_empty() {
        writeln!(out, "{}\n", text.trim_end())?;
    }
    for part in message.content().map_or(&[][..], Content::parts).iter().filter(|part| part.text().is_none()) {
        match part.image_url().filter(|image| !image.url.starts_with("data:")) {
            Some(image) => writeln!(out, "Picture: <{}>\n", image.url)?,
            None => writeln!(out, "({})\n", part.kind())?,
        }
    }
    for call in message.tool_calls() {
        writeln!(out, "Call of `{}`:\n", call.name())?;
        fenced(out, "json", &call.arguments())?;
    }
    Ok(())
}

/// A text between fences that are longer than any in it.
fn fenced(out: &mut dyn Write, language: &str, text: &str) -> Result<()> {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    writeln!(out, "{fence}{language}\n{}\n{fence}\n", text.trim_end())
}
