//! `OpenAI`'s Responses and Conversations APIs: lists of items, requests, answers, and the creates of
//! at most 20 items by which a conversation is sent to the Conversations API.

use std::io::Write;

use serde_json::value::RawValue;
use turnwise::message::{Content, Part, RawJson};
use turnwise::transcript::formats::{Likelihood, Object};
use turnwise::{Error, Message, Role, Tool, ToolCall, Transcript};

use super::{invalid, is_log, lines, note_beside};
use crate::blocks::{self, Block};
use crate::draft::{Draft, Import};
use crate::format::{Division, Format, Found, Writer};
use crate::head::Head;
use crate::members::{Members, Rest, object, raw, readable, string};
use crate::origin::{self, with_origin};
use crate::report::{Fate, Report};
use crate::steps::with_reasoning;

pub(crate) const NAME: &str = "responses";

/// Members that are kept of a conversation, and are not the API's.
const OF_FILE: &[&str] = &["form", "reversed", "after", "input_is_text", "tools", "tool_count"];

/// Members that are kept of an output, and are not the API's.
const OF_OUTPUT: &[&str] = &["parts", "layout", "type", "is_json", "no_content"];

/// The most items of one create of the Conversations API.
const MOST_ITEMS: usize = 20;

/// The Responses API.
#[derive(Debug)]
pub(crate) struct Responses;

impl Format for Responses {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "OpenAI Responses or Conversations items"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "items such as `function_call` and messages with `input_text`, in an array, `data`, `input`, `output` or `items`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["input", "output", "data", "items", "instructions"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["responses", "responses-request"]
    }

    fn detect(&self, head: &Head<'_>) -> Option<Found> {
        let detected = head.detected().filter(|detected| self.recognised_as().contains(&detected.id()));
        let detected = detected.map(|detected| Found::new(detected.likelihood(), detected.sign()));
        let has_items = || {
            let first = head.first()?;
            let is_item = |item: Object<'_>| item.has("type") && item.has_any(&["role", "call_id", "summary"]);
            (!first.has("messages") && first.objects("items").any(is_item))
                .then(|| Found::new(Likelihood::Likely, "`items`"))
        };
        detected.or_else(has_items)
    }

    fn division(&self, head: &Head<'_>) -> Division {
        let is_creates = head.first().is_some_and(|first| first.is_list("items"));
        if is_log(head) || is_creates { Division::Whole } else { Division::Values }
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let (list, cut) = lines(text);
        let first = Members::of(list.first().ok_or_else(|| invalid("there is no item"))?);
        if first.as_ref().is_some_and(|first| first.peek().is_list("items")) {
            return read_creates(&list, out);
        }
        let mut reader = Reader::default();
        match first {
            Some(first) if list.len() == 1 && !first.peek().has("role") && !text.trim_start().starts_with('[') => {
                reader.body(first)?;
            }
            _ => {
                reader.form("array");
                reader.items(&list);
            }
        }
        let report = &mut reader.draft.report;
        report.add_many(Fate::Dropped, "line that is not JSON", cut, "the file");
        out.push(reader.finish(NAME)?);
        Ok(())
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Responses)
    }
}

/// A conversation as creates of the Conversations API.
#[derive(Debug)]
pub(crate) struct Conversations;

impl Format for Conversations {
    fn name(&self) -> &'static str {
        "conversations"
    }

    fn title(&self) -> &'static str {
        "OpenAI Conversations creates (lines of at most 20 items)"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl"]
    }

    fn needs(&self) -> &'static str {
        "lines with `items`"
    }

    fn detect(&self, _: &Head<'_>) -> Option<Found> {
        None
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Whole
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        Responses.read(text, out)
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Conversations)
    }
}

/// Lines with `items`: one with `metadata` begins a conversation.
fn read_creates(list: &[&RawValue], out: &mut Vec<Import>) -> Result<(), Error> {
    let mut current: Option<Reader> = None;
    for line in list {
        let mut line = Members::of(line).ok_or_else(|| invalid("a line is not an object"))?;
        let items = line.list("items").unwrap_or_default();
        if line.peek().has("metadata")
            && let Some(done) = current.take()
        {
            out.push(done.finish(NAME)?);
        }
        let reader = current.get_or_insert_with(Reader::default);
        if let Some(metadata) = line.object("metadata") {
            reader.draft.title = metadata.peek().text("title").map(std::borrow::Cow::into_owned);
            let metadata = metadata.rest();
            if !metadata.is_empty() {
                reader.draft.rest.push(("metadata".to_owned(), object(metadata)));
            }
        }
        reader.draft.rest.extend(line.rest());
        reader.items(&items);
    }
    out.extend(current.map(|reader| reader.finish(NAME)).transpose()?);
    Ok(())
}

