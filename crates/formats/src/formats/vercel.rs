//! The Vercel AI SDK: UI messages of versions 4 and 5, and model messages.

use std::borrow::Cow;

use serde_json::value::RawValue;
use turnwise::message::{Part, RawJson};
use turnwise::transcript::formats::Object;
use turnwise::{Error, Message};

use super::{invalid, is_log, lines};
use crate::draft::{Draft, Import};
use crate::format::{Division, Format};
use crate::head::Head;
use crate::members::{Members, Rest, readable};
use crate::origin::with_origin;
use crate::report::Fate;
use crate::steps::Steps;
use crate::time::time;

const NAME: &str = "vercel";

/// Messages of the Vercel AI SDK.
#[derive(Debug)]
pub(crate) struct Vercel;

impl Format for Vercel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "Vercel AI SDK messages"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "messages with `parts`, `toolInvocations` or `tool-call` parts"
    }

    fn members(&self) -> &'static [&'static str] {
        &["role", "parts", "toolInvocations"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["ui-messages", "model-messages"]
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
                draft.id =
                    body.peek().text("id").or_else(|| body.peek().text("chatId")).map(std::borrow::Cow::into_owned);
                draft.title = body.peek().text("title").map(std::borrow::Cow::into_owned);
                draft.rest = body.rest();
                for message in messages {
                    read_message(&mut draft, message);
                }
            }
            _ => list.iter().for_each(|message| read_message(&mut draft, message)),
        }
        draft.report.add_many(Fate::Dropped, "line that is not JSON", cut, "the file");
        if draft.is_empty() {
            return Err(invalid("there are no messages with `parts`"));
        }
        out.push(draft.finish(NAME));
        Ok(())
    }
}

fn read_message(draft: &mut Draft, whole: &RawValue) {
    let Some(mut message) = Members::of(whole) else {
        return draft.note(Fate::Dropped, "value that is not a message");
    };
    let when = message.raw("createdAt").and_then(time);
    let role = message.text("role").unwrap_or_default().into_owned();
    let mut steps = Steps::new(NAME);
    steps.join_calls();
    let mut kept = Vec::new();
    let parts = message.list("parts").or_else(|| message.list("content"));
    let invocations = message.list("toolInvocations").unwrap_or_default();
    let text = message.text("content");
    for part in parts.iter().flatten() {
        read_part(draft, &mut steps, part, &mut kept);
    }
    let has_calls = parts.iter().flatten().any(|part| Object::of(part).is_some_and(|part| is_tool(&part)));
    // In version 4 the calls are beside the text, and in its later releases in `parts` too.
    for invocation in invocations.iter().filter(|_| !has_calls) {
        if let Some(call) = Members::of(invocation) {
            invoke(draft, &mut steps, call, None);
        }
    }
    let text = text.filter(|text| !text.is_empty());
    let texts = texts(parts.as_deref().unwrap_or_default());
    let other_text = match text {
        Some(text) if texts.is_empty() => {
            steps.text(&text);
            None
        }
        // The text of the parts once more, as version 4 has it.
        Some(text) if text == texts.concat() || texts.contains(&text) => None,
        other => other,
    };
    if let Some(thought) = message.filled("reasoning") {
        draft.note(Fate::Kept, "reasoning");
        steps.reasoning(&thought);
    }
    for file in message.list("experimental_attachments").unwrap_or_default() {
        if let Some(file) = Members::of(file) {
            attach(draft, &mut steps, file, file_url, &mut kept);
        }
    }
    let mut rest = message.rest();
    if let Some(text) = other_text {
        draft.note(Fate::Kept, "`content` with another text than the parts");
        rest.push(("content".to_owned(), RawJson::from(&*text)));
    }
    if !kept.is_empty() {
        rest.push(("parts".to_owned(), kept.into()));
    }
    let messages = match &*role {
        "assistant" => {
            steps.keep(rest);
            steps.take()
        }
        "tool" => steps.take(),
        _ => {
            let said = steps.take();
            let content = said.first().and_then(|first| first.content().cloned()).unwrap_or_else(|| "".into());
            let role = if role.is_empty() { "user" } else { &*role };
            vec![with_origin(Message::new(role, content), NAME, rest)]
        }
    };
    draft.push(messages, when);
}

/// The texts of the parts.
fn texts<'a>(parts: &[&'a RawValue]) -> Vec<Cow<'a, str>> {
    let parts = parts.iter().filter_map(|part| Object::of(part));
    parts.filter(|part| part.is_one_of("type", &["text"])).map(|part| part.text("text").unwrap_or_default()).collect()
}

fn is_tool(part: &Object<'_>) -> bool {
    let kind = part.text("type").unwrap_or_default();
    kind.starts_with("tool-") || kind == "dynamic-tool"
}

