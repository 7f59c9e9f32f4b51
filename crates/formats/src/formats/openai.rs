//! Chat completions, as the library reads them: native files, messages, request bodies, and lines
//! for fine-tuning.

use std::io::{Result, Write};

use turnwise::message::RawJson;
use turnwise::transcript::formats::Likelihood;
use turnwise::{Error, Message, Transcript};

use super::note_beside;
use crate::draft::Import;
use crate::format::{Division, Format, Found, Writer};
use crate::head::Head;
use crate::report::Report;

/// Reads a conversation in one of the forms that the library reads, as an element of an array. The
/// library itself reads all other files.
fn read(text: &str, out: &mut Vec<Import>) -> std::result::Result<(), Error> {
    let transcript = Transcript::from_json(text)?;
    let id = crate::origin::id(&transcript);
    out.push(Import { transcript, report: Report::default(), id });
    Ok(())
}

/// turnwise's own form.
#[derive(Debug)]
pub(crate) struct Native;

impl Format for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn title(&self) -> &'static str {
        "turnwise transcript"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "`turnwise` and `messages`"
    }

    fn detect(&self, head: &Head<'_>) -> Option<Found> {
        let is_native = head.first().is_some_and(|first| first.has_all(&["turnwise", "messages"]));
        is_native.then(|| Found::new(Likelihood::Certain, "`turnwise`"))
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Library
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> std::result::Result<(), Error> {
        read(text, out)
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Native)
    }
}

impl Writer for Native {
    fn write(&self, transcript: &Transcript, is_line: bool, out: &mut dyn Write, _: &mut Report) -> Result<()> {
        let text = transcript.to_json();
        if !is_line {
            return out.write_all(text.as_bytes());
        }
        // No string of JSON contains a line break, so they are all between members.
        for line in text.split('\n') {
            out.write_all(line.as_bytes())?;
        }
        out.write_all(b"\n")
    }
}

/// An array of messages.
#[derive(Debug)]
pub(crate) struct Messages;

impl Format for Messages {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn title(&self) -> &'static str {
        "chat-completions messages"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "messages with `role` and `content`, in an array, in `messages` or one a line"
    }

    fn members(&self) -> &'static [&'static str] {
        &["role", "content"]
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Library
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> std::result::Result<(), Error> {
        read(text, out)
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Messages)
    }
}

impl Writer for Messages {
    fn write(&self, transcript: &Transcript, is_line: bool, out: &mut dyn Write, report: &mut Report) -> Result<()> {
        note_beside(transcript, self::Format::name(self), report);
        let (open, gap, close) = if is_line { ("[", ",", "]\n") } else { ("[\n", ",\n", "\n]\n") };
        out.write_all(open.as_bytes())?;
        for (index, message) in transcript.conversation.messages().enumerate() {
            if index > 0 {
                out.write_all(gap.as_bytes())?;
            }
            out.write_all(plain(message).as_str().as_bytes())?;
        }
        out.write_all(close.as_bytes())
    }
}

/// A message without the members that only turnwise's own files have, such as what was kept for other
/// formats: a strict server refuses what it does not know.
pub(crate) fn plain(message: &Message) -> RawJson {
    let whole: RawJson =
        serde_json::to_string(message).ok().and_then(|text| RawJson::new(&text).ok()).unwrap_or_else(|| "".into());
    let is_own = |key: &str| key.starts_with("turnwise_");
    if !message.extra().any(|(key, _)| is_own(key)) {
        return whole;
    }
    let members = crate::blocks::look(&whole);
    let left = members.iter().flat_map(turnwise::transcript::formats::Object::iter).filter(|(key, _)| !is_own(key));
    let left: Vec<(&str, RawJson)> = left.map(|(key, value)| (key, RawJson::from(value))).collect();
    RawJson::object(left)
}

/// All messages as one JSON array.
fn all(transcript: &Transcript) -> RawJson {
    transcript.conversation.messages().map(plain).collect::<Vec<_>>().into()
}

/// The definitions of the tools, if there are any.
fn tools(transcript: &Transcript) -> Option<(&str, RawJson)> {
    let tools: Vec<RawJson> = transcript.tools.iter().map(|tool| tool.json().clone()).collect();
    (!tools.is_empty()).then(|| ("tools", tools.into()))
}

/// A request's body.
#[derive(Debug)]
pub(crate) struct Body;

impl Format for Body {
    fn name(&self) -> &'static str {
        "body"
    }

    fn title(&self) -> &'static str {
        "chat-completions request"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "`messages` with `role` and `content`"
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Library
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> std::result::Result<(), Error> {
        read(text, out)
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Body)
    }
}

impl Writer for Body {
    fn write(&self, transcript: &Transcript, _: bool, out: &mut dyn Write, report: &mut Report) -> Result<()> {
        note_beside(transcript, self::Format::name(self), report);
        let model = transcript.model.as_deref().map(|model| ("model", RawJson::from(model)));
        let others = transcript.extra.iter().filter(|(key, _)| !key.starts_with("turnwise"));
        let others = others.map(|(key, value)| (&**key, value.clone()));
        let members = model.into_iter().chain([("messages", all(transcript))]).chain(tools(transcript)).chain(others);
        writeln!(out, "{}", RawJson::object(members).as_str())
    }
}

/// Lines to fine-tune a model with.
#[derive(Debug)]
pub(crate) struct FineTuning;

impl Format for FineTuning {
    fn name(&self) -> &'static str {
        "fine-tuning"
    }

    fn title(&self) -> &'static str {
        "OpenAI fine-tuning file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl"]
    }

    fn needs(&self) -> &'static str {
        "lines with `messages`, and `tools` if there are any"
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Library
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> std::result::Result<(), Error> {
        read(text, out)
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&FineTuning)
    }
}

impl Writer for FineTuning {
    fn write(&self, transcript: &Transcript, _: bool, out: &mut dyn Write, report: &mut Report) -> Result<()> {
        const MEMBERS: &[&str] = &["parallel_tool_calls", "functions"];
        note_beside(transcript, self::Format::name(self), report);
        let is_known = |key: &str| MEMBERS.contains(&key);
        for (key, _) in transcript.extra.iter().filter(|(key, _)| !is_known(key) && !key.starts_with("turnwise")) {
            report.add(crate::Fate::Dropped, &format!("member `{key}`"), "the file");
        }
        let others = transcript.extra.iter().filter(|(key, _)| is_known(key));
        let others = others.map(|(key, value)| (&**key, value.clone()));
        let members = [("messages", all(transcript))].into_iter().chain(tools(transcript)).chain(others);
        writeln!(out, "{}", RawJson::object(members).as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_our_own_files_are_not_written_for_other_programs() {
        let message = Message::user("Hi").with_field("turnwise_sent", 1).unwrap();
        let message = message.with_field("reasoning_content", "Hm").unwrap();
        assert_eq!(plain(&message).as_str(), r#"{"role":"user","content":"Hi","reasoning_content":"Hm"}"#);
    }
}