/// Reads items one after the other. Calls that follow each other, with the message right before
/// them, become one message of the model.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) draft: Draft,
    /// Of the model's message that is being put together.
    text: Option<(Content, Rest, Rest)>,
    calls: Vec<ToolCall>,
    reasoning: String,
    layout: Vec<RawJson>,
    time: Option<turnwise::conversation::Timestamp>,
}

impl Reader {
    pub(crate) fn form(&mut self, form: &str) {
        self.draft.rest.push(("form".to_owned(), form.into()));
    }

    fn body(&mut self, mut body: Members<'_>) -> Result<(), Error> {
        self.draft.model = body.filled("model");
        if let Some(instructions) = body.filled("instructions") {
            let beside = vec![("beside".to_owned(), true.into())];
            self.draft.push([with_origin(Message::system(instructions), NAME, beside)], None);
        }
        let key = ["input", "output", "data", "messages"].into_iter().find(|key| body.peek().has(key));
        let key = key.ok_or_else(|| invalid("there is neither `input`, `output`, `data` nor `items`"))?;
        self.form(key);
        self.draft.id = body.peek().text("id").map(std::borrow::Cow::into_owned);
        let tools = body.raw("tools");
        match body.raw(key).map(|list| (list, string(list))) {
            Some((_, Some(text))) => {
                self.draft.push([Message::user(text)], None);
                self.draft.rest.push(("input_is_text".to_owned(), true.into()));
            }
            Some((list, None)) => self.items(&turnwise::transcript::formats::elements(list)),
            None => {}
        }
        self.draft.rest.extend(body.rest());
        for key in ["reasoning", "text", "tool_choice", "previous_response_id", "conversation", "max_output_tokens"] {
            if body.peek().has(key) {
                self.draft.report.add(Fate::Kept, &format!("`{key}` of the request"), "the body");
            }
        }
        if let Some(tools) = tools {
            let all = turnwise::transcript::formats::elements(tools);
            self.draft.tools = all.iter().filter_map(|tool| read_tool(tool)).collect();
            let others = all.len() - self.draft.tools.len();
            self.draft.report.add_many(Fate::Kept, "tool that only this API has", others, "the tools");
            blocks::keep_tools(&mut self.draft.rest, tools, &write_tools(&self.draft.tools), self.draft.tools.len());
        }
        Ok(())
    }

    /// Reads a list of items, oldest first or newest first.
    pub(crate) fn items(&mut self, list: &[&RawValue]) {
        let is_reversed = is_reversed(list);
        if is_reversed {
            self.draft.rest.push(("reversed".to_owned(), true.into()));
            for item in list.iter().rev() {
                self.item(item, None);
            }
        } else {
            for item in list {
                self.item(item, None);
            }
        }
    }

    /// Reads the next item.
    pub(crate) fn item(&mut self, whole: &RawValue, time: Option<turnwise::conversation::Timestamp>) {
        self.time = time.or(self.time);
        let Some(mut item) = Members::of(whole) else {
            return self.draft.note(Fate::Dropped, "value that is not an item");
        };
        let kind = item.peek().text("type").unwrap_or_default().into_owned();
        match &*kind {
            "message" | "" if item.peek().has("role") => self.message(item),
            "function_call" | "custom_tool_call" => {
                item.skip("type");
                let (id, name) = (item.text("call_id").unwrap_or_default(), item.text("name").unwrap_or_default());
                let call = if kind == "function_call" {
                    ToolCall::function(&id, &name, &item.raw("arguments").map(readable).unwrap_or_default())
                } else {
                    ToolCall::custom(&id, &name, &item.raw("input").map(readable).unwrap_or_default())
                };
                self.calls.push(call);
                self.layout.push(RawJson::object([("call", object(item.rest()))]));
            }
            "function_call_output" | "custom_tool_call_output" => self.output(item, &kind),
            "reasoning" => {
                // What follows the reasoning is a step of its own.
                if !self.calls.is_empty() || self.text.is_some() {
                    self.flush();
                }
                self.draft.note(Fate::Kept, "reasoning item");
                for list in ["summary", "content"] {
                    for text in item.peek().objects(list).filter_map(|part| part.text("text")) {
                        let gap = if self.reasoning.is_empty() { "" } else { "\n\n" };
                        self.reasoning.push_str(gap);
                        self.reasoning.push_str(&text);
                    }
                }
                self.layout.push(RawJson::object([("kept", RawJson::from(whole))]));
            }
            _ => {
                self.draft.note(Fate::Kept, &format!("`{kind}` item"));
                self.layout.push(RawJson::object([("kept", RawJson::from(whole))]));
            }
        }
    }

