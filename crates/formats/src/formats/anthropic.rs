//! Anthropic's Messages API: request bodies, arrays of messages (as Cline saves them), answers.

use std::io::Write;

use serde_json::value::RawValue;
use turnwise::message::{Content, Part, RawJson};
use turnwise::{Error, Message, Role, Tool, ToolCall, Transcript};

use super::{invalid, is_log, lines, note_beside};
use crate::blocks::{self, Block, Blocks};
use crate::draft::{Draft, Import};
use crate::format::{Division, Format, Writer};
use crate::head::Head;
use crate::media;
use crate::members::{Members, Rest, present, raw, readable, string};
use crate::origin::{self, with_origin};
use crate::report::{Fate, Report};

pub(crate) const NAME: &str = "anthropic";

/// The Messages API.
#[derive(Debug)]
pub(crate) struct Anthropic;

impl Format for Anthropic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "Anthropic Messages conversation"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "`messages` beside `system`, or with blocks such as `tool_use`, `tool_result` or `thinking`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["messages", "system", "max_tokens"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["anthropic"]
    }

    fn division(&self, head: &Head<'_>) -> Division {
        if is_log(head) { Division::Whole } else { Division::Values }
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut draft = Draft::default();
        let (list, cut) = lines(text);
        let first = Members::of(list.first().ok_or_else(|| invalid("there is no message"))?);
        let is_body = list.len() == 1 && first.as_ref().is_some_and(|first| first.peek().is_list("messages"));
        if is_body {
            body(&mut draft, first.ok_or_else(|| invalid("the body is not an object"))?);
        } else {
            if text.trim_start().starts_with('[') {
                draft.rest.push(("form".to_owned(), "array".into()));
            }
            for message in &list {
                read_message(&mut draft, message);
            }
        }
        draft.report.add_many(Fate::Dropped, "line that is not JSON", cut, "the file");
        if draft.is_empty() && draft.rest.is_empty() {
            return Err(invalid("there is no message"));
        }
        out.push(draft.finish(NAME));
        Ok(())
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Anthropic)
    }
}

/// Members of a body that mean the same in chat completions.
const PARAMS: &[&str] = &["max_tokens", "temperature", "top_p", "stream"];

fn body(draft: &mut Draft, mut body: Members<'_>) {
    draft.model = body.filled("model");
    if let Some(system) = body.raw("system") {
        let system = system_message(draft, system);
        draft.push([system], None);
    }
    for key in PARAMS {
        if let Some(value) = body.raw(key) {
            draft.params.push(((*key).to_owned(), RawJson::from(value)));
        }
    }
    let tools = body.raw("tools");
    for message in body.list("messages").unwrap_or_default() {
        read_message(draft, message);
    }
    draft.rest.extend(body.rest());
    for key in ["tool_choice", "thinking", "stop_sequences"] {
        if body.peek().has(key) {
            draft.report.add(Fate::Kept, &format!("`{key}` of the request"), "the body");
        }
    }
    if let Some(tools) = tools {
        draft.tools = turnwise::transcript::formats::elements(tools).into_iter().filter_map(tool).collect();
        let all = turnwise::transcript::formats::elements(tools).len();
        draft.report.add_many(Fate::Kept, "tool that only this API has", all - draft.tools.len(), "the tools");
        blocks::keep_tools(&mut draft.rest, tools, &write_tools(&draft.tools), draft.tools.len());
    }
}

fn system_message(draft: &mut Draft, system: &RawValue) -> Message {
    if let Some(text) = string(system) {
        Message::system(text)
    } else {
        let (mut blocks, kept) = result_blocks(system);
        draft.report.add_many(Fate::Kept, "block of the instructions that is not text", kept, "`system`");
        let layout = blocks.layout();
        with_origin(Message::system(blocks.parts), NAME, layout.into_iter().collect())
    }
}

/// A function's definition; `None` for a tool that runs at the server.
fn tool(definition: &RawValue) -> Option<Tool> {
    let mut definition = Members::of(definition)?;
    let schema = definition.raw("input_schema")?;
    let description = definition.text("description");
    Some(Tool::function(&definition.text("name")?, description.as_deref().unwrap_or(""), RawJson::from(schema)))
}

fn write_tools(tools: &[Tool]) -> RawJson {
    let one = |tool: &Tool| {
        let mut definition = Members::of(raw(tool.json()))?;
        let mut function = definition.object("function")?;
        let empty = || RawJson::object([("type", RawJson::from("object"))]);
        let schema = function.raw("parameters").map_or_else(empty, RawJson::from);
        Some(present([
            ("name", function.raw("name").map(RawJson::from)),
            ("description", function.raw("description").map(RawJson::from)),
            ("input_schema", Some(schema)),
        ]))
    };
    tools.iter().filter_map(one).collect::<Vec<_>>().into()
}

