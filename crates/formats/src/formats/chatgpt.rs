//! `ChatGPT`'s data export (`conversations.json`): a tree of messages for each conversation.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use turnwise::message::{Content, Part, RawJson};
use turnwise::transcript::formats::Object;
use turnwise::{Error, Message, ToolCall};

use super::{invalid, members};
use crate::draft::{Draft, Import, NodeId};
use crate::format::Format;
use crate::members::{Kept, Members, Rest, object, string};
use crate::origin::{of_message, with_kept};
use crate::report::Fate;
use crate::steps::{content, with_reasoning};
use crate::time::time;

const NAME: &str = "chatgpt";

/// `ChatGPT`'s data export.
#[derive(Debug)]
pub(crate) struct ChatGpt;

impl Format for ChatGpt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "ChatGPT export"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn needs(&self) -> &'static str {
        "objects with a `mapping` of messages and a `current_node`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["mapping", "current_node", "title", "create_time", "conversation_id"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["chatgpt"]
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut whole = members(text, "a conversation")?;
        let mapping = whole.raw("mapping").and_then(Nodes::of).ok_or_else(|| invalid("there is no `mapping`"))?;
        let mut draft = Draft::default();
        let id = whole.peek().text("conversation_id").or_else(|| whole.peek().text("id"));
        draft.id = id.map(Cow::into_owned);
        draft.title = whole.peek().text("title").map(Cow::into_owned);
        let model = whole.peek().text("default_model_slug").filter(|model| !matches!(&**model, "" | "auto"));
        draft.model = model.map(Cow::into_owned);
        let current = whole.text("current_node").map(Cow::into_owned);
        draft.rest = whole.rest();
        draft.report.add_many(Fate::Dropped, "message that is not an object", mapping.unreadable, "`mapping`");
        Tree::of(mapping.nodes).read(&mut draft, current.as_deref());
        out.push(draft.finish(NAME));
        Ok(())
    }
}

/// One node of the mapping.
struct Node<'a> {
    message: Option<Members<'a>>,
    parent: Option<Cow<'a, str>>,
    children: Vec<Cow<'a, str>>,
}

/// A node as almost every one is, so that it is read in one pass over its text.
#[derive(Deserialize)]
struct PlainNode<'a> {
    #[serde(borrow, default)]
    message: Option<Object<'a>>,
    #[serde(borrow, default)]
    parent: Option<Text<'a>>,
    #[serde(borrow, default)]
    children: Vec<Text<'a>>,
}

/// A string, which is not copied if it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> From<PlainNode<'a>> for Node<'a> {
    fn from(node: PlainNode<'a>) -> Self {
        Self {
            message: node.message.map(Members::from),
            parent: node.parent.map(|Text(text)| text),
            children: node.children.into_iter().map(|Text(text)| text).collect(),
        }
    }
}

impl<'a> Node<'a> {
    /// A node of which some member may have another type than it should.
    fn of(value: &'a RawValue) -> Option<Self> {
        let mut node = Members::of(value)?;
        Some(Self {
            parent: node.text("parent"),
            children: node.list("children").unwrap_or_default().into_iter().filter_map(text).collect(),
            message: node.object("message"),
        })
    }
}

/// The text of a JSON string; `None` for another value.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let is_string = value.get().starts_with('"');
    let text = is_string.then(|| serde_json::from_str::<Text<'_>>(value.get()).ok()).flatten();
    text.map(|Text(text)| text)
}

/// The nodes of a mapping by their keys, in the order of the file.
struct Nodes<'a> {
    nodes: Vec<(Cow<'a, str>, Node<'a>)>,
    /// How many nodes, or their messages, have another type than they should.
    unreadable: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Nodes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Mapping;
        impl<'de> Visitor<'de> for Mapping {
            type Value = Nodes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of nodes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut nodes = Vec::new();
                while let Some((Text(key), node)) = map.next_entry::<Text<'de>, PlainNode<'de>>()? {
                    nodes.push((key, node.into()));
                }
                Ok(Nodes { nodes, unreadable: 0 })
            }
        }
        deserializer.deserialize_map(Mapping)
    }
}