    fn message(&mut self, mut item: Members<'_>) {
        let role = item.text("role").unwrap_or_default().into_owned();
        let content = item.raw("content");
        let (content, layout) = self.content(content);
        let rest = item.rest();
        if role == "assistant" {
            if !self.calls.is_empty() || self.text.is_some() {
                self.flush();
            }
            self.layout.push(RawJson::object([("text", object(Rest::new()))]));
            self.text = Some((content, rest, layout));
            return;
        }
        self.flush();
        let mut rest: Rest = vec![("item".to_owned(), object(rest))];
        rest.extend(layout);
        rest.extend(self.before());
        self.draft.push([with_origin(Message::new(&*role, content), NAME, rest)], self.time);
    }

    /// Items that chat completions do not have, before the next message.
    fn before(&mut self) -> Option<(String, RawJson)> {
        let layout = std::mem::take(&mut self.layout);
        self.reasoning.clear();
        (!layout.is_empty()).then(|| ("layout".to_owned(), layout.into()))
    }

    /// The content of a message or an output, and what its parts say beside the text.
    fn content(&mut self, content: Option<&RawValue>) -> (Content, Rest) {
        let Some(content) = content else { return (Content::from(""), vec![("no_content".to_owned(), true.into())]) };
        if let Some(text) = string(content) {
            return (Content::from(text), Rest::new());
        }
        let (mut parts, mut layout) = (Vec::new(), Vec::new());
        for whole in turnwise::transcript::formats::elements(content) {
            let read = Members::of(whole).and_then(|mut part| Some((read_part(&mut part)?, part.rest())));
            if let Some((part, rest)) = read {
                parts.push(part);
                layout.push(object(rest));
            } else {
                let kind = Object::of(whole).and_then(|part| part.text("type").map(std::borrow::Cow::into_owned));
                self.draft.note(Fate::Kept, &format!("`{}` part", kind.unwrap_or_default()));
                layout.push(RawJson::object([("kept", RawJson::from(whole))]));
            }
        }
        (Content::from(parts), vec![("parts".to_owned(), layout.into())])
    }

    fn output(&mut self, mut item: Members<'_>, kind: &str) {
        self.flush();
        let id = item.text("call_id").unwrap_or_default();
        let output = item.raw("output");
        let is_other = output.is_some_and(|output| !output.get().starts_with(['"', '[']));
        let (content, layout) = if is_other {
            (Content::from(output.map(readable).unwrap_or_default()), vec![("is_json".to_owned(), true.into())])
        } else {
            self.content(output)
        };
        item.skip("type");
        let mut rest = item.rest();
        rest.extend(layout);
        if kind != "function_call_output" {
            rest.push(("type".to_owned(), kind.into()));
        }
        rest.extend(self.before());
        self.draft.push([with_origin(Message::tool(&id, content), NAME, rest)], self.time);
    }

    /// Ends the message of the model.
    pub(crate) fn flush(&mut self) {
        if self.calls.is_empty() && self.text.is_none() {
            return;
        }
        let (mut rest, mut content) = (Rest::new(), None);
        if let Some((said, item, layout)) = self.text.take() {
            rest.push(("item".to_owned(), object(item)));
            rest.extend(layout);
            content = Some(said);
        }
        let calls = std::mem::take(&mut self.calls);
        let message = match (calls.is_empty(), content) {
            (true, content) => Message::assistant(content.unwrap_or_else(|| Content::from(""))),
            (false, None) => Message::calls(calls),
            (false, Some(content)) => Message::calls(calls).with_content(content),
        };
        let message = with_reasoning(message, &std::mem::take(&mut self.reasoning));
        rest.extend(self.before());
        self.draft.push([with_origin(message, NAME, rest)], self.time);
    }