/// Reads one message: results become messages of the role `tool`, before the rest of it.
pub(crate) fn read_message(draft: &mut Draft, message: &RawValue) {
    let messages = messages(draft, message);
    draft.push(messages, None);
}

/// The messages that one message becomes.
pub(crate) fn messages(draft: &mut Draft, message: &RawValue) -> Vec<Message> {
    let Some(mut message) = Members::of(message) else {
        draft.note(Fate::Dropped, "value that is not a message");
        return Vec::new();
    };
    let role = message.text("role").map_or_else(|| "user".to_owned(), std::borrow::Cow::into_owned);
    let content = message.raw("content");
    let text = content.and_then(string);
    let blocks = if text.is_some() { Vec::new() } else { message_blocks(content) };
    let read = read_blocks(draft, &blocks);
    let mut rest = message.rest();
    let mut all = read.results;
    let comes_after_results = draft_ends_with_result(draft);
    let is_only_results = !all.is_empty() && read.blocks.is_empty();
    if role == "assistant" && text.is_none() {
        all.push(read.blocks.assistant(NAME, rest));
    } else if !is_only_results {
        let mut blocks = read.blocks;
        rest.extend(blocks.layout());
        if role == "system" {
            // The API has instructions between messages too.
            rest.push(("role".to_owned(), "system".into()));
        }
        let content = text.map_or_else(|| Content::from(blocks.parts), Content::from);
        all.push(with_origin(Message::new(&*role, content), NAME, rest));
    } else if let Some(last) = all.pop() {
        all.push(with_more(last, rest));
    }
    if comes_after_results && role != "assistant" && !all.is_empty() {
        let first = all.remove(0);
        all.insert(0, with_more(first, vec![("apart".to_owned(), true.into())]));
    }
    all
}

fn draft_ends_with_result(draft: &Draft) -> bool {
    draft.last().is_some_and(Message::is_result)
}

/// A message with more members of the format.
fn with_more(message: Message, more: Rest) -> Message {
    let kept = origin::of_message(&message, NAME).map(|kept| kept.rest()).unwrap_or_default();
    with_origin(message, NAME, kept.into_iter().chain(more).collect())
}

fn message_blocks(content: Option<&RawValue>) -> Vec<&RawValue> {
    content.map(turnwise::transcript::formats::elements).unwrap_or_default()
}

/// The blocks of a message.
struct Read {
    blocks: Blocks,
    results: Vec<Message>,
}

fn read_blocks(draft: &mut Draft, list: &[&RawValue]) -> Read {
    let mut read = Read { blocks: Blocks::default(), results: Vec::new() };
    for whole in list {
        let Some(mut block) = Members::of(whole) else {
            read.blocks.part(Part::from_text(&readable(whole)), Vec::new());
            continue;
        };
        let kind = block.text("type").unwrap_or_default().into_owned();
        match &*kind {
            "tool_result" => {
                if !read.blocks.is_empty() {
                    draft.note(Fate::Changed, "text before a result of the same message (it comes after it)");
                }
                read.results.push(result(draft, block));
            }
            "tool_use" if block.peek().is_text("name") => {
                let (id, name) = (block.text("id").unwrap_or_default(), block.text("name").unwrap_or_default());
                let input = block.raw("input").map_or_else(|| "{}".into(), RawJson::from);
                let input = if input.as_str() == r#""{}""# { "{}" } else { input.as_str() };
                read.blocks.call(ToolCall::function(&id, &name, input), block.rest());
            }
            "thinking" => {
                draft.note(Fate::Kept, "thinking block");
                read.blocks.reason(&block.text("thinking").unwrap_or_default());
                read.blocks.kept(whole);
            }
            _ => content_block(draft, &mut read.blocks, whole, block, &kind),
        }
    }
    read
}

/// A block of text, a picture or a file; anything else is kept.
fn content_block(draft: &mut Draft, blocks: &mut Blocks, whole: &RawValue, mut block: Members<'_>, kind: &str) {
    let part = match kind {
        "text" => block.text("text").map(|text| Part::from_text(&text)),
        "image" | "document" => block.peek().object("source").and_then(|source| media_part(kind, &source)),
        _ => None,
    };
    if let Some(part) = part {
        block.skip("source");
        blocks.part(part, block.rest());
    } else {
        draft.note(Fate::Kept, &format!("`{kind}` block"));
        blocks.kept(whole);
    }
}

fn media_part(kind: &str, source: &turnwise::transcript::formats::Object<'_>) -> Option<Part> {
    match &*source.text("type")? {
        "base64" => {
            let url = media::data_url(&source.text("media_type")?, &source.text("data")?);
            Some(if kind == "image" { Part::image(&url) } else { media::file(&url, None) })
        }
        "url" if kind == "image" => Some(Part::image(&source.text("url")?)),
        _ => None,
    }
}

