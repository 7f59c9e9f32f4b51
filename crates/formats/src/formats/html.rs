//! A page of HTML for people, complete in itself: no script, and nothing is loaded from elsewhere.

use std::borrow::Cow;
use std::io::{Result, Write};

use turnwise::conversation::Timestamp;
use turnwise::message::{Content, Part};
use turnwise::{Error, ErrorKind, Item, ItemId, Message, Transcript};

use super::note_origin;
use crate::draft::Import;
use crate::format::{Format, Found, Writer};
use crate::head::Head;
use crate::page::{Beside, reasoning, speaker, text, title};
use crate::report::Report;
use crate::time::shown;

/// A page of HTML.
#[derive(Debug)]
pub(crate) struct Html;

impl Format for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn title(&self) -> &'static str {
        "HTML page"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["html"]
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
        Err(Error::new(ErrorKind::ForeignFormat, "an HTML page is written and not read"))
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Html)
    }
}

impl Writer for Html {
    fn write(&self, transcript: &Transcript, _: bool, out: &mut dyn Write, report: &mut Report) -> Result<()> {
        let conversation = &transcript.conversation;
        for (index, message) in conversation.messages().enumerate() {
            note_origin(message, index, "html", report);
        }
        let beside = Beside::of(conversation);
        let count = conversation.messages().count();
        let model = transcript.model.as_deref().map_or(String::new(), |model| format!(", {model}"));
        let plural = if count == 1 { "message" } else { "messages" };
        writeln!(out, "<section>\n<h1>{}</h1>", escaped(&title(transcript)))?;
        writeln!(out, "<p class=\"about\">{count} {plural}{}</p>", escaped(&model))?;
        for message in conversation.head() {
            write_message(out, message, None)?;
        }
        write_beside(out, &beside, None)?;
        // Conversations without times of their own were all recorded when they were read.
        let has_times = conversation.items().any(|item| item.created_at() < conversation.created_at());
        for item in conversation.path().items() {
            write_message(out, item.message(), has_times.then(|| item.created_at()))?;
            write_beside(out, &beside, Some(item.id()))?;
        }
        writeln!(out, "</section>")
    }

    fn is_lines(&self) -> bool {
        false
    }

    fn begin(&self) -> &'static str {
        concat!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ",
            "img-src data:; style-src 'unsafe-inline'\">\n",
            "<meta name=\"referrer\" content=\"no-referrer\">\n<title>Conversations</title>\n<style>\n",
            include_str!("page.css"),
            "</style>\n</head>\n<body>\n<main>\n"
        )
    }

    fn end(&self) -> &'static str {
        "</main>\n</body>\n</html>\n"
    }
}

/// Summaries that end with an item, and branches that leave the path after it.
fn write_beside(out: &mut dyn Write, beside: &Beside<'_>, after: Option<ItemId>) -> Result<()> {
    for summary in after.and_then(|after| beside.summaries.get(&after)).into_iter().flatten() {
        writeln!(out, "<details class=\"summary\"><summary>Summary of the messages up to here</summary>")?;
        write_text(out, &summary.text)?;
        writeln!(out, "</details>")?;
    }
    for branch in beside.branches.get(&after).into_iter().flatten() {
        write_branch(out, branch)?;
    }
    Ok(())
}

fn write_branch(out: &mut dyn Write, branch: &[&Item]) -> Result<()> {
    let count = branch.len();
    let plural = if count == 1 { "message" } else { "messages" };
    writeln!(out, "<details class=\"branch\"><summary>Another branch from here, {count} {plural}</summary>")?;
    for item in branch {
        write_message(out, item.message(), None)?;
    }
    writeln!(out, "</details>")
}

fn write_message(out: &mut dyn Write, message: &Message, time: Option<Timestamp>) -> Result<()> {
    let class = match message.role().as_str() {
        "user" => "user",
        "system" | "developer" => "system",
        "tool" | "function" => "result",
        _ => "assistant",
    };
    if message.is_result() {
        writeln!(out, "<details class=\"result\"><summary>{}</summary>", escaped(&speaker(message)))?;
        writeln!(out, "<pre>{}</pre>", escaped(&text(message)))?;
        write_parts(out, message)?;
        return writeln!(out, "</details>");
    }
    let time = time.map_or(String::new(), |time| format!("<time>{}</time>", shown(time)));
    writeln!(out, "<article class=\"{class}\"><p class=\"who\">{}{time}</p>", escaped(&speaker(message)))?;
    if let Some(thought) = reasoning(message) {
        writeln!(out, "<details><summary>Reasoning</summary>")?;
        write_text(out, &thought)?;
        writeln!(out, "</details>")?;
    }
    write_text(out, &text(message))?;
    write_parts(out, message)?;
    for call in message.tool_calls() {
        writeln!(out, "<details class=\"call\"><summary>Call of <code>{}</code></summary>", escaped(call.name()))?;
        writeln!(out, "<pre>{}</pre></details>", escaped(&call.arguments()))?;
    }
    writeln!(out, "</article>")
}

/// Text as it is; what stands between fences as code.
fn write_text(out: &mut dyn Write, text: &str) -> Result<()> {
    let (mut lines, mut is_code): (Vec<&str>, bool) = (Vec::new(), false);
    let mut write = |lines: &mut Vec<&str>, is_code: bool| -> Result<()> {
        let text = std::mem::take(lines).join("\n");
        if is_code {
            writeln!(out, "<pre><code>{}</code></pre>", escaped(&text))?;
        } else if !text.trim().is_empty() {
            writeln!(out, "<div class=\"text\">{}</div>", escaped(text.trim_matches('\n')))?;
        }
        Ok(())
    };
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            write(&mut lines, is_code)?;
            is_code = !is_code;
        } else {
            lines.push(line);
        }
    }
    write(&mut lines, is_code)
}

fn write_parts(out: &mut dyn Write, message: &Message) -> Result<()> {
    for part in message.content().map_or(&[][..], Content::parts).iter().filter(|part| part.text().is_none()) {
        write_part(out, part)?;
    }
    Ok(())
}

/// A picture that is in the message is shown; one elsewhere is a link, and never loaded.
fn write_part(out: &mut dyn Write, part: &Part) -> Result<()> {
    const SHOWN: &[&str] = &["data:image/png;", "data:image/jpeg;", "data:image/gif;", "data:image/webp;"];
    let Some(image) = part.image_url() else {
        let refusal = part.refusal().map_or_else(|| format!("({})", part.kind()), str::to_owned);
        return writeln!(out, "<p class=\"text\">{}</p>", escaped(&refusal));
    };
    let url = escaped(&image.url);
    if SHOWN.iter().any(|start| image.url.starts_with(start)) {
        writeln!(out, "<p class=\"picture\"><img alt=\"picture\" src=\"{url}\"></p>")
    } else if image.url.starts_with("https://") || image.url.starts_with("http://") {
        writeln!(out, "<p class=\"picture\"><a rel=\"noreferrer noopener\" href=\"{url}\">picture: {url}</a></p>")
    } else {
        writeln!(out, "<p class=\"text\">(picture)</p>")
    }
}

/// Text with the characters that mean something in HTML replaced, and control characters left out.
fn escaped(text: &str) -> Cow<'_, str> {
    let is_special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'') || c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_special) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_special(c) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}
