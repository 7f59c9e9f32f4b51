//! The Gemini API: requests with `contents`, and lists of contents.

use std::collections::VecDeque;
use std::io::Write;

use serde_json::value::RawValue;
use turnwise::message::{Content, Part, RawJson};
use turnwise::transcript::formats::{Object, elements};
use turnwise::{Error, Message, Role, Tool, ToolCall, Transcript};

use super::{invalid, is_log, lines, note_beside};
use crate::blocks::{self, Block, Blocks};
use crate::draft::{Draft, Import};
use crate::format::{Division, Format, Writer};
use crate::head::Head;
use crate::media;
use crate::members::{Members, Rest, present, raw};
use crate::origin::{self, with_origin};
use crate::report::{Fate, Report};

const NAME: &str = "gemini";

/// The Gemini API.
#[derive(Debug)]
pub(crate) struct Gemini;

impl Format for Gemini {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "Gemini API conversation"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "`contents` with `parts`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["contents", "parts"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["gemini"]
    }

    fn division(&self, head: &Head<'_>) -> Division {
        if is_log(head) { Division::Whole } else { Division::Values }
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut reader = Reader { draft: Draft::default(), open: VecDeque::new(), made: 0 };
        let (list, cut) = lines(text);
        let first = Members::of(list.first().ok_or_else(|| invalid("there is no content"))?);
        match first {
            Some(first) if list.len() == 1 && first.peek().has_any(&["contents", "messages"]) => reader.body(first),
            _ => {
                reader.draft.rest.push(("form".to_owned(), "array".into()));
                for content in &list {
                    reader.content(content);
                }
            }
        }
        let draft = &mut reader.draft;
        draft.report.add_many(Fate::Dropped, "line that is not JSON", cut, "the file");
        if draft.is_empty() {
            return Err(invalid("there are no `contents` with `parts`"));
        }
        out.push(reader.draft.finish(NAME));
        Ok(())
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Gemini)
    }
}

struct Reader {
    draft: Draft,
    /// The calls without a result: id and name.
    open: VecDeque<(String, String)>,
    made: usize,
}

impl Reader {
    fn body(&mut self, mut body: Members<'_>) {
        self.draft.model = body.filled("model");
        for key in ["systemInstruction", "system_instruction"] {
            if let Some(system) = body.raw(key) {
                let mut blocks = Blocks::default();
                let mut members = Members::of(system);
                let parts = members.as_mut().and_then(|system| system.list("parts"));
                match parts {
                    Some(parts) => parts.iter().for_each(|part| self.part(&mut blocks, part)),
                    None => blocks.part(Part::from_text(&crate::members::readable(system)), Vec::new()),
                }
                let mut rest = members.map(|system| system.rest()).unwrap_or_default();
                rest.extend(blocks.layout());
                let parts = crate::steps::content(blocks.parts, false);
                self.draft.push([with_origin(Message::system(parts), NAME, rest)], None);
            }
        }
        let tools = body.raw("tools");
        let contents = body.list("contents").or_else(|| body.list("messages"));
        contents.unwrap_or_default().into_iter().for_each(|content| self.content(content));
        self.draft.rest.extend(body.rest());
        for key in ["generationConfig", "safetySettings", "toolConfig", "cachedContent"] {
            if body.peek().has(key) {
                self.draft.report.add(Fate::Kept, &format!("`{key}` of the request"), "the body");
            }
        }
        if let Some(tools) = tools {
            self.draft.tools =
                elements(tools).into_iter().filter_map(Object::of).flat_map(|tool| functions(&tool)).collect();
            blocks::keep_tools(&mut self.draft.rest, tools, &write_tools(&self.draft.tools), self.draft.tools.len());
        }
    }

    /// One content: results become messages of the role `tool`, before the rest of it.
    fn content(&mut self, content: &RawValue) {
        let Some(mut content) = Members::of(content) else {
            self.draft.note(Fate::Dropped, "value that is not a content");
            return;
        };
        let role = content.text("role").unwrap_or_default().into_owned();
        let (mut blocks, mut messages) = (Blocks::default(), Vec::new());
        let parts = content.list("parts");
        if let (None, Some(text)) = (&parts, content.text("content")) {
            blocks.part(Part::from_text(&text), Vec::new());
        }
        for part in parts.unwrap_or_default() {
            match Members::of(part).and_then(|mut part| {
                let response = part.object("functionResponse").or_else(|| part.object("function_response"))?;
                Some((response, part.rest()))
            }) {
                Some((response, rest)) => messages.push(self.response(response, rest)),
                None => self.part(&mut blocks, part),
            }
        }
        let mut rest = content.rest();
        let comes_after_results = self.draft.last().is_some_and(Message::is_result);
        let is_model = matches!(&*role, "model" | "assistant");
        if is_model {
            messages.push(blocks.assistant(NAME, rest).flattened());
        } else if messages.is_empty() || !blocks.is_empty() {
            rest.extend(blocks.layout());
            if !matches!(&*role, "user" | "") {
                rest.push(("role".to_owned(), role.as_str().into()));
            }
            let content = crate::steps::content(blocks.parts, false);
            messages.push(with_origin(Message::user(content), NAME, rest));
        } else if role != "user" {
            rest.push(("role".to_owned(), role.as_str().into()));
            let last = messages.pop().into_iter().map(|last| with_more(last, rest.clone()));
            messages.extend(last.collect::<Vec<_>>());
        }
        if comes_after_results && !is_model && !messages.is_empty() {
            let first = messages.remove(0);
            messages.insert(0, with_more(first, vec![("apart".to_owned(), true.into())]));
        }
        self.draft.push(messages, None);
    }

