//! Builds a reply from the chunks of a stream.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::value::{RawValue, to_raw_value};

use super::answer::read;
use super::halves::Halves;
use super::merge::{Members, Merged, text};
use super::parts::Content;
use super::sse::Event;
use crate::backend::nesting::Nesting;
use crate::backend::{BackendError, ChatEvent, ChatReply, ToolCallDelta};
use crate::encoding::Encoding;
use crate::halves::mended;
use crate::outline::Object;
use crate::text::described;

/// A reply as far as its chunks have arrived. At the end it is written as the completion that the
/// server would have sent without streaming, and read like one, so that both ways give the same
/// message.
///
/// Unknown members are kept: those of a `delta` and of log probabilities grow ([`Merged`]); of all
/// others the last value is kept.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    /// The members of the chunks.
    outer: Members,
    /// The members of the choice with the index 0; other choices are ignored.
    choice: Members,
    message: Members,
    content: Content,
    calls: Vec<Members>,
    /// How complete the arguments of each call are.
    arguments: Vec<Nesting>,
    /// Calls whose name was repeated without arguments after theirs were complete: the end, or the
    /// beginning of another call.
    named_again: HashSet<usize>,
    /// The position of the newest call with each index.
    newest: HashMap<u64, usize>,
    halves: Halves,
}

/// The part of a chunk that belongs to a call.
struct Piece {
    id: Option<String>,
    name: Option<String>,
    arguments: String,
}

/// What an event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A chunk, or an event without content.
    More,
    /// The end marker, `[DONE]`.
    Last,
}

impl Streamed {
    /// Handles an event, appending what it contains to `events`.
    pub(super) fn take_event(
        &mut self,
        event: &Event,
        events: &mut VecDeque<ChatEvent>,
    ) -> Result<Taken, BackendError> {
        let decoded = Encoding::Utf8.decode(&event.data).map_err(|_| {
            let body = String::from_utf8_lossy(&event.data);
            BackendError::malformed("a chunk is not UTF-8").with_body(body)
        })?;
        let text = &*decoded.text;
        match text.trim() {
            "" => Ok(Taken::More),
            "[DONE]" => Ok(Taken::Last),
            _ if event.is_error => Err(BackendError::status(200, text)),
            text => self.take(text, events).map(|()| Taken::More),
        }
    }

    /// Handles a chunk, appending what it contains to `events`.
    fn take(&mut self, whole: &str, events: &mut VecDeque<ChatEvent>) -> Result<(), BackendError> {
        let first = events.len();
        let chunk = self.halves.carried(whole);
        let taken = match (self.take_carried(&chunk, events), chunk) {
            // Report the failure of the chunk as the server sent it, not of the text with replaced
            // halves.
            (Err(_), Cow::Owned(_)) => Self::default().take_carried(&mended(whole).text, &mut VecDeque::new()),
            (taken, _) => taken,
        };
        self.halves.settle(events, first);
        taken
    }

