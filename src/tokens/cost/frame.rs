//! The cost of one message: its frame, role, name and content.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::foreign::{Foreign, is_media, is_nothing};
use super::image_size::Size;
use super::{ChatCost, image};
use crate::json::RawJson;
use crate::message::{Content, Message, Part, Role, SIZE, ToolCall};
use crate::tokens::Count;
use crate::tokens::rules::Family;

/// Tokens around every message, of all models but those that search (`OpenAI` cookbook, "How to
/// count tokens with tiktoken"; exact in 486 of 488 recorded bills of text; those that search have
/// none in 3 of 3).
const PER_MESSAGE: u64 = 3;
/// The role of a message is one token, for every known role.
const PER_ROLE: u64 = 1;
/// Tokens around a name (cookbook). A name that is the role costs this alone (fitted on 5 recorded
/// bills; the cookbook's formula is one too high for them).
const PER_NAME: u64 = 1;
/// A message of an assistant that reasons also names its channel (fitted on 8 recorded bills of
/// GPT-5 and 5.4).
const CHANNEL: u64 = 2;
/// What opens the reply (the first from the cookbook; the second fitted on 24 recorded bills of
/// GPT-5, 5.2-chat, 5.4, o1, o3, o4, and 4 of o3-mini).
const REPLY_PRIMING: u64 = 3;
const REASONING_REPLY_PRIMING: u64 = 2;
/// Ids, and names of results, cost nothing. The API accepts none that is longer; text hidden in a
/// longer one (signatures, whole results) is counted.
const LONGEST_ID: usize = 64;
/// Members of a part that say where a provider's cache may begin, which is nothing that a model
/// reads (1 recorded bill of OpenAI's), and the size of an image, which is not sent.
const IS_FREE: [&str; 3] = ["cache_control", "prompt_cache_breakpoint", SIZE];

impl Family {
    pub(super) fn priming(self) -> u64 {
        match self {
            Self::Chat => REPLY_PRIMING,
            Self::Reasoning | Self::O3Mini => REASONING_REPLY_PRIMING,
            Self::Search => 0,
        }
    }

    /// The frame of a message that says nothing.
    pub(super) fn empty_message(self) -> u64 {
        if self == Self::Search { 0 } else { PER_MESSAGE + PER_ROLE }
    }
}

impl ChatCost {
    /// The cost of a message that is neither a call nor a result.
    pub(super) fn plain(&self, message: &Message) -> Count {
        self.frame(message) + self.name(message) + self.said(message)
    }

    /// The tokens around a message, whatever its content.
    pub(super) fn frame(&self, message: &Message) -> Count {
        let channel = self.channel(message);
        match message.role() {
            Role::Other(name) => Count::estimated(PER_MESSAGE + channel) + self.text(name),
            _ => Count::exact(self.family.empty_message() + channel),
        }
    }

    pub(super) fn channel(&self, message: &Message) -> u64 {
        let has_channel = self.family == Family::Reasoning && *message.role() == Role::Assistant;
        if has_channel { CHANNEL } else { 0 }
    }

    pub(super) fn name(&self, message: &Message) -> Count {
        let count = match message.name() {
            None | Some("") => return Count::ZERO,
            Some(name) if name == message.role().as_str() => Count::exact(PER_NAME),
            Some(name) => Count::exact(PER_NAME) + self.text(name),
        };
        // All recorded bills with names are of models that chat.
        count.estimated_if(self.family != Family::Chat)
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

    /// The images of a message whose size is not known, and what they cost as large ones.
    pub(crate) fn images_of_assumed_size(&self, message: &Message) -> (usize, u64) {
        let parts = message.content().map_or(&[][..], Content::parts);
        let images = parts.iter().filter_map(|part| Some((part.image_url()?, stated_size(part))));
        let assumed = images.filter(|(image, stated)| image::is_size_assumed(image, *stated, self.images));
        assumed.fold((0, 0), |(images, tokens), (image, _)| {
            (images + 1, tokens + image::cost(&image, None, self.images).tokens)
        })
    }

    /// Members beside the specification's, where they are sent.
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
        let others = part.extra().filter(|(key, value)| !IS_FREE.contains(key) && !is_nothing(value));
        // Of sound and files it is known that a server reads what they hold, and not the words
        // around it.
        let is_read = matches!(part.kind(), "input_audio" | "file");
        let word = |word: &str| if is_read { Count::ZERO } else { self.text(word) };
        let read =
            |(key, value)| Foreign { count: word(key), has_data: false } + self.read_member(part.kind(), key, value);
        let others = others.map(read).fold(Foreign::default(), |all, one| all + one);
        let members = [
            ("text", part.text().is_some()),
            ("refusal", part.refusal().is_some()),
            ("image_url", part.image_url().is_some()),
        ];
        let is_known = members.iter().any(|(kind, _)| part.kind() == *kind);
        let is_understood = is_known && members.iter().all(|(kind, is_there)| *is_there == (part.kind() == *kind));
        let kind = if is_known { Count::ZERO } else { word(part.kind()) };
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
        image::cost(&image, stated_size(part), self.images).estimated_if(!self.is_exact) + others
    }
}

/// The size that somebody stated for an image.
fn stated_size(part: &Part) -> Option<Size> {
    part.size().map(|(width, height)| Size { width: width.into(), height: height.into() })
}

/// Whether a message has the shape that the specification gives it.
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
