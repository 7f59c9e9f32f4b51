//! Messages as items of the Responses API.

use std::io::Write;

use turnwise::message::{Content, Part, RawJson};
use turnwise::transcript::formats::Object;
use turnwise::{Message, Role, ToolCall, Transcript};

use super::super::note_beside;
use super::{Conversations, NAME, Responses, write_tools};
use crate::blocks::{self, Block};
use crate::format::Writer;
use crate::members::{Members, Rest};
use crate::origin;
use crate::report::{Fate, Report};

/// Members that are kept of a conversation, and are not the API's.
const OF_FILE: &[&str] = &["form", "reversed", "after", "input_is_text", "tools", "tool_count"];

/// Members that are kept of an output, and are not the API's.
const OF_OUTPUT: &[&str] = &["parts", "layout", "type", "is_json", "no_content"];

/// The most items of one create of the Conversations API.
const MOST_ITEMS: usize = 20;

impl Writer for Responses {
    fn write(&self, transcript: &Transcript, _: bool, out: &mut dyn Write, report: &mut Report) -> std::io::Result<()> {
        note_beside(transcript, NAME, report);
        let kept = origin::of_file(transcript, NAME);
        let (instructions, mut items) = write_items(transcript, report);
        let text = |key: &str| kept.as_ref().and_then(|kept| kept.peek().text(key)).map(std::borrow::Cow::into_owned);
        let form = text("form").unwrap_or_else(|| "input".to_owned());
        if kept.as_ref().is_some_and(|kept| kept.is_true("reversed")) {
            items.reverse();
        }
        if form == "array" && instructions.is_none() && transcript.model.is_none() {
            return writeln!(out, "{}", RawJson::from(items).as_str());
        }
        let form = if form == "array" { "input" } else { &*form };
        let mut members: Vec<(&str, RawJson)> = Vec::new();
        members.extend(transcript.model.as_deref().map(|model| ("model", model.into())));
        members.extend(instructions.map(|text| ("instructions", text)));
        let is_text = kept.as_ref().is_some_and(|kept| kept.is_true("input_is_text"));
        let only = transcript.conversation.path().item(0).filter(|_| is_text && items.len() == 1);
        members.push((form, only.map_or_else(|| items.into(), |item| RawJson::from(&*item.message().text()))));
        let tools = blocks::kept_tools(kept.as_ref(), transcript.tools.len());
        let written = || (!transcript.tools.is_empty()).then(|| write_tools(&transcript.tools));
        members.extend(tools.or_else(written).map(|tools| ("tools", tools)));
        for (key, value) in transcript.extra.iter().filter(|(key, _)| !key.starts_with("turnwise")) {
            match &**key {
                "temperature" | "top_p" | "store" | "metadata" | "parallel_tool_calls" => {
                    members.push((key, value.clone()));
                }
                "max_completion_tokens" | "max_tokens" => members.push(("max_output_tokens", value.clone())),
                _ => report.add(Fate::Dropped, &format!("member `{key}` of the request"), "the body"),
            }
        }
        let rest: Rest = kept.map(|kept| kept.rest()).unwrap_or_default();
        let rest: Rest = rest.into_iter().filter(|(key, _)| !OF_FILE.contains(&&**key)).collect();
        writeln!(out, "{}", blocks::joined(members, &rest).as_str())
    }
}

impl Writer for Conversations {
    fn write(&self, transcript: &Transcript, _: bool, out: &mut dyn Write, report: &mut Report) -> std::io::Result<()> {
        note_beside(transcript, NAME, report);
        let (instructions, items) = write_items(transcript, report);
        let of_system = |text: RawJson| {
            let part = RawJson::object([("type", "input_text".into()), ("text", text)]);
            RawJson::object([("type", "message".into()), ("role", "system".into()), ("content", vec![part].into())])
        };
        let items: Vec<RawJson> = instructions.map(of_system).into_iter().chain(items).collect();
        let pairs = transcript.conversation.metadata().iter();
        let kept = origin::of_file(transcript, NAME).and_then(|kept| kept.peek().get("metadata").map(RawJson::from));
        let metadata = kept.unwrap_or_else(|| RawJson::object(pairs.map(|(key, value)| (key, RawJson::from(value)))));
        if !transcript.tools.is_empty() {
            report.add_many(Fate::Dropped, "tool definition", transcript.tools.len(), "the tools");
        }
        let mut first = Some(("metadata", metadata));
        let chunks = items.chunks(MOST_ITEMS).map(<[RawJson]>::to_vec);
        let empty = items.is_empty().then(Vec::new);
        for chunk in chunks.chain(empty) {
            let create = first.take().into_iter().chain([("items", chunk.into())]);
            writeln!(out, "{}", RawJson::object(create).as_str())?;
        }
        Ok(())
    }
}

