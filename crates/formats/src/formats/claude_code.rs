//! Session logs of Claude Code: lines with messages of Anthropic's API, linked by `parentUuid`.

use std::collections::HashMap;

use serde_json::value::RawValue;
use turnwise::message::RawJson;
use turnwise::{Error, Message};

use super::{anthropic, invalid, lines};
use crate::draft::{Draft, Import, NodeId};
use crate::format::{Division, Format};
use crate::head::Head;
use crate::members::{Members, object};
use crate::origin::with_origin;
use crate::report::Fate;
use crate::time::time;

const NAME: &str = "claude-code";

/// Session logs of Claude Code.
#[derive(Debug)]
pub(crate) struct ClaudeCode;

impl Format for ClaudeCode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "Claude Code session"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl"]
    }

    fn needs(&self) -> &'static str {
        "lines with `type`, `sessionId` and `message`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["sessionId", "parentUuid", "uuid", "message"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["claude-code"]
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Whole
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let (mut list, cut) = lines(text);
        // A session of the web has its lines in a list.
        let only = list.first().filter(|_| list.len() == 1).and_then(|only| Members::of(only));
        if let Some(inside) = only.map(|only| only.peek().list("loglines")).filter(|inside| !inside.is_empty()) {
            list = inside;
        }
        let mut session = Session::default();
        for line in list {
            session.line(line);
        }
        let Session { mut draft, others, last, .. } = session;
        if draft.is_empty() {
            return Err(invalid("the session has no messages"));
        }
        draft.report.add_many(Fate::Dropped, "line that is not JSON", cut, "the file");
        draft.end_at(last);
        if !others.is_empty() {
            draft.rest.push(("other_lines".to_owned(), others.into()));
        }
        out.push(draft.finish(NAME));
        Ok(())
    }
}

#[derive(Default)]
struct Session {
    draft: Draft,
    /// By `uuid` of a line.
    places: HashMap<String, NodeId>,
    /// By id of an answer, which is written block by block: its node.
    answers: HashMap<String, NodeId>,
    /// By node of an answer with calls: the node with the results.
    results: HashMap<NodeId, NodeId>,
    /// Lines that are no messages.
    others: Vec<RawJson>,
    last: Option<NodeId>,
}

impl Session {
    fn line(&mut self, whole: &RawValue) {
        let Some(mut line) = Members::of(whole) else {
            return self.draft.note(Fate::Dropped, "line that is not an object");
        };
        let kind = line.peek().text("type").unwrap_or_default().into_owned();
        let uuid = line.peek().text("uuid").map(std::borrow::Cow::into_owned);
        let parent = line.peek().text("parentUuid").and_then(|parent| self.places.get(&*parent).copied());
        if kind == "summary" {
            self.draft.title = line.peek().text("summary").map(std::borrow::Cow::into_owned);
        }
        if self.draft.id.is_none() {
            self.draft.id = line.peek().text("sessionId").map(std::borrow::Cow::into_owned);
        }
        let message = matches!(&*kind, "user" | "assistant").then(|| line.raw("message")).flatten();
        let Some(message) = message else {
            // Other lines may stand between two messages.
            if let Some(uuid) = uuid {
                let node = self.draft.add(parent, [], None);
                self.places.insert(uuid, node);
            }
            self.draft.report.add(Fate::Kept, &format!("line of the type `{kind}`"), "the file");
            return self.others.push(RawJson::from(whole));
        };
        let when = line.raw("timestamp").and_then(time);
        let is_aside = line.is_true("isSidechain");
        let object_of = Members::of(message);
        let answer = object_of.as_ref().and_then(|message| message.peek().text("id").map(std::borrow::Cow::into_owned));
        if self.draft.model.is_none() {
            let model =
                object_of.as_ref().and_then(|message| message.peek().text("model").map(std::borrow::Cow::into_owned));
            self.draft.model = model.filter(|model| model.starts_with("claude"));
        }
        let mut messages = anthropic::messages(&mut self.draft, message);
        let rest = line.rest();
        if let Some(last) = messages.pop() {
            let kept = crate::origin::of_message(&last, anthropic::NAME).map(|kept| kept.rest()).unwrap_or_default();
            let rest = kept.into_iter().chain([("line".to_owned(), object(rest))]).collect();
            messages.push(with_origin(last, anthropic::NAME, rest));
        }
        let node = match answer.filter(|_| kind == "assistant") {
            Some(id) => self.answer(id, parent, messages, when),
            None if messages.iter().all(Message::is_result) => self.result(parent, messages, when),
            None => self.draft.add(parent, messages, when),
        };
        if let Some(uuid) = uuid {
            self.places.insert(uuid, node);
        }
        if !is_aside {
            self.last = Some(node);
        }
    }

