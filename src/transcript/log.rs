//! Reads a log: one conversation with one message per line.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Transcript, Warning, formats};
use crate::body::{byte_of, position, read_message};
use crate::conversation::Conversation;
use crate::error::{Error, ErrorKind, Result};
use crate::halves::mended;
use crate::message::Message;
use crate::outline;
use crate::text::described;

/// The content of a log.
pub(super) struct Log {
    pub(super) file: Transcript,
    /// Why its last line was not read; another program may still be writing it.
    pub(super) torn: Option<Error>,
}

/// Whether a text begins with a message on its own: an object with a `role` and without `messages`.
/// Of a request body, nothing after that key is parsed.
pub(super) fn is_log(text: &str) -> bool {
    struct Message;
    impl<'de> Visitor<'de> for Message {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a message")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut has_role = false;
            while let Some(key) = map.next_key::<String>()? {
                if key == "messages" {
                    return Err(A::Error::custom("a body"));
                }
                let value: &RawValue = map.next_value()?;
                has_role |= key == "role" && value.get().starts_with('"');
            }
            Ok(has_role)
        }
    }
    text.trim_start().starts_with('{')
        && serde_json::Deserializer::from_str(&mended(text).text).deserialize_map(Message).unwrap_or(false)
}

/// Reads the messages of a log. An incomplete last line is skipped; any other unreadable line is an
/// error, because the conversation would have a gap.
pub(super) fn read(text: &str) -> Result<Log> {
    let (mut raw, mut messages, mut torn) = (Vec::new(), Vec::new(), None);
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match value {
            Ok(value) => {
                let read = message(text, value, messages.len());
                messages.push(read.map_err(|error| of_another(text).unwrap_or(error))?);
                raw.push(value);
            }
            Err(error) => {
                let place = position(text, byte_of(text, &error));
                let detail = format!("message {}: {}", messages.len(), described(&error));
                let damage = Error::new(ErrorKind::Damaged, detail).at(place);
                if !error.is_eof() || messages.is_empty() {
                    return Err(damage);
                }
                torn = Some(damage);
                break;
            }
        }
    }
    let found = if messages.iter().any(formats::is_odd) { formats::in_log(text, &raw) } else { None };
    if let Some(found) = found {
        return Err(found.error(text));
    }
    let warnings = Warning::of_roles(&messages).into_iter().collect();
    let conversation = Conversation::from_messages(messages);
    Ok(Log { file: Transcript { is_log: true, warnings, ..Transcript::new(conversation) }, torn })
}

/// The error for a log with a line that is not a message, if its lines belong to another program.
fn of_another(text: &str) -> Option<Error> {
    formats::in_log(text, &outline::values(text).collect::<Vec<_>>()).map(|found| found.error(text))
}

fn message(text: &str, value: &RawValue, index: usize) -> Result<Message> {
    let is_conversation =
        value.get().starts_with('[') || outline::Object::of(value).is_some_and(|object| object.has("messages"));
    if !is_conversation {
        return read_message(text, value, index);
    }
    let byte = value.get().as_ptr() as usize - text.as_ptr() as usize;
    let detail = "a whole conversation after lines that are one message each; a file must have one kind of line";
    Err(Error::new(ErrorKind::InvalidMessage, detail).at(position(text, byte)))
}