/// The instructions that stand beside the items, and the items.
fn write_items(transcript: &Transcript, report: &mut Report) -> (Option<RawJson>, Vec<RawJson>) {
    let conversation = &transcript.conversation;
    let mut items = Vec::new();
    let mut instructions = None;
    let mut customs: Vec<String> = Vec::new();
    for (index, message) in conversation.messages().enumerate() {
        let kept = origin::of_message(message, NAME);
        let is_beside = kept.as_ref().is_some_and(|kept| kept.is_true("beside"));
        let is_alone =
            index == 0 && conversation.head().len() == 1 && kept.is_none() && *message.role() == Role::System;
        if instructions.is_none() && (is_beside || is_alone) {
            instructions = Some(RawJson::from(&*message.text()));
            continue;
        }
        for (key, _) in message.extra().filter(|(key, _)| *key != crate::ORIGIN) {
            if key != "reasoning_content" || kept.is_none() {
                report.add(Fate::Dropped, &format!("member `{key}` of a message"), format_args!("message {index}"));
            }
        }
        for call in message.tool_calls().iter().filter(|call| call.kind() == "custom") {
            customs.push(call.id().unwrap_or_default().to_owned());
        }
        write_message(&mut items, message, kept.as_ref(), &customs, index, report);
    }
    let after = origin::of_file(transcript, NAME);
    let after = after.iter().flat_map(|kept| kept.peek().objects("after").collect::<Vec<_>>());
    items.extend(after.filter_map(|entry| entry.get("kept").map(RawJson::from)));
    (instructions, items)
}

/// The items of one message.
pub(crate) fn write_one(message: &Message) -> Vec<RawJson> {
    let mut items = Vec::new();
    write_message(&mut items, message, origin::of_message(message, NAME).as_ref(), &[], 0, &mut Report::default());
    items
}

fn write_message(
    items: &mut Vec<RawJson>,
    message: &Message,
    kept: Option<&Members<'_>>,
    customs: &[String],
    index: usize,
    report: &mut Report,
) {
    let entries: Vec<Object<'_>> = kept.map(|kept| kept.peek().objects("layout").collect()).unwrap_or_default();
    let mut own = || match message.role() {
        // A message item may have the role of a tool.
        Role::Tool | Role::Function if !kept.is_some_and(|kept| kept.peek().has("item")) => {
            write_output(message, kept, customs, index, report)
        }
        _ => write_said(message, kept, index, report),
    };
    let of_calls = entries.iter().filter(|entry| entry.has("call")).count();
    let has_text = message.content().is_some_and(|content| !content.text().is_empty() || !content.parts().is_empty());
    let is_whole = of_calls == message.tool_calls().len()
        && (entries.iter().any(|entry| entry.has("text")) || !has_text || *message.role() != Role::Assistant);
    let kept_items = entries.iter().filter_map(|entry| entry.get("kept").map(RawJson::from));
    if *message.role() != Role::Assistant {
        items.extend(kept_items);
        items.push(own());
        return;
    }
    if entries.is_empty() || !is_whole {
        items.extend(kept_items);
        if has_text || !message.has_calls() {
            items.push(own());
        }
        items.extend(message.tool_calls().iter().map(|call| write_call(call, &Rest::new())));
        return;
    }
    let mut calls = message.tool_calls().iter();
    let mut said = Some(&mut own);
    for entry in &entries {
        if let Some(item) = entry.get("kept") {
            items.push(RawJson::from(item));
        } else if let Some(rest) = entry.get("call").and_then(Members::of) {
            items.extend(calls.next().map(|call| write_call(call, &rest.rest())));
        } else {
            items.extend(said.take().map(|own| own()));
        }
    }
}

fn write_call(call: &ToolCall, rest: &Rest) -> RawJson {
    let (kind, key) =
        if call.kind() == "custom" { ("custom_tool_call", "input") } else { ("function_call", "arguments") };
    let own: Block = vec![
        ("type", kind.into()),
        ("call_id", call.id().unwrap_or_default().into()),
        ("name", call.name().into()),
        (key, RawJson::from(&*call.arguments())),
    ];
    blocks::joined(own, rest)
}