    fn part(&mut self, blocks: &mut Blocks, whole: &RawValue) {
        let Some(mut part) = Members::of(whole) else {
            return blocks.part(Part::from_text(&crate::members::readable(whole)), Vec::new());
        };
        let call = part.object("functionCall").or_else(|| part.object("function_call"));
        if part.is_true("thought") {
            self.draft.note(Fate::Kept, "thought");
            blocks.reason(&part.text("text").unwrap_or_default());
            return blocks.kept(whole);
        }
        if let Some(mut call) = call {
            let name = call.text("name").unwrap_or_default();
            let arguments = call.raw("args").map_or_else(|| "{}".into(), RawJson::from);
            let id = if let Some(id) = call.peek().text("id") {
                id.into_owned()
            } else {
                self.made += 1;
                format!("call_{}", self.made)
            };
            self.open.push_back((id.clone(), name.clone().into_owned()));
            let mut rest = part.rest();
            if !call.peek().has("args") {
                rest.push(("no_args".to_owned(), true.into()));
            }
            rest.extend(call.rest().into_iter().map(|(key, value)| (format!("call.{key}"), value)));
            return blocks.call(ToolCall::function(&id, &name, arguments.as_str()), rest);
        }
        let data = part.object("inlineData").or_else(|| part.object("inline_data"));
        let media = data.and_then(|data| {
            let kind = data.peek().text("mimeType").or_else(|| data.peek().text("mime_type"))?;
            Some(media::part(&kind, &data.peek().text("data")?, None))
        });
        let text = part.text("text").map(|text| Part::from_text(&text));
        if let Some(one) = text.or(media) {
            blocks.part(one, part.rest());
        } else {
            let kind = part.peek().iter().next().map_or_else(String::new, |(key, _)| key.to_owned());
            self.draft.note(Fate::Kept, &format!("`{kind}` part"));
            blocks.kept(whole);
        }
    }

    /// The result of the oldest open call of this function.
    fn response(&mut self, mut response: Members<'_>, of_part: Rest) -> Message {
        let name = response.text("name").unwrap_or_default().into_owned();
        let stated = response.peek().text("id").map(std::borrow::Cow::into_owned);
        let place = match &stated {
            Some(id) => self.open.iter().position(|open| open.0 == *id),
            None => self.open.iter().position(|open| open.1 == name),
        };
        let id = if let Some((id, _)) = place.and_then(|place| self.open.remove(place)) {
            id
        } else {
            self.draft.note(Fate::Changed, "result without a call");
            self.made += 1;
            stated.unwrap_or_else(|| format!("call_{}", self.made))
        };
        let content = response.raw("response").map_or_else(|| "{}".into(), RawJson::from);
        let mut rest = response.rest();
        rest.extend(of_part.into_iter().map(|(key, value)| (format!("part.{key}"), value)));
        with_origin(Message::tool(&id, content.as_str()).with_name(&name), NAME, rest)
    }
}

/// A message of the model whose only part is plain text, with the text as its content.
trait Flattened {
    fn flattened(self) -> Self;
}

impl Flattened for Message {
    fn flattened(self) -> Self {
        let Some(Content::Parts(parts)) = self.content() else { return self };
        match &**parts {
            [] => self.with_content(""),
            [one] if *one == Part::from_text(one.text().unwrap_or_default()) && one.text().is_some() => {
                let text = one.text().unwrap_or_default().to_owned();
                self.with_content(text)
            }
            _ => self,
        }
    }
}

fn with_more(message: Message, more: Rest) -> Message {
    let kept = origin::of_message(&message, NAME).map(|kept| kept.rest()).unwrap_or_default();
    with_origin(message, NAME, kept.into_iter().chain(more).collect())
}

