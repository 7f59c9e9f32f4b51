//! One message: its frame, role, name, content.

use super::{ChatCost, image};
use crate::message::{Content, Message, Part, Role};
use crate::tokens::Count;
use crate::tokens::rules::Family;

/// Tokens around every message, of all models (`OpenAI` cookbook, "How to count tokens with tiktoken"; exact in 130 of
/// 130 recorded bills of text).
const PER_MESSAGE: u64 = 3;
/// The role of a message is one token, for all roles that the format knows.
const PER_ROLE: u64 = 1;
/// Instructions that the server adds for a section that has no system message to stand in.
pub(super) const EMPTY_MESSAGE: u64 = PER_MESSAGE + PER_ROLE;
/// Tokens around a name (cookbook). A name that is the role costs this alone (fitted on 5 recorded bills; the cookbook's
/// formula is one too high for them).
const PER_NAME: u64 = 1;
/// A message of an assistant that reasons also names its channel (fitted on 4 recorded bills of GPT-5 and 5.4).
const CHANNEL: u64 = 2;
/// What opens the reply (the first from the cookbook; the second fitted on 18 recorded bills of GPT-5, 5.4, o1, o3, o4).
const REPLY_PRIMING: u64 = 3;
const REASONING_REPLY_PRIMING: u64 = 2;
/// Audio, files and kinds of parts that this crate does not know: no formula is public.
const OTHER_PART: u64 = 500;

impl Family {
    pub(super) fn priming(self) -> u64 {
        match self {
            Self::Chat => REPLY_PRIMING,
            Self::Reasoning => REASONING_REPLY_PRIMING,
        }
    }
}

impl ChatCost {
    /// A message that is no call and no result.
    pub(super) fn plain(&self, message: &Message) -> Count {
        self.frame(message) + self.name(message) + self.said(message)
    }

    /// What stands around a message whatever it says.
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

    /// What a message says, without its calls.
    pub(super) fn said(&self, message: &Message) -> Count {
        self.text(&message.text()) + self.beside_text(message)
    }

    /// What a message says that is not in its text.
    pub(super) fn beside_text(&self, message: &Message) -> Count {
        let parts = message.content().map_or(&[][..], Content::parts);
        let parts: Count = parts.iter().filter(|part| part.text().is_none()).map(|part| self.part(part)).sum();
        let refusal = message.refusal().map_or(Count::ZERO, |text| self.text(text).estimated_if(true));
        let audio = message.audio().map_or(Count::ZERO, |_| Count::estimated(OTHER_PART));
        parts + refusal + audio + self.sent_fields(message)
    }

    /// Members beside the specification's, where they are sent: text as it is, anything else as JSON.
    fn sent_fields(&self, message: &Message) -> Count {
        let value = |name: &String| message.get(name);
        let texts = self.fields.iter().filter_map(value).map(|value| match value.parse::<String>() {
            Ok(text) => self.text(&text),
            Err(_) => self.text(value.as_str()),
        });
        texts
            .sum::<Count>()
            .estimated_if(!self.fields.is_empty() && self.fields.iter().any(|name| value(name).is_some()))
    }

    fn part(&self, part: &Part) -> Count {
        match (part.image_url(), part.refusal()) {
            (Some(image), _) => image::cost(&image, self.images).estimated_if(!self.is_exact),
            (None, Some(text)) => self.text(text).estimated_if(true),
            (None, None) => Count::estimated(OTHER_PART),
        }
    }
}

impl Count {
    pub(super) fn estimated_if(self, is_estimated: bool) -> Self {
        Self { exact: self.exact && !is_estimated, ..self }
    }
}