impl<'a> Nodes<'a> {
    /// `None` if the mapping is not an object.
    fn of(mapping: &'a RawValue) -> Option<Self> {
        if let Ok(nodes) = serde_json::from_str(mapping.get()) {
            return Some(nodes);
        }
        let mut read = Self { nodes: Vec::new(), unreadable: 0 };
        for (key, value) in Object::of(mapping)? {
            let node = Node::of(value);
            let has_message = node.as_ref().is_some_and(|node| node.message.is_some());
            let should_have_one = Object::of(value).is_none_or(|node| node.has("message"));
            read.unreadable += usize::from(should_have_one && !has_message);
            read.nodes.extend(node.map(|node| (key, node)));
        }
        Some(read)
    }
}

struct Tree<'a> {
    /// The nodes that were not read yet, in the order of the file.
    nodes: Vec<Option<(Cow<'a, str>, Node<'a>)>>,
    /// Where the node of each key is.
    places: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Tree<'a> {
    fn of(nodes: Vec<(Cow<'a, str>, Node<'a>)>) -> Self {
        // Of two nodes with one key, the second counts.
        let places = nodes.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
        let mut tree = Self { nodes: nodes.into_iter().map(Some).collect(), places };
        for place in 0..tree.nodes.len() {
            let key = tree.nodes[place].as_ref().map(|(key, _)| key);
            if key.and_then(|key| tree.places.get(key)) != Some(&place) {
                tree.nodes[place] = None;
            }
        }
        tree
    }

    fn is_root(&self, node: &Node<'_>) -> bool {
        node.parent.as_ref().is_none_or(|parent| !self.places.contains_key(parent))
    }

    /// Reads every branch, parents before children. The path ends at the current node.
    fn read(mut self, draft: &mut Draft, current: Option<&str>) {
        let nodes = self.nodes.iter().enumerate().rev();
        let roots = nodes.filter(|(_, node)| node.as_ref().is_some_and(|(_, node)| self.is_root(node)));
        let mut waiting: Vec<(usize, Option<NodeId>)> = roots.map(|(place, _)| (place, None)).collect();
        let mut read: Vec<Option<NodeId>> = vec![None; self.nodes.len()];
        let mut branch = Branch::default();
        while let Some((place, parent)) = waiting.pop() {
            // A node that two parents claim, or a circle, is read once.
            let Some((key, node)) = self.nodes[place].take() else { continue };
            let id = branch.node(draft, parent, node.message, &key, node.children.len());
            let children = node.children.iter().rev().filter_map(|child| self.places.get(child));
            waiting.extend(children.map(|child| (*child, Some(id))));
            read[place] = Some(id);
        }
        let unread = self.nodes.iter().flatten().count();
        draft.report.add_many(Fate::Dropped, "node without a way to a root", unread, "`mapping`");
        let end = current.and_then(|current| self.places.get(current)).and_then(|place| read[*place]);
        if end.is_none() && current.is_some() {
            draft.report.add(
                Fate::Changed,
                "`current_node` that does not exist (the last message is taken)",
                "`mapping`",
            );
        }
        draft.end_at(end);
    }
}

/// What a node must know of the nodes above it.
#[derive(Default)]
struct Branch {
    /// By node: the id of the call that waits for a result below it.
    calls: HashMap<NodeId, String>,
    /// By node: reasoning that belongs to the message below it.
    reasoning: HashMap<NodeId, String>,
    /// By node of a result: where it stands, if more of the same result may follow.
    results: HashMap<NodeId, NodeId>,
}

