//! Claude's data export: `chat_messages` in a list, or in a tree by `parent_message_uuid`.

use std::collections::HashMap;

use serde_json::value::RawValue;
use turnwise::message::RawJson;
use turnwise::transcript::formats::{Object, elements};
use turnwise::{Error, Message};

use super::{invalid, members};
use crate::draft::{Draft, Import, NodeId};
use crate::format::Format;
use crate::members::{Members, Rest, readable};
use crate::origin::with_origin;
use crate::report::Fate;
use crate::steps::Steps;
use crate::time::time;

const NAME: &str = "claude";

/// Claude's data export.
#[derive(Debug)]
pub(crate) struct Claude;

impl Format for Claude {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "Claude export"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn needs(&self) -> &'static str {
        "objects with `chat_messages`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["chat_messages", "uuid", "name", "created_at"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["claude"]
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut whole = members(text, "a conversation")?;
        let list = whole.list("chat_messages").ok_or_else(|| invalid("there are no `chat_messages`"))?;
        let mut draft = Draft::named(whole.peek().text("uuid"));
        draft.title = whole.peek().text("name").map(std::borrow::Cow::into_owned);
        draft.model = whole.filled("model");
        let leaf = whole.text("current_leaf_message_uuid").map(std::borrow::Cow::into_owned);
        draft.rest = whole.rest();
        let mut places: HashMap<String, NodeId> = HashMap::new();
        let mut newest = None;
        for message in list {
            newest = read_message(&mut draft, message, &mut places, newest).or(newest);
        }
        let end = leaf.and_then(|leaf| places.get(&leaf).copied());
        draft.end_at(end.or(newest));
        out.push(draft.finish(NAME));
        Ok(())
    }
}

fn read_message(
    draft: &mut Draft,
    message: &RawValue,
    places: &mut HashMap<String, NodeId>,
    last: Option<NodeId>,
) -> Option<NodeId> {
    let Some(mut message) = Members::of(message) else {
        draft.note(Fate::Dropped, "value that is not a message");
        return None;
    };
    let when = message.raw("created_at").and_then(time);
    let parent = match message.peek().text("parent_message_uuid") {
        // The root has the id of zeros, which no message has.
        Some(parent) => places.get(&*parent).copied(),
        None => last,
    };
    let sender = message.text("sender").unwrap_or_default().into_owned();
    let uuid = message.peek().text("uuid").map(std::borrow::Cow::into_owned);
    let text = message.text("text").unwrap_or_default().into_owned();
    let blocks = message.list("content").unwrap_or_default();
    let mut steps = Steps::new(NAME);
    let mut kept = Vec::new();
    for block in &blocks {
        read_block(draft, &mut steps, block, &mut kept);
    }
    let has_said = !steps.is_blank() || steps.has_results();
    if !has_said && !text.is_empty() {
        steps.text(&text);
    }
    let (texts, files) = attachments(draft, &mut message);
    for text in &texts {
        steps.text(text);
    }
    let mut rest = message.rest();
    rest.extend(files);
    if !kept.is_empty() {
        rest.push(("content".to_owned(), kept.into()));
    }
    let messages = if sender == "assistant" {
        steps.keep(rest);
        steps.take()
    } else {
        let said = steps.take();
        let content = said.first().and_then(|first| first.content().cloned()).unwrap_or_else(|| "".into());
        vec![with_origin(Message::user(content), NAME, rest)]
    };
    let node = draft.add(parent, messages, when);
    if let Some(uuid) = uuid {
        places.insert(uuid, node);
    }
    Some(node)
}

fn read_block(draft: &mut Draft, steps: &mut Steps, whole: &RawValue, kept: &mut Vec<RawJson>) {
    let Some(mut block) = Members::of(whole) else { return kept.push(RawJson::from(whole)) };
    let kind = block.text("type").unwrap_or_default().into_owned();
    match &*kind {
        "text" => steps.text(&block.text("text").unwrap_or_default()),
        "thinking" => {
            draft.note(Fate::Kept, "thinking block");
            steps.reasoning(&block.text("thinking").unwrap_or_default());
        }
        "tool_use" => {
            let input = block.raw("input").map_or_else(|| "{}".into(), RawJson::from);
            let id = block.text("id");
            steps.call(id.as_deref(), &block.text("name").unwrap_or_default(), input.as_str());
        }
        "tool_result" => {
            let name = block.text("name");
            let id = block.text("tool_use_id");
            let content = block.raw("content").map(result).unwrap_or_default();
            if !steps.result(id.as_deref(), name.as_deref(), content, block.rest()) {
                draft.note(Fate::Changed, "result without a call");
            }
            return;
        }
        _ => {
            draft.note(Fate::Kept, &format!("`{kind}` block"));
            return kept.push(RawJson::from(whole));
        }
    }
    let rest = block.rest();
    let says_more = rest.iter().any(|(_, value)| !matches!(value.as_str(), "null" | "[]" | "{}" | "false"));
    if says_more {
        kept.push(crate::blocks::joined(vec![("type", RawJson::from(&*kind))], &rest));
    }
}

/// The text of a result: of its blocks, or its JSON.
fn result(content: &RawValue) -> String {
    let texts: Vec<String> = elements(content)
        .into_iter()
        .map(|block| {
            let text = Object::of(block).and_then(|block| block.text("text").map(std::borrow::Cow::into_owned));
            text.unwrap_or_else(|| readable(block))
        })
        .collect();
    if texts.is_empty() { readable(content) } else { texts.join("\n") }
}

/// The texts of attached files, which the model has read, and what else is attached.
fn attachments(draft: &mut Draft, message: &mut Members<'_>) -> (Vec<String>, Rest) {
    let mut texts = Vec::new();
    let mut left: Vec<RawJson> = Vec::new();
    for whole in message.list("attachments").unwrap_or_default() {
        let Some(mut file) = Members::of(whole) else { continue };
        let name = file.peek().text("file_name").unwrap_or_default().into_owned();
        if let Some(text) = file.filled("extracted_content") {
            draft.note(Fate::Changed, "attached text (it becomes a part of the message)");
            texts.push(format!("{name}:\n{text}"));
        } else {
            draft.note(Fate::Kept, "attachment without text");
        }
        left.push(crate::members::object(file.rest()));
    }
    for key in ["files", "files_v2"] {
        let files = message.peek().objects(key).count();
        draft.report.add_many(Fate::Kept, "attached file (the export has only its name)", files, "a message");
    }
    let left = (!left.is_empty()).then(|| ("attachments".to_owned(), left.into()));
    (texts, left.into_iter().collect())
}
