//! The cost of one message: its frame, role, name and content.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::foreign::{Foreign, is_media, is_nothing};
use super::{ChatCost, image};
use crate::json::RawJson;
use crate::message::{Content, Message, Part, Role, ToolCall};
use crate::tokens::Count;
use crate::tokens::rules::Family;

/// Tokens around every message, of all models (`OpenAI` cookbook, "How to count tokens with
/// tiktoken"; exact in 130 of 130 recorded bills of text).
const PER_MESSAGE: u64 = 3;
/// The role of a message is one token, for every known role.
const PER_ROLE: u64 = 1;
/// The instructions that the server adds for a section if there is no system message to hold it.
pub(super) const EMPTY_MESSAGE: u64 = PER_MESSAGE + PER_ROLE;
/// The tokens around a name (cookbook). A name that equals the role costs only this (fitted on 5
/// recorded bills; the cookbook's formula is one too high for them).
const PER_NAME: u64 = 1;
/// A reasoning model's assistant message also names its channel (fitted on 4 recorded bills of
/// GPT-5 and 5.4).
const CHANNEL: u64 = 2;
/// The tokens that open the reply (the first from the cookbook; the second fitted on 18 recorded
/// bills of GPT-5, 5.4, o1, o3, o4).
const REPLY_PRIMING: u64 = 3;
const REASONING_REPLY_PRIMING: u64 = 2;
/// Ids, and names of results, cost nothing. The API accepts none that is longer; text hidden in a
/// longer one (signatures, whole results) is counted.
const LONGEST_ID: usize = 64;

impl Family {
    pub(super) fn priming(self) -> u64 {
        match self {
            Self::Chat => REPLY_PRIMING,
            Self::Reasoning => REASONING_REPLY_PRIMING,
        }
    }
}

impl ChatCost {
    /// The cost of a message that is neither a call nor a result.
    pub(super) fn plain(&self, message: &Message) -> Count {
        self.frame(message) + self.name(message) + self.said(message)
    }

    /// The tokens around a message, whatever its content.
    pub(super) fn frame(&self, message: &Message) -> Count {
        let role = match message.role() {
            Role::Other(name) => self.text(name).estimated_if(true),
            _ => Count::exact(PER_ROLE),
        };
        Count::exact(PER_MESSAGE + self.channel(message)) + role
    }

    pub(super) fn channel(&self, message: &Message) -> u64 {
        let has_channel = self.family == Family::Reasoning && *message.role() == Role::Assistant;
        if has_channel { CHANNEL } else { 0 }
    }

    pub(super) fn name(&self, message: &Message) -> Count {
        match message.name() {
            None | Some("") => Count::ZERO,
            Some(name) if name == message.role().as_str() => Count::exact(PER_NAME),
            Some(name) => Count::exact(PER_NAME) + self.text(name),
        }
    }

    /// The cost of a message's content, without its calls.
    pub(crate) fn said(&self, message: &Message) -> Count {
        self.text(&message.text()) + self.beside_text(message)
    }

    /// The cost of a message's content that is not text.
    pub(super) fn beside_text(&self, message: &Message) -> Count {
        let parts = message.content().map_or(&[][..], Content::parts);
        let parts: Count = parts.iter().map(|part| self.part(part)).sum();
        let refusal = message.refusal().map_or(Count::ZERO, |text| self.text(text).estimated_if(true));
        let audio = message.audio().map_or(Count::ZERO, |audio| self.media("audio", self.foreign(audio)));
        let count = parts + refusal + audio + self.sent_fields(message) + self.misplaced(message);
        count.estimated_if(!is_understood(message))
    }

    /// The cost of members outside the specification, if they are sent.
    fn sent_fields(&self, message: &Message) -> Count {
        self.fields.iter().filter_map(|name| message.get(name)).map(|value| self.foreign(value)).sum()
    }

