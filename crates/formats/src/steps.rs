//! `Steps`: what a model did in one go, as messages. Many formats have text, calls and results in
//! one list or in one message; chat completions want a message with the calls, then one message for
//! each result, then the next message.

use turnwise::message::{Content, Part, RawJson};
use turnwise::{Message, ToolCall};

use crate::members::Rest;
use crate::origin::with_origin;

/// The messages of a model, step by step.
#[derive(Debug)]
pub(crate) struct Steps {
    format: &'static str,
    done: Vec<Message>,
    parts: Vec<Part>,
    calls: Vec<ToolCall>,
    reasoning: String,
    /// Whether calls belong to one step until it is ended, also after results.
    joins_calls: bool,
    rest: Rest,
    /// The calls without a result: id and name.
    open: Vec<(String, String)>,
    results: Vec<Message>,
    /// How many ids were made.
    made: usize,
}

impl Steps {
    pub(crate) fn new(format: &'static str) -> Self {
        Self {
            format,
            done: Vec::new(),
            parts: Vec::new(),
            calls: Vec::new(),
            reasoning: String::new(),
            joins_calls: false,
            rest: Vec::new(),
            open: Vec::new(),
            results: Vec::new(),
            made: 0,
        }
    }

    /// Calls after results belong to the same step, until it is ended.
    pub(crate) fn join_calls(&mut self) {
        self.joins_calls = true;
    }

    /// Begins a new step if results have come already.
    fn go_on(&mut self) {
        if !self.results.is_empty() {
            self.flush();
        }
    }

    /// Adds text of the model.
    pub(crate) fn text(&mut self, text: &str) {
        self.part(Part::from_text(text));
    }

    pub(crate) fn part(&mut self, part: Part) {
        self.go_on();
        self.parts.push(part);
    }

    /// Adds reasoning before the answer.
    pub(crate) fn reasoning(&mut self, text: &str) {
        self.go_on();
        if !self.reasoning.is_empty() && !text.is_empty() {
            self.reasoning.push_str("\n\n");
        }
        self.reasoning.push_str(text);
    }

    /// Adds a call of a function and returns its id, which is made if there is none.
    pub(crate) fn call(&mut self, id: Option<&str>, name: &str, arguments: &str) -> String {
        let id = self.id(id);
        self.add_call(ToolCall::function(&id, name, arguments), &id, name);
        id
    }

    fn add_call(&mut self, call: ToolCall, id: &str, name: &str) {
        if !self.joins_calls {
            self.go_on();
        }
        self.calls.push(call);
        self.open.push((id.to_owned(), name.to_owned()));
    }

    fn id(&mut self, id: Option<&str>) -> String {
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            return id.to_owned();
        }
        self.made += 1;
        format!("call_{}", self.made)
    }

    /// Adds a result. Without an id it answers the oldest open call with this name, or else the
    /// oldest open call. Returns whether there is such a call.
    pub(crate) fn result(
        &mut self,
        id: Option<&str>,
        name: Option<&str>,
        content: impl Into<Content>,
        rest: Rest,
    ) -> bool {
        let by_id = id.and_then(|id| self.open.iter().position(|open| open.0 == id));
        let by_name = || name.and_then(|name| self.open.iter().position(|open| open.1 == name));
        let any = || (!self.open.is_empty()).then_some(0);
        let answered = if id.is_some() { by_id } else { by_name().or_else(any) };
        let (id, is_known) = match answered {
            Some(place) => (self.open.remove(place).0, true),
            None => (self.id(id), false),
        };
        self.results.push(with_origin(Message::tool(&id, content), self.format, rest));
        is_known
    }

    /// Keeps a member of the format with the message of this step.
    pub(crate) fn keep(&mut self, members: Rest) {
        if !members.is_empty() {
            self.go_on();
            self.rest.extend(members);
        }
    }

    /// Whether the current step holds nothing.
    pub(crate) fn is_blank(&self) -> bool {
        self.parts.is_empty() && self.calls.is_empty() && self.reasoning.is_empty() && self.rest.is_empty()
    }

    /// Whether results have come since the last thing the model said.
    pub(crate) fn has_results(&self) -> bool {
        !self.results.is_empty()
    }

    /// Ends the step. A step that has only reasoning, or only members of the format, becomes an
    /// empty message, so that they stay in their place.
    pub(crate) fn flush(&mut self) {
        if !self.is_blank() {
            let parts = std::mem::take(&mut self.parts);
            let calls = std::mem::take(&mut self.calls);
            let message = match (parts.is_empty(), calls.is_empty()) {
                (true, false) => Message::calls(calls),
                (_, true) => Message::assistant(content(parts, false)),
                (false, false) => Message::calls(calls).with_content(content(parts, false)),
            };
            let message = with_reasoning(message, &std::mem::take(&mut self.reasoning));
            self.done.push(with_origin(message, self.format, std::mem::take(&mut self.rest)));
        }
        self.done.append(&mut self.results);
    }

    /// The messages up to now, which leaves the open calls open.
    pub(crate) fn take(&mut self) -> Vec<Message> {
        self.flush();
        std::mem::take(&mut self.done)
    }
}

/// A message with the reasoning that came before it.
pub(crate) fn with_reasoning(message: Message, reasoning: &str) -> Message {
    if reasoning.is_empty() {
        return message;
    }
    message.clone().with_field("reasoning_content", RawJson::from(reasoning)).unwrap_or(message)
}

/// Parts as content: one text is a plain text, unless it must stay a part.
pub(crate) fn content(parts: Vec<Part>, keeps_parts: bool) -> Content {
    match &*parts {
        [] => Content::from(""),
        [one] if !keeps_parts && one.text().is_some() && is_plain(one) => Content::from(one.text().unwrap_or_default()),
        _ => Content::from(parts),
    }
}

/// Whether a part is nothing but text.
fn is_plain(part: &Part) -> bool {
    *part == Part::from_text(part.text().unwrap_or_default())
}