impl Branch {
    fn node(
        &mut self,
        draft: &mut Draft,
        parent: Option<NodeId>,
        message: Option<Members<'_>>,
        key: &str,
        children: usize,
    ) -> NodeId {
        let Some(mut message) = message else { return draft.add(parent, [], None) };
        let when = message.raw("create_time").and_then(time);
        let mut author = message.object("author");
        let role = author.as_mut().and_then(|author| author.text("role")).unwrap_or_default();
        let recipient = message.text("recipient").unwrap_or_default();
        let hidden = is_hidden(&message);
        let weight = message.number("weight").unwrap_or(1.0);
        let said = message.peek().get("content").and_then(|content| Said::of(draft, content));
        if said.is_some() {
            message.skip("content");
        } else if message.peek().has("content") {
            draft.note(Fate::Dropped, "content that is neither an object nor text");
        }
        let said = said.unwrap_or_default();
        let is_empty = said.parts.iter().all(|part| part.text().is_some_and(str::is_empty)) && said.kept.is_empty();
        if let Some(reasoning) = said.reasoning {
            draft.note(Fate::Kept, "thoughts");
            let node = draft.add(parent, [], when);
            let above = parent.and_then(|parent| self.reasoning.get(&parent)).map(|text| format!("{text}\n\n"));
            self.reasoning.insert(node, format!("{}{reasoning}", above.unwrap_or_default()));
            return node;
        }
        if hidden || weight == 0.0 || is_empty {
            if !is_empty {
                draft.note(Fate::Dropped, "hidden message");
            }
            let node = draft.add(parent, [], when);
            self.inherit(node, parent);
            return node;
        }
        let mut rest = message.kept();
        let author = author.map(|author| author.kept()).unwrap_or_default();
        if !author.is_empty() {
            rest.push_object("author", author);
        }
        rest.extend(&Kept::from(&said.kept));
        if role == "tool" {
            let name = message.peek().object("author").and_then(|author| author.text("name").map(Cow::into_owned));
            return self.result(draft, parent, said.parts, name, rest, when, (key, children));
        }
        let id = (role == "assistant" && !matches!(&*recipient, "all" | "")).then(|| format!("call_{key}"));
        let read = match &id {
            Some(id) => Message::calls([ToolCall::function(id, &recipient, &arguments(&said.parts))]),
            None => Message::new(if role.is_empty() { "user" } else { &role }, content(said.parts, false)),
        };
        let thought = parent.and_then(|parent| self.reasoning.get(&parent)).filter(|_| role == "assistant");
        let read = with_reasoning(read, thought.map_or("", String::as_str));
        let node = draft.add(parent, [with_kept(read, NAME, rest)], when);
        if let Some(id) = id {
            self.calls.insert(node, id);
        }
        node
    }

    /// A node without a message passes on what waits.
    fn inherit(&mut self, node: NodeId, parent: Option<NodeId>) {
        let Some(parent) = parent else { return };
        if let Some(id) = self.calls.get(&parent).cloned() {
            self.calls.insert(node, id);
        }
        if let Some(text) = self.reasoning.get(&parent).cloned() {
            self.reasoning.insert(node, text);
        }
        if let Some(result) = self.results.get(&parent).copied() {
            self.results.insert(node, result);
        }
    }

    /// A result answers the call above it. More results of the same call are added to the first, as
    /// a call has one.
    #[allow(clippy::too_many_arguments, reason = "all of a node")]
    fn result(
        &mut self,
        draft: &mut Draft,
        parent: Option<NodeId>,
        parts: Vec<Part>,
        name: Option<String>,
        rest: Kept,
        when: Option<turnwise::conversation::Timestamp>,
        (key, children): (&str, usize),
    ) -> NodeId {
        let first = parent.and_then(|parent| self.results.get(&parent)).copied();
        if let Some(first) = first
            && let Some(message) = draft.messages_mut(first).and_then(|messages| messages.last_mut())
        {
            let before = match message.content() {
                Some(Content::Text(text)) => vec![Part::from_text(text)],
                Some(content) => content.parts().to_vec(),
                None => Vec::new(),
            };
            let all: Vec<Part> = before.into_iter().chain(parts).collect();
            let texts: Vec<&str> = all.iter().filter_map(Part::text).collect();
            let joined = if texts.len() == all.len() { Content::from(texts.join("\n\n")) } else { Content::from(all) };
            let mut kept = of_message(message, NAME).map(|kept| kept.kept()).unwrap_or_default();
            kept.push_object(&format!("joined_{key}"), rest);
            *message = with_kept(message.clone().with_content(joined), NAME, kept);
            draft.note(Fate::Changed, "further result of one call (it is joined to the first)");
            let node = draft.add(parent, [], when);
            if children == 1 {
                self.results.insert(node, first);
            }
            return node;
        }
        let id = if let Some(id) = parent.and_then(|parent| self.calls.get(&parent)) {
            id.clone()
        } else {
            draft.note(Fate::Changed, "result without a call");
            format!("call_{key}")
        };
        let mut message = Message::tool(&id, content(parts, false));
        if let Some(name) = name {
            message = message.with_name(&name);
        }
        let node = draft.add(parent, [with_kept(message, NAME, rest)], when);
        if children == 1 {
            self.results.insert(node, node);
        }
        node
    }
}