fn functions(tool: &Object<'_>) -> Vec<Tool> {
    let lists = ["functionDeclarations", "function_declarations"];
    let all = lists.iter().flat_map(|list| tool.objects(list).collect::<Vec<_>>());
    let one = |function: Object<'_>| {
        let schema = function.get("parameters").or_else(|| function.get("parametersJsonSchema"));
        let schema = schema.map_or_else(|| RawJson::object([("type", RawJson::from("object"))]), RawJson::from);
        Some(Tool::function(&function.text("name")?, &function.text("description").unwrap_or_default(), schema))
    };
    all.filter_map(one).collect()
}

fn write_tools(tools: &[Tool]) -> RawJson {
    let one = |tool: &Tool| {
        let mut function = Members::of(raw(tool.json()))?.object("function")?;
        let mut member = |key| function.raw(key).map(RawJson::from);
        Some(present([
            ("name", member("name")),
            ("description", member("description")),
            ("parameters", member("parameters")),
        ]))
    };
    let functions: Vec<RawJson> = tools.iter().filter_map(one).collect();
    vec![RawJson::object([("functionDeclarations", functions.into())])].into()
}

impl Writer for Gemini {
    fn write(&self, transcript: &Transcript, _: bool, out: &mut dyn Write, report: &mut Report) -> std::io::Result<()> {
        note_beside(transcript, NAME, report);
        let kept = origin::of_file(transcript, NAME);
        let contents = write_contents(transcript, report);
        let head = transcript.conversation.head();
        let is_array = kept.as_ref().and_then(|kept| kept.peek().text("form")).as_deref() == Some("array");
        if is_array && head.is_empty() {
            return writeln!(out, "{}", RawJson::from(contents).as_str());
        }
        let mut members: Vec<(&str, RawJson)> = Vec::new();
        members.extend(transcript.model.as_deref().map(|model| ("model", model.into())));
        if !head.is_empty() {
            let parts = head.iter().enumerate().flat_map(|(index, message)| {
                let kept = origin::of_message(message, NAME);
                blocks::write(message, kept.as_ref(), |part| of_part(part, index, report), of_call)
            });
            let parts = parts.collect::<Vec<_>>();
            let of_first = head.first().and_then(|first| origin::of_message(first, NAME));
            let mut rest = of_first.as_ref().map(of_message).unwrap_or_default();
            // Here a role means nothing, and the API's own clients set one.
            let role = of_first.as_ref().and_then(|kept| kept.peek().get("role"));
            rest.extend(role.map(|role| ("role".to_owned(), RawJson::from(role))));
            let system = blocks::joined(vec![("parts", parts.into())], &rest);
            members.push(("systemInstruction", system));
        }
        members.push(("contents", contents.into()));
        let tools = blocks::kept_tools(kept.as_ref(), transcript.tools.len());
        let written = || (!transcript.tools.is_empty()).then(|| write_tools(&transcript.tools));
        members.extend(tools.or_else(written).map(|tools| ("tools", tools)));
        for (key, _) in transcript.extra.iter().filter(|(key, _)| !key.starts_with("turnwise")) {
            report.add(Fate::Dropped, &format!("member `{key}` of the request"), "the body");
        }
        let rest: Rest = kept.map(|kept| kept.rest()).unwrap_or_default();
        let rest: Rest =
            rest.into_iter().filter(|(key, _)| !matches!(&**key, "form" | "tools" | "tool_count")).collect();
        writeln!(out, "{}", blocks::joined(members, &rest).as_str())
    }
}

/// The members that were kept of a content itself.
fn of_message(kept: &Members<'_>) -> Rest {
    let is_its = |key: &str| !matches!(key, "layout" | "apart" | "role" | "id") && !key.starts_with("part.");
    kept.rest().into_iter().filter(|(key, _)| is_its(key)).collect()
}

