//! Exports of `LibreChat`: messages that name their parents, in a list or in a tree.

use std::collections::HashMap;

use serde_json::value::RawValue;
use turnwise::transcript::formats::elements;
use turnwise::{Error, Message};

use super::{invalid, value};
use crate::draft::{Draft, Import, NodeId};
use crate::format::{Division, Format};
use crate::head::Head;
use crate::members::{Members, readable};
use crate::origin::with_origin;
use crate::report::Fate;
use crate::steps::Steps;
use crate::time::time;

const NAME: &str = "librechat";

/// Exports of `LibreChat`.
#[derive(Debug)]
pub(crate) struct LibreChat;

impl Format for LibreChat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "LibreChat export"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn needs(&self) -> &'static str {
        "`conversationId` and messages with a `messageId`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["conversationId", "messages", "messageId", "endpoint"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["librechat"]
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Values
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let whole = value(text)?;
        let mut draft = Draft::default();
        let mut places = HashMap::new();
        if let Some(mut export) = Members::of(whole) {
            draft.id = export.peek().text("conversationId").map(std::borrow::Cow::into_owned);
            draft.title = export.peek().text("title").map(std::borrow::Cow::into_owned);
            let options = export.peek().object("options");
            let of_options =
                options.as_ref().and_then(|options| options.text("model").map(std::borrow::Cow::into_owned));
            draft.model = export.peek().text("model").map(std::borrow::Cow::into_owned).or(of_options);
            let prefix = options.and_then(|options| options.text("promptPrefix").map(std::borrow::Cow::into_owned));
            if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
                draft.push([Message::system(prefix)], None);
            }
            let list = export.list("messages").or_else(|| export.list("messagesTree"));
            let list = list.ok_or_else(|| invalid("there are no `messages`"))?;
            draft.rest = export.rest();
            read_all(&mut draft, list, &mut places);
        } else {
            read_all(&mut draft, elements(whole), &mut places);
        }
        if draft.is_empty() {
            return Err(invalid("there are no messages"));
        }
        out.push(draft.finish(NAME));
        Ok(())
    }
}

/// Reads messages, and the replies inside them. The path ends with the last message.
fn read_all<'a>(draft: &mut Draft, list: Vec<&'a RawValue>, places: &mut HashMap<String, NodeId>) {
    let root = draft.last().map(|_| 0);
    let mut waiting: Vec<(&'a RawValue, Option<NodeId>)> =
        list.into_iter().rev().map(|message| (message, root)).collect();
    while let Some((message, above)) = waiting.pop() {
        let Some(mut message) = Members::of(message) else {
            draft.note(Fate::Dropped, "value that is not a message");
            continue;
        };
        let children = message.list("children").unwrap_or_default();
        let named = message.peek().text("parentMessageId").and_then(|parent| places.get(&*parent).copied());
        let id = message.peek().text("messageId").map(std::borrow::Cow::into_owned);
        let node = read_message(draft, message, named.or(above));
        if let Some(id) = id {
            places.insert(id, node);
        }
        waiting.extend(children.into_iter().rev().map(|child| (child, Some(node))));
    }
}

fn read_message(draft: &mut Draft, mut message: Members<'_>, parent: Option<NodeId>) -> NodeId {
    let when = message.raw("createdAt").and_then(time);
    let is_user = message.is_true("isCreatedByUser")
        || message.peek().is_one_of("sender", &["User"]) && !message.peek().has("isCreatedByUser");
    let mut steps = Steps::new(NAME);
    for part in message.list("content").unwrap_or_default() {
        read_part(draft, &mut steps, part);
    }
    let text = message.text("text").unwrap_or_default();
    if steps.is_blank() && !steps.has_results() {
        steps.text(&text);
    }
    for key in ["files", "attachments"] {
        let files = message.peek().objects(key).count();
        draft.report.add_many(Fate::Kept, "attached file (the export has only a reference)", files, "a message");
    }
    let rest = message.rest();
    if is_user {
        let said = steps.take();
        let content = said.first().and_then(|first| first.content().cloned()).unwrap_or_else(|| "".into());
        return draft.add(parent, [with_origin(Message::user(content), NAME, rest)], when);
    }
    steps.keep(rest);
    let messages = steps.take();
    draft.add(parent, messages, when)
}

/// A part of a reply of an agent.
fn read_part(draft: &mut Draft, steps: &mut Steps, whole: &RawValue) {
    let Some(mut part) = Members::of(whole) else { return };
    let kind = part.peek().text("type").unwrap_or_default().into_owned();
    match &*kind {
        "text" => {
            let text = part.text("text").map(std::borrow::Cow::into_owned);
            // Some versions put the text into an object.
            let nested =
                || part.peek().object("text").and_then(|text| text.text("value").map(std::borrow::Cow::into_owned));
            steps.text(&text.or_else(nested).unwrap_or_default());
        }
        "think" => {
            draft.note(Fate::Kept, "thought");
            steps.reasoning(&part.text("think").unwrap_or_default());
        }
        "tool_call" => {
            let Some(mut call) = part.object("tool_call") else { return };
            let arguments = call.raw("args").map_or_else(|| "{}".to_owned(), readable);
            let given = call.text("id");
            let id = steps.call(given.as_deref(), &call.text("name").unwrap_or_default(), &arguments);
            if let Some(output) = call.raw("output") {
                steps.result(Some(&id), None, readable(output), call.rest());
            } else {
                draft.note(Fate::Changed, "call without a result");
            }
        }
        _ => {
            draft.note(Fate::Kept, &format!("`{kind}` part"));
            steps.keep(vec![(format!("part_{kind}"), whole.into())]);
        }
    }
}