/// Whether the program did not show a message. Of most messages, the metadata are not parsed.
fn is_hidden(message: &Members<'_>) -> bool {
    const MARK: &str = "is_visually_hidden_from_conversation";
    let has_mark = |value: &&RawValue| memchr::memmem::find(value.get().as_bytes(), MARK.as_bytes()).is_some();
    let metadata = message.peek().get("metadata").filter(has_mark);
    let mark = metadata.and_then(Members::of).map(|metadata| metadata.is_true(MARK));
    mark == Some(true)
}

/// The content of a message: what a chat can say, and what it cannot.
#[derive(Default)]
struct Said {
    parts: Vec<Part>,
    reasoning: Option<String>,
    kept: Rest,
}

/// A content that is text and nothing else, as almost every one is. It is read in one pass.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainText<'a> {
    #[serde(borrow)]
    content_type: Cow<'a, str>,
    #[serde(borrow)]
    parts: Vec<Text<'a>>,
}

impl Said {
    /// `None` if the content is neither an object nor text.
    fn of(draft: &mut Draft, content: &RawValue) -> Option<Self> {
        match serde_json::from_str::<PlainText<'_>>(content.get()) {
            Ok(plain) if plain.content_type == "text" => {
                let parts = plain.parts.iter().map(|Text(text)| Part::from_text(text)).collect();
                Some(Self { parts, ..Self::default() })
            }
            _ if content.get().starts_with('"') => {
                let parts = text(content).map(|text| Part::from_text(&text)).into_iter().collect();
                Some(Self { parts, ..Self::default() })
            }
            _ => Members::of(content).map(|content| read_content(draft, content)),
        }
    }
}

fn read_content(draft: &mut Draft, mut said: Members<'_>) -> Said {
    let kind = said.peek().text("content_type").unwrap_or_default().into_owned();
    let mut out = Said::default();
    match &*kind {
        "thoughts" => {
            let thoughts = said.peek().objects("thoughts").flat_map(|thought| {
                let text = |key| thought.text(key).map(Cow::into_owned).filter(|text| !text.is_empty());
                [text("summary"), text("content")]
            });
            let parts = said.peek().list("parts").into_iter().filter_map(string).map(Some);
            out.reasoning = Some(thoughts.chain(parts).flatten().collect::<Vec<_>>().join("\n"));
            return out;
        }
        "reasoning_recap" => {
            out.reasoning = said.text("content").map(Cow::into_owned).or(Some(String::new()));
            return out;
        }
        _ => {}
    }
    let mut others: Vec<RawJson> = Vec::new();
    for part in said.list("parts").unwrap_or_default() {
        if let Some(part) = part_of(part) {
            out.parts.push(part);
        } else {
            let kind = Members::of(part).and_then(|part| part.peek().text("content_type").map(Cow::into_owned));
            draft.note(Fate::Kept, &format!("`{}`", kind.unwrap_or_else(|| "part of a kind that is not known".into())));
            others.push(RawJson::from(part));
        }
    }
    if out.parts.is_empty() {
        let text = ["text", "result", "content", "user_profile"].into_iter().find_map(|key| said.filled(key));
        let more = said.filled("user_instructions");
        out.parts.extend(text.into_iter().chain(more).map(|text| Part::from_text(&text)));
    }
    let mut rest = said.rest();
    if kind == "text" {
        rest.retain(|(key, _)| key != "content_type");
    }
    if !others.is_empty() {
        rest.push(("parts".to_owned(), others.into()));
    }
    // A kind alone says nothing that was lost.
    let says_more = rest.iter().any(|(key, value)| key != "content_type" && value.as_str() != "null");
    let has_text = out.parts.iter().any(|part| part.text().is_some_and(|text| !text.is_empty()));
    if !rest.is_empty() && (says_more || has_text) {
        out.kept.push(("content".to_owned(), object(rest)));
    }
    out
}

/// A part with text: plain, or what was said in a voice chat.
fn part_of(part: &RawValue) -> Option<Part> {
    if let Some(text) = string(part) {
        return Some(Part::from_text(&text));
    }
    let part = Members::of(part)?;
    let is_spoken = part.peek().is_one_of("content_type", &["audio_transcription"]);
    is_spoken.then(|| part.peek().text("text").map(|text| Part::from_text(&text))).flatten()
}

/// The text of a call: JSON as it is, anything else under one name.
fn arguments(parts: &[Part]) -> String {
    let text: String = parts.iter().filter_map(Part::text).collect();
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(json) if json.get().starts_with('{') => text,
        _ => RawJson::object([("input", RawJson::from(text))]).as_str().to_owned(),
    }
}