    /// The cost of members that do not belong in a message of this role, and of overlong ids.
    fn misplaced(&self, message: &Message) -> Count {
        let is_result = message.is_result();
        let calls = message.tool_calls().iter();
        let calls = calls.filter(|_| is_result).filter_map(|call| serde_json::to_value(call.as_sent()).ok());
        let function = message.function_call().filter(|_| is_result || message.tool_calls().len() > 1);
        let function = function.and_then(|call| serde_json::to_value(call.as_sent(false)).ok());
        let ids = message.tool_calls().iter().filter_map(|call| call.id()).chain(message.tool_call_id());
        // The names of parallel calls are omitted if one of the calls cannot be parsed.
        let called = message.tool_calls().iter().filter(|_| message.tool_calls().len() > 1).map(ToolCall::name);
        let names = message.name().filter(|_| *message.role() == Role::Tool).into_iter().chain(called);
        let long = ids.chain(names).filter(|id| id.len() > LONGEST_ID).map(RawJson::from);
        calls.chain(function).map(RawJson::from).chain(long).map(|value| self.foreign(&value)).sum()
    }

    /// The cost of a part beside its `text`, which is counted with the message's.
    fn part(&self, part: &Part) -> Count {
        let refusal = part.refusal().map_or(Count::ZERO, |text| self.text(text).estimated_if(true));
        let image = part.image_json().map_or(Count::ZERO, |value| self.image(part, value));
        // `cache_control` is for the provider's cache, and the model does not read it.
        let others = part.extra().filter(|(key, value)| *key != "cache_control" && !is_nothing(value));
        let read = |(key, value)| {
            Foreign { count: self.text(key), has_data: false } + self.read_member(part.kind(), key, value)
        };
        let others = others.map(read).fold(Foreign::default(), |all, one| all + one);
        let members = [
            ("text", part.text().is_some()),
            ("refusal", part.refusal().is_some()),
            ("image_url", part.image_url().is_some()),
        ];
        let is_known = members.iter().any(|(kind, _)| part.kind() == *kind);
        let is_understood = is_known && members.iter().all(|(kind, is_there)| *is_there == (part.kind() == *kind));
        let kind = if is_known { Count::ZERO } else { self.text(part.kind()) };
        let count = (refusal + image + others.count + kind).estimated_if(!is_understood);
        if is_media(part.kind()) && !is_understood && !others.has_data && image == Count::ZERO {
            self.media(part.kind(), count)
        } else {
            count
        }
    }

    /// The cost of an image, and of members of its object other than address and detail. To some
    /// servers an address alone is an image.
    fn image(&self, part: &Part, value: &RawJson) -> Count {
        let Some(image) = part.image_url() else {
            let Foreign { count, has_data } = self.read(value);
            return if has_data || is_nothing(value) { count } else { self.media("image", count) };
        };
        let members: BTreeMap<String, &RawValue> = value.parse().unwrap_or_default();
        let is_known = |key: &str, value: &RawValue| match key {
            "url" => true,
            "detail" => matches!(value.get(), r#""low""# | r#""high""# | r#""auto""# | "null"),
            _ => false,
        };
        let others = members.iter().filter(|(key, value)| !is_known(key, value));
        let others = others.map(|(key, value)| self.text(key) + self.foreign(&RawJson::from(*value)));
        let others: Count = others.sum();
        image::cost(&image, self.images).estimated_if(!self.is_exact) + others
    }
}

/// Whether a message has the form that the specification gives it.
fn is_understood(message: &Message) -> bool {
    let role = message.role();
    let says_something = match message.content() {
        Some(Content::Text(_)) => true,
        Some(Content::Parts(parts)) => !parts.is_empty(),
        None => message.has_calls() || message.refusal().is_some() || message.audio().is_some(),
    };
    let calls_rightly = !message.has_calls() || *role == Role::Assistant;
    let answers_rightly = message.tool_call_id().is_none() || *role == Role::Tool;
    says_something && calls_rightly && answers_rightly
}

impl Count {
    pub(super) fn estimated_if(self, is_estimated: bool) -> Self {
        Self { exact: self.exact && !is_estimated, ..self }
    }
}