/// The result of a call.
fn result(draft: &mut Draft, mut block: Members<'_>) -> Message {
    let id = block.text("tool_use_id").unwrap_or_default();
    block.skip("type");
    let content = block.raw("content");
    let text = content.and_then(string);
    let (mut blocks, kept) = content.map(result_blocks).unwrap_or_default();
    draft.report.add_many(Fate::Kept, "picture or other block in a result", kept, "a result");
    if block.is_true("is_error") {
        draft.note(Fate::Kept, "mark of a failed call (`is_error`)");
    }
    let mut rest = block.rest();
    if content.is_none() {
        rest.push(("no_content".to_owned(), true.into()));
    }
    rest.extend(blocks.layout());
    let content = match text {
        Some(text) => Content::from(text),
        None if content.is_none() => Content::from(""),
        None => Content::from(blocks.parts),
    };
    with_origin(Message::tool(&id, content), NAME, rest)
}

/// The blocks of text of a result or of the instructions, and how many others were kept.
fn result_blocks(content: &RawValue) -> (Blocks, usize) {
    let (mut blocks, mut kept) = (Blocks::default(), 0);
    for whole in turnwise::transcript::formats::elements(content) {
        let block = Members::of(whole).filter(|block| block.peek().is_one_of("type", &["text"]));
        let text = block.and_then(|mut block| {
            block.skip("type");
            Some((block.text("text")?, block.rest()))
        });
        if let Some((text, rest)) = text {
            blocks.part(Part::from_text(&text), rest);
        } else {
            kept += 1;
            blocks.kept(whole);
        }
    }
    (blocks, kept)
}

impl Writer for Anthropic {
    fn write(&self, transcript: &Transcript, _: bool, out: &mut dyn Write, report: &mut Report) -> std::io::Result<()> {
        note_beside(transcript, NAME, report);
        let messages = write_messages(transcript, report);
        let kept = origin::of_file(transcript, NAME);
        let form = kept.as_ref().and_then(|kept| kept.peek().text("form"));
        let head = transcript.conversation.head();
        if form.as_deref() == Some("array") && head.is_empty() {
            return writeln!(out, "{}", RawJson::from(messages).as_str());
        }
        let mut members: Vec<(&str, RawJson)> = Vec::new();
        members.extend(transcript.model.as_deref().map(|model| ("model", model.into())));
        members.extend(write_system(head, report).map(|system| ("system", system)));
        members.push(("messages", messages.into()));
        let tools = blocks::kept_tools(kept.as_ref(), transcript.tools.len());
        let written = || (!transcript.tools.is_empty()).then(|| write_tools(&transcript.tools));
        members.extend(tools.or_else(written).map(|tools| ("tools", tools)));
        for (key, value) in transcript.extra.iter().filter(|(key, _)| !key.starts_with("turnwise")) {
            match &**key {
                key if PARAMS.contains(&key) => members.push((key, value.clone())),
                "max_completion_tokens" => members.push(("max_tokens", value.clone())),
                "stop" => members.push(("stop_sequences", listed(value))),
                _ => report.add(Fate::Dropped, &format!("member `{key}` of the request"), "the body"),
            }
        }
        let rest: Rest = kept.map(|kept| kept.rest()).unwrap_or_default();
        let rest: Rest =
            rest.into_iter().filter(|(key, _)| !matches!(&**key, "form" | "tools" | "tool_count")).collect();
        writeln!(out, "{}", blocks::joined(members, &rest).as_str())
    }
}

fn listed(value: &RawJson) -> RawJson {
    if value.as_str().starts_with('[') { value.clone() } else { vec![value.clone()].into() }
}

fn write_system(head: &[Message], report: &mut Report) -> Option<RawJson> {
    match head {
        [] => None,
        [one] if matches!(one.content(), Some(Content::Text(_))) => Some(RawJson::from(&*one.text())),
        several => {
            let blocks = several.iter().enumerate().flat_map(|(index, message)| {
                let kept = origin::of_message(message, NAME);
                blocks::write(message, kept.as_ref(), |part| of_part(part, index, report), of_call)
            });
            Some(blocks.collect::<Vec<_>>().into())
        }
    }
}