    fn take_carried(&mut self, chunk: &str, events: &mut VecDeque<ChatEvent>) -> Result<(), BackendError> {
        let malformed = |why: &str| BackendError::malformed(format!("not a chunk of a chat completion: {why}"));
        let members: Object<'_> =
            serde_json::from_str(chunk).map_err(|e| malformed(&described(&e)).with_body(chunk))?;
        let is_error = |object: &Object<'_>| {
            let error = object.get("error").map(RawValue::get);
            error.is_some_and(|error| error.starts_with(['{', '"']))
                || object.get("object").map(RawValue::get) == Some("\"error\"")
        };
        if is_error(&members) || is_bare_error(&members) {
            return Err(BackendError::status(200, chunk));
        }
        for (key, value) in members.iter() {
            if key != "choices" || value.get() == "null" {
                self.outer.renew(key, value);
                continue;
            }
            self.outer.set(key, Merged::Items(Vec::new()));
            let choices: Vec<Object<'_>> = serde_json::from_str(value.get())
                .map_err(|e| malformed(&format!("choices: {}", described(&e))).with_body(chunk))?;
            let is_first = |choice: &&Object<'_>| choice.get("index").is_none_or(|index| index.get() == "0");
            for choice in choices.iter().filter(is_first) {
                if is_error(choice) {
                    return Err(BackendError::status(200, choice.get("error").map_or("", RawValue::get)));
                }
                self.take_choice(choice, events);
            }
        }
        Ok(())
    }

    fn take_choice(&mut self, choice: &Object<'_>, events: &mut VecDeque<ChatEvent>) {
        for (key, value) in choice.iter() {
            match key {
                "delta" => self.take_delta(value, events),
                // Servers that have the whole reply already put it into one chunk.
                "message" if self.is_empty() => self.take_delta(value, events),
                "message" => {}
                "logprobs" => self.choice.add(key, value),
                // Some servers send an empty value until the end.
                "finish_reason" if value.get() == "\"\"" => {}
                _ => self.choice.renew(key, value),
            }
        }
    }

    fn take_delta(&mut self, delta: &RawValue, events: &mut VecDeque<ChatEvent>) {
        let Some(delta) = Object::of(delta) else { return };
        let mut has_thought = false;
        for (key, value) in delta.iter() {
            match key {
                "content" => events.extend(self.content.add(value)),
                "tool_calls" => self.take_calls(value, events),
                "function_call" => self.take_function(value, events),
                "reasoning_content" | "reasoning" => {
                    // Servers that write both members write the same text in them.
                    let thought = text(value).filter(|_| !std::mem::replace(&mut has_thought, true));
                    events.extend(thought.map(ChatEvent::Reasoning));
                    self.message.add(key, value);
                }
                "refusal" => {
                    events.extend(text(value).map(ChatEvent::Refusal));
                    self.message.add(key, value);
                }
                _ => self.message.add(key, value),
            }
        }
    }

    fn take_calls(&mut self, list: &RawValue, events: &mut VecDeque<ChatEvent>) {
        let calls: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
        for call in calls.into_iter().filter_map(Object::of) {
            let function = call.get("function").or_else(|| call.get("custom")).and_then(Object::of);
            let mut piece = Piece {
                id: call.filled_text("id"),
                name: function.as_ref().and_then(|function| function.filled_text("name")),
                arguments: function.as_ref().map(arguments).unwrap_or_default(),
            };
            let index = call.get("index").and_then(|index| index.get().parse().ok());
            let repeated = self.repeated_name(index, &piece);
            if let Some((name, _)) = &repeated {
                piece.name = Some(name.clone());
            }
            let place = self.place(index, &piece);
            self.arguments[place].add(&piece.arguments);
            let known = &mut self.calls[place];
            let delta = ToolCallDelta {
                index: place,
                id: piece.id.filter(|_| known.text("id").is_none()),
                name: piece.name.filter(|_| name_of(known).is_none()),
                arguments: piece.arguments,
            };
            if let Some((_, function)) = &repeated {
                known.add(if call.get("function").is_some() { "function" } else { "custom" }, function);
            }
            call.iter().filter(|(key, _)| *key != "index").for_each(|(key, value)| known.add(key, value));
            if delta.id.is_some() || delta.name.is_some() || !delta.arguments.is_empty() {
                events.push_back(ChatEvent::ToolCall(delta));
            }
        }
        if self.calls.is_empty() {
            // Keep a list of calls that is empty.
            self.message.renew("tool_calls", list);
        } else {
            // Reserve the position of the calls among the members.
            self.message.set("tool_calls", Merged::Items(Vec::new()));
        }
    }

    /// The position of a call, or a new one: servers leave out the index, or number all calls 0.
    fn place(&mut self, index: Option<u64>, piece: &Piece) -> usize {
        let id = piece.id.as_deref();
        let name = piece.name.as_deref();
        let known = match index {
            Some(index) => self.newest.get(&index).copied(),
            None => self.calls.len().checked_sub(1),
        };
        let is_more_of = |place: &usize| {
            let known_id = self.calls[*place].text("id");
            let is_other_id = id.is_some() && known_id.is_some() && id != known_id;
            match index {
                // Some servers write a new id with each piece, but no new name.
                Some(_) => !(name.is_some() && is_other_id || self.is_another(*place, piece)),
                None => !is_other_id && (name.is_none() || id.is_some()),
            }
        };
        known.filter(is_more_of).unwrap_or_else(|| {
            let place = self.calls.len();
            self.calls.push(Members::default());
            self.arguments.push(Nesting::default());
            self.newest.extend(index.map(|index| (index, place)));
            place
        })
    }

    /// The name that the previous piece gave to a nameless piece, if that piece began another call
    /// of the same function; with the `function` member to begin that call with.
    fn repeated_name(&mut self, index: Option<u64>, piece: &Piece) -> Option<(String, Box<RawValue>)> {
        let place = *self.newest.get(&index?)?;
        let name = name_of(&self.calls[place])?.to_owned();
        let is_blank = piece.arguments.trim().is_empty();
        let is_again = piece.name.as_ref() == Some(&name) && piece.id.is_none();
        if is_blank && is_again && self.arguments[place].is_complete() {
            self.named_again.insert(place);
        }
        if is_blank || piece.name.is_some() || !self.named_again.remove(&place) {
            return None;
        }
        let function = to_raw_value(&HashMap::from([("name", &name)])).ok()?;
        Some((name, function))
    }

    /// Whether a piece with the index of a call belongs to another one, judged by its name: some
    /// servers number all calls 0 and give them no ids. Others repeat name and id with each piece
    /// of a call, even with an empty one at its end.
    fn is_another(&self, place: usize, piece: &Piece) -> bool {
        let (Some(known), Some(name)) = (name_of(&self.calls[place]), &piece.name) else { return false };
        let is_same_id = piece.id.is_some() && piece.id.as_deref() == self.calls[place].text("id");
        let begins_anew = !piece.arguments.trim().is_empty() && self.arguments[place].is_complete();
        name != known || begins_anew && !is_same_id
    }

    /// Handles the deprecated single call.
    fn take_function(&mut self, value: &RawValue, events: &mut VecDeque<ChatEvent>) {
        if let Some(function) = Object::of(value) {
            let is_new = self.message.object("function_call").and_then(|known| known.text("name")).is_none();
            let name = function.filled_text("name").filter(|_| is_new);
            let delta = ToolCallDelta { name, arguments: arguments(&function), ..ToolCallDelta::default() };
            events.push_back(ChatEvent::ToolCall(delta));
        }
        self.message.add("function_call", value);
    }

    fn is_empty(&self) -> bool {
        self.message.is_empty() && self.content.is_empty() && self.calls.is_empty()
    }

    /// Whether the model has given a finish reason.
    pub(super) fn is_finished(&self) -> bool {
        self.choice.has("finish_reason")
    }

    /// Whether the usage has arrived.
    pub(super) fn has_usage(&self) -> bool {
        self.outer.has("usage")
    }

    /// The events that are left at the end of the stream.
    pub(super) fn rest(&mut self) -> Vec<ChatEvent> {
        self.halves.rest()
    }

    /// The whole reply.
    pub(super) fn whole(mut self) -> Result<ChatReply, BackendError> {
        let halves = std::mem::take(&mut self.halves);
        let mut written = Vec::new();
        let done = self.completion().and_then(|completion| completion.write(&mut written));
        done.map_err(|e| BackendError::malformed("the reply cannot be written as JSON").with_source(e))?;
        let (written, alone) = halves.whole(written);
        let reply = read(200, written)?;
        Ok(ChatReply { half_characters: reply.half_characters + alone, ..reply })
    }

    /// The completion that the server would have sent without streaming.
    fn completion(mut self) -> serde_json::Result<Members> {
        let null = || Merged::whole(RawValue::NULL);
        for call in &mut self.calls {
            let kind = if call.object("custom").is_some() { "custom" } else { "function" };
            match call.text("id") {
                Some(_) => call.lead([("id", null()), ("type", kind.into())]),
                None => call.lead([("type", kind.into())]),
            }
        }
        if !self.calls.is_empty() {
            let calls = self.calls.into_iter().map(Merged::Object).collect();
            self.message.set("tool_calls", Merged::Items(calls));
        }
        if !self.content.is_empty() {
            self.message.set("content", self.content.into());
        }
        self.message.lead([("role", "assistant".into()), ("content", null())]);
        self.choice.set("message", Merged::Object(self.message));
        self.choice.lead([("index", Merged::Other(to_raw_value(&0)?)), ("message", null())]);
        self.outer.set("choices", Merged::Items(vec![Merged::Object(self.choice)]));
        if self.outer.has("object") {
            self.outer.set("object", "chat.completion".into());
        }
        Ok(self.outer)
    }
}

