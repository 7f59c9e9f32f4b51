//! `ShareGPT`: `conversations` of `from` and `value`, with calls and tools as LLaMA-Factory has them.

use std::borrow::Cow;
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

// What is kept of a file or of a turn because its messages do not say it.

/// Of the file: the name of the member with the turns, if it is not `conversations`.
const FORM: &str = "form";
/// Of a system message: true if it was the member `system` of the file and not a turn.
const BESIDE: &str = "beside";
/// Of a turn: its `from`, if that is not the standard name of the role.
const FROM: &str = "from";
/// Of a turn with calls, or with the results of several calls: its `value`, if it would be written
/// differently. It is written again as long as the messages still say the same.
const VALUE: &str = "value";
/// Of the first of several results: how many were in its turn.
const SPAN: &str = "span";

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
            draft.push([with_origin(message, NAME, vec![(BESIDE.to_owned(), true.into())])], None);
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
            draft.rest.push((FORM.to_owned(), key.into()));
        }
        out.push(draft.finish(NAME));
        Ok(())
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&ShareGpt)
    }
}

/// The ids of calls, which the format does not have.
#[derive(Default)]
struct Calls {
    /// The ids of the calls that wait for their results.
    open: Vec<String>,
    /// How many ids were made.
    made: usize,
}

impl Calls {
    fn next_id(&mut self) -> String {
        self.made += 1;
        format!("call_{}", self.made)
    }
}

