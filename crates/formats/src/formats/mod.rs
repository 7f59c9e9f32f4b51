//! The formats, one a file.

pub(crate) mod aider;
pub(crate) mod anthropic;
pub(crate) mod chatgpt;
pub(crate) mod claude;
pub(crate) mod claude_code;
pub(crate) mod codex;
pub(crate) mod gemini;
pub(crate) mod html;
pub(crate) mod langchain;
pub(crate) mod librechat;
pub(crate) mod llm;
pub(crate) mod markdown;
pub(crate) mod oasst;
pub(crate) mod open_webui;
pub(crate) mod openai;
pub(crate) mod recorded;
pub(crate) mod responses;
pub(crate) mod sharegpt;
pub(crate) mod sillytavern;
pub(crate) mod swe_agent;
pub(crate) mod tau_bench;
pub(crate) mod vercel;

use serde_json::value::RawValue;
use turnwise::{Error, ErrorKind, Message, Transcript};

use crate::head::Head;
use crate::members::Members;
use crate::origin::ORIGIN;
use crate::report::{Fate, Report};

/// The error for a text that is not in the format that it should be in.
pub(crate) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidMessage, detail)
}

/// The one value of a text.
pub(crate) fn value(text: &str) -> Result<&RawValue, Error> {
    serde_json::from_str(text).map_err(|error| Error::new(ErrorKind::Damaged, format!("not JSON: {error}")))
}

/// The one value of a text, an object.
pub(crate) fn members<'a>(text: &'a str, what: &str) -> Result<Members<'a>, Error> {
    match Members::of_text(text) {
        Some(members) => Ok(members),
        None => value(text).and_then(|_| Err(invalid(format!("{what} is not an object")))),
    }
}

/// The elements of an array, or all values of a text that is not an array, and how many lines were
/// passed over because they are not JSON, such as a last one that is cut off.
pub(crate) fn lines(text: &str) -> (Vec<&RawValue>, usize) {
    let (mut all, mut bad, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<&RawValue>();
        while let Some(Ok(value)) = values.next() {
            all.push(value);
        }
        // Where the value begins that could not be read; the end of the text if all could.
        at += values.byte_offset();
        let blank = text[at..].len() - text[at..].trim_start().len();
        at += blank;
        bad += usize::from(at < text.len());
        at += text[at..].find('\n').map_or(text.len() - at, |line| line + 1);
    }
    if let [only] = &*all
        && only.get().starts_with('[')
    {
        return (turnwise::transcript::formats::elements(only), bad);
    }
    (all, bad)
}

/// Whether a file has one message per line, as far as its start shows.
pub(crate) fn is_log(head: &Head<'_>) -> bool {
    let holds_all = |first: turnwise::transcript::formats::Object<'_>| {
        const LISTS: &[&str] = &["messages", "contents", "conversations", "input", "items", "data"];
        LISTS.iter().any(|key| first.is_list(key)) && !first.has("role")
    };
    !head.is_array() && head.is_lines() && !head.first().is_some_and(holds_all)
}

/// Reports what a format without branches, summaries and members of other formats cannot say.
pub(crate) fn note_beside(transcript: &Transcript, format: &str, report: &mut Report) {
    let conversation = &transcript.conversation;
    let path = conversation.path();
    let off = conversation.items().filter(|item| !path.contains(item.id())).count();
    report.add_many(Fate::Dropped, "message on another branch", off, "the record");
    report.add_many(Fate::Dropped, "summary", conversation.summaries().count(), "the record");
    for (index, message) in conversation.messages().enumerate() {
        note_origin(message, index, format, report);
    }
}

/// Reports what was kept with a message for another format.
pub(crate) fn note_origin(message: &Message, index: usize, format: &str, report: &mut Report) {
    let Some(origin) = message.get(ORIGIN) else { return };
    for (name, _) in crate::blocks::look(origin).iter().flat_map(turnwise::transcript::formats::Object::iter) {
        if name != format {
            report.add(Fate::Dropped, &format!("detail of {name}"), format_args!("message {index}"));
        }
    }
}