/// The messages: results go into the next message of the user.
fn write_messages(transcript: &Transcript, report: &mut Report) -> Vec<RawJson> {
    let mut out: Vec<(String, RawJson, Rest)> = Vec::new();
    let mut results: Vec<RawJson> = Vec::new();
    let mut pending: Rest = Rest::new();
    let head = transcript.conversation.head().len();
    for (index, message) in transcript.conversation.path().messages().enumerate().map(|(at, m)| (at + head, m)) {
        let kept = origin::of_message(message, NAME);
        let is_apart = kept.as_ref().is_some_and(|kept| kept.is_true("apart"));
        if (is_apart || *message.role() == Role::Assistant) && !results.is_empty() {
            out.push(("user".to_owned(), std::mem::take(&mut results).into(), std::mem::take(&mut pending)));
        }
        if message.is_result() {
            results.push(write_result(message, kept.as_ref(), index, report));
            pending.extend(kept.map(|kept| of_message(&kept)).unwrap_or_default());
            continue;
        }
        for (key, _) in message.extra().filter(|(key, _)| *key != crate::ORIGIN) {
            if key != "reasoning_content" || kept.is_none() {
                report.add(Fate::Dropped, &format!("member `{key}` of a message"), format_args!("message {index}"));
            }
        }
        let blocks = blocks::write(message, kept.as_ref(), |part| of_part(part, index, report), of_call);
        let is_plain = matches!(message.content(), Some(Content::Text(_))) && !message.has_calls();
        let has_layout = kept.as_ref().is_some_and(|kept| kept.peek().is_list("layout"));
        let content = if is_plain && results.is_empty() && !has_layout {
            RawJson::from(&*message.text())
        } else {
            std::mem::take(&mut results).into_iter().chain(blocks).collect::<Vec<_>>().into()
        };
        let role = match message.role() {
            Role::Assistant => "assistant",
            Role::User => "user",
            Role::System if kept.as_ref().is_some_and(|kept| kept.peek().has("role")) => "system",
            other => {
                report.add(
                    Fate::Changed,
                    &format!("message of the role `{other}` (it becomes the user's)"),
                    format_args!("message {index}"),
                );
                "user"
            }
        };
        out.push((role.to_owned(), content, kept.map(|kept| of_message(&kept)).unwrap_or_default()));
    }
    if !results.is_empty() {
        out.push(("user".to_owned(), results.into(), pending));
    }
    let one = |(role, content, rest): (String, RawJson, Rest)| {
        blocks::joined(vec![("role", RawJson::from(&role)), ("content", content)], &rest)
    };
    out.into_iter().map(one).collect()
}

/// The members that were kept of a message itself, and not of its blocks.
fn of_message(kept: &Members<'_>) -> Rest {
    const OF_BLOCKS: &[&str] = &["layout", "apart", "no_content", "is_error", "cache_control"];
    kept.rest().into_iter().filter(|(key, _)| !OF_BLOCKS.contains(&&**key)).collect()
}

fn write_result(message: &Message, kept: Option<&Members<'_>>, index: usize, report: &mut Report) -> RawJson {
    let has_layout = kept.is_some_and(|kept| kept.peek().is_list("layout"));
    let content = match message.content() {
        _ if kept.is_some_and(|kept| kept.is_true("no_content")) => None,
        Some(Content::Text(text)) if !has_layout => Some(RawJson::from(&**text)),
        _ => Some(blocks::write(message, kept, |part| of_part(part, index, report), of_call).into()),
    };
    let id = message.tool_call_id().or(message.name()).unwrap_or_default();
    let own: Block = [
        Some(("type", RawJson::from("tool_result"))),
        Some(("tool_use_id", RawJson::from(id))),
        content.map(|content| ("content", content)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let of_block = |kept: &Members<'_>| {
        let is_its = |key: &str| matches!(key, "is_error" | "cache_control");
        kept.rest().into_iter().filter(|(key, _)| is_its(key)).collect::<Rest>()
    };
    blocks::joined(own, &kept.map(of_block).unwrap_or_default())
}

fn of_call(call: &ToolCall) -> Block {
    vec![
        ("type", "tool_use".into()),
        ("id", call.id().unwrap_or_default().into()),
        ("name", call.name().into()),
        ("input", blocks::arguments(call)),
    ]
}

fn of_part(part: &Part, index: usize, report: &mut Report) -> Option<Block> {
    if let Some(text) = part.text() {
        return Some(vec![("type", "text".into()), ("text", text.into())]);
    }
    let source = |url: &str| match media::split(url) {
        Some((kind, data)) => {
            RawJson::object([("type", "base64".into()), ("media_type", kind.into()), ("data", RawJson::from(data))])
        }
        None => RawJson::object([("type", "url".into()), ("url", RawJson::from(url))]),
    };
    if let Some(image) = part.image_url() {
        return Some(vec![("type", "image".into()), ("source", source(&image.url))]);
    }
    let file = part.get("file").and_then(blocks::look).and_then(|file| file.text("file_data"));
    if let Some(file) = file {
        return Some(vec![("type", "document".into()), ("source", source(&file))]);
    }
    report.add(Fate::Dropped, &format!("part of the type `{}`", part.kind()), format_args!("message {index}"));
    None
}