/// Reads one turn and adds its messages to the draft.
fn read_turn(draft: &mut Draft, turn: &RawValue, calls: &mut Calls) {
    let Some(mut turn) = Members::of(turn) else {
        return draft.note(Fate::Dropped, "turn that is not an object");
    };
    let from = turn.text("from").unwrap_or_default().into_owned();
    let value = turn.raw("value").map(readable).unwrap_or_default();
    let other_name = match &*from {
        "human" | "gpt" | "system" | "function_call" | "observation" => None,
        other => Some((FROM.to_owned(), RawJson::from(other))),
    };
    let rest: Rest = other_name.into_iter().chain(turn.rest()).collect();
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

/// The message of a turn with calls. Its calls wait for their results from then on.
fn function_call(draft: &mut Draft, value: &str, mut rest: Rest, calls: &mut Calls) -> Message {
    let read = read_calls(value, || calls.next_id());
    calls.open = read.iter().filter_map(ToolCall::id).map(str::to_owned).collect();
    if read.is_empty() {
        draft.note(Fate::Changed, "call that is not JSON with a `name` (it stays a text)");
        rest.push((FROM.to_owned(), "function_call".into()));
        return with_origin(Message::assistant(value), NAME, rest);
    }
    let message = Message::calls(read);
    if write_calls(&message) != value {
        rest.push((VALUE.to_owned(), value.into()));
    }
    with_origin(message, NAME, rest)
}

/// The calls in the value of a turn: one object with a name and arguments, which some programs call
/// `parameters`, or a list of these.
fn read_calls(value: &str, mut next_id: impl FnMut() -> String) -> Vec<ToolCall> {
    let list: Vec<&RawValue> = match serde_json::from_str::<&RawValue>(value) {
        Ok(list) if list.get().starts_with('[') => elements(list),
        Ok(one) => vec![one],
        Err(_) => Vec::new(),
    };
    let mut read = Vec::new();
    for call in list.into_iter().filter_map(Object::of) {
        let Some(name) = call.text("name") else { continue };
        let arguments = call.get("arguments").or_else(|| call.get("parameters"));
        let arguments = arguments.map_or_else(|| "{}".to_owned(), readable);
        read.push(ToolCall::function(&next_id(), &name, &arguments));
    }
    read
}

/// The results of the open calls: an observation has one, or a list with one for each call.
fn observation(draft: &mut Draft, value: &str, rest: &Rest, calls: &mut Calls) -> Vec<Message> {
    let open = std::mem::take(&mut calls.open);
    if open.len() <= 1 {
        let id = open.into_iter().next().unwrap_or_else(|| {
            draft.note(Fate::Changed, "observation without a call");
            calls.next_id()
        });
        return vec![with_origin(Message::tool(&id, value), NAME, rest.clone())];
    }
    if list_of_results(value, open.len()).is_none() {
        draft.note(Fate::Changed, "observation of several calls (it becomes the result of the first one)");
    }
    let mut kept = rest.clone();
    kept.push((VALUE.to_owned(), value.into()));
    kept.push((SPAN.to_owned(), open.len().into()));
    let results = read_results(value, open.len());
    let mut messages: Vec<Message> = open.iter().zip(results).map(|(id, result)| Message::tool(id, result)).collect();
    if let Some(first) = messages.first_mut() {
        *first = with_origin(first.clone(), NAME, kept);
    }
    messages
}

/// The results in the value of a turn if it is a list of as many as there are calls.
fn list_of_results(value: &str, calls: usize) -> Option<Vec<String>> {
    let list = serde_json::from_str::<&RawValue>(value).map(elements).ok()?;
    (list.len() == calls).then(|| list.into_iter().map(readable).collect())
}

/// The results of several calls in the value of a turn: the elements of a list with one for each
/// call. Any other value is the result of the first call, and the others have an empty one.
fn read_results(value: &str, calls: usize) -> Vec<String> {
    list_of_results(value, calls).unwrap_or_else(|| {
        let mut results = vec![value.to_owned()];
        results.resize(calls, String::new());
        results
    })
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

/// The tools as a JSON text with a list of functions without their envelope.
fn write_tools(tools: &[Tool]) -> RawJson {
    let bare = |tool: &Tool| {
        let function = Object::of(raw(tool.json())).and_then(|tool| tool.get("function").map(RawJson::from));
        function.unwrap_or_else(|| tool.json().clone())
    };
    let bare: RawJson = tools.iter().map(bare).collect::<Vec<_>>().into();
    RawJson::from(bare.as_str())
}

/// The calls of a message as the value of a turn.
fn write_calls(message: &Message) -> String {
    let one = |call: &ToolCall| RawJson::object([("name", call.name().into()), ("arguments", blocks::arguments(call))]);
    match message.tool_calls() {
        [only] => one(only).as_str().to_owned(),
        several => RawJson::from(several.iter().map(one).collect::<Vec<_>>()).as_str().to_owned(),
    }
}

/// Several results as the value of one turn.
fn write_results(texts: &[String]) -> String {
    let texts: RawJson = texts.iter().map(|text| RawJson::from(&**text)).collect::<Vec<_>>().into();
    texts.as_str().to_owned()
}

/// Whether the calls that a value was read as are still those of the message.
fn has_calls_of(message: &Message, value: &str) -> bool {
    let read = read_calls(value, String::new);
    let are_same =
        |(one, other): (&ToolCall, &ToolCall)| one.name() == other.name() && one.arguments() == other.arguments();
    read.len() == message.tool_calls().len() && read.iter().zip(message.tool_calls()).all(are_same)
}

impl Writer for ShareGpt {
    fn write(
        &self,
        transcript: &Transcript,
        _is_line: bool,
        out: &mut dyn Write,
        report: &mut Report,
    ) -> std::io::Result<()> {
        note_beside(transcript, NAME, report);
        let kept = origin::of_file(transcript, NAME);
        let form = kept.as_ref().and_then(|kept| kept.peek().text(FORM)).unwrap_or(Cow::Borrowed("conversations"));
        let (system, turns) = write_messages(transcript, report);
        let system = system.map(|system| ("system", system));
        let tools = blocks::kept_tools(kept.as_ref(), transcript.tools.len());
        let written = || (!transcript.tools.is_empty()).then(|| write_tools(&transcript.tools));
        let tools = tools.or_else(written).map(|tools| ("tools", tools));
        let members: Vec<(&str, RawJson)> = [(&*form, turns.into())].into_iter().chain(system).chain(tools).collect();
        let mut rest = kept.as_ref().map(Members::rest).unwrap_or_default();
        rest.retain(|(key, _)| !matches!(&**key, FORM | "tools" | "tool_count"));
        for (key, _) in transcript.extra.iter().filter(|(key, _)| !key.starts_with("turnwise")) {
            report.add(Fate::Dropped, &format!("member `{key}` of the request"), "the body");
        }
        writeln!(out, "{}", blocks::joined(members, &rest).as_str())
    }
}

/// The system message that was read from the file's member `system`, and the turns.
fn write_messages(transcript: &Transcript, report: &mut Report) -> (Option<RawJson>, Vec<RawJson>) {
    let messages: Vec<&Message> = transcript.conversation.messages().collect();
    let mut system = None;
    let mut turns = Vec::new();
    let mut index = 0;
    while let Some(message) = messages.get(index) {
        let kept = origin::of_message(message, NAME);
        let was_beside = kept.as_ref().is_some_and(|kept| kept.is_true(BESIDE));
        if was_beside && system.is_none() {
            system = Some(RawJson::from(&*message.text()));
            index += 1;
        } else {
            let of_turn = messages_of_turn(&messages[index..], kept.as_ref());
            for (offset, message) in of_turn.iter().enumerate() {
                report_dropped(message, index + offset, report);
            }
            turns.extend(write_turn(of_turn, kept.as_ref()));
            index += of_turn.len();
        }
    }
    (system, turns)
}

/// The first message, with those after it that were read from the same turn: the results of several
/// calls.
fn messages_of_turn<'a, 'm>(messages: &'a [&'m Message], kept: Option<&Members<'_>>) -> &'a [&'m Message] {
    let span = kept.and_then(|kept| kept.peek().get(SPAN)).and_then(|span| span.get().parse::<usize>().ok());
    let results = messages.iter().take_while(|message| message.is_result()).count();
    &messages[..span.unwrap_or(1).min(results).max(1)]
}

fn report_dropped(message: &Message, index: usize, report: &mut Report) {
    let parts = message.content().map_or(&[][..], Content::parts);
    for part in parts.iter().filter(|part| part.text().is_none()) {
        report.add(Fate::Dropped, &format!("part of the type `{}`", part.kind()), format_args!("message {index}"));
    }
    for (key, _) in message.extra().filter(|(key, _)| *key != crate::ORIGIN) {
        report.add(Fate::Dropped, &format!("member `{key}` of a message"), format_args!("message {index}"));
    }
}

/// The turn of a message or of several results. A message with a text and calls is two turns.
fn write_turn(messages: &[&Message], kept: Option<&Members<'_>>) -> Vec<RawJson> {
    let Some(message) = messages.first() else { return Vec::new() };
    let kept_value = kept.and_then(|kept| kept.peek().text(VALUE));
    let kept_name = kept.and_then(|kept| kept.peek().text(FROM));
    let mut rest: Rest = kept.map(Members::rest).unwrap_or_default();
    rest.retain(|(key, _)| !matches!(&**key, FROM | VALUE | SPAN | BESIDE));
    let turn = |from: &str, value: &str, rest: &Rest| {
        blocks::joined(vec![("from", from.into()), ("value", value.into())], rest)
    };
    let text = message.text();
    if message.has_calls() {
        let before = (!text.is_empty()).then(|| turn("gpt", &text, &Rest::new()));
        let value = kept_value.filter(|value| has_calls_of(message, value));
        let value = value.unwrap_or_else(|| write_calls(message).into());
        let calls = turn(kept_name.as_deref().unwrap_or("function_call"), &value, &rest);
        return before.into_iter().chain([calls]).collect();
    }
    let value = if messages.len() > 1 {
        let texts: Vec<String> = messages.iter().map(|message| message.text().into_owned()).collect();
        let value = kept_value.filter(|value| read_results(value, texts.len()) == texts);
        value.unwrap_or_else(|| write_results(&texts).into())
    } else {
        text
    };
    let standard_name = match message.role() {
        Role::System | Role::Developer => "system",
        Role::User => "human",
        Role::Tool | Role::Function => "observation",
        _ => "gpt",
    };
    vec![turn(kept_name.as_deref().unwrap_or(standard_name), &value, &rest)]
}
