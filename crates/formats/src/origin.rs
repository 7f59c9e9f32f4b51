//! What a format says and chat completions cannot: a member `turnwise_origin` of the message, or of
//! the file, by the format's name. It is saved with the record, and neither counted nor sent.

use serde_json::value::RawValue;
use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise::{Message, Transcript};

use crate::members::{Kept, Members, Rest, object, raw};

/// The member that holds it.
pub const ORIGIN: &str = "turnwise_origin";

/// The message with members of the format that chat completions do not have.
#[allow(clippy::needless_pass_by_value, reason = "members are made to be put together")]
pub(crate) fn with_origin(message: Message, format: &str, rest: Rest) -> Message {
    with_kept(message, format, Kept::from(&rest))
}

/// As [`with_origin`], with members that were put together as text.
pub(crate) fn with_kept(message: Message, format: &str, kept: Kept) -> Message {
    if kept.is_empty() {
        return message;
    }
    let mut origin = Kept::default();
    origin.push_object(format, kept);
    // What was put together from members is JSON, so the fallback is never used.
    let origin = RawJson::from_text(origin.into_text()).unwrap_or_else(|_| RawJson::object([]));
    message.clone().with_field(ORIGIN, origin).unwrap_or(message)
}

/// The members of a format that were kept with a message.
pub(crate) fn of_message<'a>(message: &'a Message, format: &str) -> Option<Members<'a>> {
    Object::of(raw(message.get(ORIGIN)?))?.get(format).and_then(Members::of)
}

/// Sets what was kept of a whole conversation.
pub(crate) fn set(transcript: &mut Transcript, format: &str, id: Option<&str>, rest: Rest) {
    let id = id.map(|id| ("id", RawJson::from(id)));
    let kept = (!rest.is_empty()).then(|| (format, object(rest)));
    let members: Vec<(&str, RawJson)> = id.into_iter().chain(kept).collect();
    if !members.is_empty() {
        transcript.extra.push((ORIGIN.to_owned(), RawJson::object(members)));
    }
}

/// The members of a format that were kept of the whole conversation.
pub(crate) fn of_file<'a>(transcript: &'a Transcript, format: &str) -> Option<Members<'a>> {
    Object::of(own(transcript)?)?.get(format).and_then(Members::of)
}

/// The id that the conversation had in the file that it was imported from.
pub fn id(transcript: &Transcript) -> Option<String> {
    Object::of(own(transcript)?)?.text("id").map(std::borrow::Cow::into_owned)
}

fn own(transcript: &Transcript) -> Option<&RawValue> {
    transcript.extra.iter().find(|(key, _)| key == ORIGIN).map(|(_, value)| raw(value))
}
