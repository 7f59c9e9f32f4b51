//! Exports of Open `WebUI`: a tree of messages by id.

use std::collections::HashMap;

use serde_json::value::RawValue;
use turnwise::message::Part;
use turnwise::transcript::formats::Object;
use turnwise::{Error, Message};

use super::{invalid, members};
use crate::draft::{Draft, Import, NodeId};
use crate::format::Format;
use crate::members::{Members, Rest, object};
use crate::origin::with_origin;
use crate::report::Fate;
use crate::steps::content;
use crate::time::time;

const NAME: &str = "open-webui";

/// Exports of Open `WebUI`.
#[derive(Debug)]
pub(crate) struct OpenWebUi;

impl Format for OpenWebUi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "Open WebUI export"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn needs(&self) -> &'static str {
        "a `chat` with a `history` of messages by id"
    }

    fn members(&self) -> &'static [&'static str] {
        &["chat", "history", "title", "user_id"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["open-webui"]
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut whole = members(text, "a chat")?;
        let mut draft = Draft::named(whole.peek().text("id"));
        draft.title = whole.peek().text("title").map(std::borrow::Cow::into_owned);
        let mut chat = whole.object("chat");
        let inner = chat.as_mut().unwrap_or(&mut whole);
        let mut history = inner.object("history").ok_or_else(|| invalid("there is no `history`"))?;
        // The current path, once more.
        inner.skip("messages");
        draft.model = inner.peek().list("models").first().and_then(|model| crate::members::string(model));
        let system =
            inner.peek().object("params").and_then(|params| params.text("system").map(std::borrow::Cow::into_owned));
        if let Some(system) = system.filter(|system| !system.is_empty()) {
            draft.push([Message::system(system)], None);
        }
        let all = history.object("messages").ok_or_else(|| invalid("the `history` has no messages"))?;
        let current = history.text("currentId").map(std::borrow::Cow::into_owned);
        let head = draft.last().map(|_| 0);
        read_tree(&mut draft, &all, current.as_deref(), head);
        let (of_history, of_chat) = (history.rest(), chat.map(|chat| chat.rest()));
        draft.rest = whole.rest();
        for (key, rest) in [("history", of_history), ("chat", of_chat.unwrap_or_default())] {
            if !rest.is_empty() {
                draft.rest.push((key.to_owned(), object(rest)));
            }
        }
        out.push(draft.finish(NAME));
        Ok(())
    }
}

/// Reads messages that name their parents, parents first.
fn read_tree(draft: &mut Draft, all: &Members<'_>, current: Option<&str>, head: Option<NodeId>) {
    let mut below: HashMap<Option<String>, Vec<(String, &RawValue)>> = HashMap::new();
    let known: std::collections::HashSet<&str> = all.peek().iter().map(|(key, _)| key).collect();
    for (key, value) in all.peek().iter() {
        let parent = Object::of(value).and_then(|message| message.text("parentId").map(std::borrow::Cow::into_owned));
        let parent = parent.filter(|parent| known.contains(&**parent) && parent != key);
        below.entry(parent).or_default().push((key.to_owned(), value));
    }
    let mut waiting: Vec<(String, &RawValue, Option<NodeId>)> =
        below.remove(&None).unwrap_or_default().into_iter().rev().map(|(key, value)| (key, value, head)).collect();
    let mut end = None;
    while let Some((key, value, parent)) = waiting.pop() {
        let node = read_message(draft, value, parent);
        if current == Some(&*key) {
            end = Some(node);
        }
        let children = below.remove(&Some(key)).unwrap_or_default();
        waiting.extend(children.into_iter().rev().map(|(key, value)| (key, value, Some(node))));
    }
    let lost: usize = below.values().map(Vec::len).sum();
    draft.report.add_many(Fate::Dropped, "message without a way to the first", lost, "`history`");
    draft.end_at(end);
}

fn read_message(draft: &mut Draft, value: &RawValue, parent: Option<NodeId>) -> NodeId {
    let Some(mut message) = Members::of(value) else {
        draft.note(Fate::Dropped, "value that is not a message");
        return draft.add(parent, [], None);
    };
    let when = message.raw("timestamp").and_then(time);
    let role = message.text("role").unwrap_or_else(|| "user".into());
    let mut parts = vec![Part::from_text(&message.text("content").unwrap_or_default())];
    for file in message.peek().objects("files") {
        match file.text("url").filter(|_| file.is_one_of("type", &["image"])) {
            Some(url) => parts.push(Part::image(&url)),
            None => draft.note(Fate::Kept, "attached file (the export has only a reference)"),
        }
    }
    if let [only, _, ..] = &*parts
        && only.text() == Some("")
    {
        parts.remove(0);
    }
    for key in ["parentId", "childrenIds"] {
        message.skip(key);
    }
    let rest: Rest = message.rest();
    draft.add(parent, [with_origin(Message::new(&*role, content(parts, false)), NAME, rest)], when)
}
