//! `LangChain`: `messages_to_dict`, `dumpd`, and messages with a `type` instead of a `role`.

use serde_json::value::RawValue;
use turnwise::message::{Content, Part, RawJson};
use turnwise::transcript::formats::Object;
use turnwise::{Error, Message, ToolCall};

use super::{invalid, is_log, lines};
use crate::draft::{Draft, Import};
use crate::format::{Division, Format};
use crate::head::Head;
use crate::members::{Members, Rest, readable, string};
use crate::origin::with_origin;
use crate::report::Fate;
use crate::steps;

const NAME: &str = "langchain";

/// `LangChain`'s messages.
#[derive(Debug)]
pub(crate) struct LangChain;

impl Format for LangChain {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "LangChain messages"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "messages with `type` and `data`, with `lc` and `kwargs`, or with the type `human` or `ai`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["type", "data", "lc", "kwargs"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["langchain"]
    }

    fn division(&self, head: &Head<'_>) -> Division {
        if is_log(head) { Division::Whole } else { Division::Values }
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let (list, cut) = lines(text);
        let mut draft = Draft::default();
        let body = list.first().filter(|_| list.len() == 1).and_then(|only| Members::of(only));
        match body {
            Some(mut body) if body.peek().is_list("messages") => {
                let messages = body.list("messages").unwrap_or_default();
                draft.model = body.filled("model");
                draft.rest = body.rest();
                for message in messages {
                    read_message(&mut draft, message);
                }
            }
            _ => list.iter().for_each(|message| read_message(&mut draft, message)),
        }
        draft.report.add_many(Fate::Dropped, "line that is not JSON", cut, "the file");
        if draft.is_empty() {
            return Err(invalid("there are no messages with `type` and `data`"));
        }
        out.push(draft.finish(NAME));
        Ok(())
    }
}

fn read_message(draft: &mut Draft, whole: &RawValue) {
    let Some(mut envelope) = Members::of(whole) else {
        return draft.note(Fate::Dropped, "value that is not a message");
    };
    let class = envelope.peek().list("id").last().and_then(|class| string(class));
    let (data, kind) = if let Some(kwargs) = envelope.object("kwargs") {
        let kind = kwargs.peek().text("type").map(std::borrow::Cow::into_owned);
        (kwargs, kind.or(class))
    } else {
        let kind = envelope.peek().text("type").or_else(|| envelope.peek().text("role"));
        let kind = kind.map(std::borrow::Cow::into_owned);
        match envelope.object("data") {
            Some(data) => (data, kind),
            None => (envelope, kind),
        }
    };
    message(draft, data, &kind.unwrap_or_default());
}

fn message(draft: &mut Draft, mut data: Members<'_>, kind: &str) {
    let kind = kind.trim_end_matches("Chunk").trim_end_matches("Message").to_lowercase();
    for key in ["type", "role"] {
        if key != "role" || kind != "chat" {
            data.skip(key);
        }
    }
    let name = data.filled("name");
    let (content, kept) = content(draft, data.raw("content"));
    let message = match &*kind {
        "human" | "user" => Message::user(content),
        "system" => Message::system(content),
        "developer" => Message::developer(content),
        "ai" | "assistant" => {
            let calls = calls(draft, &mut data);
            let reasoning = data
                .peek()
                .object("additional_kwargs")
                .and_then(|more| more.text("reasoning_content").map(std::borrow::Cow::into_owned));
            let is_silent = content.text().is_empty() && content.parts().is_empty();
            let message = match (calls.is_empty(), is_silent) {
                (true, _) => Message::assistant(content),
                (false, true) => Message::calls(calls),
                (false, false) => Message::calls(calls).with_content(content),
            };
            steps::with_reasoning(message, &reasoning.unwrap_or_default())
        }
        "tool" => {
            if data.peek().is_one_of("status", &["error"]) {
                draft.note(Fate::Kept, "mark of a failed call (`status`)");
            }
            if data.peek().has("artifact") {
                draft.note(Fate::Kept, "artifact of a result");
            }
            Message::tool(&data.text("tool_call_id").unwrap_or_default(), content)
        }
        "function" => Message::new("function", content),
        "remove" => return draft.note(Fate::Dropped, "mark that removes a message"),
        "chat" => Message::new(&*data.text("role").unwrap_or_else(|| "user".into()), content),
        other => {
            draft.note(Fate::Changed, &format!("message of the type `{other}` (it becomes the user's)"));
            Message::user(content)
        }
    };
    let message = match name {
        Some(name) => message.with_name(&name),
        None => message,
    };
    let mut rest = data.rest();
    rest.retain(|(_, value)| !matches!(value.as_str(), "null" | "{}" | "[]" | "false"));
    rest.extend(kept);
    draft.push([with_origin(message, NAME, rest)], None);
}

