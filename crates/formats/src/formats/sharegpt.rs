//! `ShareGPT`: `conversations` of `from` and `value`, with calls and tools as LLaMA-Factory has them.

use std::io::Write;

use serde_json::value::RawValue;
use turnwise::message::{Content, RawJson};
use turnwise::transcript::formats::{Object, elements};
use turnwise::{Error, Message, Role, Tool, ToolCall, Transcript};

use super::{invalid, members, note_beside};
use crate::blocks;
use crate::draft::{Draft, Import};
use crate::format::{Format, Writer};
use crate::members::{Members, Rest, raw, readable};
use crate::origin::{self, with_origin};
use crate::report::{Fate, Report};

const NAME: &str = "sharegpt";

/// `ShareGPT`.
#[derive(Debug)]
pub(crate) struct ShareGpt;

impl Format for ShareGpt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "ShareGPT file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "`conversations` with `from` and `value`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["conversations"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["sharegpt"]
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut whole = members(text, "a conversation")?;
        let mut draft = Draft::named(whole.peek().text("id"));
        let key = if whole.peek().is_list("conversations") { "conversations" } else { "conversation" };
        let turns = whole.list(key).ok_or_else(|| invalid("there are no `conversations`"))?;
        if let Some(system) = whole.text("system") {
            let message = Message::system(&*system);
            draft.push([with_origin(message, NAME, vec![("beside".to_owned(), true.into())])], None);
        }
        if let Some(tools) = whole.raw("tools") {
            draft.tools = read_tools(tools);
            draft.rest.push(("tool_count".to_owned(), draft.tools.len().into()));
            draft.rest.push(("tools".to_owned(), RawJson::from(tools)));
        }
        let mut calls = Calls::default();
        for turn in turns {
            read_turn(&mut draft, turn, &mut calls);
        }
        draft.rest.extend(whole.rest());
        if key == "conversation" {
            draft.rest.push(("form".to_owned(), key.into()));
        }
        out.push(draft.finish(NAME));
        Ok(())
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&ShareGpt)
    }
}

/// The calls that wait for their results, and how many ids were made.
#[derive(Default)]
struct Calls {
    open: Vec<String>,
    made: usize,
}

fn read_turn(draft: &mut Draft, turn: &RawValue, calls: &mut Calls) {
    let Some(mut turn) = Members::of(turn) else {
        return draft.note(Fate::Dropped, "turn that is not an object");
    };
    let from = turn.text("from").unwrap_or_default().into_owned();
    let value = turn.raw("value").map(readable).unwrap_or_default();
    let usual = match &*from {
        "human" | "gpt" | "system" | "function_call" | "observation" => None,
        other => Some(("from".to_owned(), RawJson::from(other))),
    };
    let rest: Rest = usual.into_iter().chain(turn.rest()).collect();
    let messages = match &*from {
        "human" | "user" => vec![with_origin(Message::user(&*value), NAME, rest)],
        "system" => vec![with_origin(Message::system(&*value), NAME, rest)],
        "function_call" => vec![function_call(draft, &value, rest, calls)],
        "observation" | "tool" => observation(draft, &value, &rest, calls),
        "gpt" | "assistant" | "chatgpt" | "bing" | "bard" | "model" => {
            vec![with_origin(Message::assistant(&*value), NAME, rest)]
        }
        _ => {
            draft.note(Fate::Changed, &format!("turn of `{from}` (it becomes the model's)"));
            vec![with_origin(Message::assistant(&*value), NAME, rest)]
        }
    };
    draft.push(messages, None);
}