fn write_contents(transcript: &Transcript, report: &mut Report) -> Vec<RawJson> {
    let mut out: Vec<RawJson> = Vec::new();
    let mut results: Vec<RawJson> = Vec::new();
    let mut names: Vec<(String, String)> = Vec::new();
    let mut role_of_results = String::new();
    let head = transcript.conversation.head().len();
    let content = |role: &str, parts: Vec<RawJson>, rest: &Rest| {
        let role = (!role.is_empty()).then(|| ("role", RawJson::from(role)));
        blocks::joined(role.into_iter().chain([("parts", parts.into())]).collect(), rest)
    };
    for (index, message) in transcript.conversation.path().messages().enumerate().map(|(at, m)| (at + head, m)) {
        let kept = origin::of_message(message, NAME);
        let is_apart = kept.as_ref().is_some_and(|kept| kept.is_true("apart"));
        let stated = kept.as_ref().and_then(|kept| kept.peek().text("role")).map(std::borrow::Cow::into_owned);
        if (is_apart || *message.role() == Role::Assistant) && !results.is_empty() {
            out.push(content(&role_of_results, std::mem::take(&mut results), &Rest::new()));
        }
        if message.is_result() {
            let name = message.name().map(str::to_owned);
            let by_call = || names.iter().rev().find(|(id, _)| Some(&**id) == message.tool_call_id());
            let name = name.or_else(|| by_call().map(|(_, name)| name.clone())).unwrap_or_default();
            results.push(write_result(message, &name, kept.as_ref()));
            role_of_results = stated.unwrap_or_else(|| "user".to_owned());
            continue;
        }
        for call in message.tool_calls() {
            names.push((call.id().unwrap_or_default().to_owned(), call.name().to_owned()));
        }
        for (key, _) in message.extra().filter(|(key, _)| *key != crate::ORIGIN) {
            if key != "reasoning_content" || kept.is_none() {
                report.add(Fate::Dropped, &format!("member `{key}` of a message"), format_args!("message {index}"));
            }
        }
        let parts = blocks::write(message, kept.as_ref(), |part| of_part(part, index, report), of_call);
        let parts: Vec<RawJson> = std::mem::take(&mut results).into_iter().chain(parts.iter().map(unfold)).collect();
        let role = match message.role() {
            Role::Assistant => "model".to_owned(),
            Role::User => stated.unwrap_or_else(|| "user".to_owned()),
            other => {
                let kind = format!("message of the role `{other}` (it becomes the user's)");
                report.add(Fate::Changed, &kind, format_args!("message {index}"));
                "user".to_owned()
            }
        };
        out.push(content(&role, parts, &kept.map(|kept| of_message(&kept)).unwrap_or_default()));
    }
    if !results.is_empty() {
        out.push(content(&role_of_results, results, &Rest::new()));
    }
    out
}

/// Moves what was kept of a call into it.
fn unfold(part: &RawJson) -> RawJson {
    let Some(members) = Members::of(raw(part)) else { return part.clone() };
    let rest = members.rest();
    if rest.iter().all(|(key, _)| key != "functionCall") {
        return part.clone();
    }
    let has_none = members.is_true("no_args");
    let of_call = rest.iter().filter_map(|(key, value)| Some((key.strip_prefix("call.")?.to_owned(), value.clone())));
    let of_call: Rest = of_call.collect();
    let own = |key: &str| key != "no_args" && !key.starts_with("call.");
    let out: Vec<(&str, RawJson)> = rest
        .iter()
        .filter(|(key, _)| own(key))
        .map(|(key, value)| match &**key {
            "functionCall" => {
                let call = Members::of(raw(value)).map(|call| call.rest()).unwrap_or_default();
                let call = call.into_iter().filter(|(key, _)| !(has_none && key == "args"));
                (&**key, crate::members::object(call.chain(of_call.clone()).collect()))
            }
            _ => (&**key, value.clone()),
        })
        .collect();
    RawJson::object(out)
}

fn write_result(message: &Message, name: &str, kept: Option<&Members<'_>>) -> RawJson {
    let text = message.text();
    let read = RawJson::new(&text).ok().filter(|_| text.trim_start().starts_with('{'));
    let response = read.unwrap_or_else(|| RawJson::object([("result", RawJson::from(&*text))]));
    let rest = kept.map(Members::rest).unwrap_or_default();
    let (of_part, own): (Rest, Rest) = rest.into_iter().partition(|(key, _)| key.starts_with("part."));
    let own = own.into_iter().filter(|(key, _)| !matches!(&**key, "apart" | "role")).collect();
    let of_part: Rest =
        of_part.into_iter().map(|(key, value)| (key.trim_start_matches("part.").to_owned(), value)).collect();
    let response = blocks::joined(vec![("name", name.into()), ("response", response)], &own);
    blocks::joined(vec![("functionResponse", response)], &of_part)
}

fn of_call(call: &ToolCall) -> Block {
    let body = RawJson::object([("name", call.name().into()), ("args", blocks::arguments(call))]);
    vec![("functionCall", body)]
}

fn of_part(part: &Part, index: usize, report: &mut Report) -> Option<Block> {
    if let Some(text) = part.text() {
        return Some(vec![("text", text.into())]);
    }
    let file = part
        .get("file")
        .and_then(blocks::look)
        .and_then(|file| file.text("file_data").map(std::borrow::Cow::into_owned));
    let url = part.image_url().map(|image| image.url.into_owned()).or(file);
    match url.as_deref().map(|url| (url, media::split(url))) {
        Some((_, Some((kind, data)))) => {
            let data = RawJson::object([("mimeType", kind.into()), ("data", RawJson::from(data))]);
            Some(vec![("inlineData", data)])
        }
        Some((url, None)) => Some(vec![("fileData", RawJson::object([("fileUri", RawJson::from(url))]))]),
        None => {
            report.add(Fate::Dropped, &format!("part of the type `{}`", part.kind()), format_args!("message {index}"));
            None
        }
    }
}