fn write_output(
    message: &Message,
    kept: Option<&Members<'_>>,
    customs: &[String],
    index: usize,
    report: &mut Report,
) -> RawJson {
    let id = message.tool_call_id().or(message.name()).unwrap_or_default();
    let of_custom = customs.iter().any(|custom| custom == id);
    let kind = kept.and_then(|kept| kept.peek().text("type").map(std::borrow::Cow::into_owned));
    let usual = if of_custom { "custom_tool_call_output" } else { "function_call_output" };
    let output = match kept {
        Some(kept) if kept.is_true("no_content") => None,
        Some(kept) if kept.is_true("is_json") => RawJson::new(&message.text()).ok(),
        _ => Some(write_content(message, kept, "input_text", index, report)),
    };
    let mut own: Block = vec![("type", kind.as_deref().unwrap_or(usual).into()), ("call_id", id.into())];
    own.extend(output.map(|output| ("output", output)));
    let rest: Rest = kept.map(Members::rest).unwrap_or_default();
    blocks::joined(own, &rest.into_iter().filter(|(key, _)| !OF_OUTPUT.contains(&&**key)).collect())
}

fn write_said(message: &Message, kept: Option<&Members<'_>>, index: usize, report: &mut Report) -> RawJson {
    let kind = if *message.role() == Role::Assistant { "output_text" } else { "input_text" };
    let content = match kept {
        Some(kept) if kept.is_true("no_content") => None,
        // Without anything kept, content is written as parts, as the API itself lists it.
        None => {
            let mut parts = parts_of(message, kind, index, report);
            let refusal = message.refusal();
            parts.extend(
                refusal.map(|text| RawJson::object([("type", "refusal".into()), ("refusal", RawJson::from(text))])),
            );
            Some(parts.into())
        }
        Some(_) => Some(write_content(message, kept, kind, index, report)),
    };
    let mut own: Block = Vec::new();
    let item = kept.and_then(|kept| kept.peek().get("item")).and_then(Members::of).map(|item| item.rest());
    if item.is_none() {
        own.push(("type", "message".into()));
    }
    own.push(("role", message.role().as_str().into()));
    own.extend(content.map(|content| ("content", content)));
    blocks::joined(own, &item.unwrap_or_default())
}

fn parts_of(message: &Message, kind: &'static str, index: usize, report: &mut Report) -> Vec<RawJson> {
    blocks::write(message, None, |part| of_part(part, kind, index, report), |_| Block::new())
        .into_iter()
        .take(message.content().map_or(0, |content| content.parts().len().max(1)))
        .collect()
}

/// The content: a text as it is, parts with what was kept of each.
fn write_content(
    message: &Message,
    kept: Option<&Members<'_>>,
    kind: &'static str,
    index: usize,
    report: &mut Report,
) -> RawJson {
    let parts = match message.content() {
        None => return "".into(),
        Some(Content::Text(text)) => return RawJson::from(&**text),
        Some(content) => content.parts(),
    };
    let entries: Vec<Members<'_>> =
        kept.map(|kept| kept.peek().list("parts").into_iter().filter_map(Members::of).collect()).unwrap_or_default();
    let carried = entries.iter().filter(|entry| !entry.peek().has("kept")).count();
    let mut parts = parts.iter();
    if carried != parts.len() {
        let written: Vec<RawJson> =
            parts.filter_map(|part| Some(blocks::joined(of_part(part, kind, index, report)?, &Rest::new()))).collect();
        return written.into();
    }
    let mut written = Vec::new();
    for entry in &entries {
        if let Some(whole) = entry.peek().get("kept") {
            written.push(RawJson::from(whole));
        } else if let Some(block) = parts.next().and_then(|part| of_part(part, kind, index, report)) {
            let rest = entry.rest();
            let has_type = rest.iter().any(|(key, _)| key == "type");
            let own = block.into_iter().filter(|(key, _)| !(has_type && *key == "type")).collect();
            written.push(blocks::joined(own, &rest));
        }
    }
    written.into()
}

fn of_part(part: &Part, kind: &'static str, index: usize, report: &mut Report) -> Option<Block> {
    if let Some(text) = part.text() {
        return Some(vec![("type", kind.into()), ("text", text.into())]);
    }
    if let Some(refusal) = part.refusal() {
        return Some(vec![("type", "refusal".into()), ("refusal", refusal.into())]);
    }
    if let Some(image) = part.image_url() {
        let detail = image.detail.as_deref().map(|detail| ("detail", RawJson::from(detail)));
        let own = [("type", "input_image".into()), ("image_url", RawJson::from(&*image.url))];
        return Some(own.into_iter().chain(detail).collect());
    }
    if let Some(file) = part.get("file").and_then(blocks::look) {
        let members = ["filename", "file_data", "file_id"].into_iter();
        let members = members.filter_map(|key| Some((key, RawJson::from(file.get(key)?))));
        return Some([("type", "input_file".into())].into_iter().chain(members).collect());
    }
    report.add(Fate::Dropped, &format!("part of the type `{}`", part.kind()), format_args!("message {index}"));
    None
}