fn read_part(draft: &mut Draft, steps: &mut Steps, whole: &RawValue, kept: &mut Vec<RawJson>) {
    let Some(mut part) = Members::of(whole) else { return kept.push(RawJson::from(whole)) };
    let kind = part.text("type").unwrap_or_default().into_owned();
    match &*kind {
        "text" => {
            steps.text(&part.text("text").unwrap_or_default());
            part.skip("state");
        }
        "reasoning" => {
            draft.note(Fate::Kept, "reasoning part");
            let text = part.text("text").or_else(|| part.text("reasoning")).unwrap_or_default();
            steps.reasoning(&text);
            part.skip("state");
        }
        "step-start" => {
            if !steps.is_blank() || steps.has_results() {
                steps.flush();
            }
            return;
        }
        "tool-invocation" => {
            if let Some(call) = part.object("toolInvocation") {
                invoke(draft, steps, call, None);
            }
        }
        "tool-call" => {
            let id = part.text("toolCallId");
            let input = part.raw("input").or_else(|| part.raw("args")).map_or_else(|| "{}".to_owned(), readable);
            steps.call(id.as_deref(), &part.text("toolName").unwrap_or_default(), &input);
        }
        "tool-result" => {
            let id = part.text("toolCallId");
            let name = part.text("toolName");
            let output = part.raw("output").or_else(|| part.raw("result")).map(output).unwrap_or_default();
            // In model messages the call is in another message.
            let _ = steps.result(id.as_deref(), name.as_deref(), output, part.rest());
            return;
        }
        "dynamic-tool" => return invoke(draft, steps, part, None),
        "file" => return attach(draft, steps, part, file_url, kept),
        "image" => return attach(draft, steps, part, image_url, kept),
        name if name.starts_with("tool-") => {
            let name = name.trim_start_matches("tool-").to_owned();
            return invoke(draft, steps, part, Some(name));
        }
        _ => {
            draft.note(Fate::Kept, &format!("`{kind}` part"));
            return kept.push(RawJson::from(whole));
        }
    }
    let rest = part.rest();
    if !rest.is_empty() {
        kept.push(crate::blocks::joined(vec![("type", RawJson::from(&*kind))], &rest));
    }
}

/// The result of a model message: its value.
fn output(output: &RawValue) -> String {
    let value = Object::of(output).filter(|output| output.has("type")).and_then(|output| output.get("value"));
    readable(value.unwrap_or(output))
}

/// A call with its result, if there is one yet.
fn invoke(draft: &mut Draft, steps: &mut Steps, mut call: Members<'_>, name: Option<String>) {
    let id = call.text("toolCallId");
    let name = name.or_else(|| call.text("toolName").map(std::borrow::Cow::into_owned)).unwrap_or_default();
    let input = call.raw("input").or_else(|| call.raw("args")).map_or_else(|| "{}".to_owned(), readable);
    let state = call.peek().text("state").unwrap_or_default().into_owned();
    let output = call.raw("output").or_else(|| call.raw("result")).map(readable);
    let error = call.text("errorText").map(|error| {
        draft.note(Fate::Kept, "mark of a failed call");
        error.into_owned()
    });
    let id = steps.call(id.as_deref(), &name, &input);
    let denied = (state == "output-denied").then(|| {
        draft.note(Fate::Changed, "call that was denied (its result says so)");
        "denied".to_owned()
    });
    let mut rest = call.rest();
    rest.retain(|(key, value)| key != "type" && value.as_str() != "null");
    let usual = matches!(&*state, "output-available" | "result");
    rest.retain(|(key, _)| !(usual && key == "state"));
    if let Some(text) = output.or(error).or(denied) {
        // The call was added right before.
        let _ = steps.result(Some(&id), Some(&name), text, rest);
    } else {
        draft.note(Fate::Changed, "call without a result");
        steps.keep(rest.into_iter().map(|(key, value)| (format!("{id}.{key}"), value)).collect());
    }
}

fn file_url(file: &Object<'_>) -> Option<(String, String)> {
    let kind = file.text("mediaType").or_else(|| file.text("mimeType")).or_else(|| file.text("contentType"))?;
    let url = match file.text("url") {
        Some(url) => url.into_owned(),
        None => crate::media::data_url(&kind, &file.text("data")?),
    };
    Some((kind.into_owned(), url))
}

fn image_url(file: &Object<'_>) -> Option<(String, String)> {
    Some(("image/".to_owned(), file.text("image")?.into_owned()))
}

/// A picture or a file; one that is somewhere else than in the message is kept.
fn attach(
    draft: &mut Draft,
    steps: &mut Steps,
    mut file: Members<'_>,
    url: fn(&Object<'_>) -> Option<(String, String)>,
    kept: &mut Vec<RawJson>,
) {
    let name = file.peek().text("filename").or_else(|| file.peek().text("name"));
    match url(file.peek()) {
        Some((kind, url)) if kind.starts_with("image/") => {
            steps.part(Part::image(&url));
            for key in ["url", "image", "data"] {
                file.skip(key);
            }
            kept.push(crate::members::object(file.rest()));
        }
        Some((_, url)) if url.starts_with("data:") => steps.part(crate::media::file(&url, name.as_deref())),
        _ => {
            draft.note(Fate::Kept, "file by its address");
            let rest: Rest = file.rest();
            kept.push(crate::members::object(rest));
        }
    }
}
