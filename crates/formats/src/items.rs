//! Items of the Conversations API and messages, for a program that keeps such a conversation in
//! parts: what [`Imports`](crate::Imports) and [`Exporter`](crate::Exporter) do with whole files.

use turnwise::Message;
use turnwise::message::RawJson;

use crate::formats::responses::{self, Reader};
use crate::members::raw;
use crate::report::Report;

/// Messages that were read from items.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Messages {
    /// The messages. A message of the model holds the calls that follow it; each keeps what its
    /// items say beside it.
    pub messages: Vec<Message>,
    /// Items at the end that belong before the next message, such as reasoning.
    pub after: Vec<RawJson>,
    /// What was not carried over as it was.
    pub report: Report,
}

/// The messages of items in their order.
///
/// # Examples
/// ```
/// use turnwise::message::RawJson;
/// use turnwise_formats::items;
///
/// let call = RawJson::new(r#"{"type":"function_call","id":"fc_1","call_id":"c1","name":"now","arguments":"{}"}"#)?;
/// let read = items::read(&[call.clone()]);
/// assert_eq!(read.messages[0].tool_calls()[0].name(), "now");
/// assert!(items::write(&read.messages[0])[0].as_str().contains(r#""id":"fc_1""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(items: &[RawJson]) -> Messages {
    let mut reader = Reader::default();
    for item in items {
        reader.item(raw(item), None);
    }
    reader.into_messages()
}

/// The items of one message, with what was kept of them. A message that was not read from items is
/// written as the API would list it, without ids.
pub fn write(message: &Message) -> Vec<RawJson> {
    responses::write_one(message)
}