/// The content: a text, or texts and blocks.
fn content(draft: &mut Draft, content: Option<&RawValue>) -> (Content, Rest) {
    let Some(content) = content else { return (Content::from(""), Rest::new()) };
    if let Some(text) = string(content) {
        return (Content::from(text), Rest::new());
    }
    let (mut parts, mut kept): (Vec<Part>, Vec<RawJson>) = (Vec::new(), Vec::new());
    for block in turnwise::transcript::formats::elements(content) {
        let object = Object::of(block);
        let kind = object.as_ref().and_then(|object| object.text("type").map(std::borrow::Cow::into_owned));
        let part = match (kind.as_deref(), &object) {
            (_, None) => Some(Part::from_text(&readable(block))),
            (Some("text"), Some(object)) => object.text("text").map(|text| Part::from_text(&text)),
            (Some("image_url" | "input_audio" | "file"), _) => serde_json::from_str(block.get()).ok(),
            // The calls are in `tool_calls` too.
            (Some("tool_use"), _) => {
                kept.push(RawJson::from(block));
                continue;
            }
            (Some("image"), Some(object)) => image(object),
            _ => None,
        };
        if let Some(part) = part {
            parts.push(part);
        } else {
            draft.note(Fate::Kept, &format!("`{}` block", kind.unwrap_or_default()));
            kept.push(RawJson::from(block));
        }
    }
    let kept = (!kept.is_empty()).then(|| ("blocks".to_owned(), kept.into()));
    (steps::content(parts, true), kept.into_iter().collect())
}

fn image(block: &Object<'_>) -> Option<Part> {
    if let Some(url) = block.text("url") {
        return Some(Part::image(&url));
    }
    let source = block.object("source");
    let data = block.text("data").or_else(|| block.text("base64")).or_else(|| source.as_ref()?.text("data"))?;
    let kind = block.text("mime_type").or_else(|| source.as_ref()?.text("media_type"))?;
    Some(crate::media::part(&kind, &data, None))
}

/// The calls: those of `tool_calls`, or the raw ones of older files.
fn calls(draft: &mut Draft, data: &mut Members<'_>) -> Vec<ToolCall> {
    let one = |call: &RawValue| {
        let call = Object::of(call)?;
        let arguments = call.get("args").map_or_else(|| "{}".to_owned(), readable);
        Some(ToolCall::function(&call.text("id").unwrap_or_default(), &call.text("name")?, &arguments))
    };
    let mut calls: Vec<ToolCall> = data.list("tool_calls").unwrap_or_default().into_iter().filter_map(one).collect();
    // What was wrong with them stays in the rest.
    let invalid = data.peek().list("invalid_tool_calls");
    if invalid.is_empty() {
        data.skip("invalid_tool_calls");
    }
    let invalid: Vec<ToolCall> = invalid.into_iter().filter_map(one).collect();
    if !invalid.is_empty() {
        draft.note(Fate::Changed, "call with invalid arguments (it becomes one of the calls)");
        calls.extend(invalid);
    }
    if calls.is_empty() {
        let older = data.peek().object("additional_kwargs").map(|more| more.list("tool_calls")).unwrap_or_default();
        calls.extend(older.into_iter().filter_map(|call| serde_json::from_str::<ToolCall>(call.get()).ok()));
    }
    calls
}