    /// A further block of an answer is joined to the first.
    fn answer(
        &mut self,
        id: String,
        parent: Option<NodeId>,
        messages: Vec<Message>,
        when: Option<turnwise::conversation::Timestamp>,
    ) -> NodeId {
        let Some(&node) = self.answers.get(&id) else {
            let node = self.draft.add(parent, messages, when);
            self.answers.insert(id, node);
            return node;
        };
        if let Some(before) = self.draft.messages_mut(node) {
            for message in messages {
                match before.pop() {
                    Some(last) => before.push(joined(&last, &message)),
                    None => before.push(message),
                }
            }
        }
        node
    }

    /// Results of parallel calls stand below the blocks that they answer, and follow each other.
    fn result(
        &mut self,
        parent: Option<NodeId>,
        messages: Vec<Message>,
        when: Option<turnwise::conversation::Timestamp>,
    ) -> NodeId {
        let known = parent.and_then(|parent| self.results.get(&parent).copied());
        if let Some(before) = known.and_then(|node| self.draft.messages_mut(node)) {
            before.extend(messages);
            return known.unwrap_or_default();
        }
        let node = self.draft.add(parent, messages, when);
        if let Some(parent) = parent {
            self.results.insert(parent, node);
        }
        node
    }
}

/// Two messages of the model as one.
fn joined(first: &Message, second: &Message) -> Message {
    let parts = |message: &Message| match message.content() {
        Some(content) if content.parts().is_empty() && !content.text().is_empty() => {
            vec![turnwise::message::Part::from_text(&content.text())]
        }
        Some(content) => content.parts().to_vec(),
        None => Vec::new(),
    };
    let all: Vec<_> = parts(first).into_iter().chain(parts(second)).collect();
    let calls: Vec<_> = first.tool_calls().iter().chain(second.tool_calls()).cloned().collect();
    let message = match (all.is_empty(), calls.is_empty()) {
        (true, false) => Message::calls(calls),
        (_, true) => Message::assistant(all),
        (false, false) => Message::calls(calls).with_content(all),
    };
    let reasoning = |message: &Message| message.get("reasoning_content").and_then(|text| text.parse::<String>().ok());
    let thought: Vec<String> = [first, second].into_iter().filter_map(reasoning).collect();
    let message = crate::steps::with_reasoning(message, &thought.join("\n\n"));
    let mut kept = crate::origin::of_message(first, anthropic::NAME).map(|kept| kept.rest()).unwrap_or_default();
    let more = crate::origin::of_message(second, anthropic::NAME).map(|kept| kept.rest()).unwrap_or_default();
    let layout = [first, second].map(layout_of).concat();
    kept.retain(|(key, _)| key != "layout");
    let number = kept.iter().filter(|(key, _)| key.starts_with("line")).count() + 1;
    kept.extend(more.into_iter().filter(|(key, _)| key == "line").map(|(_, value)| (format!("line_{number}"), value)));
    if !layout.is_empty() {
        kept.push(("layout".to_owned(), layout.into()));
    }
    with_origin(message, anthropic::NAME, kept)
}

/// The layout of a message: what was kept of it, or the usual one.
fn layout_of(message: &Message) -> Vec<RawJson> {
    let kept = crate::origin::of_message(message, anthropic::NAME);
    let kept = kept.map(|kept| kept.peek().list("layout").into_iter().map(RawJson::from).collect::<Vec<_>>());
    if let Some(layout) = kept.filter(|layout| !layout.is_empty()) {
        return layout;
    }
    let none = || object(Vec::new());
    let parts = message.content().map_or(0, |content| content.parts().len());
    let parts = (0..parts).map(|_| RawJson::object([("part", none())]));
    parts.chain(message.tool_calls().iter().map(|_| RawJson::object([("call", none())]))).collect()
}