/// Whether an object that is not a chunk is an error without the member `error`: `{"detail": "…"}`
/// of `FastAPI`, or `{"message": "…", "code": 500}`. Codes of success do not count, because some
/// proxies write them between chunks.
fn is_bare_error(object: &Object<'_>) -> bool {
    if ["choices", "id", "usage"].iter().any(|name| object.get(name).is_some()) {
        return false;
    }
    let says = |name: &str| object.get(name).is_some_and(|value| value.get().len() > 2 && value.get() != "null");
    let is_code = |value: &RawValue| match value.get().trim_matches('"') {
        "" | "null" | "true" | "false" => false,
        code => code.parse().map_or(!["ok", "success"].contains(&code), |code: i64| !matches!(code, 0 | 200..=299)),
    };
    let is_failure = object.get("code").is_some_and(is_code)
        || object.filled_text("type").is_some_and(|kind| kind.ends_with("error"));
    object.get("detail").is_some_and(|detail| detail.get().starts_with(['"', '[', '{'])) && says("detail")
        || says("message") && is_failure
}

fn name_of(call: &Members) -> Option<&str> {
    ["function", "custom"].iter().find_map(|kind| call.object(kind)?.text("name"))
}

/// More of the arguments; some servers write the JSON itself instead of text.
fn arguments(function: &Object<'_>) -> String {
    let value = function.get("arguments").or_else(|| function.get("input"));
    value
        .map(
            |value| if value.get().starts_with('"') { text(value).unwrap_or_default() } else { value.get().to_owned() },
        )
        .unwrap_or_default()
}