    pub(crate) fn finish(mut self, format: &str) -> Result<Import, Error> {
        self.flush();
        let after = self.before();
        self.draft.rest.extend(after.map(|(_, layout)| ("after".to_owned(), layout)));
        if self.draft.is_empty() && self.draft.rest.is_empty() {
            return Err(invalid("there is no item"));
        }
        Ok(self.draft.finish(format))
    }
}

/// Whether items are newest first: an output before its call, or an answer before the question.
fn is_reversed(list: &[&RawValue]) -> bool {
    let items: Vec<Object<'_>> = list.iter().filter_map(|item| Object::of(item)).collect();
    let call = |item: &&Object<'_>| item.is_one_of("type", &["function_call"]);
    if let Some(first) = items.iter().position(|item| call(&item)) {
        let id = items[first].text("call_id");
        let output =
            |item: &Object<'_>| item.is_one_of("type", &["function_call_output"]) && item.text("call_id") == id;
        return items[..first].iter().any(output);
    }
    let roles: Vec<String> =
        items.iter().filter_map(|item| item.text("role").map(std::borrow::Cow::into_owned)).collect();
    let is = |role: Option<&String>, name: &str| role.is_some_and(|role| role == name);
    is(roles.first(), "assistant") && is(roles.last(), "user") && items.iter().all(|item| item.has("id"))
}

/// A part of chat completions; `None` if they have none.
fn read_part(part: &mut Members<'_>) -> Option<Part> {
    let kind = part.peek().text("type")?.into_owned();
    match &*kind {
        "input_text" | "output_text" | "text" | "summary_text" => Some(Part::from_text(&part.text("text")?)),
        "refusal" => Some(Part::new("refusal", part.raw("refusal").map(RawJson::from)?)),
        "input_image" => {
            let url = part.text("image_url")?;
            let detail = part.text("detail").map(|detail| ("detail", RawJson::from(&*detail)));
            let image = RawJson::object([("url", RawJson::from(&*url))].into_iter().chain(detail));
            Some(Part::new("image_url", image))
        }
        "input_file" => {
            let file: Vec<(&str, RawJson)> = ["filename", "file_data", "file_id"]
                .into_iter()
                .filter_map(|key| Some((key, RawJson::from(part.raw(key)?))))
                .collect();
            (!file.is_empty()).then(|| Part::new("file", RawJson::object(file)))
        }
        _ => None,
    }
}

/// A function of this API as one of chat completions.
fn read_tool(tool: &RawValue) -> Option<Tool> {
    let mut tool = Members::of(tool)?;
    (tool.text("type")? == "function" && tool.peek().is_text("name")).then(|| {
        let function = object(tool.rest());
        Tool::new(RawJson::object([("type", "function".into()), ("function", function)]))
    })
}

fn write_tools(tools: &[Tool]) -> RawJson {
    let one = |tool: &Tool| {
        let function = Members::of(raw(tool.json()))?.object("function")?;
        Some(blocks::joined(vec![("type", "function".into())], &function.rest()))
    };
    tools.iter().filter_map(one).collect::<Vec<_>>().into()
}

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
        Role::Tool | Role::Function => write_output(message, kept, customs, index, report),
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
    let rest: Rest = kept.map(|kept| kept.rest()).unwrap_or_default();
    blocks::joined(own, &rest.into_iter().filter(|(key, _)| !OF_OUTPUT.contains(&&**key)).collect())
}

fn write_said(message: &Message, kept: Option<&Members<'_>>, index: usize, report: &mut Report) -> RawJson {
    let kind = if *message.role() == Role::Assistant { "output_text" } else { "input_text" };
    let content = match kept {
        Some(kept) if kept.is_true("no_content") => None,
        // Without anything kept, content is written as parts, as the API itself lists it.
        None => Some(parts_of(message, kind, index, report).into()),
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