fn function_call(draft: &mut Draft, value: &str, mut rest: Rest, calls: &mut Calls) -> Message {
    let parsed = serde_json::from_str::<&RawValue>(value).ok();
    let list: Vec<&RawValue> = match parsed {
        Some(list) if list.get().starts_with('[') => elements(list),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    calls.open.clear();
    let mut read = Vec::new();
    for call in list.into_iter().filter_map(Object::of) {
        let Some(name) = call.text("name") else { continue };
        calls.made += 1;
        let id = format!("call_{}", calls.made);
        let arguments =
            call.get("arguments").or_else(|| call.get("parameters")).map_or_else(|| "{}".to_owned(), readable);
        read.push(ToolCall::function(&id, &name, &arguments));
        calls.open.push(id);
    }
    if read.is_empty() {
        draft.note(Fate::Changed, "call that is not JSON with a `name` (it stays a text)");
        rest.push(("from".to_owned(), "function_call".into()));
        return with_origin(Message::assistant(value), NAME, rest);
    }
    let message = Message::calls(read);
    if write_call(&message) != value {
        rest.push(("value".to_owned(), value.into()));
    }
    with_origin(message, NAME, rest)
}

/// The results of the open calls: an observation has one, or a list with one for each call.
fn observation(draft: &mut Draft, value: &str, rest: &Rest, calls: &mut Calls) -> Vec<Message> {
    let open = std::mem::take(&mut calls.open);
    if open.len() <= 1 {
        let id = open.into_iter().next().unwrap_or_else(|| {
            draft.note(Fate::Changed, "observation without a call");
            calls.made += 1;
            format!("call_{}", calls.made)
        });
        return vec![with_origin(Message::tool(&id, value), NAME, rest.clone())];
    }
    let list = serde_json::from_str::<&RawValue>(value).map(elements).unwrap_or_default();
    let mut results: Vec<String> = list.into_iter().map(readable).collect();
    if results.len() != open.len() {
        draft.note(Fate::Changed, "observation of several calls (it becomes the result of the first one)");
        results = vec![value.to_owned()];
    }
    let mut kept = rest.clone();
    kept.push(("value".to_owned(), value.into()));
    kept.push(("span".to_owned(), open.len().into()));
    let mut results = results.into_iter().chain(std::iter::repeat_with(String::new));
    let mut messages = Vec::new();
    for (index, id) in open.iter().enumerate() {
        let message = Message::tool(id, results.next().unwrap_or_default());
        messages.push(if index == 0 { with_origin(message, NAME, kept.clone()) } else { message });
    }
    messages
}

/// The tools: a JSON text, or a list, of functions with or without their envelope.
fn read_tools(tools: &RawValue) -> Vec<Tool> {
    let text = readable(tools);
    let list = serde_json::from_str::<&RawValue>(&text).map(elements).unwrap_or_default();
    let one = |tool: &RawValue| {
        let object = Object::of(tool)?;
        let is_wrapped = object.object("function").is_some();
        let json = RawJson::from(tool);
        let wrapped = || RawJson::object([("type", "function".into()), ("function", json.clone())]);
        Some(Tool::new(if is_wrapped { json.clone() } else { wrapped() }))
    };
    list.into_iter().filter_map(one).collect()
}

fn write_tools(tools: &[Tool]) -> RawJson {
    let bare = |tool: &Tool| {
        let function = Object::of(raw(tool.json())).and_then(|tool| tool.get("function").map(RawJson::from));
        function.unwrap_or_else(|| tool.json().clone())
    };
    let bare: RawJson = tools.iter().map(bare).collect::<Vec<_>>().into();
    RawJson::from(bare.as_str())
}

/// The calls of a message as the text of a turn.
fn write_call(message: &Message) -> String {
    let one = |call: &ToolCall| RawJson::object([("name", call.name().into()), ("arguments", blocks::arguments(call))]);
    match message.tool_calls() {
        [only] => one(only).as_str().to_owned(),
        several => RawJson::from(several.iter().map(one).collect::<Vec<_>>()).as_str().to_owned(),
    }
}

impl Writer for ShareGpt {
    fn write(&self, transcript: &Transcript, _: bool, out: &mut dyn Write, report: &mut Report) -> std::io::Result<()> {
        note_beside(transcript, NAME, report);
        let kept = origin::of_file(transcript, NAME);
        let form = kept
            .as_ref()
            .and_then(|kept| kept.peek().text("form"))
            .map_or_else(|| "conversations".to_owned(), std::borrow::Cow::into_owned);
        let (mut turns, mut system, mut skip) = (Vec::new(), None, 0_usize);
        for (index, message) in transcript.conversation.messages().enumerate() {
            let kept = origin::of_message(message, NAME);
            if skip > 0 && message.is_result() {
                skip -= 1;
                continue;
            }
            if kept.as_ref().is_some_and(|kept| kept.is_true("beside")) && system.is_none() {
                system = Some(("system", RawJson::from(&*message.text())));
                continue;
            }
            let span = kept
                .as_ref()
                .and_then(|kept| kept.peek().get("span"))
                .and_then(|span| span.get().parse::<usize>().ok());
            skip = span.unwrap_or(1).saturating_sub(1);
            write_turns(&mut turns, message, kept.as_ref(), index, report);
        }
        let tools = blocks::kept_tools(kept.as_ref(), transcript.tools.len());
        let written = || (!transcript.tools.is_empty()).then(|| write_tools(&transcript.tools));
        let tools = tools.or_else(written).map(|tools| ("tools", tools));
        let members: Vec<(&str, RawJson)> = [(&*form, turns.into())].into_iter().chain(system).chain(tools).collect();
        let rest: Rest = kept.map(|kept| kept.rest()).unwrap_or_default();
        let rest: Rest =
            rest.into_iter().filter(|(key, _)| !matches!(&**key, "form" | "tools" | "tool_count")).collect();
        for (key, _) in transcript.extra.iter().filter(|(key, _)| !key.starts_with("turnwise")) {
            report.add(Fate::Dropped, &format!("member `{key}` of the request"), "the body");
        }
        writeln!(out, "{}", blocks::joined(members, &rest).as_str())
    }
}

fn write_turns(
    turns: &mut Vec<RawJson>,
    message: &Message,
    kept: Option<&Members<'_>>,
    index: usize,
    report: &mut Report,
) {
    let from = kept.and_then(|kept| kept.peek().text("from"));
    let rest: Rest = kept.map(Members::rest).unwrap_or_default();
    let rest: Rest =
        rest.into_iter().filter(|(key, _)| !matches!(&**key, "from" | "value" | "span" | "beside")).collect();
    let mut turn = |from: &str, value: &str, rest: &Rest| {
        turns.push(blocks::joined(vec![("from", from.into()), ("value", value.into())], rest));
    };
    let usual = match message.role() {
        Role::System | Role::Developer => "system",
        Role::User => "human",
        Role::Tool | Role::Function => "observation",
        Role::Assistant | Role::Other(_) | _ => "gpt",
    };
    let parts = message.content().map_or(&[][..], Content::parts);
    for part in parts.iter().filter(|part| part.text().is_none()) {
        report.add(Fate::Dropped, &format!("part of the type `{}`", part.kind()), format_args!("message {index}"));
    }
    for (key, _) in message.extra().filter(|(key, _)| *key != crate::ORIGIN) {
        report.add(Fate::Dropped, &format!("member `{key}` of a message"), format_args!("message {index}"));
    }
    let text = message.text();
    let kept_value = kept.and_then(|kept| kept.peek().text("value"));
    if !message.has_calls() {
        let value = kept_value.filter(|_| message.is_result());
        return turn(from.as_deref().unwrap_or(usual), value.as_deref().unwrap_or(&text), &rest);
    }
    if !text.is_empty() {
        turn("gpt", &text, &Rest::new());
    }
    let written = write_call(message);
    let is_still = |value: &str| {
        let read = |text: &str| RawJson::new(text).ok();
        read(value).zip(read(&written)).is_some_and(|(one, other)| one == other || blocks::is_same(&one, &other))
    };
    let value = kept_value.filter(|value| is_still(value) || value.contains("\"parameters\""));
    turn(from.as_deref().unwrap_or("function_call"), value.as_deref().unwrap_or(&written), &rest);
}
