//! `ChatGPT`'s data export (`conversations.json`): a tree of messages for each conversation.

use std::collections::HashMap;

use turnwise::message::{Content, Part, RawJson};
use turnwise::{Error, Message, ToolCall};

use super::{invalid, members};
use crate::draft::{Draft, Import, NodeId};
use crate::format::Format;
use crate::members::{Members, Rest, object, string};
use crate::origin::{of_message, with_origin};
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
        let mut mapping = whole.object("mapping").ok_or_else(|| invalid("there is no `mapping`"))?;
        let mut draft = Draft::default();
        let id = whole.peek().text("conversation_id").or_else(|| whole.peek().text("id"));
        draft.id = id.map(std::borrow::Cow::into_owned);
        draft.title = whole.peek().text("title").map(std::borrow::Cow::into_owned);
        let model = whole.peek().text("default_model_slug").filter(|model| !matches!(&**model, "" | "auto"));
        draft.model = model.map(std::borrow::Cow::into_owned);
        let current = whole.text("current_node").map(std::borrow::Cow::into_owned);
        draft.rest = whole.rest();
        Tree::of(&mut mapping).read(&mut draft, current.as_deref());
        out.push(draft.finish(NAME));
        Ok(())
    }
}

/// One node of the mapping.
struct Node<'a> {
    message: Option<Members<'a>>,
    parent: Option<String>,
    children: Vec<String>,
}

struct Tree<'a> {
    nodes: HashMap<String, Node<'a>>,
    /// The keys in the order of the file.
    keys: Vec<String>,
}

impl<'a> Tree<'a> {
    fn of(mapping: &mut Members<'a>) -> Self {
        let mut tree = Self { nodes: HashMap::new(), keys: Vec::new() };
        for (key, value) in mapping.peek().iter() {
            let Some(mut node) = Members::of(value) else { continue };
            let node = Node {
                parent: node.text("parent").map(std::borrow::Cow::into_owned),
                children: node.list("children").unwrap_or_default().into_iter().filter_map(string).collect(),
                message: node.object("message"),
            };
            tree.keys.push(key.to_owned());
            tree.nodes.insert(key.to_owned(), node);
        }
        tree
    }

    /// Reads every branch, parents before children. The path ends at the current node.
    fn read(mut self, draft: &mut Draft, current: Option<&str>) {
        let is_root = |node: &Node<'_>| node.parent.as_ref().is_none_or(|parent| !self.nodes.contains_key(parent));
        let roots = self.keys.iter().filter(|key| self.nodes.get(*key).is_some_and(is_root));
        let mut waiting: Vec<(String, Option<NodeId>)> = roots.rev().map(|key| (key.clone(), None)).collect();
        let mut places: HashMap<String, NodeId> = HashMap::new();
        let mut branch = Branch::default();
        while let Some((key, parent)) = waiting.pop() {
            // A node that two parents claim, or a circle, is read once.
            let Some(node) = self.nodes.remove(&key) else { continue };
            let place = branch.node(draft, parent, node.message, &key, node.children.len());
            waiting.extend(node.children.into_iter().rev().map(|child| (child, Some(place))));
            places.insert(key, place);
        }
        draft.report.add_many(Fate::Dropped, "node without a way to a root", self.nodes.len(), "`mapping`");
        let end = current.and_then(|current| places.get(current).copied());
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
        let role = author.as_mut().and_then(|author| author.text("role")).unwrap_or_default().into_owned();
        let recipient = message.text("recipient").unwrap_or_default().into_owned();
        let hidden = is_hidden(&message);
        let weight = message.number("weight").unwrap_or(1.0);
        let said = message.object("content").map(|content| read_content(draft, content)).unwrap_or_default();
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
        let mut rest = message.rest();
        let author = author.map(|author| author.rest()).unwrap_or_default();
        if !author.is_empty() {
            rest.push(("author".to_owned(), object(author)));
        }
        rest.extend(said.kept);
        if role == "tool" {
            let name = message
                .peek()
                .object("author")
                .and_then(|author| author.text("name").map(std::borrow::Cow::into_owned));
            return self.result(draft, parent, said.parts, name, rest, when, (key, children));
        }
        let id = (role == "assistant" && !matches!(&*recipient, "all" | "")).then(|| format!("call_{key}"));
        let read = match &id {
            Some(id) => Message::calls([ToolCall::function(id, &recipient, &arguments(&said.parts))]),
            None => Message::new(if role.is_empty() { "user" } else { &role }, content(said.parts, false)),
        };
        let thought = parent.and_then(|parent| self.reasoning.get(&parent)).filter(|_| role == "assistant");
        let read = with_reasoning(read, thought.map_or("", String::as_str));
        let node = draft.add(parent, [with_origin(read, NAME, rest)], when);
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
        rest: Rest,
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
            let mut kept = of_message(message, NAME).map(|kept| kept.rest()).unwrap_or_default();
            kept.push((format!("joined_{key}"), object(rest)));
            *message = with_origin(message.clone().with_content(joined), NAME, kept);
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
        let node = draft.add(parent, [with_origin(message, NAME, rest)], when);
        if children == 1 {
            self.results.insert(node, node);
        }
        node
    }
}

/// Whether the program did not show a message. Of most messages, the metadata are not parsed.
fn is_hidden(message: &Members<'_>) -> bool {
    const MARK: &str = "is_visually_hidden_from_conversation";
    let metadata = message.peek().get("metadata").filter(|metadata| metadata.get().contains(MARK));
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

fn read_content(draft: &mut Draft, mut said: Members<'_>) -> Said {
    let kind = said.peek().text("content_type").unwrap_or_default().into_owned();
    let mut out = Said::default();
    match &*kind {
        "thoughts" => {
            let thoughts = said.peek().objects("thoughts").flat_map(|thought| {
                let text = |key| thought.text(key).map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty());
                [text("summary"), text("content")]
            });
            out.reasoning = Some(thoughts.flatten().collect::<Vec<_>>().join("\n"));
            return out;
        }
        "reasoning_recap" => {
            out.reasoning = said.text("content").map(std::borrow::Cow::into_owned).or(Some(String::new()));
            return out;
        }
        _ => {}
    }
    let mut others: Vec<RawJson> = Vec::new();
    for part in said.list("parts").unwrap_or_default() {
        if let Some(part) = part_of(part) {
            out.parts.push(part);
        } else {
            let kind =
                Members::of(part).and_then(|part| part.peek().text("content_type").map(std::borrow::Cow::into_owned));
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
fn part_of(part: &serde_json::value::RawValue) -> Option<Part> {
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
    match serde_json::from_str::<&serde_json::value::RawValue>(&text) {
        Ok(json) if json.get().starts_with('{') => text,
        _ => RawJson::object([("input", RawJson::from(text))]).as_str().to_owned(),
    }
}
