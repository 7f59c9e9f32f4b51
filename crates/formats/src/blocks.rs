//! `Blocks`: the content of a message as a list of blocks of several kinds, in which other APIs
//! have text, calls and more. Chat completions have text and calls apart from each other, so the
//! order of the blocks, and what else they say, is kept as a layout.

use serde_json::value::RawValue;
use turnwise::message::{Content, Part, RawJson};
use turnwise::transcript::formats::Object;
use turnwise::{Message, ToolCall};

use crate::members::{Members, Rest, object, raw};
use crate::origin;
use crate::steps::with_reasoning;

/// The member of the kept members with the layout.
const LAYOUT: &str = "layout";

/// The blocks of one message, as chat completions have them.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) parts: Vec<Part>,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) reasoning: String,
    layout: Vec<RawJson>,
    /// Whether the layout says nothing: text first, then calls, and nothing else.
    is_odd: bool,
}

impl Blocks {
    /// A block that became a part of the content, and what else it says.
    pub(crate) fn part(&mut self, part: Part, rest: Rest) {
        self.is_odd |= !rest.is_empty() || !self.calls.is_empty();
        self.parts.push(part);
        self.layout.push(RawJson::object([("part", object(rest))]));
    }

    /// A block that became a call, and what else it says.
    pub(crate) fn call(&mut self, call: ToolCall, rest: Rest) {
        self.is_odd |= !rest.is_empty();
        self.calls.push(call);
        self.layout.push(RawJson::object([("call", object(rest))]));
    }

    /// A block that chat completions do not have.
    pub(crate) fn kept(&mut self, block: &RawValue) {
        self.is_odd = true;
        self.layout.push(RawJson::object([("kept", RawJson::from(block))]));
    }

    pub(crate) fn reason(&mut self, text: &str) {
        if !self.reasoning.is_empty() {
            self.reasoning.push_str("\n\n");
        }
        self.reasoning.push_str(text);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }

    /// The layout, if it is needed to write the blocks as they were.
    pub(crate) fn layout(&mut self) -> Option<(String, RawJson)> {
        let layout = std::mem::take(&mut self.layout);
        self.is_odd.then(|| (LAYOUT.to_owned(), layout.into()))
    }

    /// The message of the model.
    pub(crate) fn assistant(mut self, format: &str, mut rest: Rest) -> Message {
        rest.extend(self.layout());
        let message = match (self.parts.is_empty(), self.calls.is_empty()) {
            (true, false) => Message::calls(self.calls),
            (_, true) => Message::assistant(self.parts),
            (false, false) => Message::calls(self.calls).with_content(self.parts),
        };
        origin::with_origin(with_reasoning(message, &self.reasoning), format, rest)
    }
}

/// What a layout says of a block.
enum Place<'a> {
    Part(Rest),
    Call(Rest),
    Kept(&'a RawValue),
}

fn places<'a>(kept: &Members<'a>) -> Vec<Place<'a>> {
    let place = |entry: Object<'a>| {
        let rest = |key| entry.get(key).and_then(Members::of).map(|members| members.rest());
        let part = rest("part").map(Place::Part);
        part.or_else(|| rest("call").map(Place::Call)).or_else(|| entry.get("kept").map(Place::Kept))
    };
    kept.peek().objects(LAYOUT).filter_map(place).collect()
}

/// Members with those that were kept of the same block.
pub(crate) fn joined(own: Vec<(&str, RawJson)>, rest: &Rest) -> RawJson {
    let is_new = |key: &str| own.iter().all(|(known, _)| *known != key);
    let rest = rest.iter().filter(|(key, _)| is_new(key)).map(|(key, value)| (&**key, value.clone()));
    let rest: Vec<_> = rest.collect();
    RawJson::object(own.into_iter().chain(rest))
}

/// A block's members, by their names.
pub(crate) type Block = Vec<(&'static str, RawJson)>;

/// The blocks of a message: in the layout that was kept, if the message still has as many parts and
/// calls; otherwise what was kept first, then the parts, then the calls.
pub(crate) fn write(
    message: &Message,
    kept: Option<&Members<'_>>,
    mut of_part: impl FnMut(&Part) -> Option<Block>,
    mut of_call: impl FnMut(&ToolCall) -> Block,
) -> Vec<RawJson> {
    let plain;
    let places = kept.map(places).unwrap_or_default();
    let of_parts = places.iter().filter(|place| matches!(place, Place::Part(_))).count();
    let of_calls = places.iter().filter(|place| matches!(place, Place::Call(_))).count();
    // An empty text stands for no text where there are other blocks.
    let has_other = message.has_calls() || of_parts == 0 && !places.is_empty();
    let parts: &[Part] = match message.content() {
        None => &[],
        Some(Content::Text(text)) if text.is_empty() && has_other => &[],
        Some(Content::Text(text)) => {
            plain = [Part::from_text(text)];
            &plain
        }
        Some(content) => content.parts(),
    };
    let none = Rest::new();
    if of_parts == parts.len() && of_calls == message.tool_calls().len() {
        let (mut parts, mut calls) = (parts.iter(), message.tool_calls().iter());
        let block = |place: &Place<'_>| match place {
            Place::Part(rest) => Some(joined(of_part(parts.next()?)?, rest)),
            Place::Call(rest) => Some(joined(of_call(calls.next()?), rest)),
            Place::Kept(block) => Some(RawJson::from(*block)),
        };
        return places.iter().filter_map(block).collect();
    }
    let kept = places
        .iter()
        .filter_map(|place| if let Place::Kept(block) = place { Some(RawJson::from(*block)) } else { None });
    let mut blocks: Vec<RawJson> = kept.collect();
    blocks.extend(parts.iter().filter_map(|part| Some(joined(of_part(part)?, &none))));
    blocks.extend(message.tool_calls().iter().map(|call| joined(of_call(call), &none)));
    blocks
}

/// The arguments of a call as an object; under one name where they are not one.
pub(crate) fn arguments(call: &ToolCall) -> RawJson {
    let text = call.arguments();
    let is_object = text.trim_start().starts_with('{');
    let read = RawJson::new(&text).ok().filter(|_| is_object);
    read.unwrap_or_else(|| RawJson::object([("input", RawJson::from(&*text))]))
}

/// Whether two JSON values say the same.
pub(crate) fn is_same(one: &RawJson, other: &RawJson) -> bool {
    let value = |json: &RawJson| json.parse::<serde_json::Value>().ok();
    value(one).is_some_and(|one| Some(one) == value(other))
}

/// The definitions of the tools as they were, if they still are those of the conversation.
pub(crate) fn kept_tools(kept: Option<&Members<'_>>, tools: usize) -> Option<RawJson> {
    let kept = kept?.peek();
    let count = kept.get("tool_count").and_then(|count| count.get().parse::<usize>().ok())?;
    (count == tools).then(|| kept.get("tools").map(RawJson::from)).flatten()
}

/// Keeps definitions of tools that could not be written again as they are.
pub(crate) fn keep_tools(rest: &mut Rest, original: &RawValue, written: &RawJson, count: usize) {
    let original = RawJson::from(original);
    if !is_same(&original, written) {
        rest.push(("tool_count".to_owned(), count.into()));
        rest.push(("tools".to_owned(), original));
    }
}

/// The value of a kept JSON text, for looking into it.
pub(crate) fn look(json: &RawJson) -> Option<Object<'_>> {
    Object::of(raw(json))
}
