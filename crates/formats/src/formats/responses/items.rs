//! `Reader`: items of the Responses API as messages.

use serde_json::value::RawValue;
use turnwise::conversation::Timestamp;
use turnwise::message::{Content, Part, RawJson};
use turnwise::transcript::formats::Object;
use turnwise::{Error, Message, ToolCall};

use super::super::invalid;
use super::{NAME, keep_tools};
use crate::draft::{Draft, Import};
use crate::items::Messages;
use crate::members::{Members, Rest, object, raw, readable, string};
use crate::origin::with_origin;
use crate::report::Fate;
use crate::steps::with_reasoning;

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
    time: Option<Timestamp>,
}

impl Reader {
    pub(crate) fn form(&mut self, form: &str) {
        self.draft.rest.push(("form".to_owned(), form.into()));
    }

    pub(super) fn body(&mut self, mut body: Members<'_>) -> Result<(), Error> {
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
            keep_tools(&mut self.draft, tools);
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
    pub(crate) fn item(&mut self, whole: &RawValue, time: Option<Timestamp>) {
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

    /// The messages by themselves.
    pub(crate) fn into_messages(mut self) -> Messages {
        self.flush();
        let kept = |entry: &RawJson| Object::of(raw(entry))?.get("kept").map(RawJson::from);
        let after = self.layout.iter().filter_map(kept).collect();
        let (messages, report) = self.draft.into_messages();
        Messages { messages, after, report }
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
